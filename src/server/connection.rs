//! Whether an answer said that its connection ends. The library serves what the sender has sent ahead all the same; here it is
//! remembered, so that none of it is accepted. Knows no path and no body.

use std::any::Any;
use std::cell::Cell;

use actix_web::dev::Extensions;
use actix_web::http::ConnectionType;
use actix_web::{HttpRequest, HttpResponse};

/// One connection, served by one thread.
#[derive(Default)]
struct Connection {
    is_ending: Cell<bool>,
}

pub fn opened(_socket: &dyn Any, data: &mut Extensions) {
    data.insert(Connection::default());
}

/// Whether an earlier answer was the last one.
pub fn is_ending(request: &HttpRequest) -> bool {
    request.conn_data::<Connection>().is_some_and(|connection| connection.is_ending.get())
}

/// To be told of each answer.
pub fn answered(request: &HttpRequest, response: &HttpResponse) {
    let goes_on = response.keep_alive() && request.head().connection_type() == ConnectionType::KeepAlive;
    if let Some(connection) = request.conn_data::<Connection>().filter(|_| !goes_on) {
        connection.is_ending.set(true);
    }
}
