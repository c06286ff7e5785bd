//! Reading: one tag's stretch of time, or the newest samples of many tags.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use redb::ReadOnlyTable;

use super::column::Scratch;
use super::error::StoreError;
use super::index::{Place, Segment, View};
use super::record::{Key, STREAMS, Section, Sections, Times};
use super::{Gap, GapCause, StoredWindow};
use crate::model::{Column, TagId, Timestamp, Window};

/// The tail of streamed tags is searched through this many bytes of records at most; a tag that
/// has been silent for longer starts without a tail.
const TAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;

type Records = ReadOnlyTable<Key, &'static [u8]>;

/// The record tables of one snapshot.
struct Tables {
    sealed: Records,
    open: Records,
}

impl Tables {
    fn of(view: &View) -> Result<Self, StoreError> {
        Ok(Self {
            sealed: view.snapshot.open_table(Place::Sealed.table())?,
            open: view.snapshot.open_table(Place::Open.table())?,
        })
    }

    fn at(&self, place: Place) -> &Records {
        match place {
            Place::Sealed => &self.sealed,
            Place::Open => &self.open,
        }
    }
}

/// Rows of one tag out of one section.
struct Stretch {
    times: Arc<Times>,
    column: Column,
}

/// Reads the newest `samples_max` samples between two instants, both included.
pub(super) fn window(
    view: &View,
    id: TagId,
    since: Timestamp,
    until: Timestamp,
    samples_max: usize,
) -> Result<StoredWindow, StoreError> {
    let tables = Tables::of(view)?;
    let mut places = vec![(STREAMS, id.0)];
    places.extend_from_slice(view.index.groups.columns(id));
    let touches =
        |segment: &&Arc<Segment>| segment.held.last >= since && segment.held.first <= until;
    let mut segments: Vec<&Arc<Segment>> = view.index.segments().filter(touches).collect();
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.held.last));
    let mut found = Found::default();
    for segment in segments {
        // Older segments can still overlap what is there where the clock was set back.
        if found.count > samples_max && found.oldest.is_some_and(|t| segment.held.last < t) {
            break;
        }
        for (group, column) in &places {
            if segment.held.groups.binary_search(group).is_ok() {
                found.look(tables.at(segment.place), segment, *group, *column, since, until)?;
            }
        }
    }
    Ok(found.into_window(view, since, until, samples_max))
}

#[derive(Default)]
struct Found {
    stretches: Vec<Stretch>,
    count: usize,
    oldest: Option<Timestamp>,
    damaged: Vec<Gap>,
    bad_records: u64,
    scratch: Scratch,
}

impl Found {
    /// Looks into the one record of a segment that can hold the column.
    fn look(
        &mut self,
        records: &Records,
        segment: &Segment,
        group: u32,
        column: u32,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let upto = (segment.id, group, column);
        let Some(row) = records.range((segment.id, 0, 0)..=upto)?.next_back() else {
            return Ok(());
        };
        let (key, bytes) = row?;
        match stretch(key.value(), bytes.value(), group, column, &mut self.scratch) {
            Ok(Some(stretch)) => {
                let inside = |t: &&Timestamp| **t >= since && **t <= until;
                let times = stretch.times.received.iter().filter(inside);
                self.count += times.clone().count();
                self.oldest = times.min().copied().into_iter().chain(self.oldest).min();
                self.stretches.push(stretch);
            }
            Ok(None) => {}
            Err(_) => {
                self.bad_records += 1;
                let (from, until) = (segment.held.first, segment.held.last);
                self.damaged.push(Gap { from, until, lost: None, cause: GapCause::Damaged });
            }
        }
        Ok(())
    }

    fn into_window(
        self,
        view: &View,
        since: Timestamp,
        until: Timestamp,
        samples_max: usize,
    ) -> StoredWindow {
        let mut window = joined(self.stretches, |t| t >= since && t <= until);
        let truncated = keep_newest(&mut window, samples_max);
        let from = if truncated { window.received.first().copied() } else { None };
        let from = from.unwrap_or(since);
        let known = view.index.gaps.iter().map(|(_, gap)| *gap);
        let mut gaps: Vec<Gap> = known
            .chain(self.damaged)
            .filter(|gap| gap.until >= from && gap.from <= until)
            .collect();
        gaps.sort_by_key(|gap| gap.from);
        window.lost = gaps.iter().filter_map(|gap| gap.lost).fold(0, u64::saturating_add);
        StoredWindow { window, truncated, gaps, bad_records: self.bad_records }
    }
}

/// Reads one column out of a record, or nothing where it isn't in there.
fn stretch(
    key: Key,
    bytes: &[u8],
    group: u32,
    column: u32,
    scratch: &mut Scratch,
) -> Result<Option<Stretch>, super::bytes::Malformed> {
    let mut sections = Sections::open(key, bytes)?;
    while let Some(mut section) = sections.next()? {
        if section.holds(group, column) {
            let times = Arc::new(section.times(scratch)?);
            for _ in section.first..column {
                section.skip(scratch)?;
            }
            return Ok(Some(Stretch { times, column: section.column(scratch)? }));
        }
    }
    Ok(None)
}

