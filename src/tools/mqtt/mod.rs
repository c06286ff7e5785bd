//! The MQTT tools: messages by topic, Sparkplug's nodes, the tree of a unified namespace.

mod listen;
mod nodes;
mod payload;
mod publish;
mod read;
mod sample;
mod uns;

pub(super) use nodes::NodeList;
pub(super) use publish::Publish;
pub(super) use read::ReadTopic;
pub(super) use sample::SubscribeSample;
pub(super) use uns::UnsBrowse;

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::Value as Json;

use super::ask::{ask_device, mismatched};
use super::call::clamped;
use super::endpoint::Target;
use super::provenance::Provenance;
use super::{Call, ToolError};
use crate::clock;
use crate::driver::{Ask, Message, Reply};

/// The reference's cap on messages of one answer.
const COUNT_MAX: i64 = 500;
/// The reference's cap on waiting.
const TIMEOUT_S_MAX: i64 = 60;
/// What is left to answer after the time the caller gave.
const SPARE_S: u64 = 2;
/// Messages of one topic that were heard already.
const PER_TOPIC: u32 = 16;
/// An answer nobody asked to be long stays below 32 KiB, with its other fields.
const ANSWER_BYTES: usize = 28 << 10;
/// One that was asked for many messages: with its text form it still fits a line of 1 MiB.
const ANSWER_BYTES_ASKED: usize = 256 << 10;
/// So many messages are what nobody asked for.
const COUNT_USUAL: i64 = 25;

fn twenty_five() -> i64 {
    COUNT_USUAL
}
fn five_hundred() -> i64 {
    COUNT_MAX
}
fn ten() -> i64 {
    10
}

/// Gives how long a call that waits so many seconds may take.
fn allowance(timeout_s: i64) -> Duration {
    let seconds = u64::try_from(timeout_s.clamp(1, TIMEOUT_S_MAX)).unwrap_or(60);
    Duration::from_secs(seconds + SPARE_S)
}

/// How much is wanted, checked.
#[derive(Debug, Clone, Copy)]
struct Wish {
    count: i64,
    per_topic: u32,
    timeout_s: i64,
}

impl Wish {
    fn checked(count: i64, per_topic: u32, timeout_s: i64) -> Result<Self, ToolError> {
        Ok(Self {
            count: clamped("count", count, 1, COUNT_MAX)?,
            per_topic,
            timeout_s: clamped("timeout_s", timeout_s, 1, TIMEOUT_S_MAX)?,
        })
    }

    /// Gives the bytes that the messages of an answer may take.
    fn bytes(self) -> usize {
        if self.count > COUNT_USUAL { ANSWER_BYTES_ASKED } else { ANSWER_BYTES }
    }
}

/// Gives the filters that are meant: the one asked for, else the endpoint's own, else `other`.
fn filters(target: &Target, asked: &str, other: &str) -> Vec<String> {
    let asked = asked.trim();
    if !asked.is_empty() {
        return vec![asked.to_owned()];
    }
    let settings = &target.spec().settings;
    let one = settings.get("topic").and_then(Json::as_str);
    let many = settings.get("topics").and_then(Json::as_array);
    let many = many.into_iter().flatten().filter_map(Json::as_str);
    let words = one.into_iter().chain(many).map(str::trim).filter(|word| !word.is_empty());
    let own: Vec<String> = words.map(str::to_owned).collect();
    if own.is_empty() { vec![other.to_owned()] } else { own }
}

/// Collects messages of some filters, in the order they came.
async fn collect(
    target: &Target,
    call: &Call,
    filters: &[String],
    wish: Wish,
) -> Result<(Vec<Message>, Provenance), ToolError> {
    let question = |filter: &String| Ask::Messages {
        filter: filter.as_str().into(),
        count: u32::try_from(wish.count).unwrap_or(1),
        per_topic: wish.per_topic,
        wait_ms: u32::try_from(wish.timeout_s).unwrap_or(1).saturating_mul(1000),
    };
    let asked = filters.iter().map(|filter| ask_device(target, call, question(filter)));
    let mut all: Vec<Message> = Vec::new();
    let mut provenance = Provenance::cache(None);
    for (reply, part) in try_join_all(asked).await? {
        let Reply::Messages { messages, truncated } = reply.as_ref() else {
            return Err(mismatched());
        };
        // What stood already cost the broker nothing.
        if part.device_requests > 0 {
            provenance.join(&part);
        }
        provenance.truncated |= truncated;
        all.extend(messages.iter().cloned());
    }
    if filters.len() > 1 {
        all.sort_by_key(|message| (message.received_ts, message.seen_uptime_ms));
        all.dedup();
        let count = usize::try_from(wish.count).unwrap_or(1);
        provenance.truncated |= all.len() > count;
        all.drain(..all.len().saturating_sub(count));
    }
    provenance.age_ms = all.iter().map(age_ms).max();
    Ok((all, provenance))
}

fn age_ms(message: &Message) -> u64 {
    clock::uptime_ms().saturating_sub(message.seen_uptime_ms)
}

/// Keeps the newest that fit, in the order they came; tells whether any did not.
fn fitting<T>(items: Vec<(T, usize)>, bytes_max: usize) -> (Vec<T>, bool) {
    let all = items.len();
    let mut bytes = 0;
    let mut kept: Vec<T> = items
        .into_iter()
        .rev()
        .take_while(|(_, size)| {
            bytes += size;
            bytes <= bytes_max
        })
        .map(|(item, _)| item)
        .collect();
    kept.reverse();
    let is_cut = kept.len() < all;
    (kept, is_cut)
}
