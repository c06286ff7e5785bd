//! What a poller knows, and what it does next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::slices::SliceState;
use super::{PollerArgs, Woke};
use crate::actors::backoff::Backoff;
use crate::actors::demand::Demand;
use crate::actors::link::Link;
use crate::actors::observed::{Fault, UnitReport};
use crate::cache::{LastValue, ScanWriter, TagCache};
use crate::clock;
use crate::driver::{Ask, Batch, Driver, DriverError, Planned};
use crate::model::{Quality, TagId, UnitId};

/// Scans that leave no time at all let a unit that failed be tried this often all the same: as
/// often as the longest back-off has it.
const PROBES_YIELD_MAX: Duration = Duration::from_secs(30);

/// A unit that failed and is left alone.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub(crate) backoff: Backoff,
    pub(crate) until: Option<Instant>,
    pub(crate) fault: Option<Fault>,
}

/// An attempt at a unit that failed before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    pub(crate) ended: Instant,
    pub(crate) took: Duration,
}

/// A message that is sent after a pause.
type Timer = JoinHandle<Result<(), ractor::MessagingErr<super::PollerMsg>>>;

/// The state of one poller.
pub(crate) struct PollerState {
    pub(crate) link: Arc<Link>,
    pub(crate) cache: Arc<TagCache>,
    pub(crate) tags: Vec<Planned>,
    pub(crate) cancel: CancellationToken,
    pub(crate) wake: Arc<Notify>,
    pub(crate) woke: Woke,
    /// When the next piece of work is due, and what sends it.
    pub(crate) timer: Option<(Instant, Timer)>,
    /// `None` where the settings allow no driver; the report says why.
    pub(crate) driver: Option<Box<dyn Driver>>,
    pub(crate) is_open: bool,
    /// Counts sessions, so that a late failure doesn't close the next one.
    pub(crate) session: u64,
    /// Data came in since the session was opened.
    pub(crate) has_progressed: bool,
    pub(crate) retry: Rest,
    /// The log says that the connection is lost, and not yet that it is back.
    pub(crate) is_link_told: bool,
    pub(crate) units: HashMap<UnitId, Rest>,
    /// When a unit that failed was tried last, and how long that took.
    pub(crate) probed: Option<Probe>,
    /// Questions that got no answer, of units that are scanned.
    pub(crate) resting_asks: HashMap<Ask, Rest>,
    pub(crate) slices: Vec<SliceState>,
    /// Tags that can't be read as defined, marked Bad in the cache.
    pub(crate) rejected: Option<(Vec<TagId>, ScanWriter)>,
    pub(crate) waiting: VecDeque<Demand>,
    pub(crate) beside: JoinSet<()>,
    pub(crate) batch: Batch,
    /// When a connection without tags is closed again.
    pub(crate) idle_at: Option<Instant>,
}

impl PollerState {
    pub(crate) fn new(args: PollerArgs) -> Self {
        let PollerArgs { link, cache, tags, cancel } = args;
        let mut state = Self {
            driver: None,
            link,
            cache,
            tags,
            cancel,
            wake: Arc::default(),
            woke: Woke::default(),
            timer: None,
            is_open: false,
            session: 0,
            has_progressed: false,
            retry: Rest::default(),
            is_link_told: false,
            units: HashMap::new(),
            probed: None,
            resting_asks: HashMap::new(),
            slices: Vec::new(),
            rejected: None,
            waiting: VecDeque::new(),
            beside: JoinSet::new(),
            batch: Batch::default(),
            idle_at: None,
        };
        match (state.link.protocol.driver)(&state.link.spec) {
            Ok(driver) => state.driver = Some(driver),
            Err(error) => state.note_fault(error),
        }
        state.replan();
        // What an earlier poller read is no present value of this session, or of its device.
        state.outage_of_all(Quality::UNCERTAIN_LAST_USABLE, LastValue::Kept);
        state
    }

    /// Asks the driver for its plan and makes room for it in the cache.
    ///
    /// A slice that stays as it was keeps its place and its schedule.
    pub(crate) fn replan(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        let report = driver.plan(&self.tags);
        let mut kept: Vec<SliceState> = std::mem::take(&mut self.slices);
        for (nth, slice) in report.slices.into_iter().enumerate() {
            let same = kept
                .iter()
                .position(|old| old.slice.tags == slice.tags && old.slice.cadence == slice.cadence);
            self.slices.push(match same {
                Some(at) => {
                    let mut old = kept.swap_remove(at);
                    old.slice = slice;
                    old
                }
                None => SliceState::new(slice, &self.cache, u32::try_from(nth).unwrap_or(u32::MAX)),
            });
        }
        self.reject(report.rejected);
        self.publish_plan();
    }

