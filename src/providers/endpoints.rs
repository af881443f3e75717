//! The endpoints of the settings, by name. They can be replaced as a whole while the process runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;

use super::signing::Signing;
use super::{Pending, Provider};

/// One configured URL of a vendor, with its own secrets.
pub struct Endpoint {
    pub name: String,
    pub vendor: &'static str,
    pub tenant: String,
    pub pending: Pending,
    /// From where deliveries may come; empty: from anywhere.
    pub allow_from: Vec<IpNet>,
    pub provider: Arc<dyn Provider>,
}

impl Endpoint {
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allow_from.is_empty() || self.allow_from.iter().any(|net| net.contains(&address))
    }
}

/// A vendor's name or `unknown`, and so for the endpoint: what a label may say of a request.
pub const UNKNOWN: &str = "unknown";

pub type ByName = BTreeMap<String, Arc<Endpoint>>;

/// What the endpoints but this one know of signatures, by their names.
pub fn signings_beside<'a>(all: &'a ByName, name: &str) -> Vec<(&'a str, &'a Signing)> {
    let others = all.values().filter(|other| other.name != name);
    others.filter_map(|other| Some((other.name.as_str(), other.provider.signing()?))).collect()
}

#[derive(Default)]
pub struct Endpoints(RwLock<Arc<ByName>>);

impl Endpoints {
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Endpoints {
        let all = Endpoints::default();
        all.replace(endpoints);
        all
    }

    pub fn replace(&self, endpoints: impl IntoIterator<Item = Endpoint>) {
        let by_name = endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_name);
    }

    pub fn find(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.all().get(name).cloned()
    }

    pub fn all(&self) -> Arc<ByName> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
