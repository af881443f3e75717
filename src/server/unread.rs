//! An answer that is given before its request has been read to the end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::{self, Bytes};

/// A text. As long as it is being sent it holds the rest unread: then the
/// library closes the connection, instead of reading a body without end to its end.
pub struct Unread {
    text: Bytes,
    _rest: web::Payload,
}

impl Unread {
    pub fn new(text: impl Into<Bytes>, rest: web::Payload) -> Unread {
        Unread { text: text.into(), _rest: rest }
    }
}

impl MessageBody for Unread {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.text.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let text = std::mem::take(&mut self.text);
        Poll::Ready(Some(Ok(text)).filter(|text| text.as_ref().is_ok_and(|text| !text.is_empty())))
    }
}
