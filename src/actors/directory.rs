//! Which connection serves which endpoint.

use std::sync::Arc;

use parking_lot::RwLock;

use super::link::Link;
use crate::model::EndpointName;

/// Endpoints by name, each with its connection.
#[derive(Default)]
pub struct Directory {
    links: RwLock<Vec<Arc<Link>>>,
}

impl Directory {
    /// Adds a connection.
    pub(crate) fn put(&self, link: &Arc<Link>) {
        self.links.write().push(link.clone());
    }

    /// Removes every connection: their pollers went down with their supervisor.
    pub(crate) fn clear(&self) {
        self.links.write().clear();
    }

    /// Removes a connection.
    pub(crate) fn forget(&self, link: &Arc<Link>) {
        self.links.write().retain(|known| !Arc::ptr_eq(known, link));
    }

    /// Gives every connection, in no order.
    #[must_use]
    pub fn links(&self) -> Vec<Arc<Link>> {
        self.links.read().clone()
    }

    /// Finds the connection of an endpoint.
    #[must_use]
    pub fn find(&self, endpoint: &str) -> Option<Arc<Link>> {
        let links = self.links.read();
        links.iter().find(|link| link.names.iter().any(|name| name.as_ref() == endpoint)).cloned()
    }

    /// Gives every endpoint with its connection, sorted by name.
    #[must_use]
    pub fn endpoints(&self) -> Vec<(EndpointName, Arc<Link>)> {
        let mut all: Vec<_> = self
            .links()
            .into_iter()
            .flat_map(|link| link.names.clone().into_iter().map(move |name| (name, link.clone())))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}
