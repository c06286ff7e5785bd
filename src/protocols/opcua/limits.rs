//! How much one request may hold: what the server says, and what it turned out to mean.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use opcua::types::{DataValue, Error, VariableId};
use tokio::time::{Instant, timeout_at};

use super::errors;
use super::wire::Wire;
use crate::driver::{DriverError, ErrorKind, Reaction, Toll};

/// Where a server names no limit (Part 5, 6.3.11: 0 is none): half of what small ones choke on.
const UNSAID: u32 = 500;
/// Some servers claim far more than they can encode.
const CAP: u32 = 1000;

/// One service's limit, learnt downwards only.
#[derive(Debug)]
pub(super) struct Limit(AtomicU32);

impl Default for Limit {
    fn default() -> Self {
        Self(AtomicU32::new(UNSAID))
    }
}

impl Limit {
    /// Gives how many items one request may hold, at least 1.
    pub(super) fn get(&self) -> usize {
        usize::try_from(self.0.load(Relaxed).max(1)).unwrap_or(1)
    }

    /// Takes what the server announced.
    fn announce(&self, said: Option<u32>, learnt: u32) {
        let said = said.filter(|limit| *limit > 0).unwrap_or(UNSAID).min(CAP);
        self.0.store(said.min(learnt), Relaxed);
    }

    /// Learns that `items` were too many.
    fn halve(&self, items: usize) {
        let half = u32::try_from(items / 2).unwrap_or(u32::MAX).max(1);
        self.0.fetch_min(half, Relaxed);
    }
}

/// Operation limits of a server (Part 5, 6.3.11). They outlive sessions: what was learnt stays.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) read: Limit,
    pub(super) browse: Limit,
    pub(super) monitor: Limit,
    learnt: [AtomicU32; 3],
}

/// The nodes to read for [`Limits::announce`], in its order.
pub(super) const LIMIT_NODES: [VariableId; 3] = [
    VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    VariableId::Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
    VariableId::Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
];

impl Limits {
    /// Takes what the server says of itself, as read from [`LIMIT_NODES`].
    pub(super) fn announce(&self, values: &[DataValue]) {
        let said = |index: usize| -> Option<u32> {
            values.get(index)?.value.clone()?.try_cast_to::<u32>().ok()
        };
        for (index, limit) in [&self.read, &self.browse, &self.monitor].into_iter().enumerate() {
            let learnt = self.learnt.get(index).map_or(0, |learnt| learnt.load(Relaxed));
            limit.announce(said(index), if learnt == 0 { CAP } else { learnt });
        }
    }

    /// Remembers what `limit` has come down to.
    fn remember(&self, limit: &Limit) {
        let all = [&self.read, &self.browse, &self.monitor];
        for (known, learnt) in all.into_iter().zip(&self.learnt) {
            if std::ptr::eq(known, limit) {
                learnt.store(limit.0.load(Relaxed), Relaxed);
            }
        }
    }
}

/// One kind of request: its limit, and who pays for it until when.
pub(super) struct Terms<'a> {
    pub(super) wire: &'a Wire,
    pub(super) limits: &'a Limits,
    pub(super) limit: &'a Limit,
    pub(super) toll: &'a Toll,
    pub(super) deadline: Instant,
    /// What is being done, for messages.
    pub(super) doing: &'a str,
}

/// Sends items in as many requests as the limit needs, and answers in their order.
///
/// A server that finds a request too large is asked again with half of it, once and for all.
pub(super) async fn in_chunks<T, R, F, Fut>(
    terms: Terms<'_>,
    items: &[T],
    send: F,
) -> Result<Vec<R>, DriverError>
where
    T: Clone,
    F: Fn(Vec<T>) -> Fut,
    Fut: Future<Output = Result<Vec<R>, Error>>,
{
    let mut answers = Vec::with_capacity(items.len());
    while let Some(rest) = items.get(answers.len()..).filter(|rest| !rest.is_empty()) {
        let chunk: Vec<T> = rest.iter().take(terms.limit.get()).cloned().collect();
        let asked = chunk.len();
        terms.wire.pay(terms.toll, terms.deadline).await?;
        match timeout_at(terms.deadline, send(chunk)).await {
            Err(_elapsed) => return Err(errors::timeout(terms.doing)),
            Ok(Ok(results)) if results.len() == asked => answers.extend(results),
            Ok(Ok(results)) => {
                return Err(DriverError::new(
                    ErrorKind::Protocol,
                    format!("{}: {} answers to {asked} items", terms.doing, results.len()),
                )
                .reacting(Reaction::FailUnit));
            }
            Ok(Err(error)) if asked > 1 && errors::is_too_large(error.status()) => {
                terms.limit.halve(asked);
                terms.limits.remember(terms.limit);
                let now = terms.limit.get();
                tracing::info!(asked, now, "the server takes fewer items than it says");
            }
            Ok(Err(error)) => return Err(errors::from_status(terms.doing, error.status())),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opcua::types::StatusCode;

    use super::*;
    use crate::driver::{Meter, Purpose};
    use crate::model::Budget;

    fn toll() -> Toll {
        let budget = Budget { requests_per_s: 1e6, burst: 1000, ..Budget::default() };
        Toll::new(Meter::new(budget), Purpose::Scan)
    }

    /// Answers each item with its double, and refuses more than `most` at once.
    async fn double(items: Vec<u32>, most: usize) -> Result<Vec<u32>, Error> {
        match items.len() > most {
            true => Err(Error::new(StatusCode::BadTooManyOperations, "too many")),
            false => Ok(items.into_iter().map(|item| item * 2).collect()),
        }
    }

    #[tokio::test]
    async fn a_lying_server_is_halved_once_and_for_all() {
        let (wire, limits, toll) = (Wire::default(), Limits::default(), toll());
        limits.announce(&[DataValue::value_only(1000u32)]);
        assert_eq!(limits.read.get(), 1000);
        let deadline = Instant::now() + Duration::from_secs(5);
        let terms = || Terms {
            wire: &wire,
            limits: &limits,
            limit: &limits.read,
            toll: &toll,
            deadline,
            doing: "reading",
        };
        let items: Vec<u32> = (0..2500).collect();
        let answers = in_chunks(terms(), &items, |items| double(items, 300)).await.unwrap();
        assert_eq!(answers, (0..2500).map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(limits.read.get(), 250);
        // Two refusals, then ten chunks.
        assert_eq!(toll.spent(), 12);
        // The next session announces the lie again.
        limits.announce(&[DataValue::value_only(1000u32)]);
        assert_eq!(limits.read.get(), 250);
    }

    #[tokio::test]
    async fn one_item_that_is_too_large_is_an_error_and_no_loop() {
        let (wire, limits, toll) = (Wire::default(), Limits::default(), toll());
        let terms = Terms {
            wire: &wire,
            limits: &limits,
            limit: &limits.read,
            toll: &toll,
            deadline: Instant::now() + Duration::from_secs(5),
            doing: "reading",
        };
        let error = in_chunks(terms, &[1, 2, 3], |items| double(items, 0)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol);
    }

    #[test]
    fn what_a_server_does_not_say_is_500_and_what_it_boasts_is_1000() {
        let limits = Limits::default();
        limits.announce(&[DataValue::value_only(0u32), DataValue::value_only(100_000u32)]);
        let now = (limits.read.get(), limits.browse.get(), limits.monitor.get());
        assert_eq!(now, (500, 1000, 500));
    }
}
