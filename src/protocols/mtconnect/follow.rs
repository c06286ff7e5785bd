//! Follows an agent: what its documents say becomes readings, conditions and the present state.
//!
//! A document counts as a whole or not at all: nothing of one that is damaged anywhere comes in.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::conditions::Conditions;
use super::items::{Route, Routes};
use super::streams::{self, Header, Place, Seen};
use super::times;
use super::values;
use super::xml::Fault;
use crate::clock;
use crate::driver::{Category, ConditionReport, Level, Observation, Observations, Reading};
use crate::model::{ConditionEvent, Quality, Timestamp, Value};

/// Data items whose present state is kept; the largest cells have some thousands.
const ITEMS_MAX: usize = 100_000;
/// Keys of one set.
const KEYS_MAX: usize = 1000;
/// Observations handed out in one answer, and kept for it.
pub(super) const ROWS_MAX: usize = 5000;

/// What kind of answer a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To current: the whole present state.
    Snapshot,
    /// To current, of which only observations before that number count: the others come in
    /// their order.
    SnapshotBefore(u64),
    /// To sample: what has changed.
    Changes,
    /// To sample, of which only the observations from one number to before another count.
    Between(u64, u64),
}

impl Kind {
    fn is_snapshot(self) -> bool {
        matches!(self, Self::Snapshot | Self::SnapshotBefore(_))
    }

    /// Tells whether an observation counts.
    fn wants(self, sequence: Option<u64>) -> bool {
        match (self, sequence) {
            (Self::SnapshotBefore(end), Some(number)) => number < end,
            (Self::Between(from, end), Some(number)) => (from..end).contains(&number),
            _ => true,
        }
    }
}

/// What came of one document.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) header: Header,
    pub(super) readings: Vec<Reading>,
    pub(super) conditions: Vec<ConditionEvent>,
    /// The lowest and the highest sequence number in it.
    pub(super) sequences: Option<(u64, u64)>,
    pub(super) observations: usize,
}

type Keyed = Vec<(Arc<str>, Value)>;

/// The present state of one agent, as far as its documents have said it.
#[derive(Debug, Default)]
pub(super) struct Follow {
    conditions: Conditions,
    sets: HashMap<Box<str>, Keyed>,
    /// By data item, and by the code of an active condition.
    rows: HashMap<Box<str>, Arc<Observation>>,
}

/// What has been read of a document that may yet turn out to be damaged.
#[derive(Default)]
struct Draft<'d> {
    intake: Intake,
    /// Sets and conditions, whose meaning depends on what was before.
    later: Vec<(Place<'d>, Seen<'d>)>,
    /// The newest of each other item, by its place in the list.
    newest: Vec<(Place<'d>, Seen<'d>)>,
    places: HashMap<&'d str, usize>,
    /// The last one read.
    held: Option<(Place<'d>, Seen<'d>)>,
}

impl Follow {
    /// Takes a document, where `check` has nothing against it.
    pub(super) fn take(
        &mut self,
        document: &str,
        kind: Kind,
        routes: &Routes,
        check: impl FnOnce(&Intake) -> Result<(), Fault>,
    ) -> Result<Intake, Fault> {
        let received_ts = clock::now();
        let mut draft = Draft::default();
        let mut found: &[Route] = &[];
        let header = streams::read(document, |place, seen| {
            if !kind.wants(seen.sequence) {
                return;
            }
            draft.intake.observations += 1;
            if let Some(sequence) = seen.sequence {
                let (low, high) = draft.intake.sequences.unwrap_or((sequence, sequence));
                draft.intake.sequences = Some((low.min(sequence), high.max(sequence)));
            }
            if seen.category == Category::Condition || seen.is_set() {
                draft.later.push((place.clone(), seen));
                return;
            }
            // Documents list an item's observations one after the other.
            if !draft.is_again(place, &seen) {
                draft.settle();
                found = routes.of(&seen.id, &seen.name);
            }
            for route in found.iter().filter(|route| is_from(route, place)) {
                let (value, quality) = values::value(&seen, route.reads);
                let (value, quality) = match route.path.as_deref() {
                    None => (value, quality),
                    path => picked(&value, quality, path),
                };
                let source_ts = times::read(&seen.timestamp);
                let tag = route.tag;
                draft.intake.readings.push(Reading { tag, value, quality, source_ts, received_ts });
            }
            draft.hold(place, seen);
        })?;
        draft.intake.header = header;
        check(&draft.intake)?;
        draft.settle();
        Ok(self.commit(draft, kind, routes, received_ts))
    }

