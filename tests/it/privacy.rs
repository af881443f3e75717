//! What must not be seen outside of the events' data is not: in no log, header, key, metric, status or answer.
//!
//! Every personal value that a run has made is searched for, as it is and in the spellings that it could have on its way.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::bridge::TOKEN;
use crate::http::{Answer, once, request};
use crate::model::compare::compare;
use crate::model::expect::{Payload, Settings};
use crate::model::run::{Run, settings};
use crate::model::seed;
use crate::reader::Record;

const START_BYTES: usize = 8;

/// Values to be found, by how each spelling of them starts.
struct Search {
    spellings: HashMap<[u8; START_BYTES], HashSet<Vec<u8>>>,
}

impl Search {
    fn new<'a>(values: impl IntoIterator<Item = &'a String>) -> Search {
        let mut search = Search { spellings: HashMap::new() };
        for value in values {
            assert!(value.len() >= START_BYTES, "{value} is too short to be told from chance");
            for spelling in spellings(value) {
                let start = start(&spelling).expect("not shorter than its value");
                search.spellings.entry(start).or_default().insert(spelling);
            }
        }
        search
    }

    /// What stands in a text, in whatever case.
    fn find(&self, text: &[u8]) -> Vec<String> {
        let text = text.to_ascii_lowercase();
        let known = text.windows(START_BYTES).enumerate().filter_map(|(at, start)| Some((&text[at..], self.spellings.get(start)?)));
        let found = known.flat_map(|(rest, spellings)| spellings.iter().filter(|spelling| rest.starts_with(spelling)));
        found.map(|spelling| String::from_utf8_lossy(spelling).into_owned()).collect()
    }
}

fn start(spelling: &[u8]) -> Option<[u8; START_BYTES]> {
    spelling.get(..START_BYTES)?.try_into().ok()
}

/// As it is, in JSON, in a URL, at each place that it can have in base64, and its longest word, which nothing escapes; in lower case.
fn spellings(value: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(value).expect("a text is JSON");
    let percent: String = value.bytes().map(percent_encoded).collect();
    let word = value.split(|char: char| !char.is_ascii_alphanumeric()).max_by_key(|word| word.len()).unwrap_or_default();
    let is_telling = word.len() >= START_BYTES && word.contains(char::is_alphabetic);
    let mut all = vec![value.to_owned(), json[1..json.len() - 1].to_owned(), percent];
    all.extend(is_telling.then(|| word.to_owned()));
    for skipped in 0..3 {
        let whole = (value.len() - skipped) / 3 * 3;
        all.push(BASE64_STANDARD.encode(&value.as_bytes()[skipped..skipped + whole]));
    }
    all.into_iter().map(|spelling| spelling.to_ascii_lowercase().into_bytes()).collect()
}

