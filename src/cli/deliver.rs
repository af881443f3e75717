//! Delivers as a vendor would: over HTTP, signed, at a rate, on a few connections that are kept.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// One delivery: where to, and what with.
#[derive(Debug, Clone)]
pub struct Post {
    /// Of one lane each goes only after the answer to the one before.
    pub lane: u64,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// What a delivery was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200; its accept id.
    Accepted(String),
    /// Status and code, or why there was no answer.
    Other(String),
}

impl Answer {
    /// Without the accept id: equal for equal answers.
    pub fn label(&self) -> &str {
        match self {
            Answer::Accepted(_) => "200",
            Answer::Other(text) => text,
        }
    }

    pub fn has_status(&self, status: &str) -> bool {
        self.label().split(' ').next() == Some(status)
    }
}

/// Whose certificates are believed over https.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Those that browsers believe.
    #[default]
    Public,
    Only(Vec<Certificate<'static>>),
    /// Any: on the way to the own listener nobody stands in between, and its certificate is for another name.
    Own,
}

impl Trust {
    fn config(&self) -> TlsConfig {
        let config = TlsConfig::builder();
        match self {
            Trust::Public => config,
            Trust::Only(authorities) => config.root_certs(RootCerts::new_with_certs(authorities)),
            Trust::Own => config.disable_verification(true),
        }
        .build()
    }
}

/// The certificates of a PEM file; other things in it are passed over.
pub fn certificates(pem: &[u8]) -> impl Iterator<Item = Result<Certificate<'static>, ureq::Error>> {
    parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// What signs the deliveries of one endpoint.
pub type Signer = Arc<dyn Fn(&[u8]) -> Vec<(&'static str, String)> + Send + Sync>;

const LANES: u64 = 16;
/// Made and not yet sent, in each lane: a lane that waits for an answer does not hold up the others at once.
const AHEAD_MAX: usize = 4;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends all of them at `rate` a second, or as fast as the answers come, and returns when all are answered. Each is
/// made when its turn has come, and told of together with what came with it.
pub fn deliver<T: Send>(trust: &Trust, rate: Option<f64>, mut posts: impl Iterator<Item = (Post, T)>, answered: impl Fn(T, Answer) + Sync) {
    let answered = &answered;
    std::thread::scope(|scope| {
        let open = |_| {
            let (lane, posts) = sync_channel(AHEAD_MAX);
            scope.spawn(move || run_lane(trust, posts, answered));
            lane
        };
        let lanes: Vec<SyncSender<(Post, T)>> = (0..LANES).map(open).collect();
        let started = Instant::now();
        for index in 0.. {
            wait_for_turn(started, index, rate);
            let Some((post, what)) = posts.next() else { return };
            let lane = &lanes[(post.lane % LANES) as usize];
            // Its end is gone only if it panicked, and the scope passes that on.
            let _ = lane.send((post, what));
        }
    });
}

fn run_lane<T>(trust: &Trust, posts: Receiver<(Post, T)>, answered: &impl Fn(T, Answer)) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_TIMEOUT));
    let agent = config.tls_config(trust.config()).build().into();
    for (post, what) in posts {
        // The text of an error may hold the URL, and that a token.
        let answer = send(&agent, &post).unwrap_or_else(|error| Answer::Other(format!("no answer: {error}").replace(&post.url, "the URL")));
        answered(what, answer);
    }
}

fn wait_for_turn(started: Instant, index: u64, rate: Option<f64>) {
    let Some(rate) = rate else { return };
    let turn = started + Duration::from_secs_f64(index as f64 / rate);
    std::thread::sleep(turn.saturating_duration_since(Instant::now()));
}

fn send(agent: &ureq::Agent, post: &Post) -> Result<Answer, ureq::Error> {
    let request = agent.post(&post.url).content_type("application/json");
    let request = post.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let mut answer = request.send(post.body.as_slice())?;
    let body: Value = serde_json::from_str(&answer.body_mut().read_to_string()?).unwrap_or_default();
    let status = answer.status();
    Ok(match (status.as_str(), body["id"].as_str(), body["error"]["code"].as_str()) {
        ("200", Some(accept_id), _) => Answer::Accepted(accept_id.to_owned()),
        ("200", None, _) => Answer::Other("a 200 without an accept id".to_owned()),
        (status, _, Some(code)) => Answer::Other(format!("{status} {code}")),
        (status, _, None) => Answer::Other(format!("{status} without a code of ours")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_status_that_it_begins_with() {
        let other = |text: &str| Answer::Other(text.to_owned());
        for (answer, status, expected) in [
            (Answer::Accepted("0198".to_owned()), "200", true),
            (other("401 signature_mismatch"), "401", true),
            (other("4011 x"), "401", false),
            (other("a 200 without an accept id"), "200", false),
            (other("no answer: refused"), "200", false),
        ] {
            assert_eq!(answer.has_status(status), expected, "{answer:?}");
        }
    }
}
