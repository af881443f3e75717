//! `waitbridge serve`: run until a signal, or until something fails that only a person or a new process can mend.

use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, warn};

use super::{ConfigFile, NOT_OURS};
use crate::app::reload::Bell;
use crate::app::{self, Failure, Running};
use crate::settings::{self, Settings};
use crate::telemetry;

mod notify;

/// Takes webhooks and puts them on Kafka until SIGTERM or SIGINT; a second signal ends at once
///
/// Endpoints, secrets, the certificate and Kafka's properties are read again on SIGHUP, and within ten seconds when a file's content
/// changes; other keys wait for a restart. Of systemd it takes sockets, and tells it when it is ready.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge serve --config /etc/waitbridge/waitbridge.toml")]
pub struct Serve {
    #[command(flatten)]
    file: ConfigFile,
}

impl Serve {
    pub fn run(self) -> Result<ExitCode> {
        let mut settings = settings::load(self.file.config.as_deref())?;
        telemetry::start(settings.log.format, settings.log.level);
        settings.server.fit_to_open_files();
        settings.server.inherit()?;
        serve(settings, app::start)
    }
}

/// Runs what `start` starts until it ends.
pub fn serve(settings: Settings, start: impl FnOnce(Settings) -> Result<Running>) -> Result<ExitCode> {
    actix_web::rt::System::new().block_on(async {
        let mut signals = Signals::new()?;
        let mut running = start(settings)?;
        notify::tell("READY=1");
        let reload = running.reload_bell();
        let failure = tokio::select! {
            () = signals.end(&reload) => None,
            failure = running.failure() => Some(failure),
        };
        match failure {
            None => drain(running, &mut signals, &reload).await,
            Some(failure) => {
                running.abandon().await;
                Ok(code_of(failure))
            }
        }
    })
}

async fn drain(running: Running, signals: &mut Signals, reload: &Bell) -> Result<ExitCode> {
    notify::tell("STOPPING=1");
    tokio::select! {
        () = running.drain() => {}
        () = signals.end(reload) => warn!("a second signal: ending at once; what was answered 200 is safe in the journal"),
    }
    Ok(ExitCode::SUCCESS)
}

fn code_of(failure: Failure) -> ExitCode {
    error!(?failure, "waitbridge ends");
    match failure {
        Failure::Disowned => ExitCode::from(NOT_OURS),
        Failure::Journal | Failure::Relay => ExitCode::FAILURE,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one that asks for the end. One that asks for new settings rings the bell.
    async fn end(&mut self, reload: &Bell) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload.ring(),
            }
        }
    }
}
