//! `waitbridge health`: exit 0 if the running service is ready. For a container's health check: no shell needed.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{ConfigFile, show};
use crate::settings;

/// Asks the running service whether it is ready; exit 0 if so
#[derive(clap::Args)]
#[command(after_help = "Example:\n  waitbridge health --config /etc/waitbridge/waitbridge.toml")]
pub struct Health {
    #[command(flatten)]
    file: ConfigFile,
}

impl Health {
    pub fn run(self) -> Result<ExitCode> {
        let settings = settings::load(self.file.config.as_deref())?;
        let (body, said) = ask(settings.server.admin_listen, "/readyz")?;
        show::page(&body)?;
        Ok(if said == Said::Yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// How the admin listener answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Yes,
    No,
}

/// Asks the admin listener of the service that runs with these settings.
pub fn ask(admin_listen: SocketAddr, path: &str) -> Result<(String, Said)> {
    let url = format!("http://{}{path}", reachable(admin_listen));
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5))).build();
    let answer = ureq::Agent::from(agent).get(&url).call();
    let mut answer = answer.with_context(|| format!("no answer from {url}: is waitbridge running here, with this server.admin_listen?"))?;
    let body = answer.body_mut().read_to_string()?;
    Ok((body, if answer.status().is_success() { Said::Yes } else { Said::No }))
}

/// An address to listen on everywhere is reached on loopback.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}