    fn commit(
        &mut self,
        draft: Draft<'_>,
        kind: Kind,
        routes: &Routes,
        received_ts: Timestamp,
    ) -> Intake {
        let Draft { mut intake, later, newest, .. } = draft;
        if kind.is_snapshot() {
            *self = Self::default();
        }
        for (place, seen) in later {
            let source_ts = times::read(&seen.timestamp);
            let (value, quality) = if seen.category == Category::Condition {
                let out = &mut intake.conditions;
                self.conditions.take(&place, &seen, source_ts, received_ts, out);
                self.show_condition(&place, &seen);
                level(self.conditions.level(&seen.id))
            } else {
                let read = self.merge(&seen, kind);
                self.show(&place, &seen);
                read
            };
            for route in routes.of(&seen.id, &seen.name).iter().filter(|r| is_from(r, &place)) {
                let (value, quality) = picked(&value, quality, route.path.as_deref());
                intake.readings.push(Reading {
                    tag: route.tag,
                    value,
                    quality,
                    source_ts,
                    received_ts,
                });
            }
        }
        for (place, seen) in newest {
            self.show(&place, &seen);
        }
        intake
    }

    /// Applies a set: an agent's sample tells only the keys that have changed (Part 2, 9.3).
    fn merge(&mut self, seen: &Seen<'_>, kind: Kind) -> (Value, Quality) {
        if seen.is_unavailable() {
            self.sets.remove(seen.id.as_ref());
            return (Value::Null, values::UNAVAILABLE);
        }
        let keyed = self.sets.entry(seen.id.as_ref().into()).or_default();
        if kind.is_snapshot() || seen.is_reset {
            keyed.clear();
        }
        let mut is_cut = false;
        for entry in &seen.entries {
            let at = keyed.iter().position(|(key, _)| **key == *entry.key);
            match (at, entry.is_removed) {
                (Some(at), true) => {
                    keyed.remove(at);
                }
                (None, true) => {}
                (Some(at), false) => {
                    if let Some((_, value)) = keyed.get_mut(at) {
                        *value = values::entry(entry);
                    }
                }
                (None, false) if keyed.len() < KEYS_MAX => {
                    keyed.push((values::key_of(&entry.key), values::entry(entry)));
                }
                (None, false) => is_cut = true,
            }
        }
        let quality = if is_cut { Quality::from_status(0x4000_0000) } else { Quality::GOOD };
        (Value::map(keyed.iter().cloned()), quality)
    }

    fn show(&mut self, place: &Place<'_>, seen: &Seen<'_>) {
        self.put(seen.id.as_ref().into(), Arc::new(row(place, seen)));
    }

    /// Shows a condition beside the others of its item that are still active.
    fn show_condition(&mut self, place: &Place<'_>, seen: &Seen<'_>) {
        let rare = seen.rare();
        let code: &str =
            if rare.condition_id.is_empty() { &rare.native_code } else { &rare.condition_id };
        let is_active = matches!(seen.level(), Some(Level::Warning | Level::Fault));
        let own = |code: &str| format!("{}\u{0}{code}", seen.id).into_boxed_str();
        if is_active {
            self.rows.remove(seen.id.as_ref());
            return self.put(own(code), Arc::new(row(place, seen)));
        }
        if code.is_empty() {
            let prefix = own("");
            self.rows.retain(|key, _| !key.starts_with(&*prefix));
        } else {
            self.rows.remove(&own(code));
        }
        if self.conditions.level(&seen.id).is_none_or(|level| level <= Level::Normal) {
            self.show(place, seen);
        }
    }

