//! The cache's own alarm events: limits passed, and conditions that came and went.

use crate::actors::Deps;
use crate::diagnose::alarms::AlarmEvent;
use crate::model::Timestamp;
use crate::tools::tag::Span;

/// The events, and whether some had no room.
pub(super) struct Own {
    pub(super) events: Vec<AlarmEvent>,
    pub(super) truncated: bool,
    /// Since when limits have been watched, within the span.
    pub(super) oldest: Option<Timestamp>,
}

/// Gives what was noted of alarms over a stretch.
pub(super) fn own_events(deps: &Deps, span: Span) -> Own {
    let desk = deps.findings.desk.lock();
    let events = desk.events(span.since, span.until).into_iter();
    Own {
        events: events.filter(|event| deps.shows(&event.source)).collect(),
        truncated: desk.dropped() > 0,
        oldest: desk.since().map(|since| since.max(span.since)),
    }
}
