//! A delivery signed wrongly in each usual way, and the cause that must be found.

use super::{Cause, Evidence, diagnose};
use crate::delivery::{Head, Headers};
use crate::providers::signing::{Key, Signing};
use crate::providers::trial::{WAITWHILE, provider};
use crate::providers::waitwhile::SIGNATURE_HEADER;

const URL: &str = "https://hooks.example.com/webhooks/waitwhile";
const SECRET: &str = "whsec_test_0123456789";
const BODY: &str = "{\"id\":\"1\",\"data\":{\"name\":\"Zoë\"}}";

/// What the vendor did, where it differs from what the settings say, and what the request showed.
#[derive(Clone, Copy)]
struct Case {
    url: &'static str,
    secret: &'static str,
    signed_body: &'static str,
    body: &'static str,
    host: &'static str,
    target: &'static str,
    settings: &'static str,
    write: fn(String) -> String,
}

const RIGHT: Case = Case {
    url: URL,
    secret: SECRET,
    signed_body: BODY,
    body: BODY,
    host: "hooks.example.com",
    target: "/webhooks/waitwhile",
    settings: WAITWHILE,
    write: |signature| signature,
};
const OTHER: &str = "public_urls = [\"https://hooks.example.com/webhooks/other\"]\nsecret_files = [\"/other-secret\"]";
const PADDED: &str = "public_urls = [\"https://hooks.example.com/webhooks/waitwhile\"]\nsecret_files = [\"/other-secret\", \"/padded\"]";
const ENCODED: &str = "public_urls = [\"https://hooks.example.com/webhooks/waitwhile\"]\nsecret_files = [\"/encoded\"]";

fn hexadecimal(signature: String) -> String {
    super::decoded(signature.as_bytes()).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn check(case: Case, cause: Cause, advice: &str) {
    let signature = (case.write)(Key::new(case.secret.as_bytes()).over(case.url).signature(case.signed_body.as_bytes()));
    let (this, other) = (provider("waitwhile", case.settings), provider("waitwhile", OTHER));
    let signing = this.signing().unwrap();
    let headers: &[(&str, &str)] = &[(SIGNATURE_HEADER, &signature), ("host", case.host)];
    let head = Head { token: None, target: case.target, headers: &headers as &dyn Headers };
    assert!(this.verify(&head, case.body.as_bytes()).is_err());
    let evidence = Evidence::new(signing, &head, case.body.into()).unwrap();
    let found = diagnose(signing, &[("the other", other.signing().unwrap())], &evidence);
    assert_eq!(found.cause, cause, "{}", found.advice);
    assert!(found.advice.contains(advice), "{}", found.advice);
    assert!(!found.advice.contains(SECRET) && !found.advice.contains("another secret"), "{}", found.advice);
}

#[test]
fn another_url_is_found_and_named() {
    for (url, cause) in [
        ("https://hooks.example.com/webhooks/waitwhile/", Cause::UrlSlash),
        ("http://hooks.example.com/webhooks/waitwhile", Cause::UrlScheme),
        ("https://hooks.example.com:443/webhooks/waitwhile", Cause::UrlPort),
        ("http://hooks.example.com:80/webhooks/waitwhile", Cause::UrlPort),
        ("https://www.hooks.example.com/webhooks/waitwhile", Cause::UrlHost),
        ("https://HOOKS.EXAMPLE.COM/webhooks/waitwhile", Cause::UrlHost),
        ("https://hooks.example.com/webhooks/other", Cause::UrlPath),
    ] {
        check(Case { url, ..RIGHT }, cause, &format!("public_urls had \"{url}\""));
    }
}

#[test]
fn the_host_port_and_path_of_the_request_are_tried_but_only_with_the_secret_told() {
    let case = Case { host: "in.example:9000", target: "/hooks/ww/?a=1", ..RIGHT };
    for (url, cause) in [
        ("https://in.example/webhooks/waitwhile", Cause::UrlHost),
        ("https://hooks.example.com:9000/webhooks/waitwhile", Cause::UrlPort),
        ("https://hooks.example.com/hooks/ww/?a=1", Cause::UrlPath),
        ("https://hooks.example.com/hooks/ww", Cause::UrlPath),
        ("http://in.example:9000/hooks/ww/", Cause::UrlHost),
    ] {
        check(Case { url, ..case }, cause, url);
    }
    let forged = Case { secret: "guessed", url: "https://in.example/webhooks/waitwhile", ..case };
    check(forged, Cause::Unknown, "check that the secret");
}

#[test]
fn another_secret_is_found_and_its_endpoint_named() {
    check(Case { secret: "another secret", ..RIGHT }, Cause::OtherSecret, "the endpoint \"the other\"");
    let misrouted = Case { secret: "another secret", url: "https://hooks.example.com/webhooks/other", ..RIGHT };
    check(misrouted, Cause::OtherSecret, "the endpoint \"the other\"");
}

#[test]
fn a_secret_that_its_file_holds_otherwise_is_found_by_its_number() {
    check(Case { settings: PADDED, ..RIGHT }, Cause::SecretWhitespace, "file 2 of secret_files");
    check(Case { settings: ENCODED, ..RIGHT }, Cause::SecretEncoding, "file 1 of secret_files");
}

#[test]
fn a_signature_written_otherwise_is_found() {
    let ways: [fn(String) -> String; 4] = [
        hexadecimal,
        |signature| format!("sha256={}", hexadecimal(signature)),
        |signature| signature.trim_end_matches('=').to_owned(),
        |signature| signature.replace('+', "-").replace('/', "_").replace('=', ""),
    ];
    for write in ways {
        check(Case { write, ..RIGHT }, Cause::SignatureEncoding, "standard base64");
    }
    check(Case { write: |_| "no signature".to_owned(), ..RIGHT }, Cause::Unknown, "");
}

#[test]
fn a_body_that_was_signed_alone_or_rewritten_is_found() {
    check(Case { url: "", ..RIGHT }, Cause::BodyOnly, "body alone");
    for body in [
        "{\"id\": \"1\", \"data\": {\"name\": \"Zoë\"}}",
        r#"{"id": "1", "data": {"name": "Zo\u00eb"}}"#,
        "{\"id\":\"1\",\"data\":{\"name\":\"Zoë\"}}\n",
    ] {
        check(Case { body, ..RIGHT }, Cause::BodyReserialized, "as the vendor wrote it");
    }
    check(Case { body: "{\"id\":\"2\"}", ..RIGHT }, Cause::Unknown, "");
}

#[test]
fn the_work_is_bounded_whatever_the_body() {
    let provider = provider("waitwhile", WAITWHILE);
    let signing: &Signing = provider.signing().unwrap();
    let others: Vec<(&str, &Signing)> = vec![("the same", signing); 100_000];
    let evidence = Evidence::saved(&Key::new(b"x").signature(b""), None, &vec![b' '; 512 << 10]);
    let started = std::time::Instant::now();
    assert_eq!(diagnose(signing, &others, &evidence).cause, Cause::Unknown);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
