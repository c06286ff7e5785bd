//! Answering demands, within the calls' share of the budget.

use std::sync::Arc;
use std::time::Duration;

use futures::TryFutureExt;
use futures::future::BoxFuture;
use ractor::ActorRef;
use tokio::time::{Instant, sleep, timeout_at};

use super::PollerMsg;
use super::session::IDLE_MAX;
use super::state::PollerState;
use crate::actors::demand::Demand;
use crate::actors::observed::Fault;
use crate::cache::TagCache;
use crate::driver::{Ask, Asking, DriverError, ErrorKind, Reaction, Reply};
use crate::model::{EndpointName, UnitId};

/// A demand with less time left than this isn't sent: its answer would come too late, and the
/// late answer would cost the session.
const LEAST: Duration = Duration::from_millis(50);
/// A driver ends by itself, at the deadline or when the answer to what it has just sent is due;
/// one that doesn't is cut off this much later, which costs the session.
const GRACE: Duration = Duration::from_secs(3);
/// How long a question that rested is remembered, so that its pauses go on doubling.
const FORGET: Duration = Duration::from_secs(60);
/// Questions without an answer that are remembered; more of them at once are asked again.
const RESTING_MAX: usize = 64;
/// How often an answer under way looks whether anyone still waits for it.
const ABANDONED_EVERY: Duration = Duration::from_millis(250);

impl PollerState {
    /// Lets a demand wait its turn behind those that wait already.
    pub(crate) fn queue(&mut self, demand: Demand) {
        match self.resting_error(&demand.ask, Instant::now()) {
            Some(error) => demand.answer(Err(error)),
            None => self.waiting.push_back(demand),
        }
    }

    /// Answers the demand that has waited longest, where that can be done now.
    pub(crate) async fn work_waiting(&mut self, me: &ActorRef<PollerMsg>) {
        let now = Instant::now();
        // Those with too little time left hear why from the link, at their deadline.
        self.waiting.retain(|demand| !demand.is_abandoned() && demand.deadline > now + LEAST);
        let Some(demand) = self.waiting.pop_front() else { return };
        if let Some(error) = self.resting_error(&demand.ask, now) {
            return demand.answer(Err(error));
        }
        let pause = self.link.meter.wait_for_demand();
        if !pause.is_zero() {
            // One that was begun and can't be ended in time: its maker hears which of the two.
            if demand.toll.spent() > 0 && now + pause + LEAST >= demand.deadline {
                return demand.answer(Err(DriverError::budget_exhausted()));
            }
            return self.waiting.push_front(demand);
        }
        if !self.ensure_open(Some(&demand.toll)).await {
            return self.without_session(demand);
        }
        if self.slices.is_empty() {
            self.idle_at = Some(Instant::now() + IDLE_MAX);
        }
        // Connecting takes a while: whoever wanted it may have gone.
        if !demand.is_abandoned() {
            self.run(demand, me).await;
        }
    }

    /// A demand that finds no session waits for the next attempt, where that comes in time.
    fn without_session(&mut self, demand: Demand) {
        let comes_in_time = self.retry.until.is_some_and(|until| until < demand.deadline);
        match self.last_error() {
            // It has just been tried, or won't be tried before the caller gives up.
            Some(error) if !comes_in_time || self.retry.backoff.failures() > 1 => {
                demand.answer(Err(error));
            }
            Some(_) | None if self.driver.is_some() => self.waiting.push_front(demand),
            Some(error) => demand.answer(Err(error)),
            None => demand.answer(Err(DriverError::new(
                ErrorKind::Settings,
                "the endpoint's settings allow no connection",
            )
            .hint("run config check"))),
        }
    }

    async fn run(&mut self, demand: Demand, me: &ActorRef<PollerMsg>) {
        let Some(driver) = &mut self.driver else { return };
        let unit = unit_of(&demand.ask);
        let cut_off = demand.deadline + GRACE;
        let (ask, toll) = (demand.ask.clone(), demand.toll.clone());
        let mut beside = None;
        let turn: BoxFuture<'_, Result<Option<Reply>, DriverError>> =
            match driver.ask(ask, toll, demand.deadline) {
                Asking::Here(answer) => Box::pin(answer.map_ok(Some)),
                Asking::InTurns(answer) => answer,
                Asking::Beside(answer) => {
                    beside = Some(answer);
                    Box::pin(std::future::ready(Ok(None)))
                }
            };
        let turned = self.cancel.run_until_cancelled(timeout_at(cut_off, turn)).await;
        if let Some(answer) = beside {
            return self.run_beside(demand, answer, me.clone());
        }
        let result = match turned {
            None => Err(super::closing()),
            // Its next turn comes first among the calls, once there is budget for it.
            Some(Ok(Ok(None))) => return self.waiting.push_front(demand),
            Some(Ok(Ok(Some(reply)))) => Ok(reply),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(silent()),
        };
        match &result {
            Ok(_) => {
                self.resting_asks.remove(&demand.ask);
                self.progressed(unit.unwrap_or_default());
            }
            Err(error) if error.reaction() != Reaction::FailTag => {
                self.fail_demand(&demand.ask, error.clone()).await;
            }
            Err(_) => (),
        }
        deliver(&self.cache, self.link.name(), demand, result);
    }

