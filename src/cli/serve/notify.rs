//! Tells the service manager that started this process how far it is, where one wants to know (sd_notify). Waits for no answer.

use std::env;
use std::os::unix::net::UnixDatagram;

use tracing::warn;

const SOCKET: &str = "NOTIFY_SOCKET";

pub fn tell(news: &str) {
    let Some(path) = env::var_os(SOCKET) else { return };
    let told = UnixDatagram::unbound().and_then(|socket| socket.send_to(news.as_bytes(), path));
    if let Err(error) = told {
        warn!(%error, news, "the service manager cannot be told: {SOCKET} leads nowhere");
    }
}
