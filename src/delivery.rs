//! One HTTP request as received, and its form in the journal.
//!
//! Knows neither HTTP nor what a vendor means by its bytes. A [`Delivery`] is untrusted; what may go into the
//! journal is a [`crate::providers::Verified`], which only verifying makes. [`Record`] is what comes out again.

use std::fmt;

use uuid::Uuid;

/// How a delivery proved itself. Closed: its word is a header's value on the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    Hmac,
    Token,
    Basic,
}

impl Auth {
    pub fn as_str(self) -> &'static str {
        match self {
            Auth::Hmac => "hmac",
            Auth::Token => "token",
            Auth::Basic => "basic",
        }
    }

    fn code(self) -> u8 {
        match self {
            Auth::Hmac => 1,
            Auth::Token => 2,
            Auth::Basic => 3,
        }
    }

    fn from_code(code: u8) -> Option<Auth> {
        [Auth::Hmac, Auth::Token, Auth::Basic].into_iter().find(|auth| auth.code() == code)
    }
}

/// The request's headers, by name, without a word about the HTTP library that read them.
pub trait Headers {
    /// Every value of this header, in the order of the request.
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]>;
}

impl Headers for &[(&str, &str)] {
    fn values<'a>(&'a self, name: &str) -> Vec<&'a [u8]> {
        self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_bytes()).collect()
    }
}

/// What a request says before its body is read. Untrusted.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// The path segment behind the endpoint's name, if there is one.
    pub token: Option<&'a str>,
    /// Path and query as requested.
    pub target: &'a str,
    pub headers: &'a dyn Headers,
}

/// One request, whole and untrusted.
pub struct Delivery {
    pub accept_id: Uuid,
    pub vendor: &'static str,
    pub tenant: String,
    pub endpoint: String,
    pub traceparent: Option<String>,
    pub body: Vec<u8>,
}

/// A verified delivery as the journal holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    pub accept_id: Uuid,
    pub auth: Auth,
    pub vendor: &'a str,
    pub tenant: &'a str,
    pub endpoint: &'a str,
    pub traceparent: Option<&'a str>,
    pub body: &'a [u8],
}

/// ```text
/// version u8 = 1 │ auth u8 │ accept id 16 │ vendor, tenant, endpoint, traceparent: each u8 length, bytes │ body …
/// ```
/// An absent `traceparent` has length 0.
const RECORD_VERSION: u8 = 1;

impl<'a> Record<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let words = [self.vendor, self.tenant, self.endpoint, self.traceparent.unwrap_or("")];
        let mut out = Vec::with_capacity(18 + words.iter().map(|word| 1 + word.len()).sum::<usize>() + self.body.len());
        out.extend([RECORD_VERSION, self.auth.code()]);
        out.extend(self.accept_id.as_bytes());
        for word in words {
            out.push(u8::try_from(word.len()).expect("names and traceparent are bounded far below 256 bytes"));
            out.extend(word.as_bytes());
        }
        out.extend(self.body);
        out
    }

    /// `None` for bytes that no version of ours wrote.
    pub fn decode(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (&[version, auth], rest) = bytes.split_first_chunk()?;
        let (accept_id, mut rest) = rest.split_first_chunk::<16>()?;
        if version != RECORD_VERSION {
            return None;
        }
        let mut word = || -> Option<&'a str> {
            let (&length, tail) = rest.split_first()?;
            let (word, tail) = tail.split_at_checked(length.into())?;
            rest = tail;
            std::str::from_utf8(word).ok()
        };
        let (vendor, tenant, endpoint, traceparent) = (word()?, word()?, word()?, word()?);
        Some(Record {
            accept_id: Uuid::from_bytes(*accept_id),
            auth: Auth::from_code(auth)?,
            vendor,
            tenant,
            endpoint,
            traceparent: Some(traceparent).filter(|text| !text.is_empty()),
            body: rest,
        })
    }
}

impl fmt::Debug for Delivery {
    /// Never the body: it holds people's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("accept_id", &self.accept_id).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(traceparent: Option<&'a str>, body: &'a [u8]) -> Record<'a> {
        Record {
            accept_id: Uuid::now_v7(),
            auth: Auth::Basic,
            vendor: "waitlistplus",
            tenant: "acme",
            endpoint: "sunshine",
            traceparent,
            body,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        for (traceparent, body) in
            [(None, &b""[..]), (Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &b"{\"a\":1}\xff"[..])]
        {
            let record = record(traceparent, body);
            assert_eq!(Record::decode(&record.encode()), Some(record));
        }
    }

    #[test]
    fn a_record_cut_anywhere_before_its_body_is_no_record() {
        let whole = record(None, b"").encode();
        for cut in 0..whole.len() {
            assert_eq!(Record::decode(&whole[..cut]), None, "cut at {cut}");
        }
    }
}