    fn put(&mut self, key: Box<str>, row: Arc<Observation>) {
        if self.rows.len() < ITEMS_MAX || self.rows.contains_key(&key) {
            self.rows.insert(key, row);
        }
    }

    /// Gives the present state, in the order of the buffer.
    pub(super) fn current(&self) -> Observations {
        let mut rows: Vec<Arc<Observation>> = self.rows.values().cloned().collect();
        rows.sort_by(|a, b| {
            (&a.device, a.sequence, &a.item).cmp(&(&b.device, b.sequence, &b.item))
        });
        let total = rows.len();
        rows.truncate(ROWS_MAX);
        Observations { rows, total }
    }

    /// Gives every condition that is active.
    pub(super) fn active(&self) -> Vec<ConditionEvent> {
        self.conditions.active()
    }
}

impl<'d> Draft<'d> {
    /// Tells whether an observation is of the same item as the one before it.
    fn is_again(&self, place: &Place<'_>, seen: &Seen<'_>) -> bool {
        let is_same = |(at, held): &(Place<'_>, Seen<'_>)| {
            held.id == seen.id && at.device == place.device && at.component == place.component
        };
        self.held.as_ref().is_some_and(is_same)
    }

    /// Holds an observation until one of another item comes.
    fn hold(&mut self, place: &Place<'d>, seen: Seen<'d>) {
        match &mut self.held {
            Some((_, held)) => *held = seen,
            None => self.held = Some((place.clone(), seen)),
        }
    }

    /// Puts the newest observation of an item in its place.
    fn settle(&mut self) {
        let Some((place, seen)) = self.held.take() else { return };
        // An id that had to be unescaped lives no longer than its observation: rare, and kept
        // as it comes.
        let Cow::Borrowed(id) = seen.id else { return self.newest.push((place, seen)) };
        match self.places.get(id).copied() {
            Some(at) => {
                if let Some(kept) = self.newest.get_mut(at) {
                    *kept = (place, seen);
                }
            }
            None => {
                self.places.insert(id, self.newest.len());
                self.newest.push((place, seen));
            }
        }
    }
}

fn is_from(route: &Route, place: &Place<'_>) -> bool {
    route.device.as_deref().is_none_or(|device| device == place.device)
}

fn level(level: Option<Level>) -> (Value, Quality) {
    match level {
        None | Some(Level::Unavailable) => (Value::Null, values::UNAVAILABLE),
        Some(level) => (Value::text(level.word()), Quality::GOOD),
    }
}

/// Picks a part of a set; one that is not there is Bad (there is no such value).
fn picked(value: &Value, quality: Quality, path: Option<&str>) -> (Value, Quality) {
    match path {
        Some(path) if *value != Value::Null => match value.pick(path) {
            Some(part) => (part.clone(), quality),
            None => (Value::Null, Quality::BAD_DECODING_ERROR),
        },
        _ => (value.clone(), quality),
    }
}

/// Makes an observation that outlives its document.
pub(super) fn row(place: &Place<'_>, seen: &Seen<'_>) -> Observation {
    let short = |text: &str| -> Arc<str> { text.chars().take(256).collect::<String>().into() };
    let rare = seen.rare();
    let condition = seen.level().map(|level| ConditionReport {
        level,
        native_code: short(&rare.native_code),
        native_severity: short(&rare.native_severity),
        qualifier: short(&rare.qualifier),
    });
    let kind: &str = if seen.category == Category::Condition { &rare.kind } else { seen.element };
    Observation {
        device: short(&place.device),
        component: short(&place.component),
        item: short(&seen.id),
        name: short(&seen.name),
        kind: short(kind),
        sub_type: short(&seen.sub_type),
        category: seen.category,
        timestamp: short(&seen.timestamp),
        sequence: seen.sequence,
        value: values::written(seen),
        condition,
    }
}
