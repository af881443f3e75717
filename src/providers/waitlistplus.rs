//! WaitlistPlus: signs nothing, so a token in the URL, or HTTP Basic, has to prove a delivery.
//!
//! A wrong token must look like a URL that does not exist, in time too. What a body says is in `said`.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};

use super::secrets::{self, Fingerprint};
use super::{Admission, Pending, Proof, Provider, Refusal, Rules};
use crate::delivery::{Auth, Head};
use crate::event::{Event, Reason};
use crate::table::Table;
use crate::timestamp::Timestamp;

mod said;
mod site;

use site::Site;

pub struct WaitlistPlus {
    tokens: Vec<Fingerprint>,
    credentials: Vec<Fingerprint>,
    /// `Authorization` as a sender would write it, to try the endpoint with.
    authorization: Option<String>,
    site: Site,
}

/// Reads the tokens or credentials, and the names that the site gave its fields.
pub fn build(table: &mut Table, pending: Pending) -> Option<Arc<dyn Provider>> {
    let listed = (table.list("token_sha256", &[]), table.list("basic_files", &[]));
    if listed == (Vec::new(), Vec::new()) && pending == Pending::No {
        table.mistake("token_sha256", "must list the SHA-256 of a token (waitbridge token makes one), or basic_files a file");
    }
    let tokens = listed.0.iter().filter_map(|text| token(table, text)).collect();
    let credentials: Vec<Vec<u8>> = listed.1.iter().filter_map(|file| basic(table, file)).collect();
    Some(Arc::new(WaitlistPlus {
        tokens,
        authorization: credentials.first().map(|first| format!("Basic {}", BASE64_STANDARD.encode(first))),
        credentials: credentials.iter().map(|text| Fingerprint::of(text)).collect(),
        site: Site::read(table),
    }))
}

/// How `token_sha256` names a token.
pub fn token_hash(token: &str) -> String {
    Fingerprint::of(token.as_bytes()).to_hex()
}

fn token(table: &Table, text: &str) -> Option<Fingerprint> {
    let fingerprint = Fingerprint::from_hex(text);
    if fingerprint.is_none() {
        table.mistake("token_sha256", "every item must be the SHA-256 of a token: 64 digits of 0-9 a-f");
    }
    fingerprint
}

fn basic(table: &Table, file: &str) -> Option<Vec<u8>> {
    let credentials = table.secret_file("basic_files", file)?;
    if !credentials.contains(&b':') {
        table.mistake("basic_files", format!("the file {file} must hold \"user:password\""));
        return None;
    }
    Some(credentials)
}

impl Provider for WaitlistPlus {
    fn admit(&self, head: &Head) -> Result<Admission, Refusal> {
        let proof = match head.token {
            Some(token) => self.by_token(token)?,
            None if self.credentials.is_empty() => return Err(Refusal::TokenMissing),
            None => self.by_credentials(&head.headers.values("Authorization"))?,
        };
        Ok(Admission::Proven(proof))
    }

    fn verify(&self, head: &Head, _body: &[u8]) -> Result<Proof, Refusal> {
        match self.admit(head)? {
            Admission::Proven(proof) => Ok(proof),
            Admission::NeedsBody => Err(Refusal::TokenMissing),
        }
    }

    fn sign(&self, _body: &[u8]) -> Vec<(&'static str, String)> {
        self.authorization.iter().map(|text| ("Authorization", text.clone())).collect()
    }

    fn normalize<'a>(&self, body: &'a str, _received: Timestamp, rules: &Rules) -> Result<Event<'a>, Reason> {
        said::event(body, &self.site, rules)
    }
}

impl WaitlistPlus {
    fn by_token(&self, token: &str) -> Result<Proof, Refusal> {
        let secret = secrets::find(&self.tokens, token.as_bytes()).ok_or(Refusal::TokenWrong)?;
        Ok(Proof::new(Auth::Token, secret))
    }

    fn by_credentials(&self, headers: &[&[u8]]) -> Result<Proof, Refusal> {
        let shown = match headers {
            [] => return Err(Refusal::CredentialsMissing),
            [header] => basic_of(header).ok_or(Refusal::CredentialsMissing)?,
            // Which of them counts? A proxy may take another one than we do.
            _ => return Err(Refusal::CredentialsWrong),
        };
        let shown = BASE64_STANDARD.decode(shown).map_err(|_| Refusal::CredentialsWrong)?;
        let secret = secrets::find(&self.credentials, &shown).ok_or(Refusal::CredentialsWrong)?;
        Ok(Proof::new(Auth::Basic, self.tokens.len() + secret))
    }
}

