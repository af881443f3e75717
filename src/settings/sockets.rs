//! Listeners that whoever starts this process hands over open, as systemd does by socket activation. They outlive it: who
//! connects between two of its lives waits in the kernel for the next one.

use std::env;
use std::net::TcpListener;

use listenfd::ListenFd;

use super::{ENVIRONMENT, Invalid};
use crate::table::Mistake;

const FOR_PROCESS: &str = "LISTEN_PID";
const NAMES: &str = "LISTEN_FDNAMES";

#[derive(Debug, Default)]
pub struct Inherited {
    pub public: Option<TcpListener>,
    pub admin: Option<TcpListener>,
}

impl Inherited {
    /// What this process was given, once; nothing where the variables speak to another one.
    pub fn take() -> Result<Inherited, Invalid> {
        if env::var(FOR_PROCESS).ok().and_then(|id| id.parse().ok()) != Some(std::process::id()) {
            return Ok(Inherited::default());
        }
        let names = env::var(NAMES).unwrap_or_default();
        let mut given = ListenFd::from_env();
        let sockets = (0..given.len()).map(|index| given.take_tcp_listener(index).ok().flatten()).collect();
        Inherited::named(&names, sockets)
    }

    /// In the order of their names; `None` is no TCP socket.
    fn named(names: &str, sockets: Vec<Option<TcpListener>>) -> Result<Inherited, Invalid> {
        let mut inherited = Inherited::default();
        let mut mistakes = Vec::new();
        for (socket, name) in sockets.into_iter().zip(names.split(':').chain(std::iter::repeat(""))) {
            let place = match name {
                "public" => Some(&mut inherited.public),
                "admin" => Some(&mut inherited.admin),
                _ => None,
            };
            let wanted = match (place, socket) {
                (Some(place), Some(socket)) if place.is_none() => {
                    *place = Some(socket);
                    continue;
                }
                (None, _) => "a socket must be named public or admin: give each .socket unit its FileDescriptorName=",
                (Some(_), None) => "the socket must be a TCP one: ListenStream= with a port",
                (Some(_), Some(_)) => "two sockets have one name: one ListenStream= for each name",
            };
            mistakes.push(Mistake { origin: ENVIRONMENT.to_owned(), key: format!("{NAMES} \"{name}\""), wanted: wanted.to_owned() });
        }
        if mistakes.is_empty() { Ok(inherited) } else { Err(Invalid(mistakes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_known_by_their_names_and_each_mistake_is_told() {
        let tcp = || TcpListener::bind("127.0.0.1:0").ok();
        for (names, sockets, expected) in [
            ("", vec![], Ok([false, false])),
            ("public", vec![tcp()], Ok([true, false])),
            ("admin:public", vec![tcp(), tcp()], Ok([true, true])),
            ("public:admin", vec![tcp()], Ok([true, false])),
            ("", vec![tcp()], Err("named public or admin")),
            ("waitbridge.socket", vec![tcp()], Err("named public or admin")),
            ("public", vec![tcp(), tcp()], Err("named public or admin")),
            ("public:public", vec![tcp(), tcp()], Err("two sockets have one name")),
            ("public", vec![None], Err("must be a TCP one")),
        ] {
            let named = Inherited::named(names, sockets).map(|inherited| [inherited.public.is_some(), inherited.admin.is_some()]);
            match (named, expected) {
                (Ok(named), expected) => assert_eq!(Ok(named), expected, "{names}"),
                (Err(invalid), Err(wanted)) => assert!(invalid.to_string().contains(wanted), "{names}: {invalid}"),
                (Err(invalid), Ok(_)) => panic!("{names}: {invalid}"),
            }
        }
    }

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        assert!(env::var(FOR_PROCESS).is_err());
        assert!(Inherited::take().is_ok_and(|inherited| inherited.public.is_none() && inherited.admin.is_none()));
    }
}
