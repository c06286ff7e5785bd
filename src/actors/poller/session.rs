//! Opening and closing the session, scanning through it, and what a failure does to it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::CLOSE_MAX;
use super::state::{PollerState, Probe};
use crate::actors::observed::Fault;
use crate::cache::LastValue;
use crate::clock;
use crate::driver::{DriverError, ErrorKind, Hearing, Purpose, Reaction, Toll};
use crate::model::{LinkState, Quality, UnitId};

/// Connecting, logging in and reading limits may take this long; a TLS or OPC UA handshake
/// with a small controller takes seconds.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// A scan that learns holes or waits for its budget may take this long, plus its own requests.
const SCAN_SLACK: Duration = Duration::from_secs(60);
/// A connection without tags stays open this long after its last demand.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);

impl PollerState {
    /// Does the most urgent piece of scanning.
    pub(crate) async fn work(&mut self) {
        let now = Instant::now();
        if self.is_open && self.idle_at.is_some_and(|at| now >= at) {
            while self.beside.try_join_next().is_some() {}
            if !self.waiting.is_empty() || !self.beside.is_empty() {
                self.idle_at = Some(now + IDLE_MAX);
                return;
            }
            self.close_session().await;
            self.link.publish(|report| report.enter(LinkState::Closed));
            return;
        }
        let wants_session = self
            .slices
            .iter()
            .any(|s| if s.is_pushed() { !self.is_open } else { self.ready_at(s) <= now });
        if !wants_session || !self.ensure_open(None).await {
            return;
        }
        // Connecting took a while, and what is ready now may be more urgent.
        let began = Instant::now();
        let Some(at) = self.most_urgent(began) else { return };
        let is_probe = self.slices.get(at).is_some_and(|s| self.is_probe(s));
        self.scan(at).await;
        if is_probe {
            let ended = Instant::now();
            self.probed = Some(Probe { ended, took: ended - began });
        }
    }

    /// Drains every pushed slice.
    pub(crate) async fn drain_pushed(&mut self) {
        for at in 0..self.slices.len() {
            if self.is_open && self.slices.get(at).is_some_and(super::slices::SliceState::is_pushed)
            {
                self.scan(at).await;
            }
        }
    }

    /// Opens the session where it is closed and an attempt is due. `toll` is the demand's that
    /// wants it, so that its answer says what the connection cost; the calls' share of the budget
    /// is too small to connect within.
    pub(crate) async fn ensure_open(&mut self, toll: Option<&Toll>) -> bool {
        if self.is_open {
            return true;
        }
        if self.retry.until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let own = Toll::new(self.link.meter.clone(), Purpose::Scan);
        let Some(driver) = &mut self.driver else { return false };
        self.link.publish(|report| report.enter(LinkState::Connecting));
        let deadline = Instant::now() + OPEN_MAX;
        let open = driver.open(self.wake.clone(), &own, deadline);
        let opened = self.cancel.run_until_cancelled(timeout_at(deadline, open)).await;
        if let Some(toll) = toll {
            toll.take_on(&own);
        }
        let opened = match opened {
            None => Err(super::closing()),
            Some(Ok(opened)) => opened,
            Some(Err(_)) => Err(DriverError::new(
                ErrorKind::Timeout,
                format!("connecting took longer than {} s", OPEN_MAX.as_secs()),
            )),
        };
        match opened {
            Ok(identity) => {
                self.is_open = true;
                self.session += 1;
                self.has_progressed = false;
                self.replan();
                self.link.publish(|report| {
                    report.enter(LinkState::Up);
                    report.opened += 1;
                    report.identity = Some(identity);
                });
                // What came before the plan was known waits in the driver.
                self.wake.notify_one();
                true
            }
            Err(error) => {
                self.close_session().await;
                self.lose_link(error);
                false
            }
        }
    }

    /// Reads one slice.
    async fn scan(&mut self, at: usize) {
        let (Some(driver), Some(s)) = (&mut self.driver, self.slices.get_mut(at)) else { return };
        let now = Instant::now();
        s.begin(now);
        let toll = Toll::new(self.link.meter.clone(), Purpose::Scan);
        let budget = self.link.meter.report().budget.requests_per_s.max(0.01);
        let sending = f64::from(s.slice.requests) * 2.0 / budget;
        let deadline = now + SCAN_SLACK + Duration::try_from_secs_f64(sending).unwrap_or_default();
        self.batch.clear();
        let acquire = driver.acquire(s.slice.id, &mut self.batch, &toll, deadline);
        let result = match self.cancel.run_until_cancelled(timeout_at(deadline, acquire)).await {
            None => return,
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(DriverError::new(ErrorKind::Timeout, "the scan did not end")),
        };
        self.link.publish(|report| report.lost += self.batch.lost);
        if !self.batch.types.is_empty() {
            self.link.learn_types(self.batch.types.drain(..));
        }
        for block in self.batch.blocks.drain(..) {
            self.cache.put_block(self.link.name(), block);
        }
        let conditions = self.batch.conditions.drain(..);
        if self.batch.hearing == Some(Hearing::Whole) {
            self.cache.replace_conditions(self.link.name(), conditions.collect());
        } else {
            conditions.for_each(|event| self.cache.put_condition(self.link.name(), event));
        }
        if let Some(current) = self.batch.current.take() {
            self.cache.put_current(self.link.name(), current);
        }
        if let Some(hearing) = self.batch.hearing {
            self.link.publish(|report| report.hearing = hearing);
        }
        let (unit, is_asked) = (s.slice.unit, !s.is_pushed());
        // A new session wakes us before anything has come: that proves nothing.
        let has_come = is_asked
            || self.has_progressed
            || self.batch.heard > 0
            || !self.batch.readings.is_empty();
        match result {
            Ok(()) if has_come => {
                s.take(&mut self.batch.readings);
                self.progressed(unit);
            }
            Ok(()) => (),
            Err(error) => {
                if s.is_streamed() && !self.batch.readings.is_empty() {
                    // What arrived before the failure did arrive.
                    s.take(&mut self.batch.readings);
                }
                if error.reaction() == Reaction::FailTag {
                    // It says nothing of the unit's other slices.
                    s.outage(error.quality(), LastValue::Dropped);
                    self.note_fault(error);
                } else {
                    self.fail(unit, error).await;
                }
            }
        }
        self.publish_plan();
    }

