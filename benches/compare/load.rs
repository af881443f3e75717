//! The load: a process of its own, so that its CPU is nobody else's. It signs everything beforehand, waits for a line on its
//! input, sends over connections that it keeps, and prints what it saw in one line.

use std::cell::{Cell, RefCell};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix_web::rt;
use actix_web::rt::net::TcpStream;
use waitbridge::providers::waitwhile;

use crate::bridge::{PUBLIC_URL, SECRET};
use crate::visit;

/// Of the first answer that is no 200, no more is sent.
struct Load {
    tenants: usize,
    first: u64,
    signatures: Vec<String>,
    /// Between two sendings of all connections together; zero = as fast as it goes.
    pause: Duration,
    began: Instant,
    next: Cell<usize>,
    times: RefCell<Vec<Duration>>,
}

/// `arguments`: addresses (commas; the connections take them in turn), first serial, how many, connections, how many a second
/// (0 = as fast as it goes), of how many tenants.
pub fn send(arguments: &[String]) {
    let number = |at: usize| arguments[at].parse::<u64>().expect("a number");
    let (first, count, connections, rate) = (number(1), number(2), number(3), number(4));
    let addresses: Vec<SocketAddr> = arguments[0].split(',').map(|address| address.parse().expect("an address")).collect();
    let signature = |serial| waitwhile::signature(SECRET.as_bytes(), PUBLIC_URL, &visit::body(serial));
    let signatures = (first..first + count).map(signature).collect();
    std::io::stdin().read_line(&mut String::new()).expect("the word to go");
    let load = Rc::new(Load {
        tenants: number(5) as usize,
        first,
        signatures,
        pause: Duration::from_secs(1).checked_div(rate as u32).unwrap_or_default(),
        began: Instant::now(),
        next: Cell::new(0),
        times: RefCell::default(),
    });
    let system = rt::System::new();
    let to = addresses.iter().cycle().take(connections as usize);
    let senders: Vec<_> = to.map(|address| system.runtime().spawn(sender(load.clone(), *address))).collect();
    for sender in senders {
        system.block_on(sender).expect("it runs").expect("every answer is a 200");
    }
    let mut times = load.times.borrow_mut();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    println!("{} {} {} {}", times.len(), load.began.elapsed().as_micros(), at(0.5), at(0.99));
}

async fn sender(load: Rc<Load>, address: SocketAddr) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        let at = load.next.replace(load.next.get() + 1);
        let Some(signature) = load.signatures.get(at) else { return Ok(()) };
        if !load.pause.is_zero() {
            rt::time::sleep_until((load.began + load.pause * at as u32).into()).await;
        }
        let body = visit::body(load.first + at as u64);
        let endpoint = visit::ENDPOINTS[at % load.tenants];
        request.clear();
        request.extend_from_slice(format!("POST /webhooks/{endpoint} HTTP/1.1\r\n").as_bytes());
        request.extend_from_slice(b"Host: hooks.example.com\r\nX-Waitwhile-Signature: ");
        request.extend_from_slice(signature.as_bytes());
        request.extend_from_slice(format!("\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(&body);
        let sent = Instant::now();
        write_all(&stream, &request).await?;
        read_answer(&stream).await?;
        load.times.borrow_mut().push(sent.elapsed());
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Each answer is a few hundred bytes and ends its body with a brace.
async fn read_answer(stream: &TcpStream) -> std::io::Result<()> {
    let (mut answer, mut length) = ([0; 1024], 0);
    while !is_whole(&answer[..length]) {
        stream.readable().await?;
        match stream.try_read(&mut answer[length..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(more) => length += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(Error::other(String::from_utf8_lossy(&answer[..length]))) }
}

fn is_whole(answer: &[u8]) -> bool {
    answer.ends_with(b"}") || answer.ends_with(b"}\n")
}
