//! One physical connection as everyone but its poller sees it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::demand::{Demand, Outcome};
use super::errand::{Decide, Deciding, Errand, Operated, Operation};
use super::observed::LinkReport;
use super::poller::PollerMsg;
use crate::driver::{
    Ask, DriverError, EndpointSpec, ErrorKind, Inspected, Meter, Protocol, Purpose, Reply, Toll,
};
use crate::model::{EndpointName, LinkState, Tag, TagId};

/// Demands that may wait for one device. At the default budget a device answers four calls a
/// second, so a longer queue would only hold calls past their deadline.
pub(super) const DEMANDS_MAX: usize = 64;
/// How often a waiting caller hears of progress, and how soon a restarted poller is tried again.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Why a demand came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// As many calls wait for this device as may.
    Busy,
    /// The driver's or the poller's own reason.
    Driver {
        /// What went wrong.
        error: DriverError,
        /// Messages that this very call caused all the same.
        requests: u32,
    },
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
    deadline: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
    toll: Toll,
    waiters: Weak<()>,
}

impl Underway {
    fn is_alive(&self) -> bool {
        self.outcome.has_changed().is_ok()
            && self.outcome.borrow().is_none()
            && self.waiters.strong_count() > 0
    }
}

/// A caller's part in a demand under way.
struct Waiting {
    outcome: watch::Receiver<Option<Outcome>>,
    toll: Toll,
    /// This caller made the demand; others joined it.
    led: bool,
    /// When the demand's maker wants its answer.
    deadline: Instant,
    /// The demand is worth sending while somebody holds this.
    _waiter: Arc<()>,
}

