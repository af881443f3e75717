//! The admin listener: metrics, probes, status. Read-only, and no personal value in any answer.
//!
//! Liveness speaks of the process only. Readiness does not depend on Kafka: the journal absorbs its outages, and
//! a restart would mend nothing; its state stands in the body.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::error::{Error, unready};
use crate::journal::Journal;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::providers::Pending;
use crate::providers::endpoints::Endpoints;
use crate::relay::status::{Activity, Status};
use crate::shutdown::{Stage, Stages};

/// Everything that the admin listener may look at.
pub struct Probe {
    pub endpoints: Arc<Endpoints>,
    pub journal: Arc<dyn Journal>,
    pub relay: Arc<Status>,
    pub stages: Arc<Stages>,
    pub metrics: Arc<Metrics>,
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    journal: &'static str,
    draining: bool,
    kafka: Activity,
}

#[derive(Serialize)]
struct StatusBody<'a> {
    version: &'static str,
    #[serde(flatten)]
    readiness: Readiness,
    endpoints: Vec<EndpointStatus<'a>>,
}

#[derive(Serialize)]
struct EndpointStatus<'a> {
    name: &'a str,
    vendor: &'static str,
    tenant: &'a str,
    pending: bool,
}

pub async fn answer(request: HttpRequest, payload: web::Payload, probe: web::Data<Probe>) -> HttpResponse {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Error::MethodNotAllowed("GET, HEAD").response(payload);
    }
    let path = request.path();
    match path.strip_suffix('/').unwrap_or(path) {
        "/metrics" => HttpResponse::Ok().content_type(CONTENT_TYPE).body(probe.metrics.render()),
        "/livez" => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ok"),
        "/readyz" => probe.readyz(),
        "/status" => probe.status(),
        _ => Error::NotFound.response(payload),
    }
}

impl Probe {
    fn readiness(&self) -> Readiness {
        let journal = self.journal.writable();
        let kafka = self.relay.now();
        let draining = self.stages.now() != Stage::Serving;
        let ready = journal.is_ok() && !draining && kafka != Activity::Disowned;
        Readiness { ready, journal: journal.map_or_else(|error| error.code(), |()| "writable"), draining, kafka }
    }

    fn readyz(&self) -> HttpResponse {
        let readiness = self.readiness();
        let mut response = if readiness.ready { HttpResponse::Ok() } else { unready() };
        response.json(readiness)
    }

    fn status(&self) -> HttpResponse {
        let endpoints = self.endpoints.all();
        let endpoints = endpoints.values().map(|endpoint| EndpointStatus {
            name: &endpoint.name,
            vendor: endpoint.vendor,
            tenant: &endpoint.tenant,
            pending: endpoint.pending == Pending::Yes,
        });
        HttpResponse::Ok().json(StatusBody {
            version: env!("CARGO_PKG_VERSION"),
            readiness: self.readiness(),
            endpoints: endpoints.collect(),
        })
    }
}
