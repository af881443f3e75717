//! Waitwhile: signs each delivery with HMAC-SHA256 over the webhook's URL and the body.
//!
//! The URL is the string configured at the vendor, never one rebuilt from the request: a proxy in between changes
//! scheme, host and slash, and a sender could choose them. What a body says is in `said`.

use std::sync::Arc;

use super::signing::{Key, Signing, decoded};
use super::{Admission, Pending, Proof, Provider, Refusal, Rules, secrets};
use crate::delivery::{Auth, Head};
use crate::event::{Event, Reason};
use crate::table::Table;
use crate::timestamp::Timestamp;

mod said;

/// Where a delivery carries its signature.
pub const SIGNATURE_HEADER: &str = "X-Waitwhile-Signature";
const URLS_MAX: usize = 2;
const SECRETS_MAX: usize = 4;

pub struct Waitwhile {
    signers: Vec<Signer>,
    signing: Signing,
}

/// One secret with one URL, ready for a body.
struct Signer {
    secret: usize,
    key: Key,
}

/// What the vendor would send in [`SIGNATURE_HEADER`].
pub fn signature(secret: &[u8], url: &str, body: &[u8]) -> String {
    Key::new(secret).over(url).signature(body)
}

/// Reads `public_urls` and `secret_files`.
pub fn build(table: &mut Table, pending: Pending) -> Option<Arc<dyn Provider>> {
    let urls = public_urls(table);
    let signing = Signing::new(SIGNATURE_HEADER, urls, &secrets(table, pending));
    let with_urls =
        |(secret, key): (usize, &Key)| -> Vec<Signer> { signing.urls.iter().map(|url| Signer { secret, key: key.over(url) }).collect() };
    Some(Arc::new(Waitwhile { signers: signing.keys.iter().enumerate().flat_map(with_urls).collect(), signing }))
}

fn public_urls(table: &mut Table) -> Vec<String> {
    let urls = table.list("public_urls", &[]);
    if !(1..=URLS_MAX).contains(&urls.len()) {
        table.mistake("public_urls", format!("must list 1 to {URLS_MAX} URLs, exactly as entered at the vendor"));
    }
    for (url, number) in urls.iter().zip(1..) {
        if has_user(url) {
            table.mistake("public_urls", format!("URL {number} must not hold a user or password: https://host/path"));
        } else if !is_absolute(url) {
            table.mistake("public_urls", format!("{url:?} must be an absolute URL: https://host/path, exactly as entered at the vendor"));
        }
    }
    urls
}

fn secrets(table: &mut Table, pending: Pending) -> Vec<Vec<u8>> {
    let files = table.list("secret_files", &[]);
    let fewest = match pending {
        Pending::Yes => 0,
        Pending::No => 1,
    };
    if !(fewest..=SECRETS_MAX).contains(&files.len()) {
        table.mistake("secret_files", format!("must list 1 to {SECRETS_MAX} files with a secret; none only while pending = true"));
    }
    files.iter().filter_map(|file| table.secret_file("secret_files", file)).collect()
}

/// Between the slashes: the host, and what may stand around it.
fn authority(url: &str) -> &str {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn has_user(url: &str) -> bool {
    authority(url).contains('@')
}

fn is_absolute(url: &str) -> bool {
    let host = authority(url);
    !host.is_empty() && !host.starts_with(':') && url.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

impl Provider for Waitwhile {
    fn admit(&self, head: &Head) -> Result<Admission, Refusal> {
        match head.token {
            None => Ok(Admission::NeedsBody),
            Some(token) => {
                secrets::decoy(token.as_bytes());
                Err(Refusal::TokenWrong)
            }
        }
    }

    fn verify(&self, head: &Head, body: &[u8]) -> Result<Proof, Refusal> {
        let signature = shown(head)?;
        let signer = self.signers.iter().find(|signer| signer.key.matches(body, &signature));
        signer.map(|signer| Proof::new(Auth::Hmac, signer.secret)).ok_or(Refusal::SignatureMismatch)
    }

    fn sign(&self, body: &[u8]) -> Vec<(&'static str, String)> {
        self.signers.first().map(|signer| (SIGNATURE_HEADER, signer.key.signature(body))).into_iter().collect()
    }

    fn signing(&self) -> Option<&Signing> {
        Some(&self.signing)
    }

    fn normalize<'a>(&self, body: &'a str, received: Timestamp, rules: &Rules) -> Result<Event<'a>, Reason> {
        said::event(body, received, rules)
    }
}