/// Who takes demands.
enum Service {
    /// Nobody, until the poller is started again.
    Absent,
    By(ActorRef<PollerMsg>),
    /// Nobody any more, and why.
    Ended(DriverError),
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
    service: RwLock<Service>,
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
            service: RwLock::new(Service::Absent),
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
        *self.service.write() = poller.map_or(Service::Absent, Service::By);
    }

    /// Answers every demand from now on with why there will be no poller.
    pub(crate) fn end(&self, why: DriverError) {
        *self.service.write() = Service::Ended(why);
    }

    /// Gives the poller that serves it now.
    pub(crate) fn poller(&self) -> Option<ActorRef<PollerMsg>> {
        match &*self.service.read() {
            Service::By(poller) => Some(poller.clone()),
            Service::Absent | Service::Ended(_) => None,
        }
    }

    /// Has the session opened anew at once: what it rests on, such as trust, has changed.
    pub fn reopen(&self) {
        if let Some(poller) = self.poller()
            && let Err(gone) = poller.send_message(PollerMsg::Reopen)
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
        // What was sent on behalf of this call and came to nothing.
        let mut lost = 0;
        loop {
            let mut waiting = self.join(&ask, deadline, lost)?;
            loop {
                let pause = (Instant::now() + PROGRESS_EVERY).min(deadline);
                let done = timeout_at(pause, waiting.outcome.wait_for(Option::is_some)).await;
                match done.map(|done| done.map(|done| done.clone())) {
                    // Asked anew, by its own deadline.
                    Ok(Ok(Some(done))) if waiting.is_cut_short(&done, deadline) => break,
                    Ok(Ok(Some(done))) => return done.into_answer(waiting.led, lost),
                    // The poller went down with it; another one may be there in a moment.
                    Ok(Ok(None) | Err(_)) => break,
                    Err(_) if Instant::now() >= deadline => {
                        return Err(self.too_late(&waiting, lost));
                    }
                    Err(_) => progress(waiting.toll.progress()),
                }
            }
            self.underway.lock().retain(|_, u| u.is_alive());
            if Instant::now() + PROGRESS_EVERY >= deadline {
                return Err(self.too_late(&waiting, lost));
            }
            lost += waiting.spent();
            let is_answered = waiting.outcome.borrow().is_some();
            drop(waiting);
            if !is_answered {
                tokio::time::sleep(PROGRESS_EVERY).await;
            }
        }
    }

    /// Reads one tag from the device now, for a write's sake; gives what it cost, too.
    pub(crate) async fn inspect(
        &self,
        tag: &Arc<Tag>,
        purpose: Purpose,
        deadline: Instant,
    ) -> (Result<Inspected, DriverError>, u32) {
        let toll = Toll::new(self.meter.clone(), purpose);
        let sent = self.errand(tag, &toll, deadline, |errand| PollerMsg::Inspect(Box::new(errand)));
        let read = match sent {
            Ok(heard) => match timeout_at(deadline, heard).await {
                Ok(Ok(read)) => read,
                // The poller went down with it.
                Ok(Err(_)) => Err(super::poller::closing()),
                Err(_) => Err(super::errand::too_late()),
            },
            Err(error) => Err(error),
        };
        (read, toll.spent())
    }

    /// Reads one tag, has the gate decide on it, and writes it at most once. `None` where nobody
    /// knows what became of it.
    pub(crate) async fn operate(
        &self,
        tag: &Arc<Tag>,
        decide: Decide,
        deadline: Instant,
    ) -> Option<Operated> {
        // A write is rare and approved: it may take the scans' part of the budget, so that it
        // doesn't wait between the read and the write.
        let toll = Toll::new(self.meter.clone(), Purpose::Scan);
        let decide = Box::new(Deciding(decide));
        let sent = self.errand(tag, &toll, deadline, |errand| {
            PollerMsg::Operate(Box::new(Operation { errand, decide }))
        });
        match sent {
            // No deadline here: the poller keeps it, and an answer in doubt is worth waiting for.
            Ok(heard) => heard.await.ok(),
            Err(error) => Some(Operated::NotRead(error)),
        }
    }

    fn errand<T>(
        &self,
        tag: &Arc<Tag>,
        toll: &Toll,
        deadline: Instant,
        message: impl FnOnce(Errand<T>) -> PollerMsg,
    ) -> Result<tokio::sync::oneshot::Receiver<T>, DriverError> {
        if let Service::Ended(why) = &*self.service.read() {
            return Err(why.clone());
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| {
            let text = "too many calls wait for this device already";
            DriverError::new(ErrorKind::BudgetExhausted, text).hint("wait a moment and ask again")
        })?;
        let poller = self.poller().ok_or_else(super::poller::closing)?;
        let (errand, heard) = Errand::new(tag.clone(), deadline, toll.clone(), permit);
        poller.send_message(message(errand)).map_err(|_| super::poller::closing())?;
        Ok(heard)
    }

    /// Joins an equal demand, or sends one to the poller and leads it.
    fn join(&self, ask: &Ask, deadline: Instant, requests: u32) -> Result<Waiting, AskError> {
        if let Service::Ended(why) = &*self.service.read() {
            return Err(AskError::Driver { error: why.clone(), requests });
        }
        let mut underway = self.underway.lock();
        if let Some(u) = underway.get(ask).filter(|u| u.is_alive())
            && let Some(waiter) = u.waiters.upgrade()
        {
            let (outcome, toll, deadline) = (u.outcome.clone(), u.toll.clone(), u.deadline);
            return Ok(Waiting { outcome, toll, led: false, deadline, _waiter: waiter });
        }
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| AskError::Busy)?;
        let (done, outcome) = watch::channel(None);
        let waiter = Arc::new(());
        let waiters = Arc::downgrade(&waiter);
        let toll = Toll::new(self.meter.clone(), Purpose::Demand).waited_for(waiters.clone());
        let demand = Demand::new(ask.clone(), deadline, toll.clone(), done, permit);
        if let Some(poller) = self.poller() {
            // A poller that has just gone drops the demand, which closes its channel: tried again.
            if let Err(gone) = poller.send_message(PollerMsg::Demand(Box::new(demand))) {
                tracing::debug!(endpoint = %self.name(), error = %gone, "poller is restarting");
            }
        }
        underway.retain(|_, u| u.is_alive());
        let entry = Underway { deadline, outcome: outcome.clone(), toll: toll.clone(), waiters };
        underway.insert(ask.clone(), entry);
        Ok(Waiting { outcome, toll, led: true, deadline, _waiter: waiter })
    }

    /// Says why the deadline passed: what the link is doing now, or what failed last.
    fn too_late(&self, waiting: &Waiting, before: u32) -> AskError {
        let report = self.report();
        let was_sent = waiting.toll.spent() > 0;
        let error = match report.last_error {
            // A failure that has been overcome says nothing of this call.
            Some(fault) if report.state != LinkState::Up => fault.error,
            _ if report.state == LinkState::Up && !was_sent => DriverError::budget_exhausted(),
            _ => DriverError::new(
                ErrorKind::Timeout,
                format!("endpoint {} did not answer before the deadline", self.name()),
            )
            .hint("see endpoint_status for what the connection is doing"),
        };
        AskError::Driver { error, requests: before + waiting.spent() }
    }
}

impl Waiting {
    /// Gives the messages that this caller has to answer for.
    fn spent(&self) -> u32 {
        if self.led { self.toll.spent() } else { 0 }
    }

    /// Tells whether a demand that this caller joined failed for want of time that this caller
    /// has: its maker's deadline is no answer to one who waits longer.
    fn is_cut_short(&self, done: &Outcome, own_deadline: Instant) -> bool {
        let has_longer = !self.led && own_deadline >= self.deadline + PROGRESS_EVERY;
        has_longer
            && match done.error_kind() {
                Some(ErrorKind::BudgetExhausted) => true,
                // A device that was given its time and said nothing is silent for everyone.
                Some(ErrorKind::Timeout) => Instant::now() >= self.deadline,
                _ => false,
            }
    }
}