    /// A question that got no answer must not cost the scanned tags of its unit: their own
    /// scans say how the unit is. The question itself rests, so that it can't stop them again.
    async fn fail_demand(&mut self, ask: &Ask, error: DriverError) {
        let Some(unit) = unit_of(ask).filter(|_| error.unit.is_some()) else {
            return self.fail(error.unit.unwrap_or_default(), error).await;
        };
        if !self.slices.iter().any(|s| s.slice.unit == unit) {
            return self.fail(unit, error).await;
        }
        if error.reaction() == Reaction::DropSession {
            self.close_session().await;
        }
        let now = Instant::now();
        // One that has not been asked again for a while begins anew.
        self.resting_asks.retain(|_, rest| rest.until.is_some_and(|until| until + FORGET > now));
        if self.resting_asks.len() < RESTING_MAX {
            let rest = self.resting_asks.entry(ask.clone()).or_default();
            rest.until = Some(now + rest.backoff.fail());
            rest.fault = Some(Fault::now(error));
        }
    }

    /// Lets an answer run beside scans and other answers, until nobody waits for it.
    fn run_beside(
        &mut self,
        demand: Demand,
        answer: BoxFuture<'static, Result<Reply, DriverError>>,
        me: ActorRef<PollerMsg>,
    ) {
        let (cache, name) = (self.cache.clone(), self.link.name().clone());
        let session = self.session;
        while self.beside.try_join_next().is_some() {}
        self.beside.spawn(async move {
            let result = tokio::select! {
                answered = timeout_at(demand.deadline + GRACE, answer) => match answered {
                    Ok(result) => result,
                    // The session multiplexes: one late answer says nothing of the others.
                    Err(_) => Err(silent().reacting(Reaction::FailTag)),
                },
                () = abandoned(&demand) => return,
            };
            if let Err(error) = &result
                && error.reaction() == Reaction::DropSession
                && me.send_message(PollerMsg::SessionFailed(session, error.clone())).is_err()
            {
                tracing::debug!(endpoint = %name, "the poller has gone already");
            }
            deliver(&cache, &name, demand, result);
        });
    }

    /// A unit or question that is left alone answers with why: asking it would stop its
    /// neighbours again.
    fn resting_error(&self, ask: &Ask, now: Instant) -> Option<DriverError> {
        let unit = self.units.get(&unit_of(ask)?);
        let resting = [unit, self.resting_asks.get(ask)].into_iter().flatten();
        resting
            .filter(|rest| rest.until.is_some_and(|until| now < until))
            .find_map(|rest| Some(rest.fault.as_ref()?.error.clone()))
    }

    pub(super) fn last_error(&self) -> Option<DriverError> {
        let of_link = self.retry.fault.as_ref().map(|fault| fault.error.clone());
        of_link.or_else(|| self.link.report().last_error.map(|fault| fault.error))
    }
}

fn silent() -> DriverError {
    DriverError::new(ErrorKind::Timeout, "the device did not answer before the call's deadline")
}

/// Returns once nobody waits for the demand any more.
async fn abandoned(demand: &Demand) {
    while !demand.is_abandoned() {
        sleep(ABANDONED_EVERY).await;
    }
}

/// Keeps the answer in the cache and gives it to everyone who waits.
fn deliver(
    cache: &TagCache,
    endpoint: &EndpointName,
    demand: Demand,
    result: Result<Reply, DriverError>,
) {
    let result = result.map(Arc::new);
    if let Ok(reply) = &result {
        if let Reply::Conditions(conditions) = reply.as_ref() {
            for condition in conditions {
                cache.put_condition(endpoint, condition.clone());
            }
        }
        cache.put_reply(endpoint, demand.ask.clone(), Reply::clone(reply));
    }
    demand.answer(result);
}

fn unit_of(ask: &Ask) -> Option<UnitId> {
    match ask {
        Ask::Block(at) => Some(at.unit),
        Ask::Read { unit, .. } => *unit,
        _ => None,
    }
}
