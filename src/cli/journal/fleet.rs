//! The journal of a fleet, seen from outside: what `stat`, `list` and `verify` mean for it. They read the raw topic and the
//! group's offsets, and join nothing.

use anyhow::{Context, Result};

use crate::journal::kafka::inspect::Inspection;
use crate::kafka::fleet::Survey;
use crate::settings::{Fleet, KafkaSettings};

pub mod list;
pub mod stat;
pub mod verify;

pub fn inspect(kafka: &KafkaSettings, fleet: &Fleet) -> Result<Inspection> {
    let topic = &fleet.options.raw_topic;
    let survey = Survey::open(&kafka.options(&fleet.replica), topic).context("correct [kafka.properties]")?;
    Ok(Inspection::of(survey, topic))
}
