//! A connection of a command's own, where no collector holds one: within the device's budget.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::driver::{
    Ask, Asking, Batch, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Meter, PlanReport,
    Planned, Protocol, Purpose, Reaction, Reply, Toll,
};
use crate::model::{Quality, Tag, TagId, Value};
use crate::tools::setup::{Line, Live};

/// As the collector grants a connection.
const OPEN_MAX: Duration = Duration::from_secs(15);
/// One answer, and the first values of a subscription.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A walk over a big address space.
const WALK_MAX: Duration = Duration::from_secs(115);
/// A session is given this long to end properly.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A connection of our own.
pub(super) struct Direct {
    driver: Box<dyn Driver>,
    wake: Arc<Notify>,
    toll: Toll,
    is_open: bool,
}

impl Direct {
    /// Prepares it; nothing is sent yet.
    pub(super) fn new(spec: &EndpointSpec, protocol: &Protocol) -> Result<Self, DriverError> {
        Ok(Self {
            driver: (protocol.driver)(spec)?,
            wake: Arc::new(Notify::new()),
            toll: Toll::new(Meter::new(spec.budget), Purpose::Scan),
            is_open: false,
        })
    }

    /// Ends the session properly.
    pub(super) async fn close(&mut self) {
        self.is_open = false;
        let until = Instant::now() + CLOSE_MAX;
        if timeout_at(until, self.driver.close(until)).await.is_err() {
            tracing::debug!("the session was cut off");
        }
    }

    async fn open(&mut self, tags: &[Planned]) -> Result<PlanReport, DriverError> {
        if !self.is_open {
            self.driver.plan(tags);
            let until = Instant::now() + OPEN_MAX;
            let open = self.driver.open(self.wake.clone(), &self.toll, until);
            match timeout_at(until, open).await {
                Ok(Ok(_)) => self.is_open = true,
                Ok(Err(error)) => {
                    self.close().await;
                    return Err(error);
                }
                Err(_) => {
                    self.close().await;
                    let text = format!("connecting took longer than {} s", OPEN_MAX.as_secs());
                    return Err(DriverError::new(ErrorKind::Timeout, text));
                }
            }
        }
        Ok(self.driver.plan(tags))
    }

    async fn answer(&mut self, ask: Ask, until: Instant) -> Result<Reply, DriverError> {
        loop {
            match self.driver.ask(ask.clone(), self.toll.clone(), until) {
                Asking::Here(answer) => return answer.await,
                Asking::Beside(answer) => return answer.await,
                Asking::InTurns(answer) => {
                    if let Some(reply) = answer.await? {
                        return Ok(reply);
                    }
                }
            }
        }
    }

    /// Brings in every slice once; one that the device sends by itself until all of it is there.
    async fn acquire(
        &mut self,
        plan: &PlanReport,
        lives: &mut [Option<Live>],
    ) -> Result<(), DriverError> {
        let until = Instant::now() + ANSWER_MAX;
        let mut batch = Batch::default();
        for slice in &plan.slices {
            loop {
                self.driver.acquire(slice.id, &mut batch, &self.toll, until).await?;
                for reading in batch.readings.drain(..) {
                    let at = usize::try_from(reading.tag.0).unwrap_or(usize::MAX);
                    if let Some(live) = lives.get_mut(at) {
                        let (value, quality) = (reading.value, reading.quality);
                        *live = Some(Live { value, quality, error: None });
                    }
                }
                batch.clear();
                let is_known = |id: &TagId| {
                    usize::try_from(id.0).is_ok_and(|at| lives.get(at).is_some_and(Option::is_some))
                };
                let is_pushed = slice.cadence == Cadence::Pushed;
                if !is_pushed || slice.tags.iter().all(is_known) {
                    break;
                }
                if timeout_at(until, self.wake.notified()).await.is_err() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn settled<T>(&mut self, done: Result<T, DriverError>) -> Result<T, DriverError> {
        if let Err(error) = &done
            && error.reaction() == Reaction::DropSession
        {
            self.close().await;
        }
        done
    }
}

#[async_trait]
impl Line for Direct {
    async fn ask(&mut self, ask: Ask) -> Result<Arc<Reply>, DriverError> {
        self.open(&[]).await?;
        let within = if matches!(ask, Ask::Browse { .. }) { WALK_MAX } else { ANSWER_MAX };
        let until = Instant::now() + within;
        let done = match timeout_at(until, self.answer(ask, until)).await {
            Ok(done) => done,
            Err(_) => Err(DriverError::new(
                ErrorKind::Timeout,
                format!("no answer within {} s", within.as_secs()),
            )),
        };
        self.settled(done).await.map(Arc::new)
    }

    async fn read(&mut self, tags: &[Arc<Tag>]) -> Result<Vec<Live>, DriverError> {
        let planned: Vec<Planned> = (0u32..)
            .zip(tags)
            .map(|(number, tag)| Planned { id: TagId(number), tag: tag.clone() })
            .collect();
        let plan = self.open(&planned).await?;
        let mut lives: Vec<Option<Live>> = vec![None; tags.len()];
        for (id, error) in &plan.rejected {
            let at = usize::try_from(id.0).unwrap_or(usize::MAX);
            if let Some(live) = lives.get_mut(at) {
                let (value, quality) = (Value::Null, error.quality());
                *live = Some(Live { value, quality, error: Some(error.with_hint()) });
            }
        }
        let until = Instant::now() + ANSWER_MAX;
        let done = match timeout_at(until, self.acquire(&plan, &mut lives)).await {
            Ok(done) => done,
            Err(_) => Err(DriverError::new(ErrorKind::Timeout, "the values did not come in time")),
        };
        self.settled(done).await?;
        let none = || Live {
            value: Value::Null,
            quality: Quality::BAD_WAITING_FOR_INITIAL_DATA,
            error: Some("no value has come".to_owned()),
        };
        Ok(lives.into_iter().map(|live| live.unwrap_or_else(none)).collect())
    }
}
