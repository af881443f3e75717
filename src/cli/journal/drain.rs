//! `waitbridge journal drain`: publishes what a disk journal's folder holds, with nothing more going in.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::app::drain::{self, Drained};
use crate::cli::ConfigFile;
use crate::cli::show::{self, count};
use crate::cli::stop::Interrupt;
use crate::settings;
use crate::shutdown::Stop;
use crate::telemetry::{self, Format};

/// Publishes what Kafka does not have of a disk journal's folder that no process uses
///
/// For a journal that was given up for a fleet's: it goes on from the folder's own checkpoint, so that nothing comes twice. And for a
/// copy that lost its checkpoint to another process: what that copy accepted itself and did not deliver is published, under a name
/// of its own. It goes to the Kafka and the topics of the settings, whatever their journal.kind. It may be stopped and started again;
/// it waits for Kafka as long as it takes. When it ends with 0, nothing is left, and the folder can be deleted.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge journal drain --dir /var/lib/waitbridge --config waitbridge.toml")]
pub struct Drain {
    #[command(flatten)]
    file: ConfigFile,
    /// The folder of the disk journal
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

const LOOK: Duration = Duration::from_millis(100);

impl Drain {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        telemetry::start(Format::Text, settings.log.level);
        let stop = Arc::new(Stop::default());
        stop_when_asked(Interrupt::listen()?, stop.clone())?;
        match drain::drain(settings, &self.dir, stop)? {
            Drained::Whole { records } => {
                show::page(&format!(
                    "{} to Kafka; nothing is left in {}: it can be deleted\n",
                    count(records, "record"),
                    self.dir.display()
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            Drained::Stopped { records } => {
                show::page(&format!("stopped after {}; run it again to go on\n", count(records, "record")))?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn stop_when_asked(interrupt: Interrupt, stop: Arc<Stop>) -> Result<()> {
    let listen = move || {
        while !interrupt.is_requested() {
            std::thread::sleep(LOOK);
        }
        stop.request(Instant::now() + drain::PATIENCE);
    };
    std::thread::Builder::new().name("stop".to_owned()).spawn(listen)?;
    Ok(())
}