fn percent_encoded(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// Fails with what a run has shown of what it must not show; and if its log does not name every accept id.
pub fn nothing_is_shown(run: &Run, with_person_ids: &[String]) {
    let (own, answers) = refusals(run);
    let search = Search::new(run.private.values.iter().chain(with_person_ids).chain(&own));
    let log = run.bridge.said();
    let pages = ["/metrics", "/status", "/readyz", "/livez", "/nothing"].map(|path| (path.to_owned(), run.page(path)));
    let records = run.records.iter().map(|record| (format!("the head of {}/{}", record.topic, record.offset), head(record)));
    let places = [("the log".to_owned(), log.clone().into_bytes()), ("the answers".to_owned(), answers)];
    for (place, text) in places.into_iter().chain(pages).chain(records) {
        let found = search.find(&text);
        assert!(found.is_empty(), "seed {}: {place} shows {:?}", run.seed, &found[..found.len().min(10)]);
    }

    let named: HashSet<&str> = log.split(|char: char| !char.is_ascii_hexdigit() && char != '-').collect();
    let unnamed: Vec<&str> = run.sent.iter().map(|sent| sent.accept_id.as_str()).filter(|id| !named.contains(id)).collect();
    assert!(unnamed.is_empty(), "seed {}: the log names {} accept ids not: {:?}", run.seed, unnamed.len(), unnamed.first());

    let planted = format!("{log}{{\"message\":\"{}\"}}", run.private.values[run.private.values.len() / 2].to_uppercase());
    assert!(!search.find(planted.as_bytes()).is_empty(), "a value planted into the log is found");
}

/// All of a record but its value.
fn head(record: &Record) -> Vec<u8> {
    let headers = record.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    [record.key.clone().unwrap_or_default(), "\n".to_owned()].into_iter().chain(headers).collect::<String>().into_bytes()
}

/// Values of their own in every part of requests that are refused, and all that was answered.
fn refusals(run: &Run) -> (Vec<String>, Vec<u8>) {
    let own = ["Refused Quillfeather", "refused.quill@example.com", "203.0.113.177", "wb_0123refused4567"].map(str::to_owned);
    let [name, email, address, token] = &own;
    let body =
        format!("{{\"type\":\"AddPerson\",\"data\":{{\"PersonId\":1,\"Fields\":{{\"First Name\":\"{name}\",\"Email\":\"{email}\"}}}}}}");
    let (plus, from) = (name.replace(' ', "+"), [("x-forwarded-for", address.as_str()), ("user-agent", name.as_str())]);
    let signed = |signature: &'static str| [&from[..], &[("x-waitwhile-signature", signature)]].concat();
    let requests = [
        ("POST", "/webhooks/waitwhile".to_owned(), from.to_vec()),
        ("POST", format!("/webhooks/waitwhile?name={plus}"), signed("D1WWwyrpuD5IMzYPpEPlvWmSmMHWyqqMmer9TL3lA0A=")),
        ("POST", "/webhooks/waitwhile".to_owned(), signed("not base64")),
        ("POST", format!("/webhooks/sunshine/{token}"), from.to_vec()),
        ("POST", format!("/webhooks/{email}/{token}"), from.to_vec()),
        ("POST", "/webhooks/basic".to_owned(), vec![("authorization", "Basic cmVmdXNlZC5xdWlsbEBleGFtcGxlLmNvbTp4")]),
        ("GET", format!("/webhooks/sunshine/{token}?email={email}"), from.to_vec()),
        ("GET", format!("/{email}"), from.to_vec()),
    ];
    let ask = |(method, path, headers): &(&str, String, Vec<(&str, &str)>)| {
        let answer = once(run.bridge.public, &request(method, path, headers, body.as_bytes()));
        assert!(answer.status >= 400, "{method} {path}");
        answered(&answer)
    };
    let answers = requests.iter().flat_map(ask).collect();
    // The right token is a capability as well.
    (own.into_iter().chain([TOKEN.to_owned()]).collect(), answers)
}

fn answered(answer: &Answer) -> Vec<u8> {
    let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    [headers.into_bytes(), answer.body.clone()].concat()
}

#[test]
fn with_hmac_not_even_the_vendors_ids_of_persons_are_shown() {
    let id_key = Some(b"0123456789abcdef0123456789abcdef".to_vec());
    let run = Run::new(seed(), 500, Settings { id_key, payload: Payload::None, ..settings() });
    compare(&run);
    nothing_is_shown(&run, &run.private.person_ids);
}

#[test]
fn the_search_finds_a_value_in_every_spelling() {
    let value = "Zoë \"Quill\" Feather".to_owned();
    let search = Search::new([&value]);
    for text in [
        "name=Zoë \"Quill\" Feather".to_owned(),
        r#"{"name":"Zoë \"Quill\" Feather"}"#.to_owned(),
        "/x?name=Zo%C3%AB%20%22Quill%22%20Feather".to_owned(),
        "zoë \"quill\" feather".to_owned(),
        BASE64_STANDARD.encode(&value),
        BASE64_STANDARD.encode(format!("1{value}")),
        BASE64_STANDARD.encode(format!("12{value}3")),
    ] {
        assert!(!search.find(text.as_bytes()).is_empty(), "{text}");
    }
    assert_eq!(search.find("Zoë \"Quill\" Feathe".as_bytes()), [""; 0]);
}
