//! The listeners: limits, routes, and the way from a request to the ingress and back.
//!
//! Only here and below is HTTP known, and only `error` holds a status number. The public listener takes
//! deliveries; the admin listener, apart from it, only shows.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use ipnet::IpNet;
use socket2::{Domain, Socket, Type};

use crate::ingress::Ingress;
use crate::metrics::Metrics;
use crate::shutdown::Stages;

pub mod admin;
mod body;
mod connection;
mod error;
mod status;
pub mod tls;
mod unread;
mod webhooks;

pub use body::Budget;
use tls::Tls;

#[derive(Debug, Clone)]
pub struct Limits {
    /// Threads; 0 = one a core.
    pub workers: usize,
    /// Of the process.
    pub connections_max: usize,
    pub body_bytes_max: usize,
    pub bodies_in_flight_bytes_max: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub drain_deadline: Duration,
    pub trusted_proxies: Vec<IpNet>,
}

/// What every request of the public listener needs.
pub struct Public {
    pub ingress: Ingress,
    pub limits: Limits,
    pub budget: Budget,
    pub stages: Arc<Stages>,
    pub metrics: Arc<Metrics>,
}

/// An idle connection is kept this long; vendors send in bursts.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Connections that the kernel holds while the workers are busy.
const BACKLOG: i32 = 2048;

/// A socket that listens, with room for those who come while all workers are busy.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The listener that vendors reach, by TLS if there is a certificate. It begins to serve when it is awaited.
pub fn public(listener: TcpListener, public: Arc<Public>, tls: Option<Arc<Tls>>) -> std::io::Result<Server> {
    // The library counts connections for each worker; together they must not be more than the process may have.
    let workers = workers(public.limits.workers).min(public.limits.connections_max);
    let connections_a_worker = public.limits.connections_max / workers;
    let (header_timeout, drain_deadline) = (public.limits.header_timeout, public.limits.drain_deadline);
    let data = web::Data::from(public);
    let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(webhooks::answer)))
        .on_connect(connection::opened)
        .workers(workers)
        .max_connections(connections_a_worker)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(header_timeout)
        .client_disconnect_timeout(header_timeout)
        .tls_handshake_timeout(header_timeout)
        // Of handshakes at once: a worker that has so many takes no other connection, and 256 slow ones are soon made.
        .max_connection_rate(connections_a_worker)
        .shutdown_timeout(drain_deadline.as_secs())
        .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls.config())?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

/// The listener for Prometheus, probes and people. Read-only.
pub fn admin(listener: TcpListener, probe: Arc<admin::Probe>) -> std::io::Result<Server> {
    let data = web::Data::from(probe);
    let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(admin::answer)))
        .workers(1)
        .max_connections(256)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(1)
        .disable_signals()
        .listen(listener)?;
    Ok(server.run())
}

fn workers(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        wanted => wanted,
    }
}
