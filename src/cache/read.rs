//! Reading: the newest sample, windows, and everything at once.

use std::sync::Arc;

use super::TagCache;
use super::codes::CELL;
use super::group::{Group, Rings};
use super::past::Past;
use super::raw::{NO_SOURCE, Raw, Span, source_ts};
use crate::model::{Quality, Sample, TagId, Timestamp, Window};

/// Tags of a scan group that are copied before the writer is looked at again.
const RUN: usize = 64;

/// A tag's newest sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// The sample.
    pub sample: Sample,
    /// When the link last proved alive, in [`crate::clock::uptime_ms`]; `None` where the sample
    /// came from the store and its age is by wall time.
    pub seen_uptime_ms: Option<u64>,
}

impl Span {
    /// Narrows a past to the wanted part; `start` is the time its ring begins with, `newer` how
    /// many samples that gave.
    pub(super) fn of_past(self, past: &Past, start: i64, newer: usize) -> std::ops::Range<usize> {
        let end = past.before(start);
        match self {
            Self::Last(n) => end.saturating_sub(n.saturating_sub(newer))..end,
            Self::Between { since, until } => {
                let end = end.min(past.before(until));
                past.before(since).min(end)..end
            }
            Self::Rows { .. } => 0..0,
        }
    }

    fn between(since: Timestamp, until: Timestamp) -> Self {
        Self::Between { since: since.nanos(), until: until.nanos() }
    }
}

impl TagCache {
    /// Gives a tag's newest sample; `None` where the tag is unknown or was never read.
    #[must_use]
    pub fn latest(&self, id: TagId) -> Option<Latest> {
        let in_ring = self.slots.spot(id).and_then(|spot| {
            self.in_group(spot.group, |group| {
                Some((group.latest_raw(spot.column)?, group.seen_uptime_ms(spot.column)?))
            })
        });
        if let Some(Some((raw, seen))) = in_ring
            && let Some((kind, quality)) = self.codes.get(raw.code)
        {
            let sample = raw.sample(kind, quality);
            return Some(Latest { sample, seen_uptime_ms: Some(seen) });
        }
        self.latest_known(id)
    }

    /// Gives the newest sample the long way: out of a cell, or the past.
    #[cold]
    #[inline(never)]
    fn latest_known(&self, id: TagId) -> Option<Latest> {
        let entry = self.slots.read(id)?;
        if let Some(place) = &entry.place
            && let Some(sample) = place.group.latest(place.column, &self.codes)
        {
            let seen_uptime_ms = place.group.seen_uptime_ms(place.column);
            // An edge may come before the first scan: the link has not proved alive yet.
            let seen_before = || entry.past.as_ref().and_then(|past| past.seen_uptime_ms());
            return Some(Latest { sample, seen_uptime_ms: seen_uptime_ms.or_else(seen_before) });
        }
        let past = entry.past.as_ref()?;
        let sample = past.sample(past.len().checked_sub(1)?, &self.codes)?;
        Some(Latest { sample, seen_uptime_ms: past.seen_uptime_ms() })
    }

    /// Gives a tag's newest `n` samples, or as many as there are.
    #[must_use]
    pub fn window_last(&self, id: TagId, n: usize) -> Window {
        self.window_of(id, Span::Last(n))
    }

    /// Gives a tag's samples received from `since`, inclusive, to `until`, exclusive.
    ///
    /// `lost` counts values whose memory was wanted elsewhere; what a ring has overwritten is
    /// the store's to tell.
    #[must_use]
    pub fn window(&self, id: TagId, since: Timestamp, until: Timestamp) -> Window {
        self.window_of(id, Span::between(since, until))
    }

