//! Dead letters as a past that can be read again: a delivery is put together from a letter's headers and value.
//!
//! A letter says neither how the delivery proved itself nor its trace: `ce_auth` is how its endpoint proves deliveries now.
//! A letter without a value is an empty record, to be counted.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Order, What};
use crate::delivery::{Auth, Record};
use crate::journal::{Past, Position, ReadError, Stored, Window};
use crate::kafka::follow::Followed;
use crate::kafka::{Options, past};
use crate::providers::endpoints::Endpoints;
use crate::timestamp::Timestamp;

const PIECE_RECORDS: usize = 200;
/// Without a word of the cluster.
const SILENCE_MAX: Duration = Duration::from_secs(30);

pub struct Letters {
    pub options: Options,
    pub topic: String,
    pub endpoints: Arc<Endpoints>,
    /// What is not asked for is not told of.
    pub order: Order,
}

impl Window for Letters {
    fn delivered(&self) -> Result<Vec<Position>, ReadError> {
        let ends = past::ends(&self.options, &self.topic, SILENCE_MAX).map_err(ReadError::Letters)?;
        Ok(ends.into_iter().map(|(partition, offset)| Position { partition, offset }).collect())
    }

    fn checkpoint_at(&self, partition: i32) -> (String, i32) {
        (self.topic.clone(), partition)
    }

    /// The topic's own retention is its window.
    fn review(&self, past: Past, tell: &mut dyn FnMut(&[Stored]) -> ControlFlow<()>) -> Result<(), ReadError> {
        let mut piece = Vec::new();
        let place = past::Place { topic: &self.topic, partition: past.until.partition, from: past.from, until: past.until.offset };
        past::read(&self.options, place, SILENCE_MAX, &mut |letter| {
            piece.extend(self.stored(letter));
            if piece.len() < PIECE_RECORDS {
                return ControlFlow::Continue(());
            }
            let told = tell(&piece);
            piece.clear();
            told
        })
        .map_err(ReadError::Letters)?;
        if !piece.is_empty() {
            let _ = tell(&piece);
        }
        Ok(())
    }
}

impl Letters {
    fn stored(&self, letter: &Followed) -> Option<Stored> {
        let header = |name| letter.header(name).unwrap_or_default();
        let received_ms = Timestamp::parse(header("wb_receivedtime"))?.ms();
        let What::DeadLetters(reason) = &self.order.what else { return None };
        let is_wanted = reason.as_deref().is_none_or(|reason| reason == header("wb_reason")) && self.order.is_in_time(received_ms);
        // Others may share the topic, with an endpoint that is called as ours is.
        let is_ours = self.endpoints.find(header("wb_endpoint")).is_none_or(|endpoint| endpoint.tenant == header("wb_tenant"));
        let record = |body| Record {
            accept_id: Uuid::parse_str(header("wb_acceptid")).unwrap_or_default(),
            auth: self.auth(header("wb_endpoint")),
            vendor: header("wb_vendor"),
            tenant: header("wb_tenant"),
            endpoint: header("wb_endpoint"),
            traceparent: None,
            body,
        };
        let position = Position { partition: letter.partition, offset: u64::try_from(letter.offset).ok()? };
        let bytes = letter.value.as_deref().map(|body| record(body).encode()).unwrap_or_default();
        (is_wanted && is_ours).then_some(Stored { position, received_ms, bytes })
    }

    fn auth(&self, endpoint: &str) -> Auth {
        let Some(endpoint) = self.endpoints.find(endpoint) else { return Auth::Token };
        match () {
            () if endpoint.provider.signing().is_some() => Auth::Hmac,
            () if endpoint.provider.sign(b"").is_empty() => Auth::Token,
            () => Auth::Basic,
        }
    }
}
