//! The cache's own alarm events: limits passed, and conditions that are active.

use crate::actors::Deps;
use crate::diagnose::alarms::{AlarmEvent, Change, crossings};
use crate::model::{ConditionEvent, Limits, Timestamp, sanitize};
use crate::tools::tag::Span;

/// Tags with limits looked at in one call: their rings are copied one by one.
const TAGS_MAX: usize = 2000;

/// The events, and whether some tags were passed over.
pub(super) struct Own {
    pub(super) events: Vec<AlarmEvent>,
    pub(super) truncated: bool,
    /// The time of the oldest sample looked at.
    pub(super) oldest: Option<Timestamp>,
}

/// Gathers what the cache knows of alarms over a stretch.
pub(super) fn own_events(deps: &Deps, span: Span) -> Own {
    let mut own = Own { events: Vec::new(), truncated: false, oldest: None };
    let has_limits = |limits: &Limits| *limits != Limits::default();
    let tags = deps.tags().into_iter().filter(|(_, tag)| has_limits(&tag.limits));
    for (nth, (id, tag)) in tags.enumerate() {
        if nth == TAGS_MAX {
            own.truncated = true;
            break;
        }
        let window = deps.cache.window(id, span.since, span.until);
        let first = window.received.first().copied();
        own.oldest = [own.oldest, first].into_iter().flatten().min();
        own.events.extend(crossings(&tag, &window));
    }
    for (endpoint, _) in deps.directory.endpoints() {
        let conditions = deps.cache.conditions(&endpoint);
        own.events.extend(conditions.iter().filter_map(|c| event(c, span)));
    }
    own
}

/// Makes an event of a condition; its branches are states that have passed (Part 9, 5.5.2).
fn event(condition: &ConditionEvent, span: Span) -> Option<AlarmEvent> {
    let is_now = condition.id.branch.is_empty() && condition.active == Some(true);
    let at = condition.source_ts.unwrap_or(condition.received_ts);
    // Part 5, 6.4.2 leaves the words to the server: these are the usual thirds.
    let priority = match condition.severity {
        0..=333 => "low",
        334..=666 => "medium",
        _ => "high",
    };
    (is_now && at < span.until).then(|| AlarmEvent {
        source: sanitize(&format!("{}/{}", condition.source, condition.name), 96).into(),
        priority: priority.into(),
        at: Some(at),
        change: Change::Active,
        is_stated: true,
    })
}