    fn window_of(&self, id: TagId, span: Span) -> Window {
        let mut window = Window::default();
        let mut raw = Raw::default();
        let mut read = |part: Part<'_>| match part {
            Part::Past(past, range) => past.push_to(range, &self.codes, &mut window),
            Part::Ring(group, column, raw) => {
                group.push_to(column, raw, &self.codes, &mut window);
            }
        };
        self.parts(id, span, &mut raw, &mut read);
        window
    }

    /// Walks the parts that a tag's history lies in, oldest first; `raw` is memory to use.
    pub(super) fn parts(
        &self,
        id: TagId,
        span: Span,
        raw: &mut Raw,
        each: &mut impl FnMut(Part<'_>),
    ) {
        raw.clear();
        if let Some(spot) = self.slots.spot(id) {
            let read = self.in_group(spot.group, |group| {
                group.read(spot.column, span, raw);
                each(Part::Ring(group, spot.column, raw));
            });
            if read.is_some() {
                return;
            }
        }
        let Some(entry) = self.slots.read(id) else { return };
        let place = entry.place.as_ref();
        if let Some(place) = place {
            place.group.read(place.column, span, raw);
        }
        if let Some(past) = &entry.past {
            let start = place.map_or(i64::MAX, |place| place.group.start_time(place.column));
            each(Part::Past(past, span.of_past(past, start, raw.len())));
        }
        if let Some(place) = place {
            each(Part::Ring(&place.group, place.column, raw));
        }
    }

    /// Shows the newest sample of every tag that has one, in no order.
    pub fn snapshot(&self, each: &mut impl FnMut(TagId, &Latest)) {
        let groups: Vec<Arc<Group>> = self.groups.read().live().to_vec();
        for group in &groups {
            match &group.rings {
                Rings::Scan(_) => self.snapshot_rows(group, each),
                Rings::Stream(_) => {
                    let ids = group.tags.iter().enumerate().filter(|(c, _)| group.has(*c));
                    ids.for_each(|(_, id)| self.show(*id, each));
                }
            }
        }
        let unplaced: Vec<TagId> = self.unplaced.lock().iter().copied().collect();
        unplaced.into_iter().for_each(|id| self.show(id, each));
    }

    fn show(&self, id: TagId, each: &mut impl FnMut(TagId, &Latest)) {
        if let Some(latest) = self.latest(id) {
            each(id, &latest);
        }
    }

    /// Walks the lines of a scan group side by side, without a look at each tag's slot.
    fn snapshot_rows(&self, group: &Group, each: &mut impl FnMut(TagId, &Latest)) {
        let Rings::Scan(ring) = &group.rings else { return };
        let mut run = [(0_u64, 0_u8); RUN];
        let mut sources = [NO_SOURCE; RUN];
        for (nth, ids) in group.tags.chunks(RUN).enumerate() {
            let first = nth * RUN;
            let copied = ring.latest_run(first, &mut run, &mut sources);
            let seen_uptime_ms = group.seen_uptime_ms(first);
            let Some(time) = copied.filter(|_| seen_uptime_ms.is_some()) else {
                ids.iter().enumerate().filter(|(c, _)| group.has(first + c)).for_each(|(_, id)| {
                    self.show(*id, each);
                });
                continue;
            };
            let mut latest = Latest {
                sample: Sample {
                    value: crate::model::Value::Null,
                    quality: Quality::BAD,
                    source_ts: None,
                    received_ts: Timestamp::from_nanos(time),
                },
                seen_uptime_ms,
            };
            let readings = run.iter().zip(&sources);
            for ((column, id), ((bits, code), source)) in ids.iter().enumerate().zip(readings) {
                if !group.has(first + column) {
                    continue;
                }
                match self.codes.get(*code) {
                    Some((kind, quality)) if *code != CELL => {
                        latest.sample.value = kind.value(*bits);
                        latest.sample.quality = quality;
                        latest.sample.source_ts = source_ts(*source);
                        each(*id, &latest);
                    }
                    _ => self.show(*id, each),
                }
            }
        }
    }
}

/// Where a part of a tag's history lies.
pub(super) enum Part<'a> {
    /// Before its present ring: these samples.
    Past(&'a Past, std::ops::Range<usize>),
    /// In its present ring: these rows, copied.
    Ring(&'a Group, usize, &'a Raw),
}
