//! What a walk stands on: the cache and the published reports, nothing else.

use crate::diagnose::skew::Skew;
use crate::driver::ErrorKind;
use crate::model::{LinkState, Quality, Tag, Timestamp};

/// A failure, in our own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceFault {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What and where.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// When.
    pub at: Timestamp,
}

/// The connection that serves the tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLink {
    /// What it is doing.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// Times its session was opened.
    pub opened: u64,
    /// When data last came in, of any of its tags.
    pub last_good: Option<Timestamp>,
    /// Its host is given by address: there is no name to look up.
    pub is_by_address: bool,
    /// What is wrong with it now; none where that has been overcome.
    pub fault: Option<TraceFault>,
    /// What is wrong with the tag's unit now, and how often in a row.
    pub unit_fault: Option<(TraceFault, u32)>,
    /// Samples were lost on the way in until then, this many since the start.
    pub lost: Option<(Timestamp, u64)>,
}

/// A tag's newest sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceSample {
    /// How far to trust it.
    pub quality: Quality,
    /// The device's own time.
    pub source: Option<Timestamp>,
    /// When it was received.
    pub received: Timestamp,
    /// Milliseconds since the link last confirmed it; none where the clock went back.
    pub age_ms: Option<u64>,
}

/// The store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceStore {
    /// The last durable commit.
    pub last_commit: Option<Timestamp>,
    /// Why history is not being stored.
    pub fault: Option<String>,
    /// Samples were overwritten unstored until then, this many since the start.
    pub lost: Option<(Timestamp, u64)>,
}

/// The value's source has stopped while the device answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceStop {
    /// Since when.
    pub since: Timestamp,
    /// What shows it.
    pub evidence: String,
}

/// Everything a walk stands on.
#[derive(Debug, Clone)]
pub struct TraceFacts<'a> {
    /// The tag.
    pub tag: &'a Tag,
    /// The protocol of its endpoint.
    pub protocol: &'a str,
    /// Its connection; none where no connection serves its endpoint.
    pub link: Option<TraceLink>,
    /// Why its item is refused: by the driver as it is defined, or by the device.
    pub item_fault: Option<TraceFault>,
    /// Its newest sample.
    pub sample: Option<TraceSample>,
    /// When its newest Good sample was received.
    pub last_good: Option<Timestamp>,
    /// That its source has stopped.
    pub stopped: Option<TraceStop>,
    /// The clock its times come from.
    pub skew: Option<Skew>,
    /// The store.
    pub store: TraceStore,
}
