//! `waitbridge reload`: asks the running service to read again what may change while it runs, and tells what came of it.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::replay::ask;
use super::{ConfigFile, SETTINGS, show};
use crate::app::control::protocol::{Answer, Request};
use crate::settings::watch::Changes;
use crate::settings::{self};

/// Asks the running service to read endpoints, secrets, the certificate and Kafka's properties again, as SIGHUP does, and tells what
/// came of it
///
/// With mistakes in the settings the service goes on with the old ones, and the exit code is 2.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge reload --config /etc/waitbridge/waitbridge.toml")]
pub struct Reload {
    #[command(flatten)]
    file: ConfigFile,
}

impl Reload {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        let mut answers = ask(&settings.journal.dir, &Request::Reload)?;
        match answers.next() {
            Some(answer) => self.tell(answer?),
            None => bail!("the service has ended"),
        }
    }

    fn tell(&self, answer: Answer) -> Result<ExitCode> {
        match answer {
            Answer::Reloaded { changes } => {
                show::page(&page(&changes))?;
                Ok(ExitCode::SUCCESS)
            }
            Answer::Refused { code, message } if code == "settings" => {
                eprintln!("waitbridge: the settings cannot be used; the old ones stay in force:\n{message}");
                Ok(ExitCode::from(SETTINGS))
            }
            Answer::Refused { message, .. } => bail!(message),
            Answer::Started { .. } | Answer::Progress { .. } | Answer::Ended { .. } => bail!("no answer of this version"),
        }
    }
}

fn page(changes: &Changes) -> String {
    let Changes { added, removed, changed, certificate, properties, waiting } = changes;
    let rows = [
        ("new", added),
        ("gone", removed),
        ("changed", changed),
        ("new certificate", certificate),
        ("new for kafka's clients", properties),
        ("waits for a restart", waiting),
    ];
    let rows = rows.into_iter().filter(|(_, names)| !names.is_empty());
    let page: String = rows.map(|(what, names)| format!("{what}: {}\n", names.join(", "))).collect();
    if page.is_empty() { "read again; nothing has changed\n".to_owned() } else { page }
}
