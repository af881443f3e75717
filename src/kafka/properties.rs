//! The settings' properties for librdkafka, shared by all clients of one process, which may be replaced while it runs.
//!
//! librdkafka takes properties, and reads the files that they name, when a client is made and never again. So whoever keeps a client
//! keeps it as [`Made`], and makes it anew once there are others. Shows no value: some are secrets.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use tracing::warn;

use super::Fault;

#[derive(Clone, Default)]
pub struct Properties(Arc<RwLock<Edition>>);

/// The properties of one reading.
pub type Edition = Arc<Vec<(String, String)>>;

impl Properties {
    pub fn new(all: Vec<(String, String)>) -> Properties {
        Properties(Arc::new(RwLock::new(Arc::new(all))))
    }

    /// For all who share them.
    pub fn replace(&self, all: Vec<(String, String)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }

    pub fn now(&self) -> Edition {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.now().iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.now().iter().map(|(key, _)| key)).finish()
    }
}

/// A client, and the properties that it was made with.
pub(super) struct Made<T> {
    pub(super) client: T,
    with: Edition,
}

impl<T> Made<T> {
    /// `with` as of before the making: what is replaced meanwhile makes it old.
    pub(super) fn new(with: Edition, make: impl FnOnce() -> Result<T, Fault>) -> Result<Made<T>, Fault> {
        Ok(Made { client: make()?, with })
    }

    pub(super) fn with(&self) -> &Edition {
        &self.with
    }

    pub(super) fn is_old(&self, now: &Edition) -> bool {
        !Arc::ptr_eq(&self.with, now)
    }

    /// Makes it anew if it is old, and gives the old one. One that cannot be made leaves the old one in its place.
    pub(super) fn renew(&mut self, now: Edition, make: impl FnOnce() -> Result<T, Fault>) -> Option<T> {
        if !self.is_old(&now) {
            return None;
        }
        self.with = now;
        match make() {
            Ok(new) => Some(std::mem::replace(&mut self.client, new)),
            Err(fault) => {
                warn!(%fault, "no client could be made of the new properties; the old one stays");
                None
            }
        }
    }
}

/// A client's end may wait for brokers; nobody waits for it.
pub(super) fn end_aside<T: Send + 'static>(client: T) {
    std::thread::spawn(move || drop(client));
}

#[cfg(test)]
mod tests {
    use super::super::Cause;
    use super::super::fault::fatal;
    use super::*;

    fn one(value: &str) -> Vec<(String, String)> {
        vec![("sasl.password".to_owned(), value.to_owned())]
    }

    #[test]
    fn a_client_is_made_anew_once_for_each_replacing() {
        let properties = Properties::new(one("a"));
        let made = || Ok(properties.get("sasl.password").unwrap());
        let mut client = Made::new(properties.now(), made).unwrap();
        assert_eq!(client.renew(properties.now(), made), None);
        properties.clone().replace(one("b"));
        assert_eq!(client.renew(properties.now(), made).as_deref(), Some("a"));
        assert_eq!((client.renew(properties.now(), made), client.client.as_str()), (None, "b"));
        properties.replace(one("c"));
        assert_eq!(client.renew(properties.now(), || Err(fatal(Cause::Other, ""))), None, "the old one stays");
        assert_eq!((client.renew(properties.now(), made), client.client.as_str()), (None, "b"), "tried once");
    }

    #[test]
    fn no_value_is_shown() {
        assert_eq!(format!("{:?}", Properties::new(one("hunter2"))), "[\"sasl.password\"]");
    }
}
