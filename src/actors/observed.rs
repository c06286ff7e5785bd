//! What each actor lets tests, status and metrics see.

use crate::clock;
use crate::driver::{DriverError, Hearing, Identity};
use crate::model::{LinkState, TagId, Timestamp, UnitId};

/// A failure and when it happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What went wrong.
    pub error: DriverError,
    /// When.
    pub at: Timestamp,
}

impl Fault {
    /// Notes a failure that happens now.
    #[must_use]
    pub fn now(error: DriverError) -> Self {
        Self { error, at: clock::now() }
    }
}

/// One unit behind a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitReport {
    /// Which.
    pub unit: UnitId,
    /// Why it is left alone, where it is.
    pub fault: Option<Fault>,
    /// Failures in a row.
    pub failures: u32,
}

/// One slice of the scan plan.
#[derive(Debug, Clone, PartialEq)]
pub struct SliceReport {
    /// The unit it reads.
    pub unit: UnitId,
    /// The period asked for; `None` where the device sends by itself.
    pub scan_ms: Option<u32>,
    /// The period it really gets, over the last scans.
    pub real_scan_ms: Option<u32>,
    /// Tags in it.
    pub tags: usize,
    /// Messages one scan needs.
    pub requests: u32,
    /// Scans done.
    pub scans: u64,
    /// Scans that started late by a whole period or more.
    pub stretched: u64,
}

/// One connection.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkReport {
    /// What the connection is doing.
    pub state: LinkState,
    /// Since when.
    pub since: Timestamp,
    /// The failure that came last; kept after it has been overcome.
    pub last_error: Option<Fault>,
    /// When data last came in.
    pub last_good: Option<Timestamp>,
    /// The same on the monotonic clock.
    pub last_good_uptime_ms: Option<u64>,
    /// What the device says of itself.
    pub identity: Option<Identity>,
    /// Its units.
    pub units: Vec<UnitReport>,
    /// The scan plan.
    pub slices: Vec<SliceReport>,
    /// Tags that can't be read as defined, or are refused by the device.
    pub quarantined: Vec<(TagId, DriverError)>,
    /// How much of the device's conditions the present session knows.
    pub hearing: Hearing,
    /// Times the session was opened.
    pub opened: u64,
    /// Times the poller was restarted after a panic.
    pub restarts: u64,
    /// Samples known to be lost on the way in.
    pub lost: u64,
}

impl Default for LinkReport {
    fn default() -> Self {
        Self {
            state: LinkState::Closed,
            since: clock::now(),
            last_error: None,
            last_good: None,
            last_good_uptime_ms: None,
            identity: None,
            units: Vec::new(),
            slices: Vec::new(),
            quarantined: Vec::new(),
            hearing: Hearing::default(),
            opened: 0,
            restarts: 0,
            lost: 0,
        }
    }
}

impl LinkReport {
    /// Moves to another state, keeping the time where it is the same.
    pub(crate) fn enter(&mut self, state: LinkState) {
        if self.state != state {
            self.state = state;
            self.since = clock::now();
        }
    }
}

/// The historian.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistorianReport {
    /// Commits done.
    pub commits: u64,
    /// Samples stored since the start.
    pub samples: u64,
    /// Samples that were overwritten before they could be stored.
    pub lost: u64,
    /// When the last commit was durable.
    pub last_commit: Option<Timestamp>,
    /// Why storing fails now, where it does.
    pub fault: Option<String>,
    /// A file that could not be used and was set aside.
    pub quarantined: Option<String>,
}
