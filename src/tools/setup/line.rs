//! A way to one endpoint.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::actors::{AskError, Deps};
use crate::driver::{Ask, DriverError, ErrorKind, Reply};
use crate::model::{Quality, Tag, Value};
use crate::tools::Call;
use crate::tools::endpoint::Target;

/// How often the cache is looked at for a value that a scan will bring.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One tag as it was read now.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// The value; `Null` where there is none.
    pub value: Value,
    /// How far to trust it.
    pub quality: Quality,
    /// Why there is none.
    pub error: Option<String>,
}

/// A way to one endpoint: a collector's connection, or one of our own.
#[async_trait]
pub trait Line: Send {
    /// Asks the device.
    ///
    /// # Errors
    /// As the driver has it.
    async fn ask(&mut self, ask: Ask) -> Result<Arc<Reply>, DriverError>;

    /// Reads tags as they are configured, one answer each, in their order.
    ///
    /// # Errors
    /// The session failed.
    async fn read(&mut self, tags: &[Arc<Tag>]) -> Result<Vec<Live>, DriverError>;
}

/// The collector's own connection.
pub(super) struct Ours<'a> {
    pub(super) deps: &'a Deps,
    pub(super) target: &'a Target,
    pub(super) call: &'a Call,
    /// Messages that were sent for this call.
    pub(super) requests: u32,
}

#[async_trait]
impl Line for Ours<'_> {
    async fn ask(&mut self, ask: Ask) -> Result<Arc<Reply>, DriverError> {
        let progress = |items| self.call.progress.set(items);
        match self.target.link.ask(ask, self.call.deadline, &progress).await {
            Ok(answer) => {
                self.requests += answer.requests;
                Ok(answer.reply)
            }
            Err(AskError::Driver { error, requests }) => {
                self.requests += requests;
                Err(error)
            }
            Err(AskError::Busy) => Err(DriverError::new(
                ErrorKind::BudgetExhausted,
                "too many calls wait for this device already",
            )
            .hint("try again in a moment")),
        }
    }

    async fn read(&mut self, tags: &[Arc<Tag>]) -> Result<Vec<Live>, DriverError> {
        // Scanned and subscribed tags cost the device nothing more: wait for this run's samples.
        let until = self.call.deadline.checked_sub(LOOK_EVERY * 5).unwrap_or(self.call.deadline);
        loop {
            let all: Vec<Option<Live>> = tags.iter().map(|tag| self.seen(tag)).collect();
            if Instant::now() >= until || all.iter().all(Option::is_some) {
                let none = || Live {
                    value: Value::Null,
                    quality: Quality::BAD_WAITING_FOR_INITIAL_DATA,
                    error: Some("no sample has come yet".to_owned()),
                };
                return Ok(all.into_iter().map(|live| live.unwrap_or_else(none)).collect());
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Ours<'_> {
    /// Gives a tag's newest sample, where it came in this run.
    fn seen(&self, tag: &Tag) -> Option<Live> {
        let id = self.deps.resolve(&tag.name)?;
        let refused = self.target.link.report().quarantined.into_iter().find(|(q, _)| *q == id);
        if let Some((_, error)) = refused {
            let (value, quality) = (Value::Null, error.quality());
            return Some(Live { value, quality, error: Some(error.with_hint()) });
        }
        let latest = self.deps.cache.latest(id)?;
        latest.seen_uptime_ms?;
        let sample = latest.sample;
        Some(Live { value: sample.value, quality: sample.quality, error: None })
    }
}
