//! `waitbridge explain`, as a person runs it: no Kafka, no service, settings and a saved body.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use waitbridge::providers::waitwhile::signature;

use crate::bridge::{Home, PUBLIC_URL, SECRET};
use crate::kafka::Topics;

const VISIT: &str = include_str!("../samples/waitwhile-visit.created.json");
const PERSON: &str = include_str!("../samples/waitlistplus-AddPerson.json");

/// The default topics, of which none exists.
fn home() -> Home {
    let topics = Topics {
        person: "waitlist.person.v1".to_owned(),
        location: "waitlist.location.v1".to_owned(),
        dead_letter: "waitlist.deadletter.v1".to_owned(),
        checkpoint: "waitbridge.checkpoint.v1".to_owned(),
    };
    Home::new("127.0.0.1:1", &topics, "")
}

fn explain(home: &Home, body: &str, arguments: &[&str]) -> Output {
    fs::write(home.path("body"), body).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
    command.arg("explain").arg(home.path("body")).arg("--config").arg(home.path("waitbridge.toml")).args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What it tells a script; its exit code.
fn told(home: &Home, body: &str, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = explain(home, body, &[arguments, &["--json"]].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    (told, output.status.code())
}

#[test]
fn an_event_is_shown_as_it_would_be_published_with_personal_values_masked() {
    let home = home();
    let name = "Robin Vale";
    let body = VISIT.replacen("\"name\": \"\"", &format!("\"name\": \"{name}\""), 1);
    let output = explain(&home, &body, &["--endpoint", "waitwhile"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let visit: Value = serde_json::from_str(VISIT).unwrap();
    let said = said(&output);
    for part in ["becomes     an event", "waitlist.person.v1", "waitlist.visit.created.v1", "publicId", "whether it is a repeat"] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    assert!(!said.contains(name), "{said}");
    let (told, _) = told(&home, &body, &["--endpoint", "waitwhile", "--show-personal"]);
    let record = &told["records"][0];
    assert_eq!(record["value"]["person"]["name"], name);
    let customer = visit["data"]["customerId"].as_str().unwrap();
    assert_eq!(record["key"], format!("waitwhile/acme/person/{customer}"));
    assert_eq!(record["headers"]["ce_auth"], "hmac");
    for (endpoint, auth) in [("sunshine", "token"), ("basic", "basic")] {
        let (person, _) = self::told(&home, PERSON, &["--endpoint", endpoint]);
        assert_eq!(person["records"][0]["headers"]["ce_auth"], auth);
    }
    assert!(told["left_out"].as_array().unwrap().contains(&json!("remoteIp")), "{told}");
}

#[test]
fn a_dead_letter_is_told_with_its_reason_and_what_to_do() {
    let home = home();
    for (body, arguments, reason, advice) in [
        ("{", &["--endpoint", "sunshine"][..], "not_json", "no JSON"),
        ("{\"type\":\"AddPerson\",\"data\":{}}", &["--endpoint", "sunshine"], "missing_id", "names no id"),
    ] {
        let (told, code) = told(&home, body, arguments);
        assert_eq!((&told["becomes"], &told["reason"], code), (&json!("dead_letter"), &json!(reason), Some(0)));
        assert!(told["advice"].as_str().unwrap().contains(advice), "{told}");
        assert_eq!(told["records"][0]["topic"], "waitlist.deadletter.v1");
    }
}

#[test]
fn what_is_expired_now_was_not_when_it_was_received() {
    let home = home();
    let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap();
    fs::write(home.path("waitbridge.toml"), settings.replace("expired_after = \"0s\"", "expired_after = \"72h\"")).unwrap();
    let (now, _) = told(&home, VISIT, &["--endpoint", "waitwhile"]);
    assert_eq!(now["reason"], "expired", "{now}");
    let created: Value = serde_json::from_str(VISIT).unwrap();
    let (then, _) = told(&home, VISIT, &["--endpoint", "waitwhile", "--received", created["created"].as_str().unwrap()]);
    assert_eq!(then["becomes"], "event", "{then}");
}

#[test]
fn a_signature_verifies_or_its_failure_is_explained_with_exit_3() {
    let home = home();
    let signed = |secret: &str, url: &str| signature(secret.as_bytes(), url, VISIT.as_bytes());
    let check =
        |signature: &str, more: &[&str]| told(&home, VISIT, &[&["--endpoint", "waitwhile", "--signature", signature], more].concat());
    let (right, code) = check(&signed(SECRET, PUBLIC_URL), &[]);
    assert_eq!((&right["signature"]["verified"], &right["signature"]["secret"], code), (&json!(true), &json!(1), Some(0)));
    let elsewhere = "https://elsewhere.example/x";
    for (signature, more, cause, advice) in [
        (signed(SECRET, &format!("{PUBLIC_URL}/")), &[][..], "url_slash", "public_urls had"),
        (signed(SECRET, elsewhere), &["--url", elsewhere], "url_host", elsewhere),
        (signed(SECRET, elsewhere), &[], "unknown", "check that the secret"),
        (signed("another", PUBLIC_URL), &[], "unknown", "check that the secret"),
        ("x".to_owned(), &[], "unknown", "base64"),
        (String::new(), &[], "unknown", ""),
    ] {
        let (told, code) = check(&signature, more);
        assert_eq!((&told["signature"]["cause"], code), (&json!(cause), Some(3)), "{told}");
        assert!(told["signature"]["advice"].as_str().unwrap().contains(advice), "{told}");
        assert_eq!(told["becomes"], "event", "what it says is told all the same");
    }
    let unsigned = explain(&home, PERSON, &["--endpoint", "sunshine", "--signature", "x"]);
    assert!(said(&unsigned).contains("does not sign") && unsigned.status.code() == Some(1), "{}", said(&unsigned));
    let unknown = explain(&home, PERSON, &["--endpoint", "moonshine"]);
    assert!(said(&unknown).contains("there are: basic, sunshine, waitwhile"), "{}", said(&unknown));
}
