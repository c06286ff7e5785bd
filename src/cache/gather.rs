//! Gathering what came since a position from several groups, and cutting it to a limit.

use std::collections::BTreeMap;

use super::codes::Codes;
use super::cursor::Asked;
use super::group::Way;
use super::positions::Position;
use super::protocol::{count, index};
use super::raw::{Raw, Span};
use crate::model::{Sample, TagId};

/// Samples are sorted and cut only once in a while: when this many, and four times the limit,
/// have come together.
const SLACK: usize = 1024;

/// A sample, `None` where its cell is freed, with what its order depends on.
struct Found {
    time: i64,
    group: u32,
    column: usize,
    row: u64,
    id: TagId,
    sample: Option<Sample>,
}

/// The oldest sample of a group that is not delivered this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    time: i64,
    row: u64,
    column: usize,
}

/// Rows that were overwritten before they could be read.
struct Gap {
    column: usize,
    from: u64,
    first: u64,
}

/// What one group has to give.
struct Source {
    way: Way,
    /// The position it was read from.
    from: i64,
    /// The position after all of it.
    end: Position,
    there: u64,
    gaps: Vec<Gap>,
    held: Option<Held>,
}

/// What is gathered from every group before it is cut to the limit.
pub(super) struct Gathering {
    limit: usize,
    left: Vec<(TagId, Option<Sample>)>,
    found: Vec<Found>,
    sources: BTreeMap<u32, Source>,
    lost: u64,
}

impl Gathering {
    pub(super) fn new(limit: usize) -> Self {
        let (left, found) = (Vec::new(), Vec::new());
        Self { limit, left, found, sources: BTreeMap::new(), lost: 0 }
    }

    /// How many samples may wait for the next cut.
    fn slack(&self) -> usize {
        self.limit.saturating_mul(4).saturating_add(SLACK)
    }

    /// Counts samples that are gone.
    pub(super) fn miss(&mut self, samples: u64) {
        self.lost += samples;
    }

    /// Takes a sample from a group that its tag has left.
    pub(super) fn push_left(&mut self, id: TagId, sample: Option<Sample>) {
        self.left.push((id, sample));
        if self.left.len() > self.slack() {
            self.cut_left();
        }
    }

    /// A group that is gone can't be gone on with: what is over the limit is missed.
    fn cut_left(&mut self) {
        let time =
            |sample: &Option<Sample>| sample.as_ref().map_or(i64::MIN, |s| s.received_ts.nanos());
        self.left.sort_by_key(|(id, sample)| (time(sample), *id));
        let surplus = self.left.len().saturating_sub(self.limit);
        self.lost += count(self.left.drain(..surplus).count());
    }

    /// Ends the samples of groups that were left; the others get the rest of the limit.
    pub(super) fn settle_left(&mut self) {
        self.cut_left();
        self.limit -= self.left.len();
    }

    /// Starts a group from now.
    pub(super) fn skip(&mut self, asked: &Asked) {
        let end = asked.now();
        let source = Source {
            way: asked.group.way(),
            from: end.upto,
            end,
            there: 0,
            gaps: Vec::new(),
            held: None,
        };
        self.sources.insert(asked.group.id, source);
    }

    /// Gathers from a group; from its beginning where there is no position.
    pub(super) fn gather(&mut self, asked: &Asked, from: Option<Position>, codes: &Codes) {
        match asked.group.way() {
            Way::Scan => self.gather_rows(asked, from, codes),
            Way::Stream => self.gather_stream(asked, from, codes),
        }
    }

    fn gather_rows(&mut self, asked: &Asked, from: Option<Position>, codes: &Codes) {
        let Asked { group, columns } = asked;
        let end = asked.now();
        let from = from.unwrap_or(Position { upto: group.floor, ..Position::BEGIN });
        let (way, gaps) = (Way::Scan, Vec::new());
        let source = Source { way, from: from.upto, end, there: 0, gaps, held: None };
        self.sources.insert(group.id, source);
        // More than fits, so that what is held back shows where to go on.
        let max = self.limit / columns.len().max(1) + 2;
        let mut raw = Raw::default();
        for (column, id) in columns {
            let row = from.row_of(*column);
            let span = Span::Rows { from: row, before: end.count, max };
            group.read(*column, span, &mut raw);
            let first = raw.first.min(end.count.max(row));
            if let Some(source) = self.sources.get_mut(&group.id)
                && first > row
            {
                source.gaps.push(Gap { column: *column, from: row, first });
            }
            self.push_all(asked, (*column, *id), &raw, codes);
        }
    }

