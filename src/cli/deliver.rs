//! Delivers as a vendor would: over HTTP, signed, at a rate, on a few connections that are kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

/// One delivery: where to, and what with.
pub struct Post {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// How many, how fast.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub count: u64,
    /// A second; `None` = as fast as the answers come.
    pub rate: Option<f64>,
}

/// How the deliveries were answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// The accept ids of those answered 200.
    pub accepted: Vec<String>,
    /// Other answers, and why there was none; the first few.
    pub others: Vec<String>,
    pub other_count: u64,
}

const CONNECTIONS: u64 = 16;
const OTHERS_KEPT: usize = 5;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends `make(0) … make(count - 1)`, and returns when all are answered.
pub fn deliver(pace: Pace, make: impl Fn(u64) -> Result<Post> + Sync) -> Answers {
    let next = AtomicU64::new(0);
    let answers = Mutex::new(Answers::default());
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(pace.count) {
            scope.spawn(|| {
                let agent = agent();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= pace.count {
                        return;
                    }
                    wait_for_turn(started, index, pace.rate);
                    note(&answers, make(index).and_then(|post| send(&agent, &post)));
                }
            });
        }
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_TIMEOUT)).build().into()
}

fn wait_for_turn(started: Instant, index: u64, rate: Option<f64>) {
    let Some(rate) = rate else { return };
    let turn = started + Duration::from_secs_f64(index as f64 / rate);
    std::thread::sleep(turn.saturating_duration_since(Instant::now()));
}

/// The accept id of a 200; of anything else what was said.
fn send(agent: &ureq::Agent, post: &Post) -> Result<String> {
    let request = agent.post(&post.url).content_type("application/json");
    let request = post.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let mut answer = request.send(post.body.as_slice())?;
    let body = answer.body_mut().read_to_string()?;
    if answer.status().as_str() != "200" {
        bail!("{} {body}", answer.status());
    }
    let id = serde_json::from_str::<serde_json::Value>(&body)?["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| anyhow!("a 200 without an accept id"))
}

fn note(answers: &Mutex<Answers>, answer: Result<String>) {
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    match answer {
        Ok(accept_id) => answers.accepted.push(accept_id),
        Err(other) => {
            answers.other_count += 1;
            if answers.others.len() < OTHERS_KEPT {
                answers.others.push(other.to_string());
            }
        }
    }
}

/// How many deliveries a rate makes in this time.
pub fn count_of(for_time: Duration, rate: f64) -> u64 {
    (for_time.as_secs_f64() * rate).ceil() as u64
}

/// What signs the deliveries of one endpoint.
pub type Signer = Arc<dyn Fn(&[u8]) -> Vec<(&'static str, String)> + Send + Sync>;
