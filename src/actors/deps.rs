//! Handles for the tools and the doors.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

/// What a tool may reach. Cloning it is cheap.
#[derive(Clone)]
pub struct Deps(Arc<Inner>);

struct Inner {
    tags: RwLock<BTreeMap<String, serde_json::Value>>,
    changed: watch::Sender<u64>,
}

impl Deps {
    /// Makes handles to nothing but these tag resources.
    #[must_use]
    pub fn of_tags(tags: BTreeMap<String, serde_json::Value>) -> Self {
        Self(Arc::new(Inner { tags: RwLock::new(tags), changed: watch::Sender::new(0) }))
    }

    /// Replaces what stands at a tag's resource.
    pub fn put_tag(&self, name: &str, content: serde_json::Value) {
        self.0.tags.write().insert(name.to_owned(), content);
        self.0.changed.send_modify(|count| *count += 1);
    }

    /// Gives the protocols that some endpoint speaks, in the order of the protocols' list.
    #[must_use]
    pub fn protocols_configured(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Gives tag names that begin with `prefix`, sorted.
    #[must_use]
    pub fn tag_names(&self, prefix: &str, limit: usize) -> Vec<String> {
        let tags = self.0.tags.read();
        tags.keys().filter(|name| name.starts_with(prefix)).take(limit).cloned().collect()
    }

    /// Gives the names of all endpoints, sorted.
    #[must_use]
    pub fn endpoint_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives what stands at the resource of a tag.
    #[must_use]
    pub fn tag_resource(&self, name: &str) -> Option<serde_json::Value> {
        self.0.tags.read().get(name).cloned()
    }

    /// Gives the groups that may pass the doors.
    #[must_use]
    pub fn doors(&self) -> crate::config::Doors {
        crate::config::Doors::default()
    }

    /// Gives a watch that moves whenever some tag has a new sample.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }
}