/// Joins stretches into one window, oldest first.
fn joined(mut stretches: Vec<Stretch>, keep: impl Fn(Timestamp) -> bool) -> Window {
    stretches.sort_by_key(|stretch| stretch.times.received.first().copied());
    let mut window = Window::default();
    let sourced = stretches.iter().any(|stretch| !stretch.times.source.is_empty());
    for Stretch { times, column } in stretches {
        let rows = times.received.iter().zip(column.values).zip(column.qualities);
        for (row, ((received, value), quality)) in rows.enumerate() {
            if keep(*received) {
                window.received.push(*received);
                window.values.push(value);
                window.qualities.push(quality);
                if sourced {
                    window.source.push(times.source.get(row).copied().flatten());
                }
            }
        }
    }
    if window.received.is_sorted() { window } else { sorted(&window) }
}

/// Puts samples in order that came while the clock was set back.
fn sorted(window: &Window) -> Window {
    let mut samples: Vec<_> = window.iter().collect();
    samples.sort_by_key(|sample| sample.received_ts);
    let mut ordered = Window::default();
    for sample in samples {
        ordered.push(sample);
    }
    if !window.source.is_empty() {
        ordered.source.resize(ordered.len(), None);
    }
    ordered
}

/// Cuts a window to its newest samples and tells whether that left any out.
fn keep_newest(window: &mut Window, samples_max: usize) -> bool {
    let over = window.len().saturating_sub(samples_max);
    window.received.drain(..over);
    window.values.drain(..over);
    window.qualities.drain(..over);
    window.source.drain(..over.min(window.source.len()));
    over > 0
}

/// What is still wanted of the tags' newest samples.
struct Wanted {
    missing: HashMap<TagId, usize>,
    /// Wanted columns of each group, with their tags.
    columns: HashMap<u32, BTreeMap<u32, TagId>>,
    found: HashMap<TagId, Vec<Stretch>>,
}

impl Wanted {
    fn of(view: &View, ids: &[TagId], samples: usize) -> Self {
        let mut columns: HashMap<u32, BTreeMap<u32, TagId>> = HashMap::new();
        for id in ids {
            columns.entry(STREAMS).or_default().insert(id.0, *id);
            for (group, column) in view.index.groups.columns(*id) {
                columns.entry(*group).or_default().insert(*column, *id);
            }
        }
        let missing = ids.iter().map(|id| (*id, samples)).collect();
        Self { missing, columns, found: HashMap::new() }
    }

    fn wants(&mut self, group: u32) -> bool {
        let Some(columns) = self.columns.get_mut(&group) else { return false };
        // A column that has enough leaves the list once, so that asking stays cheap.
        while let Some(first) = columns.first_entry() {
            if self.missing.get(first.get()).is_some_and(|left| *left > 0) {
                return true;
            }
            first.remove();
        }
        false
    }

    fn take(
        &mut self,
        mut section: Section<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), super::bytes::Malformed> {
        let Some(columns) = self.columns.get(&section.group) else { return Ok(()) };
        let end = section.first.saturating_add(section.columns);
        let mut at = section.first;
        let mut times = None;
        for (column, id) in columns.range(section.first..end) {
            let Some(left) = self.missing.get_mut(id).filter(|left| **left > 0) else { continue };
            let times: &Arc<Times> = match &mut times {
                Some(times) => times,
                none => none.insert(Arc::new(section.times(scratch)?)),
            };
            while at < *column {
                section.skip(scratch)?;
                at += 1;
            }
            let stretch = Stretch { times: Arc::clone(times), column: section.column(scratch)? };
            at += 1;
            *left = left.saturating_sub(stretch.times.received.len());
            self.found.entry(*id).or_default().push(stretch);
        }
        Ok(())
    }
}

/// Reads the newest samples of many tags, segment by segment backwards.
pub(super) fn tail(
    view: &View,
    ids: &[TagId],
    samples: usize,
) -> Result<Vec<(TagId, Window)>, StoreError> {
    let tables = Tables::of(view)?;
    let mut wanted = Wanted::of(view, ids, samples);
    let mut segments: Vec<&Arc<Segment>> = view.index.segments().collect();
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.held.last));
    let mut scratch = Scratch::default();
    let mut streams_bytes = 0;
    for segment in segments {
        let mut groups = segment.held.groups.clone();
        groups.retain(|group| wanted.wants(*group));
        if groups == [STREAMS] {
            streams_bytes += segment.held.bytes;
        }
        if groups.is_empty() || streams_bytes > TAIL_BYTES_MAX {
            continue;
        }
        let all = (segment.id, 0, 0)..=(segment.id, u32::MAX, u32::MAX);
        for row in tables.at(segment.place).range(all)? {
            let (key, bytes) = row?;
            // A damaged record leaves the tail shorter; a window over it shows the gap.
            let Ok(mut sections) = Sections::open(key.value(), bytes.value()) else { continue };
            while let Some(section) = sections.next()? {
                if groups.binary_search(&section.group).is_ok() {
                    wanted.take(section, &mut scratch)?;
                }
            }
        }
    }
    let mut found = wanted.found;
    let tails = ids.iter().filter_map(|id| {
        let mut window = joined(found.remove(id)?, |_| true);
        keep_newest(&mut window, samples);
        Some((*id, window))
    });
    Ok(tails.collect())
}
