//! A bad network of the tests' own: a TCP proxy that delays, cuts and half-closes what goes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What happens to the bytes that arrive from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// Each piece comes late by this.
    Slow(Duration),
    /// Every connection ends at its next piece, in the middle of it, and so do new ones.
    Cut,
    /// What the client sends arrives; each answer is swallowed, and its direction closed.
    HalfClosed,
}

pub struct Proxy {
    pub address: SocketAddr,
    way: Arc<Way>,
}

struct Way {
    target: Mutex<Option<SocketAddr>>,
    weather: Mutex<Weather>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

impl Proxy {
    /// Listens at once, and ends with the tests' process.
    pub fn start() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let way = Arc::new(Way { target: Mutex::new(None), weather: Mutex::new(Weather::Fair) });
        let proxy = Proxy { address: listener.local_addr().expect("bound"), way: way.clone() };
        thread::spawn(move || listener.incoming().flatten().for_each(|client| join(client, &way)));
        proxy
    }

    /// Whom those who connect from now on reach.
    pub fn aim(&self, target: SocketAddr) {
        *self.way.target.lock().unwrap() = Some(target);
    }

    pub fn set(&self, weather: Weather) {
        *self.way.weather.lock().unwrap() = weather;
    }
}

fn join(client: TcpStream, way: &Arc<Way>) {
    let target = *way.target.lock().unwrap();
    let Some(server) = target.and_then(|target| TcpStream::connect(target).ok()) else { return };
    for (from, to, direction) in [(&client, &server, Direction::There), (&server, &client, Direction::Back)] {
        let (from, to, way) = (from.try_clone().unwrap(), to.try_clone().unwrap(), way.clone());
        to.set_nodelay(true).unwrap();
        thread::spawn(move || {
            carry(&from, &to, direction, &way.weather);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// Until one end closes, or the weather does.
fn carry(mut from: &TcpStream, mut to: &TcpStream, direction: Direction, weather: &Mutex<Weather>) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let now = *weather.lock().unwrap();
        match now {
            Weather::Slow(by) => thread::sleep(by),
            Weather::Cut => {
                let _ = to.write_all(&piece[..length / 2]);
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
            Weather::HalfClosed if direction == Direction::Back => return,
            Weather::Fair | Weather::HalfClosed => {}
        }
        if to.write_all(&piece[..length]).is_err() {
            return;
        }
    }
}