/// What stands behind the scheme; `None` for another scheme than Basic, and if nothing stands there.
fn basic_of(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(b"Basic ".len())?;
    let rest = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Basic ") && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Headers;
    use crate::providers::trial::{WAITLISTPLUS, build as try_build, provider};

    const TOKEN: &str = "wb_2f1d7c0a9b8e4d53a1c6e0f7b2d4986c";
    const BASIC: &str = "basic_files = [\"/other-basic\", \"/basic\"]";
    /// `user:pass:word`
    const RIGHT: &str = "Basic dXNlcjpwYXNzOndvcmQ=";

    fn both() -> String {
        format!("{WAITLISTPLUS}\n{BASIC}")
    }

    fn check(settings: &str, token: Option<&str>, authorization: &[&str], expected: Result<(&str, usize), Refusal>) {
        let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("authorization", *value)).collect();
        let head = Head { token, target: "", headers: &headers.as_slice() as &dyn Headers };
        let provider = provider("waitlistplus", settings);
        let proof = provider.admit(&head).map(|admission| match admission {
            Admission::Proven(proof) => (proof.auth.as_str(), proof.secret),
            Admission::NeedsBody => panic!("the head says it all"),
        });
        assert_eq!(proof, expected, "{token:?} {authorization:?}");
        assert_eq!(provider.verify(&head, b"").map(|proof| (proof.auth.as_str(), proof.secret)), expected);
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        assert!(WAITLISTPLUS.contains(&token_hash(TOKEN)));
        check(WAITLISTPLUS, Some(TOKEN), &[], Ok(("token", 0)));
        for wrong in [
            "",
            "wb_",
            &TOKEN[1..],
            &TOKEN.to_uppercase(),
            &format!("{TOKEN} "),
            "28151a8c44694a7d7260bde2973509a5dc1f99579e9f817184d5af8a9b340b23",
        ] {
            check(WAITLISTPLUS, Some(wrong), &[], Err(Refusal::TokenWrong));
        }
    }

    #[test]
    fn a_missing_token_is_missing_where_no_basic_is_configured() {
        check(WAITLISTPLUS, None, &[], Err(Refusal::TokenMissing));
        check(WAITLISTPLUS, None, &[RIGHT], Err(Refusal::TokenMissing));
    }

    #[test]
    fn right_credentials_do_not_mend_a_wrong_token() {
        check(&both(), Some("wb_x"), &[RIGHT], Err(Refusal::TokenWrong));
        check(BASIC, Some(TOKEN), &[RIGHT], Err(Refusal::TokenWrong));
        check(&both(), Some(TOKEN), &["Basic eA=="], Ok(("token", 0)));
    }

    #[test]
    fn basic_is_counted_behind_the_tokens() {
        check(&both(), None, &[RIGHT], Ok(("basic", 2)));
        check(BASIC, None, &[RIGHT], Ok(("basic", 1)));
        check(BASIC, None, &["basic  dXNlcjpwYXNzOndvcmQ="], Ok(("basic", 1)));
        check(BASIC, None, &["Basic em/Dqzo="], Ok(("basic", 0)));
    }

    #[test]
    fn credentials_that_are_not_basic_are_missing() {
        check(BASIC, None, &[], Err(Refusal::CredentialsMissing));
        for other in ["", "Basic", "Basic ", "Bearer dXNlcjpwYXNzOndvcmQ=", "Digest username=\"user\"", "Basics dXNlcjpwYXNzOndvcmQ="] {
            check(BASIC, None, &[other], Err(Refusal::CredentialsMissing));
        }
    }

    #[test]
    fn credentials_that_differ_or_come_twice_are_wrong() {
        let wrong =
            ["user:pass", "user", ":", "user:pass:word\n", "User:pass:word"].map(|text| format!("Basic {}", BASE64_STANDARD.encode(text)));
        for text in wrong.iter().map(String::as_str).chain(["Basic dXNlcjpwYXNzOndvcmQ", "Basic user:pass:word", "Basic é"]) {
            check(BASIC, None, &[text], Err(Refusal::CredentialsWrong));
        }
        check(BASIC, None, &[RIGHT, RIGHT], Err(Refusal::CredentialsWrong));
        check(BASIC, None, &["Bearer x", RIGHT], Err(Refusal::CredentialsWrong));
    }

    #[test]
    fn an_endpoint_can_be_tried_only_with_basic() {
        assert_eq!(provider("waitlistplus", WAITLISTPLUS).sign(b""), []);
        assert_eq!(provider("waitlistplus", "basic_files = [\"/basic\"]").sign(b""), [("Authorization", RIGHT.to_owned())]);
    }

    #[test]
    fn every_mistake_in_the_settings_says_what_would_be_right() {
        let none = "token_sha256: must list the SHA-256 of a token (waitbridge token makes one), or basic_files a file";
        let hex = "token_sha256: every item must be the SHA-256 of a token: 64 digits of 0-9 a-f";
        for (settings, pending, expected) in [
            (WAITLISTPLUS.to_owned(), Pending::No, vec![]),
            (BASIC.to_owned(), Pending::No, vec![]),
            (String::new(), Pending::Yes, vec![]),
            (String::new(), Pending::No, vec![none]),
            ("token_sha256 = []\nbasic_files = []".to_owned(), Pending::No, vec![none]),
            ("token_sha256 = [\"x\"]".to_owned(), Pending::No, vec![hex]),
            (WAITLISTPLUS.replace("28151a8c", "28151A8C"), Pending::No, vec![hex]),
            ("basic_files = [\"/no-colon\"]".to_owned(), Pending::No, vec!["basic_files: the file /no-colon must hold \"user:password\""]),
            ("basic_files = [\"/empty\"]".to_owned(), Pending::No, vec!["basic_files: the file /empty is empty; it must hold the secret"]),
            (
                WAITLISTPLUS.replace("America/Chicago", "Chicago"),
                Pending::No,
                vec!["time_zone: must be an IANA name such as \"America/Chicago\", or \"\""],
            ),
            (
                WAITLISTPLUS.replace("M/D/YYYY", "MM/DD/YYYY"),
                Pending::No,
                vec!["birth_date_format: must be one of \"\", \"M/D/YYYY\", \"D/M/YYYY\", \"YYYY-MM-DD\""],
            ),
            (
                format!("{WAITLISTPLUS}\n[fields]\nfirst_name = \"Vorname\"\nname = \"Name\"\ne_mail = \"E-mail\""),
                Pending::No,
                vec!["fields.e_mail: is not a known key; did you mean email?"],
            ),
        ] {
            let (_, mistakes) = try_build("waitlistplus", &settings, pending);
            assert_eq!(mistakes, expected, "{settings}");
        }
    }
}