fn shown(head: &Head) -> Result<[u8; 32], Refusal> {
    match head.headers.values(SIGNATURE_HEADER).as_slice() {
        [] | [b""] => Err(Refusal::SignatureMissing),
        [text] => decoded(text).ok_or(Refusal::SignatureMalformed),
        _ => Err(Refusal::SignatureMalformed),
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, Engine};
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::*;
    use crate::delivery::Headers;
    use crate::providers::trial::{WAITWHILE, build as try_build, provider};

    /// Of `vendors.md`: known to the vendor's own function and to an independent one.
    const BODY: &str = "{\"id\":\"0T6HyBrXIZuDl73ViyRp\",\"created\":\"2022-05-19T14:06:11.923Z\",\"accountId\":\"itiDKblwIsbJsAxO8kFz\",\
        \"type\":\"visit.created\",\"data\":{\"id\":\"Kk1BeidF0N4p8wzp2J0x\",\"name\":\"Zoë\"}}";
    const KNOWN: &str = "D1WWwyrpuD5IMzYPpEPlvWmSmMHWyqqMmer9TL3lA0A=";
    /// Two URLs and two secrets, of which the known answer is made with the second ones.
    const ROTATING: &str = r#"
        public_urls = ["https://hooks.example.com/old", "https://hooks.example.com/webhooks/waitwhile"]
        secret_files = ["/other-secret", "/secret"]
    "#;

    fn check(settings: &str, headers: &[(&str, &str)], body: &str, expected: Result<usize, Refusal>) {
        let head = Head { token: None, target: "", headers: &headers as &dyn Headers };
        let proof = provider("waitwhile", settings).verify(&head, body.as_bytes());
        assert_eq!(proof.map(|proof| proof.secret()), expected, "{headers:?} {body}");
    }

    fn signed(signature: &str, expected: Result<usize, Refusal>) {
        check(WAITWHILE, &[(SIGNATURE_HEADER, signature)], BODY, expected);
    }

    #[test]
    fn the_known_answer_verifies() {
        signed(KNOWN, Ok(0));
        check(WAITWHILE, &[("x-waitwhile-signature", KNOWN)], BODY, Ok(0));
    }

    #[test]
    fn any_secret_with_any_url_verifies() {
        check(ROTATING, &[(SIGNATURE_HEADER, KNOWN)], BODY, Ok(1));
    }

    #[test]
    fn what_we_sign_we_verify() {
        for body in ["", BODY, "\u{0}"] {
            let headers = provider("waitwhile", ROTATING).sign(body.as_bytes());
            check(ROTATING, &[(headers[0].0, &headers[0].1)], body, Ok(0));
        }
        assert_eq!(provider("waitwhile", WAITWHILE).sign(BODY.as_bytes()), [(SIGNATURE_HEADER, KNOWN.to_owned())]);
    }

    #[test]
    fn a_body_reserialised_by_a_proxy_is_refused() {
        for body in [
            BODY.replace("\":", "\": "),
            BODY.replace('ë', "\\u00eb"),
            format!("{BODY}\n"),
            format!("\u{feff}{BODY}"),
            BODY.replace("Zoë", "Zoe\u{308}"),
            BODY[..BODY.len() - 1].to_owned(),
            String::new(),
        ] {
            check(WAITWHILE, &[(SIGNATURE_HEADER, KNOWN)], &body, Err(Refusal::SignatureMismatch));
        }
    }

    #[test]
    fn a_url_that_differs_in_one_character_is_another() {
        for url in [
            "https://hooks.example.com/webhooks/waitwhile/",
            "http://hooks.example.com/webhooks/waitwhile",
            "https://hooks.example.com:443/webhooks/waitwhile",
            "https://HOOKS.example.com/webhooks/waitwhile",
            "https://hooks.example.com/webhooks/waitwhile?a=1",
        ] {
            let settings = WAITWHILE.replace("https://hooks.example.com/webhooks/waitwhile", url);
            check(&settings, &[(SIGNATURE_HEADER, KNOWN)], BODY, Err(Refusal::SignatureMismatch));
        }
    }

    #[test]
    fn a_body_signed_without_its_url_is_refused() {
        let mac = Hmac::<Sha256>::new_from_slice(b"whsec_test_0123456789").unwrap().chain_update(BODY).finalize().into_bytes();
        signed(&BASE64_STANDARD.encode(mac), Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn a_signature_that_is_not_there_is_missing_and_never_skipped() {
        check(WAITWHILE, &[], BODY, Err(Refusal::SignatureMissing));
        check(WAITWHILE, &[("X-Signature", KNOWN)], BODY, Err(Refusal::SignatureMissing));
        signed("", Err(Refusal::SignatureMissing));
    }

    #[test]
    fn only_padded_standard_base64_of_32_bytes_is_a_signature() {
        let hex = "0f5596c32ae9b83e483333d8a443e5bd699298c1d6caaa8c99eafd4cbde50340";
        let unpadded = KNOWN.trim_end_matches('=');
        let short = BASE64_STANDARD.encode([0; 31]);
        let long = BASE64_STANDARD.encode([0; 33]);
        let spaced = format!("{KNOWN} ");
        let wrapped = format!("{}\n{}", &KNOWN[..20], &KNOWN[20..]);
        let twice = format!("{KNOWN}, {KNOWN}");
        let url_safe = KNOWN.replace('p', "-");
        let trailing_bits = KNOWN.replace("0A=", "0B=");
        for signature in [hex, unpadded, &short, &long, &spaced, &wrapped, &twice, &url_safe, &trailing_bits, "=", "ü", "x", "sha256=abc"]
        {
            signed(signature, Err(Refusal::SignatureMalformed));
        }
    }

    #[test]
    fn a_signature_sent_twice_is_malformed_even_if_one_is_right() {
        for other in [KNOWN, "", "x"] {
            check(WAITWHILE, &[(SIGNATURE_HEADER, KNOWN), (SIGNATURE_HEADER, other)], BODY, Err(Refusal::SignatureMalformed));
        }
    }

    #[test]
    fn a_signature_that_differs_in_any_byte_does_not_match() {
        let mac = decoded(KNOWN.as_bytes()).unwrap();
        for at in 0..mac.len() {
            let mut wrong = mac;
            wrong[at] ^= 1;
            signed(&BASE64_STANDARD.encode(wrong), Err(Refusal::SignatureMismatch));
        }
    }

    #[test]
    fn a_token_in_the_path_is_no_url_of_ours() {
        let provider = provider("waitwhile", WAITWHILE);
        let headers: &[(&str, &str)] = &[(SIGNATURE_HEADER, KNOWN)];
        let admit = |token| provider.admit(&Head { token, target: "", headers: &headers as &dyn Headers });
        assert!(matches!(admit(None), Ok(Admission::NeedsBody)));
        assert!(matches!(admit(Some("wb_x")), Err(Refusal::TokenWrong)));
    }

    #[test]
    fn every_mistake_in_the_settings_says_what_would_be_right() {
        let urls = "public_urls: must list 1 to 2 URLs, exactly as entered at the vendor";
        let files = "secret_files: must list 1 to 4 files with a secret; none only while pending = true";
        let absolute = "must be an absolute URL: https://host/path, exactly as entered at the vendor";
        for (settings, pending, expected) in [
            (WAITWHILE.to_owned(), Pending::No, vec![]),
            (WAITWHILE.replace("https", "http"), Pending::No, vec![]),
            (WAITWHILE.replace("\"/secret\"", ""), Pending::Yes, vec![]),
            (WAITWHILE.replace("\"/secret\"", ""), Pending::No, vec![files.to_owned()]),
            (String::new(), Pending::No, vec![urls.to_owned(), files.to_owned()]),
            (String::new(), Pending::Yes, vec![urls.to_owned()]),
            (
                WAITWHILE.replace("\"/secret\"", "\"/s\",\"/s\",\"/s\",\"/s\",\"/s\"").replace("/s\"", "/secret\""),
                Pending::No,
                vec![files.to_owned()],
            ),
            (
                WAITWHILE.replace("\"/secret\"", "\"/empty\", \"/absent\""),
                Pending::No,
                vec![
                    "secret_files: the file /empty is empty; it must hold the secret".to_owned(),
                    "secret_files: the file /absent cannot be read: no such file".to_owned(),
                ],
            ),
            (
                WAITWHILE.replace("https://", ""),
                Pending::No,
                vec![format!("public_urls: \"hooks.example.com/webhooks/waitwhile\" {absolute}")],
            ),
            (
                WAITWHILE.replace("hooks.example.com", ""),
                Pending::No,
                vec![format!("public_urls: \"https:///webhooks/waitwhile\" {absolute}")],
            ),
            (
                WAITWHILE.replace(".com", ". com"),
                Pending::No,
                vec![format!("public_urls: \"https://hooks.example. com/webhooks/waitwhile\" {absolute}")],
            ),
            (WAITWHILE.replace("public_urls = [", "public_urls = [\"https://a\", \"https://b\", "), Pending::No, vec![urls.to_owned()]),
        ] {
            let (_, mistakes) = try_build("waitwhile", &settings, pending);
            assert_eq!(mistakes, expected, "{settings}");
        }
    }
}