    fn gather_stream(&mut self, asked: &Asked, from: Option<Position>, codes: &Codes) {
        let Asked { group, columns } = asked;
        let (upto, hash) = (group.upto(), asked.hash());
        let is_same = from.is_none_or(|from| from.part == hash);
        let since = from.map_or(group.floor, |from| from.upto);
        let end = Position { count: 0, part: hash, upto };
        let (way, gaps) = (Way::Stream, Vec::new());
        self.sources.insert(group.id, Source { way, from: since, end, there: 0, gaps, held: None });
        let (mut total, mut there) = (0, 0);
        let mut raw = Raw::default();
        for (column, id) in columns {
            let ever = asked.total(*column, upto);
            let until = upto.saturating_add(1);
            group.read(*column, Span::Between { since: since.saturating_add(1), until }, &mut raw);
            total += ever;
            there += count(raw.len());
            if !is_same && raw.first > 0 && raw.first == group.readable(*column).start {
                // Other tags than before: how many are missing can't be told, only that.
                self.lost += 1;
            }
            self.push_all(asked, (*column, *id), &raw, codes);
        }
        if is_same {
            let before = from.map_or(0, |from| from.count);
            self.lost += total.saturating_sub(before).saturating_sub(there);
        }
        if let Some(source) = self.sources.get_mut(&group.id) {
            source.end.count = total;
            source.there = there;
        }
    }

    fn push_all(&mut self, asked: &Asked, (column, id): (usize, TagId), raw: &Raw, codes: &Codes) {
        let group = asked.group.id;
        for (row, sample) in asked.group.samples(column, raw, codes) {
            let time = raw.times.get(index(row - raw.first)).copied().unwrap_or_default();
            self.found.push(Found { time, group, column, row, id, sample });
        }
        // Now and then, so that a reader far behind doesn't cost all its backlog at once.
        if self.found.len() > self.slack() {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.found.sort_unstable_by_key(|found| (found.time, found.group, found.column));
        let kept = self.limit.min(self.found.len());
        for Found { time, row, column, group, .. } in self.found.drain(kept..) {
            let held = Held { time, row, column };
            if let Some(source) = self.sources.get_mut(&group) {
                source.held = Some(source.held.map_or(held, |before| before.min(held)));
            }
        }
    }

    /// Gives the samples, the position of each group to go on from, and what is lost.
    pub(super) fn settle(mut self) -> (Vec<(TagId, Sample)>, BTreeMap<u32, Position>, u64) {
        self.cut();
        // Per group: how many are delivered, and the times they end with.
        let mut delivered: BTreeMap<u32, (u64, Vec<i64>)> = BTreeMap::new();
        for found in &self.found {
            let (samples, times) = delivered.entry(found.group).or_default();
            *samples += 1;
            times.push(found.time);
        }
        let mut at = BTreeMap::new();
        for (group, source) in &self.sources {
            let (samples, times) = delivered.remove(group).unwrap_or_default();
            let position = source.go_on(samples, &times);
            self.lost += source.gaps.iter().map(|gap| gap.passed_by(position)).sum::<u64>();
            at.insert(*group, position);
        }
        let found = self.found.into_iter().map(|found| (found.id, found.sample));
        let mut samples = Vec::new();
        for (id, sample) in self.left.into_iter().chain(found) {
            match sample {
                Some(sample) => samples.push((id, sample)),
                None => self.lost += 1,
            }
        }
        samples.sort_by_key(|(_, sample): &(TagId, Sample)| sample.received_ts);
        (samples, at, self.lost)
    }
}

impl Position {
    /// The row a column goes on with: of a row that was cut the first columns are delivered.
    pub(super) fn row_of(&self, column: usize) -> u64 {
        self.count + u64::from(count(column) < u64::from(self.part))
    }
}

impl Gap {
    /// Counts the rows of the gap that no later read will count.
    fn passed_by(&self, next: Position) -> u64 {
        self.first.min(next.row_of(self.column)).saturating_sub(self.from)
    }
}

impl Source {
    /// Gives the position after `samples` samples, received at `times`, are delivered.
    fn go_on(&self, samples: u64, times: &[i64]) -> Position {
        let Some(held) = self.held else { return self.end };
        // A row that is cut was received later than what is delivered in whole.
        let upto = times.iter().rev().find(|time| **time < held.time).copied();
        let upto = upto.unwrap_or(self.from);
        match self.way {
            Way::Scan => Position {
                count: held.row,
                part: u32::try_from(held.column).unwrap_or(u32::MAX),
                upto,
            },
            Way::Stream => {
                let count = self.end.count.saturating_sub(self.there.saturating_sub(samples));
                Position { count, part: self.end.part, upto }
            }
        }
    }
}
