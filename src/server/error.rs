//! Every answer that is not 200, in one place: the only file that knows a status number.
//!
//! The texts are static: they say what to do, and never what was sent.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, HttpResponseBuilder, web};

use super::unread::Unread;
use crate::ingress::Denied;
use crate::providers::Refusal;

/// Why a request on the public listener has no 200. Closed: `code` is a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    NotFound,
    /// What may be asked of this path instead.
    MethodNotAllowed(&'static str),
    Denied(Denied),
    BodyTimeout,
    BodyTooLarge,
    /// The sender went away, or its body was no HTTP.
    BodyBroken,
    Overloaded,
    Draining,
    /// An answer before it was to be the last one on its connection.
    ConnectionEnding,
}

impl From<Denied> for Error {
    fn from(denied: Denied) -> Error {
        Error::Denied(denied)
    }
}

impl Error {
    pub fn code(self) -> &'static str {
        self.parts().1
    }

    /// The one table of statuses, codes and texts.
    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Error::NotFound | Error::Denied(Denied::UnknownEndpoint) => NOT_FOUND,
            Error::Denied(Denied::NotGenuine(Refusal::TokenWrong | Refusal::TokenMissing)) => NOT_FOUND,
            Error::MethodNotAllowed(_) => (405, "method_not_allowed", "Use one of the methods that the Allow header names."),
            Error::Denied(Denied::AddressNotAllowed) => {
                (403, "address_not_allowed", "This address may not deliver here. Add it to the endpoint's allow_from.")
            }
            Error::Denied(Denied::NotGenuine(Refusal::SignatureMissing)) => {
                (401, "signature_missing", "Sign the delivery: the signature header is absent or empty.")
            }
            Error::Denied(Denied::NotGenuine(Refusal::SignatureMalformed)) => {
                (401, "signature_malformed", "Send one signature: standard base64, with padding, of 32 bytes.")
            }
            Error::Denied(Denied::NotGenuine(Refusal::SignatureMismatch)) => (
                401,
                "signature_mismatch",
                "The signature does not match. Check that the secret and the URL are exactly those configured at the vendor.",
            ),
            Error::Denied(Denied::NotGenuine(Refusal::CredentialsMissing)) => {
                (401, "credentials_missing", "Send the user and password of this endpoint by Basic authentication.")
            }
            Error::Denied(Denied::NotGenuine(Refusal::CredentialsWrong)) => {
                (401, "credentials_wrong", "The user or password is not that of this endpoint.")
            }
            Error::BodyTimeout => (408, "body_timeout", "The body did not arrive in time. Send it at once."),
            Error::BodyTooLarge => (413, "body_too_large", "The body is larger than this server takes (server.body_max)."),
            Error::BodyBroken => (400, "body_broken", "The body ended before it was whole, or is no valid HTTP."),
            Error::Overloaded => (503, "overloaded", "Too many deliveries at once. Send it again."),
            Error::Draining => (503, "draining", "This server is going down. Send it again."),
            Error::ConnectionEnding => {
                (503, "connection_ending", "The answer before it ended this connection. Send it again on a new one.")
            }
            Error::Denied(Denied::EndpointPending) => {
                (503, "endpoint_pending", "This endpoint waits for its secret. Put it in place, then send again.")
            }
            Error::Denied(Denied::JournalFull) => (503, "journal_full", "The journal is full. Send it again later."),
            Error::Denied(Denied::JournalUnavailable) => {
                (503, "journal_unavailable", "The journal cannot be written. Send it again later.")
            }
            Error::Denied(Denied::Deadline) => (503, "deadline", "The delivery was not safe in time. Send it again."),
        }
    }

    /// Closes the connection: only senders who have proved themselves keep one. `unread` is the rest of the body.
    pub fn response(self, unread: web::Payload) -> HttpResponse {
        let (status, code, message) = self.parts();
        let mut response = HttpResponseBuilder::new(StatusCode::from_u16(status).expect("statuses of the table are valid"));
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        match self {
            Error::MethodNotAllowed(allowed) => {
                response.insert_header((ALLOW, HeaderValue::from_static(allowed)));
            }
            Error::Denied(Denied::NotGenuine(Refusal::CredentialsMissing | Refusal::CredentialsWrong)) => {
                response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"waitbridge\", charset=\"UTF-8\"")));
            }
            _ if status == UNAVAILABLE => {
                response.insert_header((RETRY_AFTER, HeaderValue::from_static("10")));
            }
            _ => {}
        }
        response.force_close();
        response.body(Unread::new(format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}"), unread))
    }
}

const UNAVAILABLE: u16 = 503;
/// An unknown path, an unknown endpoint and a wrong token: the same bytes.
const NOT_FOUND: (u16, &str, &str) = (404, "not_found", "There is nothing here. Check the URL, and the token in it.");

/// What probes are told.
pub fn unready() -> HttpResponseBuilder {
    HttpResponse::ServiceUnavailable()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_token_and_an_unknown_endpoint_are_the_same_bytes() {
        let parts = Error::NotFound.parts();
        for refusal in [Refusal::TokenWrong, Refusal::TokenMissing] {
            assert_eq!(Error::Denied(Denied::NotGenuine(refusal)).parts(), parts);
        }
        assert_eq!(Error::Denied(Denied::UnknownEndpoint).parts(), parts);
    }
}
