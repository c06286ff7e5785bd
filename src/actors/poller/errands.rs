//! Reading one tag for a write's sake, and the write itself: never sent again by this layer.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::session::IDLE_MAX;
use super::state::PollerState;
use crate::actors::errand::{Inspection, Operated, Operation, too_late};
use crate::driver::{DriverError, ErrorKind, Inspected, Reaction, Toll};
use crate::model::{Tag, UnitId};

/// An errand with less time left than this isn't begun.
const LEAST: Duration = Duration::from_millis(50);
/// A driver ends by itself at its deadline; one that doesn't is cut off this much later.
const GRACE: Duration = Duration::from_secs(1);

impl PollerState {
    /// Reads one tag.
    pub(crate) async fn inspect(&mut self, errand: Inspection) {
        let read = self.read_now(&errand.tag, &errand.toll, errand.deadline).await;
        errand.answer(read);
    }

    /// Reads one tag, has the gate decide on it, and writes at most once. Nothing else that goes
    /// through this connection comes between the read and the write.
    pub(crate) async fn operate(&mut self, operation: Operation) {
        let Operation { errand, decide } = operation;
        let before = match self.read_now(&errand.tag, &errand.toll, errand.deadline).await {
            Ok(before) => before,
            Err(error) => return errand.answer(Operated::NotRead(error)),
        };
        let read_at = Instant::now();
        let setpoint = match (decide.0)(&before) {
            Ok(setpoint) => setpoint,
            Err(refusal) => return errand.answer(Operated::Refused(refusal, before)),
        };
        // What is paid for has been handed to the driver: only an unpaid write is known unsent.
        let paid = errand.toll.spent();
        let cut_off = errand.deadline + GRACE;
        let Some(driver) = &mut self.driver else {
            return errand.answer(Operated::NotSent(super::closing(), before));
        };
        let writing = driver.operate(setpoint, &errand.toll, errand.deadline);
        let written = self.cancel.run_until_cancelled(timeout_at(cut_off, writing)).await;
        let window_us = u64::try_from(read_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let result = match written {
            None => Err(super::closing()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(silent()),
        };
        if let Err(error) = &result {
            self.errand_failed(errand.tag.unit, error.clone()).await;
        }
        let was_sent = errand.toll.spent() > paid;
        errand.answer(match result {
            Err(error) if !was_sent => Operated::NotSent(error, before),
            result => Operated::Sent { before, result, window_us },
        });
    }

    async fn read_now(
        &mut self,
        tag: &Tag,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Inspected, DriverError> {
        if Instant::now() + LEAST >= deadline {
            return Err(too_late());
        }
        if !self.ensure_open(Some(toll)).await {
            return Err(self.last_error().unwrap_or_else(super::closing));
        }
        if self.slices.is_empty() {
            self.idle_at = Some(Instant::now() + IDLE_MAX);
        }
        let Some(driver) = &mut self.driver else { return Err(super::closing()) };
        let reading = driver.inspect(tag, toll, deadline);
        let read = self.cancel.run_until_cancelled(timeout_at(deadline + GRACE, reading)).await;
        let result = match read {
            None => Err(super::closing()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(silent()),
        };
        match &result {
            Ok(_) => self.progressed(tag.unit),
            Err(error) => self.errand_failed(tag.unit, error.clone()).await,
        }
        result
    }

    /// As for a demand: what one address does must not cost the scanned tags of its unit, whose
    /// own scans say how the unit is.
    async fn errand_failed(&mut self, unit: UnitId, error: DriverError) {
        match error.reaction() {
            Reaction::FailTag => {}
            _ if error.unit.is_some() && self.slices.iter().any(|s| s.slice.unit == unit) => {
                if error.reaction() == Reaction::DropSession {
                    self.close_session().await;
                }
            }
            _ => self.fail(unit, error).await,
        }
    }
}

fn silent() -> DriverError {
    DriverError::new(ErrorKind::Timeout, "the device did not answer before the deadline")
}
