//! Calls that collect messages: what was heard first, then what arrives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::errors;
use super::filter;
use super::hub::{Hub, message};
use super::store::{Kept, PER_TOPIC_MAX};
use crate::clock;
use crate::driver::{DriverError, ErrorKind, Message, Toll};
use crate::net::mqtt::Sender;

/// Messages of one answer.
const COUNT_MAX: u32 = 10_000;
/// Payloads of one answer, together.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Between two looks at what has come: a busy broker sends thousands in between.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What is left of a call's time for its answer.
const SPARE: Duration = Duration::from_millis(300);

/// What a call collects with.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) hub: Arc<Hub>,
    pub(super) sender: Sender,
    pub(super) qos: u8,
    pub(super) toll: Toll,
    pub(super) deadline: Instant,
}

/// What is collected.
pub(super) struct Wanted {
    pub(super) filter: Arc<str>,
    pub(super) count: u32,
    pub(super) per_topic: u32,
    pub(super) wait: Duration,
}

/// A filter that stands for a call; it is given back when the call ends, however that is.
struct Lent {
    hub: Arc<Hub>,
    sender: Sender,
    filter: Arc<str>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.hub.known.lock().give_back(&self.filter) {
            self.sender.unsubscribe(&self.filter);
        }
    }
}

/// Collects messages; tells whether there were more than the answer holds.
pub(super) async fn collect(
    caller: Caller,
    wanted: Wanted,
) -> Result<(Vec<Message>, bool), DriverError> {
    let Wanted { filter, count, per_topic, wait } = wanted;
    filter::check_filter(&filter).map_err(|why| {
        let text = format!("the filter of topics makes no sense: {why}");
        DriverError::new(ErrorKind::BadAddress, text).hint("write one such as site/line1/# or #")
    })?;
    let count = usize::try_from(count.clamp(1, COUNT_MAX)).unwrap_or(1);
    let per_topic = usize::try_from(per_topic).unwrap_or(1).clamp(1, PER_TOPIC_MAX);
    let until = (Instant::now() + wait).min(caller.deadline - SPARE);
    let since = caller.hub.known.lock().standing_since(&filter);
    let heard_ms = since.map(|since| clock::uptime_ms().saturating_sub(since));
    let is_known = heard_ms.is_some_and(|ms| Duration::from_millis(ms) >= wait);
    let _lent = match since {
        Some(_) => None,
        None => Some(lend(&caller, &filter).await?),
    };
    loop {
        let notified = caller.hub.heard.notified();
        let (found, all) = caller.hub.known.lock().store.find(&filter, per_topic, count);
        caller.toll.report_progress(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if let Some(failure) = caller.hub.failure() {
            return Err(failure);
        }
        let is_over = Instant::now() >= until;
        if found.len() >= count || is_known || is_over {
            let (messages, is_short) = shown(&found);
            return Ok((messages, is_short || all > found.len()));
        }
        if timeout_at(until, notified).await.is_ok() {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Makes the answer, the newest first until it is full, in the order they came.
fn shown(found: &[Kept]) -> (Vec<Message>, bool) {
    let mut bytes = 0;
    let fits = |kept: &&Kept| {
        bytes += kept.payload.len();
        bytes <= ANSWER_BYTES_MAX
    };
    let mut messages: Vec<Message> = found.iter().rev().take_while(fits).map(message).collect();
    messages.reverse();
    let is_short = messages.len() < found.len();
    (messages, is_short)
}

/// Subscribes for a call.
async fn lend(caller: &Caller, filter: &Arc<str>) -> Result<Lent, DriverError> {
    let is_there = caller.hub.known.lock().lend(filter);
    let Caller { hub, sender, .. } = caller.clone();
    let lent = Lent { hub, sender, filter: filter.clone() };
    if !is_there {
        caller.toll.spend(caller.deadline).await?;
        let asked = std::slice::from_ref(filter);
        let granted = caller.sender.subscribe(asked, caller.qos, caller.deadline).await;
        let granted = granted.map_err(|error| errors::of_session(&error))?;
        if granted.first() != Some(&true) {
            return Err(refused());
        }
    }
    Ok(lent)
}

/// Says that the broker does not grant a subscription.
pub(super) fn refused() -> DriverError {
    DriverError::new(ErrorKind::BadAddress, "the broker refuses this subscription")
        .hint("check the broker's access list for this user")
}