    fn reject(&mut self, rejected: Vec<(TagId, DriverError)>) {
        let ids: Vec<TagId> = rejected.iter().map(|(id, _)| *id).collect();
        if self.rejected.as_ref().is_none_or(|(before, _)| *before != ids) {
            self.rejected = (!ids.is_empty()).then(|| {
                let mut writer = self.cache.scan_group(&ids);
                let quality = Quality::BAD_CONFIGURATION_ERROR;
                writer.append_outage(clock::now(), quality, LastValue::Dropped);
                (ids, writer)
            });
        }
        self.link.publish(|report| report.quarantined = rejected);
    }

    /// Publishes plan and units.
    pub(crate) fn publish_plan(&self) {
        let slices = self.slices.iter().map(SliceState::report).collect();
        let mut units: Vec<UnitReport> = self
            .units
            .iter()
            .map(|(unit, rest)| UnitReport {
                unit: *unit,
                fault: rest.fault.clone(),
                failures: rest.backoff.failures(),
            })
            .collect();
        units.sort_by_key(|u| u.unit);
        self.link.publish(|report| {
            report.slices = slices;
            report.units = units;
        });
    }

    /// Lets the next attempt to connect come at once.
    pub(crate) fn retry_now(&mut self) {
        self.retry.until = None;
        self.retry.backoff.reset();
    }

    pub(crate) fn note_fault(&self, error: DriverError) {
        self.link.publish(|report| report.last_error = Some(Fault::now(error)));
    }

    /// Tells whether a unit is left alone now.
    pub(crate) fn is_resting(&self, unit: UnitId, now: Instant) -> bool {
        self.units.get(&unit).and_then(|rest| rest.until).is_some_and(|until| now < until)
    }

    /// Gives when a polled slice wants to be read: when it is due, and its unit no longer rests.
    pub(crate) fn wanted_at(&self, s: &SliceState) -> Instant {
        let rest = self.units.get(&s.slice.unit).and_then(|rest| rest.until);
        rest.map_or(s.due, |until| until.max(s.due))
    }

    /// Gives when a polled slice may be read. What tries a unit that failed waits, after another
    /// one has, as long as that took: however many are dead, those that answer keep half of the
    /// time.
    pub(crate) fn ready_at(&self, s: &SliceState) -> Instant {
        let wanted = self.wanted_at(s);
        match self.probed {
            Some(probed) if self.is_probe(s) && self.has_live_units() => {
                wanted.max(probed.ended + probed.took)
            }
            _ => wanted,
        }
    }

    /// Tells whether reading it tries a unit that failed before.
    pub(crate) fn is_probe(&self, s: &SliceState) -> bool {
        self.units.contains_key(&s.slice.unit)
    }

    fn has_live_units(&self) -> bool {
        self.slices.iter().any(|s| !s.is_pushed() && !self.is_probe(s))
    }

    /// Picks the polled slice to be read now: one of a unit that answers before one that tries a
    /// unit that failed, unless none of these has had a turn for long.
    ///
    /// By when they wanted it, not by when they were due: units that all were dead would else
    /// come before their neighbours, one timeout after the other.
    pub(crate) fn most_urgent(&self, now: Instant) -> Option<usize> {
        let yields = self.probed.is_some_and(|probed| now < probed.ended + PROBES_YIELD_MAX);
        let polled = self.slices.iter().enumerate().filter(|(_, s)| !s.is_pushed());
        let ready = polled.filter(|(_, s)| self.ready_at(s) <= now);
        ready.map(|(at, s)| (yields && self.is_probe(s), self.wanted_at(s), at)).min().map(|m| m.2)
    }

    /// Gives when there is something to do next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.driver.as_ref()?;
        let mut next: Option<Instant> = self.idle_at.filter(|_| self.is_open);
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |n| n.min(at)));
        for s in &self.slices {
            if s.is_pushed() {
                // A pushed slice needs an open session, and then nothing until it wakes us.
                if !self.is_open {
                    sooner(Instant::now());
                }
                continue;
            }
            sooner(self.ready_at(s));
        }
        if let Some(demand) = self.waiting.front() {
            let pause = self.link.meter.wait_for_demand();
            sooner((Instant::now() + pause).min(demand.deadline));
        }
        // Nothing but a deadline comes before the next attempt to connect.
        match (self.is_open, self.retry.until) {
            (false, Some(retry)) => next.map(|n| n.max(retry.min(self.first_deadline(retry)))),
            _ => next,
        }
    }

    fn first_deadline(&self, or: Instant) -> Instant {
        self.waiting.iter().map(|d| d.deadline).min().unwrap_or(or)
    }
}
