//! Handles for the tools and the doors.

use std::ops::Deref;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::json;

use super::collector::{Plant, Reloader, Setup};
use super::directory::Directory;
use super::findings::FindingsFace;
use super::historian::HistorianFace;
use super::sight::Sight;
use super::writes::Desk;
use crate::cache::TagCache;
use crate::clock;
use crate::config::{Config, Doors};
use crate::govern::breaker::Breaker;
use crate::ledger::Ledger;
use crate::model::Timestamp;
use crate::store::SampleStore;

/// Findings at their resource: finding_list has pages.
const RESOURCE_FINDINGS_MAX: usize = 100;

/// What a tool may reach. Cloning it is cheap.
#[derive(Clone)]
pub struct Deps {
    inner: Arc<Inner>,
    /// What whoever uses them is narrowed to.
    sight: Option<Arc<Sight>>,
}

/// The handles themselves.
pub struct Inner {
    /// The newest values, and a stretch of history.
    pub cache: Arc<TagCache>,
    /// History past the rings.
    pub store: Arc<SampleStore>,
    /// The audit.
    pub ledger: Arc<Ledger>,
    /// Tickets, and why nothing may be written.
    pub desk: Desk,
    /// The connections.
    pub directory: Arc<Directory>,
    /// How the historian does.
    pub historian: Arc<HistorianFace>,
    /// What is wrong, and the alarms.
    pub findings: Arc<FindingsFace>,
    /// The configuration as it runs.
    pub config: RwLock<Arc<Config>>,
    /// Where everything was found.
    pub setup: Setup,
    /// What each user has cost.
    pub breaker: Breaker,
    /// When the collector started.
    pub started: Timestamp,
    pub(crate) reloader: Reloader,
}

impl Deref for Deps {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Deps {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), sight: None }
    }

    pub(super) fn narrowed(&self, sight: Option<Arc<Sight>>) -> Self {
        Self { inner: self.inner.clone(), sight }
    }

    pub(super) fn sight(&self) -> Option<&Sight> {
        self.sight.as_deref()
    }

    /// Makes handles to a collector without endpoints and actors, in a directory of its own.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state_dir = dir.keep();
        let path = state_dir.join("samples.redb");
        let opened = SampleStore::open(&path, clock::now()).expect("a new store opens");
        let ledger = Ledger::open(&state_dir, crate::ledger::Settings::default(), clock::now());
        let ledger = Arc::new(ledger.expect("a new ledger opens"));
        let kept = ledger.clone();
        std::thread::spawn(move || kept.keep());
        Self::new(Inner {
            cache: TagCache::new(crate::cache::CacheLimits::default()),
            store: Arc::new(opened.store),
            ledger,
            desk: Desk::default(),
            directory: Arc::default(),
            historian: HistorianFace::new(crate::config::History::default()),
            findings: Arc::default(),
            config: RwLock::default(),
            breaker: Breaker::default(),
            started: clock::now(),
            reloader: Reloader::default(),
            setup: Setup {
                config: None,
                state_dir,
                plant: Plant::Real,
                protocols: crate::protocols::PROTOCOLS,
                stay: super::collector::Stay::Standing,
                env: |_| None,
                master: None,
            },
        })
    }

    /// Tells whether the plant is our own simulation.
    #[must_use]
    pub fn is_demo(&self) -> bool {
        self.setup.plant == Plant::Demo
    }

    /// Gives the groups that may pass the doors.
    #[must_use]
    pub fn doors(&self) -> Doors {
        self.config.read().doors.clone()
    }

    /// Gives the protocols that some endpoint speaks, in the order of the protocols' list.
    #[must_use]
    pub fn protocols_configured(&self) -> Vec<&'static str> {
        let config = self.config.read();
        let speaks = |name: &str| config.endpoints.iter().any(|e| e.protocol == name);
        self.setup.protocols.iter().map(|p| p.name).filter(|name| speaks(name)).collect()
    }

    /// Gives tag names that begin with `prefix`, sorted.
    #[must_use]
    pub fn tag_names(&self, prefix: &str, limit: usize) -> Vec<String> {
        let tags = self.tags().into_iter();
        tags.map(|(_, tag)| tag.name.to_string())
            .filter(|name| name.starts_with(prefix))
            .take(limit)
            .collect()
    }

    /// Gives the names of all endpoints, sorted.
    #[must_use]
    pub fn endpoint_names(&self) -> Vec<String> {
        self.directory.endpoints().into_iter().map(|(name, _)| name.to_string()).collect()
    }

    /// Gives what stands at the resource of the findings: the open ones, without what moves by
    /// itself.
    #[must_use]
    pub fn findings_resource(&self) -> serde_json::Value {
        let (published, now) = (self.findings.published(), clock::now());
        let is_shown =
            |open: &&super::Open| !open.is_suppressed && self.findings.shelf(open, now).is_none();
        let shown: Vec<_> = published
            .open
            .iter()
            .filter(is_shown)
            .map(|open| {
                json!({
                    "id": open.id,
                    "tag": open.seen.tag,
                    "endpoint": open.seen.endpoint,
                    "verdict": open.verdict,
                    "severity": open.seen.severity,
                    "since": open.seen.since,
                })
            })
            .collect();
        let total = shown.len();
        let first: Vec<_> = shown.into_iter().take(RESOURCE_FINDINGS_MAX).collect();
        json!({"findings": first, "total": total})
    }

    /// Gives what stands at the resource of a tag.
    #[must_use]
    pub fn tag_resource(&self, name: &str) -> Option<serde_json::Value> {
        let id = self.resolve(name)?;
        let tag = self.cache.tag(id)?;
        let latest = self.cache.latest(id);
        let sample = latest.as_ref().map(|latest| &latest.sample);
        Some(json!({
            "tag": tag.name,
            "endpoint": tag.endpoint,
            "description": tag.description,
            "unit": tag.unit_text,
            "value": sample.map(|s| &s.value),
            "quality": sample.map_or_else(
                || crate::model::Quality::BAD_WAITING_FOR_INITIAL_DATA.name(),
                |s| s.quality.name(),
            ),
            "age_ms": latest.as_ref().and_then(age_ms),
            "source_ts": sample.and_then(|s| s.source_ts).map(Timestamp::to_rfc3339),
            "received_ts": sample.map(|s| s.received_ts),
        }))
    }
}

/// Gives the age of a latest sample: monotonic within a run, by the wall clock across one, and
/// nothing where the wall clock has gone back.
#[must_use]
pub fn age_ms(latest: &crate::cache::Latest) -> Option<u64> {
    match latest.seen_uptime_ms {
        Some(seen) => Some(clock::uptime_ms().saturating_sub(seen)),
        None => u64::try_from(clock::now().millis_since(latest.sample.received_ts)).ok(),
    }
}
