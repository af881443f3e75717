//! What the real program says of signatures that do not match; the answer stays the same.

use std::fs;
use std::process::Command;
use std::time::Duration;

use waitbridge::providers::waitwhile::{SIGNATURE_HEADER, signature};

use crate::bridge::{BASIC, Bridge, Home, PUBLIC_URL, SECRET, TOKEN};
use crate::http::{Answer, once, request};
use crate::kafka;

const WITHIN: Duration = Duration::from_secs(60);
const BODY: &[u8] = br#"{"type":"visit.created","data":{"id":"1"}}"#;

fn post(bridge: &Bridge, secret: &str, url: &str) -> Answer {
    let signature = signature(secret.as_bytes(), url, BODY);
    once(bridge.public, &request("POST", "/webhooks/waitwhile", &[(SIGNATURE_HEADER, &signature)], BODY))
}

fn diagnosed(bridge: &Bridge, cause: &str) -> bool {
    let answer = once(bridge.admin, &request("GET", "/metrics", &[], b""));
    let series = format!("waitbridge_signature_diagnoses_total{{cause=\"{cause}\",endpoint=\"waitwhile\"}}");
    String::from_utf8(answer.body).unwrap().contains(&series)
}

#[test]
fn a_url_that_differs_by_a_slash_is_named_in_the_log_and_never_accepted() {
    let kafka = kafka::shared();
    let bridge = Home::new(kafka.bootstrap(), &kafka.new_topics(1), "").start();
    let url = format!("{PUBLIC_URL}/");
    let refused = post(&bridge, SECRET, &url);
    assert_eq!((refused.status, refused.code().as_str()), (401, "signature_mismatch"));
    bridge.wait_until("the cause is found", WITHIN, |bridge| diagnosed(bridge, "url_slash"));
    bridge.wait_until("it is told", WITHIN, |bridge| bridge.said().contains("would match if public_urls had"));
    let again = post(&bridge, SECRET, &url);
    assert_eq!(again.body, refused.body, "the answer tells nothing");
    let forged = post(&bridge, "a guess", PUBLIC_URL);
    assert_eq!(forged.body, refused.body);
    assert_eq!(bridge.metric(r#"waitbridge_signature_diagnoses_total{cause="url_slash",endpoint="waitwhile"}"#), 1.0);
    assert!(!diagnosed(&bridge, "unknown"), "one in ten seconds");
    let said = bridge.said();
    assert!(said.contains(&format!("{url}\\\"")), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(bridge.terminate(), 0);
}

/// A word of each, which stands nowhere else.
const SECRETS: &[&str] = &[SECRET, "pass:word", "dmVuZG9yOnBhc3M6d29yZA", TOKEN, "kafka-hunter2", "id-key-hunter2"];

fn assert_no_secret(what: &str, said: &str) {
    assert!(!said.is_empty(), "{what} says something");
    SECRETS.iter().for_each(|secret| assert!(!said.contains(secret), "{secret} in what {what} says:\n{said}"));
}

#[test]
fn no_secret_is_in_any_output_even_at_the_level_trace_and_with_mistakes() {
    let kafka = kafka::shared();
    let extra = "[log]\nlevel = \"trace\"\n[privacy]\nids = \"hmac\"\nid_key_file = \"FOLDER/id-key\"\n\
        [kafka.property_files]\n\"sasl.password\" = \"FOLDER/password\"\n";
    let home = Home::new(kafka.bootstrap(), &kafka.new_topics(1), extra);
    let settings = fs::read_to_string(home.path("waitbridge.toml")).unwrap().replace("FOLDER", home.folder.to_str().unwrap());
    fs::write(home.path("waitbridge.toml"), &settings).unwrap();
    fs::write(home.path("id-key"), "id-key-hunter2-id-key-hunter2").unwrap();
    fs::write(home.path("password"), "kafka-hunter2").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waitbridge"));
        let output = command.args(arguments).arg("--config").arg(home.path("waitbridge.toml")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    fs::write(home.path("body"), BODY).unwrap();
    let body = home.path("body").display().to_string();
    assert_no_secret("check", &run(&["check"]));
    let wrong = signature(SECRET.as_bytes(), "", BODY);
    assert_no_secret("explain", &run(&["explain", &body, "--endpoint", "waitwhile", "--signature", &wrong]));

    let mut bridge = home.start();
    let basic = |text: &str| format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text));
    let with_basic = |text: &str| once(bridge.public, &request("POST", "/webhooks/basic", &[("authorization", &basic(text))], BODY)).code();
    assert_eq!(post(&bridge, SECRET, PUBLIC_URL).code(), "accepted");
    assert_eq!(post(&bridge, SECRET, "").code(), "signature_mismatch");
    assert_eq!((with_basic(BASIC), with_basic("pass:word")), ("accepted".to_owned(), "credentials_wrong".to_owned()));
    let token = |path: &str| once(bridge.public, &request("POST", path, &[], BODY)).code();
    assert_eq!(token(&format!("/webhooks/sunshine/{TOKEN}")), "accepted");
    assert_eq!(token(&format!("/webhooks/none/{TOKEN}")), "not_found");
    bridge.wait_until("the cause is told", WITHIN, |bridge| bridge.said().contains("body alone"));

    let broken = settings.replace("[[endpoint]]\n", &format!("[[endpoint]]\nsecret = \"{SECRET}\"\npassword = \"pass:word\n"));
    fs::write(home.path("waitbridge.toml"), broken).unwrap();
    bridge.signal("HUP");
    bridge.wait_until("no TOML is refused", WITHIN, |bridge| bridge.said().contains("TOML parse error"));
    assert_no_secret("check of no TOML", &run(&["check"]));
    fs::write(home.path("waitbridge.toml"), settings.replace("[[endpoint]]\n", &format!("[[endpoint]]\nsecret = \"{SECRET}\"\n"))).unwrap();
    fs::write(home.path("basic"), "pass;word".replace(';', "")).unwrap();
    bridge.signal("HUP");
    bridge.wait_until("an inline secret is refused", WITHIN, |bridge| bridge.said().contains("secrets come from files only"));
    assert_no_secret("check of mistakes", &run(&["check"]));
    assert_no_secret("serve", &bridge.said());
    let shown = |path: &str| String::from_utf8(once(bridge.admin, &request("GET", path, &[], b"")).body).unwrap();
    assert_no_secret("the admin listener", &(shown("/metrics") + &shown("/status") + &shown("/readyz")));
    assert_eq!(bridge.terminate(), 0);
}
