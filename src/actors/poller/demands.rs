//! Answering demands, within the calls' share of the budget.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::time::{Instant, sleep, timeout_at};

use super::PollerMsg;
use super::session::IDLE_MAX;
use super::state::PollerState;
use crate::actors::demand::Demand;
use crate::cache::TagCache;
use crate::driver::{Ask, Asking, DriverError, ErrorKind, Reaction, Reply};
use crate::model::{EndpointName, UnitId};

/// A demand with less time left than this isn't sent: its answer would come too late, and the
/// late answer would cost the session.
const LEAST: Duration = Duration::from_millis(50);
/// A driver ends at its deadline by itself; one that doesn't is cut off this much later.
const GRACE: Duration = Duration::from_secs(1);
/// How often an answer under way looks whether anyone still waits for it.
const ABANDONED_EVERY: Duration = Duration::from_millis(250);

impl PollerState {
    /// Answers the demand that has waited longest, where that can be done now.
    pub(crate) async fn work_waiting(&mut self, me: &ActorRef<PollerMsg>) {
        let now = Instant::now();
        self.waiting.retain(|demand| !demand.is_abandoned());
        let Some(demand) = self.waiting.pop_front() else { return };
        if demand.deadline.saturating_duration_since(now) < LEAST {
            let error = self.last_error(unit_of(&demand.ask)).unwrap_or_else(|| {
                DriverError::new(ErrorKind::Timeout, "the call's deadline is too near")
            });
            return demand.answer(Err(error));
        }
        if let Some(error) = self.resting_error(&demand.ask, now) {
            return demand.answer(Err(error));
        }
        if !self.link.meter.has_room_for_demand() {
            return self.waiting.push_front(demand);
        }
        if !self.ensure_open(Some(&demand.toll)).await {
            return self.without_session(demand);
        }
        if self.slices.is_empty() {
            self.idle_at = Some(Instant::now() + IDLE_MAX);
        }
        self.run(demand, me).await;
    }

    /// A demand that finds no session waits for the next attempt, where that comes in time.
    fn without_session(&mut self, demand: Demand) {
        let comes_in_time = self.retry.until.is_some_and(|until| until < demand.deadline);
        match self.last_error(None) {
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
        match driver.ask(demand.ask.clone(), demand.toll.clone(), demand.deadline) {
            Asking::Here(answer) => {
                let late = || {
                    let error = DriverError::new(ErrorKind::Timeout, "the device did not answer");
                    Err(unit.map_or(error.clone(), |unit| error.of_unit(unit)))
                };
                let result = match self.cancel.run_until_cancelled(timeout_at(cut_off, answer)).await
                {
                    None => Err(DriverError::new(ErrorKind::Closed, "the endpoint is being closed")),
                    Some(result) => result.unwrap_or_else(|_| late()),
                };
                match &result {
                    Ok(_) => self.progressed(unit.unwrap_or_default()),
                    Err(error) if error.reaction() != Reaction::FailTag => {
                        let unit = error.unit.or(unit).unwrap_or_default();
                        self.fail(unit, error.clone()).await;
                    }
                    Err(_) => (),
                }
                deliver(&self.cache, self.link.name(), demand, result);
            }
            Asking::Beside(answer) => {
                let (cache, name) = (self.cache.clone(), self.link.name().clone());
                let (me, session) = (me.clone(), self.session);
                while self.beside.try_join_next().is_some() {}
                self.beside.spawn(async move {
                    let result = tokio::select! {
                        answered = timeout_at(cut_off, answer) => answered.unwrap_or_else(|_| {
                            Err(DriverError::new(ErrorKind::Timeout, "the device did not answer")
                                .reacting(Reaction::FailTag))
                        }),
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
        }
    }

    /// A unit that is left alone answers with why: asking it would stop its neighbours again.
    fn resting_error(&self, ask: &Ask, now: Instant) -> Option<DriverError> {
        let unit = unit_of(ask)?;
        let rest = self.units.get(&unit)?;
        rest.until.filter(|until| now < *until)?;
        Some(rest.fault.as_ref()?.error.clone())
    }

    fn last_error(&self, unit: Option<UnitId>) -> Option<DriverError> {
        let of_unit = unit.and_then(|unit| self.units.get(&unit)?.fault.as_ref());
        of_unit
            .map(|fault| fault.error.clone())
            .or_else(|| self.retry.fault.as_ref().map(|fault| fault.error.clone()))
            .or_else(|| self.link.report().last_error.map(|fault| fault.error))
    }
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
        cache.put_reply(endpoint, demand.ask.clone(), reply.clone());
    }
    demand.answer(result);
}

fn unit_of(ask: &Ask) -> Option<UnitId> {
    match ask {
        Ask::Block(at) => Some(at.unit),
        _ => None,
    }
}
