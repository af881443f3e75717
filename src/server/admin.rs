//! The admin listener: metrics, probes, status. Read-only, and no personal value in any answer.
//!
//! Liveness speaks of the process only. Readiness does not depend on Kafka: the journal absorbs its outages, and
//! a restart would mend nothing; its state stands in the body.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::error::{Error, unready};
use super::status;
use crate::journal::Journal;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::providers::endpoints::Endpoints;
use crate::relay::status::{Activity, Status};
use crate::shutdown::{Stage, Stages};

const WRITABLE: &str = "writable";

/// Everything that the admin listener may look at.
pub struct Probe {
    pub endpoints: Arc<Endpoints>,
    pub journal: Arc<dyn Journal>,
    pub relay: Arc<Status>,
    pub stages: Arc<Stages>,
    pub metrics: Arc<Metrics>,
    /// Of the journal, or of this replica.
    pub journal_id: String,
    /// Milliseconds since 1970.
    pub started_ms: i64,
}

#[derive(Serialize)]
pub(super) struct Readiness {
    pub ready: bool,
    /// Why not, in one word.
    pub unready: Option<&'static str>,
    pub journal: &'static str,
    pub draining: bool,
    pub kafka: Activity,
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
        let journal = journal.map_or_else(|error| error.code(), |()| WRITABLE);
        let unready = match kafka {
            Activity::Disowned => Some("disowned"),
            _ if draining => Some("draining"),
            _ => Some(journal).filter(|journal| *journal != WRITABLE),
        };
        Readiness { ready: unready.is_none(), unready, journal, draining, kafka }
    }

    fn readyz(&self) -> HttpResponse {
        let readiness = self.readiness();
        let mut response = if readiness.ready { HttpResponse::Ok() } else { unready() };
        response.json(readiness)
    }

    fn status(&self) -> HttpResponse {
        HttpResponse::Ok().json(status::Body::of(self, self.readiness()))
    }

    pub(super) fn uptime(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_millis(u64::try_from(self.started_ms).unwrap_or(0)))
    }
}
