//! Telling a client that resources it follows have changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::SubscriptionSink;
use rmcp::{Peer, RoleServer};
use serde_json::Value;
use tokio::time::sleep;

use super::uri;
use crate::actors::Deps;

/// A resource is reported at most this often; what changes faster is read when the client likes.
const UPDATE_EVERY: Duration = Duration::from_secs(1);

/// Resources that are followed, each with what stood there when the client last heard of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Followed(Arc<Mutex<BTreeMap<String, Option<Value>>>>);

impl Followed {
    /// Counts them.
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Follows one more; what stands there now counts as known.
    pub(super) fn add(&self, deps: &Deps, uri: String) {
        let now = essence(deps, &uri);
        self.0.lock().insert(uri, now);
    }

    /// Follows one less.
    pub(super) fn remove(&self, uri: &str) {
        self.0.lock().remove(uri);
    }

    /// Gives those that differ from what is known, which they are from then on.
    fn changed(&self, deps: &Deps) -> Vec<String> {
        let mut changed = Vec::new();
        for (uri, known) in self.0.lock().iter_mut() {
            let now = essence(deps, uri);
            if *known != now {
                *known = now;
                changed.push(uri.clone());
            }
        }
        changed
    }
}

/// Gives what stands at an address without what moves by itself: an age is no change.
fn essence(deps: &Deps, uri: &str) -> Option<Value> {
    if uri == uri::FINDINGS {
        return Some(deps.findings_resource());
    }
    let mut content = deps.tag_resource(&uri::tag_of(uri)?)?;
    if let Value::Object(map) = &mut content {
        for key in ["age_ms", "received_ts", "provenance"] {
            map.remove(key);
        }
    }
    Some(content)
}

/// Who is told.
pub(super) enum Listener<'a> {
    /// A session of the older generation.
    Session(&'a Peer<RoleServer>),
    /// One subscription of the newer.
    Subscription(&'a SubscriptionSink),
}

impl Listener<'_> {
    /// Tells of one change, and whether anybody was there to hear.
    async fn tell(&self, uri: String) -> bool {
        match self {
            Self::Session(peer) => {
                let param = ResourceUpdatedNotificationParam::new(uri);
                peer.notify_resource_updated(param).await.is_ok()
            }
            Self::Subscription(sink) => sink.notify_resource_updated(uri).await.is_ok(),
        }
    }
}

/// Tells of changes until nobody hears.
pub(super) async fn follow(deps: &Deps, followed: &Followed, listener: Listener<'_>) {
    let mut turned = deps.findings.turned();
    loop {
        // Taken before the look, so that nothing can come in between unnoticed.
        turned.mark_unchanged();
        let changed = deps.cache.changed().notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        for uri in followed.changed(deps) {
            if !listener.tell(uri).await {
                return;
            }
        }
        // Changes meanwhile are one change.
        sleep(UPDATE_EVERY).await;
        tokio::select! {
            () = changed => {}
            turn = turned.changed() => if turn.is_err() { return },
        }
    }
}