    /// Notes that data came in: the only thing that counts as health.
    pub(crate) fn progressed(&mut self, unit: UnitId) {
        self.has_progressed = true;
        self.retry.backoff.reset();
        self.retry.until = None;
        self.told_over(unit);
        self.link.publish(|report| {
            report.enter(LinkState::Up);
            report.last_good = Some(clock::now());
            report.last_good_uptime_ms = Some(clock::uptime_ms());
        });
    }

    /// Ends the outages that data has put an end to, and says so in the log.
    fn told_over(&mut self, unit: UnitId) {
        let endpoint = self.link.name();
        if std::mem::take(&mut self.is_link_told) {
            tracing::info!(%endpoint, "the device answers again");
        }
        if self.units.remove(&unit).is_some() {
            tracing::info!(%endpoint, unit = unit.0, "the unit answers again");
        }
    }

    /// Says in the log that something failed: once an outage, not at each attempt.
    fn tell(&mut self, unit: UnitId, error: &DriverError) {
        let is_told = match (error.reaction(), error.unit) {
            (Reaction::FailTag, _) => false,
            (Reaction::FailUnit, _) => self.units.contains_key(&unit),
            (Reaction::DropSession, Some(unit)) => self.units.contains_key(&unit),
            (Reaction::DropSession, None) => std::mem::replace(&mut self.is_link_told, true),
        };
        let endpoint = self.link.name();
        match is_told {
            true => tracing::debug!(%endpoint, unit = unit.0, "{error}"),
            false => tracing::warn!(%endpoint, unit = unit.0, "{error}"),
        }
    }

    /// Does what a failure asks for.
    pub(crate) async fn fail(&mut self, unit: UnitId, error: DriverError) {
        self.tell(unit, &error);
        match error.reaction() {
            Reaction::FailTag => self.note_fault(error),
            Reaction::FailUnit => self.rest_unit(unit, error),
            Reaction::DropSession => {
                self.close_session().await;
                match error.unit {
                    Some(unit) => {
                        let had_progressed = self.has_progressed;
                        self.rest_unit(unit, error);
                        let now = Instant::now();
                        let is_waited_for =
                            self.slices.iter().any(|s| !self.is_resting(s.slice.unit, now));
                        if had_progressed || is_waited_for {
                            // Its neighbours pay for one reconnect, no more.
                            self.link.publish(|report| report.enter(LinkState::Connecting));
                        } else {
                            self.retry.until = Some(Instant::now() + self.retry.backoff.fail());
                            self.link.publish(|report| report.enter(LinkState::Backoff));
                        }
                    }
                    None => self.lose_link(error),
                }
            }
        }
    }

    /// Ends a session that an answer beside the scans found broken.
    pub(crate) async fn session_failed(&mut self, session: u64, error: DriverError) {
        if self.is_open && self.session == session {
            let unit = error.unit.unwrap_or_default();
            self.fail(unit, error).await;
        }
    }

    /// Leaves a unit alone for a while.
    fn rest_unit(&mut self, unit: UnitId, error: DriverError) {
        self.outage_of(unit, error.quality(), LastValue::Dropped);
        let rest = self.units.entry(unit).or_default();
        rest.until = Some(Instant::now() + rest.backoff.fail());
        rest.fault = Some(Fault::now(error.clone()));
        self.note_fault(error);
        self.publish_plan();
    }

    /// The connection is gone: every tag keeps its last value as Uncertain.
    fn lose_link(&mut self, error: DriverError) {
        self.retry.until = Some(Instant::now() + self.retry.backoff.fail());
        self.retry.fault = Some(Fault::now(error.clone()));
        self.outage_of_all(Quality::UNCERTAIN_LAST_USABLE, LastValue::Kept);
        self.link.publish(|report| report.enter(LinkState::Backoff));
        self.note_fault(error.clone());
        for demand in self.waiting.drain(..) {
            demand.answer(Err(error.clone()));
        }
    }

    fn outage_of(&mut self, unit: UnitId, quality: Quality, keep: LastValue) {
        for s in self.slices.iter_mut().filter(|s| s.slice.unit == unit) {
            s.outage(quality, keep);
            s.want_soon();
        }
    }

    pub(crate) fn outage_of_all(&mut self, quality: Quality, keep: LastValue) {
        for s in &mut self.slices {
            s.outage(quality, keep);
            s.want_soon();
        }
    }

    /// Ends everything: nobody is left waiting, and the session is closed properly.
    pub(crate) async fn end(&mut self) {
        for demand in self.waiting.drain(..) {
            demand.answer(Err(super::closing()));
        }
        self.close_session().await;
        self.driver = None;
    }

    /// Ends the session properly, within its deadline.
    pub(crate) async fn close_session(&mut self) {
        self.beside.abort_all();
        self.is_open = false;
        self.link.publish(|report| report.hearing = Hearing::Partial);
        if let Some(driver) = &mut self.driver {
            let deadline = Instant::now() + CLOSE_MAX;
            if timeout_at(deadline, driver.close(deadline)).await.is_err() {
                tracing::warn!(endpoint = %self.link.name(), "the session did not end in time");
            }
        }
    }
}
