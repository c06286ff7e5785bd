//! One physical connection as everyone but its poller sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::demand::{Demand, Outcome};
use super::observed::LinkReport;
use super::poller::PollerMsg;
use crate::driver::{
    Ask, DriverError, EndpointSpec, ErrorKind, Meter, Protocol, Purpose, Reply, Toll,
};
use crate::model::{EndpointName, TagId};

/// Demands that may wait for one device. At the default budget a device answers four calls a
/// second, so a longer queue would only hold calls past their deadline.
const DEMANDS_MAX: usize = 64;
/// How often a waiting caller hears of progress, and how soon a restarted poller is tried again.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Why a demand came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// As many calls wait for this device as may.
    Busy,
    /// The driver's or the poller's own reason.
    Driver(DriverError),
}

/// A device's answer, and what it cost.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it said.
    pub reply: Arc<Reply>,
    /// Messages that this very call caused; 0 where it joined one under way.
    pub requests: u32,
}

/// A demand under way that equal ones may join.
struct Underway {
    outcome: watch::Receiver<Option<Outcome>>,
    toll: Toll,
}

/// A connection: its configuration, its budget, its report, and the way to its poller.
pub struct Link {
    /// The endpoints that share it; the first gives it its name.
    pub names: Vec<EndpointName>,
    /// What is configured: the settings of the first endpoint, the tags of all.
    pub spec: EndpointSpec,
    /// Its protocol.
    pub protocol: &'static Protocol,
    /// Its budget and counts.
    pub meter: Arc<Meter>,
    report: Mutex<LinkReport>,
    mailbox: RwLock<Option<ActorRef<PollerMsg>>>,
    permits: Arc<Semaphore>,
    underway: Mutex<HashMap<Ask, Underway>>,
    /// The protocol's names of the tags' types, as far as they are known.
    types: RwLock<HashMap<TagId, Arc<str>>>,
}

impl Link {
    /// Makes the face of a connection that no poller serves yet.
    #[must_use]
    pub fn new(
        names: Vec<EndpointName>,
        spec: EndpointSpec,
        protocol: &'static Protocol,
    ) -> Arc<Self> {
        Arc::new(Self {
            names,
            protocol,
            meter: Meter::new(spec.budget),
            spec,
            report: Mutex::new(LinkReport::default()),
            mailbox: RwLock::new(None),
            permits: Arc::new(Semaphore::new(DEMANDS_MAX)),
            underway: Mutex::default(),
            types: RwLock::default(),
        })
    }

    /// The name its blocks, replies and conditions stand under in the cache.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        &self.spec.name
    }

    /// Copies the report.
    #[must_use]
    pub fn report(&self) -> LinkReport {
        self.report.lock().clone()
    }

    /// Changes the report.
    pub(crate) fn publish(&self, change: impl FnOnce(&mut LinkReport)) {
        change(&mut self.report.lock());
    }

    /// Gives the protocol's name of a tag's type, once it is known.
    #[must_use]
    pub fn type_of(&self, tag: TagId) -> Option<Arc<str>> {
        self.types.read().get(&tag).cloned()
    }

    /// Learns the protocol's names of types.
    pub(crate) fn learn_types(&self, types: impl Iterator<Item = (TagId, Arc<str>)>) {
        self.types.write().extend(types);
    }

    /// Names the poller that serves it now; `None` while there is none.
    pub(crate) fn serve(&self, poller: Option<ActorRef<PollerMsg>>) {
        *self.mailbox.write() = poller;
    }

    /// Gives the poller that serves it now.
    pub(crate) fn poller(&self) -> Option<ActorRef<PollerMsg>> {
        self.mailbox.read().clone()
    }

    /// Has the next attempt to connect made at once, where the one before failed.
    pub fn retry(&self) {
        if let Some(poller) = self.poller()
            && let Err(gone) = poller.send_message(PollerMsg::Retry)
        {
            tracing::debug!(endpoint = %self.name(), error = %gone, "poller is restarting");
        }
    }

    /// Asks the device, or joins an equal demand under way, until the deadline.
    ///
    /// # Errors
    /// The device's failure, or [`AskError::Busy`].
    pub async fn ask(
        &self,
        ask: Ask,
        deadline: Instant,
        progress: &(dyn Fn(u32) + Sync),
    ) -> Result<Answer, AskError> {
        loop {
            let (mut outcome, toll, led) = self.join(&ask, deadline)?;
            loop {
                let pause = (Instant::now() + PROGRESS_EVERY).min(deadline);
                match timeout_at(pause, outcome.wait_for(Option::is_some)).await {
                    Ok(Ok(done)) => {
                        let Some(done) = done.as_ref() else { break };
                        return done.clone().into_answer(led);
                    }
                    // The poller went down with it; another one may be there in a moment.
                    Ok(Err(_)) => break,
                    Err(_) if Instant::now() >= deadline => return Err(self.too_late()),
                    Err(_) => progress(toll.progress()),
                }
            }
            self.underway.lock().retain(|_, u| u.outcome.has_changed().is_ok());
            if Instant::now() + PROGRESS_EVERY >= deadline {
                return Err(self.too_late());
            }
            tokio::time::sleep(PROGRESS_EVERY).await;
        }
    }

    /// Joins an equal demand, or sends one to the poller and leads it.
    #[allow(clippy::type_complexity, reason = "private, and each part is named where it is used")]
    fn join(
        &self,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<(watch::Receiver<Option<Outcome>>, Toll, bool), AskError> {
        let mut underway = self.underway.lock();
        if let Some(u) = underway.get(ask) {
            let alive = u.outcome.has_changed().is_ok() && u.outcome.borrow().is_none();
            if alive {
                return Ok((u.outcome.clone(), u.toll.clone(), false));
            }
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| AskError::Busy)?;
        let (done, outcome) = watch::channel(None);
        let toll = Toll::new(self.meter.clone(), Purpose::Demand);
        let demand = Demand::new(ask.clone(), deadline, toll.clone(), done, permit);
        if let Some(poller) = self.poller() {
            // A poller that has just gone drops the demand, which closes its channel: tried again.
            if let Err(gone) = poller.send_message(PollerMsg::Demand(Box::new(demand))) {
                tracing::debug!(endpoint = %self.name(), error = %gone, "poller is restarting");
            }
        }
        underway.retain(|_, u| u.outcome.has_changed().is_ok() && u.outcome.borrow().is_none());
        underway.insert(ask.clone(), Underway { outcome: outcome.clone(), toll: toll.clone() });
        Ok((outcome, toll, true))
    }

    /// Says that the deadline passed, with a spent budget or the link's last error as the cause.
    fn too_late(&self) -> AskError {
        if !self.meter.has_room_for_demand() {
            return AskError::Driver(DriverError::budget_exhausted());
        }
        let last = self.report.lock().last_error.clone();
        AskError::Driver(match last {
            Some(fault) => fault.error,
            None => DriverError::new(
                ErrorKind::Timeout,
                format!("endpoint {} did not answer before the deadline", self.name()),
            )
            .hint("see endpoint_status for what the connection is doing"),
        })
    }
}
