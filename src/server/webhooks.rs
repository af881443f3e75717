//! From a request on the public listener to the ingress, and its answer.
//!
//! The path is taken as it was sent; the query and `Content-Type` are ignored; the body stays bytes.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use tracing::info;

use super::error::Error;
use super::unread::Unread;
use super::{Public, body, connection};
use crate::delivery::{Head, Headers};
use crate::ingress::Admitted;
use crate::providers::endpoints::UNKNOWN;
use crate::shutdown::Stage;

/// The outcome of a 200, among the codes of errors.
const ACCEPTED: &str = "accepted";

/// What a path on the public listener names.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Health,
    Delivery {
        endpoint: &'a str,
        token: Option<&'a str>,
    },
    /// Under `/webhooks`, but no endpoint's URL.
    NoDelivery,
    Nothing,
}

pub async fn answer(request: HttpRequest, mut payload: web::Payload, public: web::Data<Public>) -> HttpResponse {
    let method = request.method();
    let answered = match target(request.path()) {
        Target::Delivery { endpoint, token } if method == Method::POST => deliver(&request, &mut payload, &public, endpoint, token).await,
        Target::Delivery { .. } | Target::NoDelivery if method != Method::POST => Err(Error::MethodNotAllowed("POST")),
        Target::Health | Target::Nothing if method != Method::GET && method != Method::HEAD => Err(Error::MethodNotAllowed("GET, HEAD")),
        Target::Health => return told(&request, healthy(payload)),
        Target::Delivery { .. } | Target::NoDelivery | Target::Nothing => Err(Error::NotFound),
    };
    told(&request, answered.unwrap_or_else(|error| error.response(payload)))
}

fn told(request: &HttpRequest, response: HttpResponse) -> HttpResponse {
    connection::answered(request, &response);
    response
}

fn healthy(unread: web::Payload) -> HttpResponse {
    HttpResponse::Ok().force_close().content_type("text/plain; charset=utf-8").body(Unread::new("ok", unread))
}

/// Counts and logs one delivery.
async fn deliver(
    request: &HttpRequest,
    payload: &mut web::Payload,
    public: &Public,
    endpoint: &str,
    token: Option<&str>,
) -> Result<HttpResponse, Error> {
    let started = Instant::now();
    let _in_flight = public.metrics.delivery_started();
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let head = Head { token, target, headers: request.headers() };
    let found = public.ingress.find(endpoint, &head);
    let label = found.as_ref().ok().cloned();
    let (name, vendor) = label.as_ref().map_or((UNKNOWN, UNKNOWN), |endpoint| (endpoint.name.as_str(), endpoint.vendor));
    let admitted = found.and_then(|endpoint| public.ingress.admit(endpoint, &head, address(request, public)));
    let ended = match admitted {
        Ok(admitted) => take(request, payload, public, admitted, &head).await,
        Err(denied) => Err(Error::from(denied)),
    };
    public.metrics.delivery_answered(name, vendor, ended.as_ref().map_or_else(|error| error.code(), |_| ACCEPTED), started.elapsed());
    if let Err(error) = &ended {
        info!(endpoint = name, code = error.code(), "delivery refused");
        if label.is_some() {
            public.metrics.endpoint_rejected(name);
        }
    }
    ended
}

/// Reads the body within its limits and hands it over. The body's share of the budget is held until the answer.
async fn take(
    request: &HttpRequest,
    payload: &mut web::Payload,
    public: &Public,
    admitted: Admitted,
    head: &Head<'_>,
) -> Result<HttpResponse, Error> {
    if public.stages.now() == Stage::Draining {
        return Err(Error::Draining);
    }
    if connection::is_ending(request) {
        return Err(Error::ConnectionEnding);
    }
    let limits = &public.limits;
    let body = body::read(payload, declared_bytes(request), limits.body_bytes_max, limits.body_timeout, &public.budget).await?;
    let (bytes, _share) = body.into_parts();
    let accept_id = public.ingress.accept(admitted, head, bytes).await?;
    let mut response = HttpResponse::Ok();
    // While it settles already: a balancer takes the next connection to a replica that stays.
    if public.stages.now() != Stage::Serving {
        response.force_close();
    }
    Ok(response.content_type(header::ContentType::json()).body(format!("{{\"id\":\"{accept_id}\"}}")))
}

/// One trailing slash is accepted silently.
fn target(path: &str) -> Target<'_> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == "/healthz" {
        return Target::Health;
    }
    let Some(rest) = path.strip_prefix("/webhooks") else { return Target::Nothing };
    if rest.is_empty() {
        return Target::NoDelivery;
    }
    let Some(rest) = rest.strip_prefix('/') else { return Target::Nothing };
    let mut segments = rest.split('/');
    match (segments.next(), segments.next(), segments.next()) {
        (Some(endpoint), token, None) if !endpoint.is_empty() && token != Some("") => Target::Delivery { endpoint, token },
        _ => Target::NoDelivery,
    }
}

fn declared_bytes(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Who sends: the peer, or behind trusted proxies the rightmost address that is none of them. `None` if it
/// cannot be read.
fn address(request: &HttpRequest, public: &Public) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical())?;
    let is_trusted = |address: &IpAddr| public.limits.trusted_proxies.iter().any(|net| net.contains(address));
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let forwarded: Vec<&[u8]> = request.headers().values("x-forwarded-for");
    let hops = forwarded.iter().flat_map(|value| value.split(|byte| *byte == b','));
    let hops: Vec<&[u8]> = hops.map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty()).collect();
    for hop in hops.into_iter().rev() {
        let hop = hop_address(hop)?;
        if !is_trusted(&hop) {
            return Some(hop);
        }
    }
    Some(peer)
}

/// `203.0.113.7`, `2001:db8::1`, and both with a port.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

impl Headers for HeaderMap {
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        self.get_all(name).map(|value| value.as_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_they_are() {
        let delivery = |endpoint, token| Target::Delivery { endpoint, token };
        let cases = [
            ("/webhooks/a", delivery("a", None)),
            ("/webhooks/a/", delivery("a", None)),
            ("/webhooks/a/t", delivery("a", Some("t"))),
            ("/webhooks/a/t/", delivery("a", Some("t"))),
            ("/webhooks/a//", Target::NoDelivery),
            ("/webhooks/a/t/x", Target::NoDelivery),
            ("/webhooks//t", Target::NoDelivery),
            ("/webhooks", Target::NoDelivery),
            ("/webhooks/", Target::NoDelivery),
            ("/webhooksa", Target::Nothing),
            ("/healthz", Target::Health),
            ("/healthz/", Target::Health),
            ("/", Target::Nothing),
            ("/x", Target::Nothing),
        ];
        for (path, expected) in cases {
            assert_eq!(target(path), expected, "{path}");
        }
    }

    #[test]
    fn a_hop_may_have_a_port_and_must_be_an_address() {
        for (hop, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:443", Some("203.0.113.7")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("unknown", None),
            ("_hidden", None),
        ] {
            assert_eq!(hop_address(hop.as_bytes()), expected.map(|text| text.parse().unwrap()), "{hop}");
        }
    }
}
