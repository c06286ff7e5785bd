//! The past of a tag: its history from before its present ring, out of another ring or the store.

use std::sync::Arc;

use super::bytes::{Bytes, Held, Purpose};
use super::cells::{Content, weight};
use super::codes::{CELL, Codes, Kind};
use super::protocol::count;
use super::raw::NO_SOURCE;
use crate::model::{Sample, Timestamp, Window};

/// Samples on their way into a [`Past`], oldest first.
#[derive(Default)]
pub(super) struct Columns {
    times: Vec<i64>,
    source: Vec<i64>,
    bits: Vec<u64>,
    codes: Vec<u8>,
    /// In the order of the samples that point to them.
    cells: Vec<Content>,
    /// The first so many came from the store.
    restored: usize,
}

/// One tag's samples, never to change.
pub(super) struct Past {
    /// Shared by tags that were scanned together.
    times: Arc<[i64]>,
    /// Empty where no sample has a source time.
    source: Box<[i64]>,
    bits: Box<[u64]>,
    codes: Box<[u8]>,
    cells: Box<[(usize, Content)]>,
    restored: usize,
    /// When the link last proved alive; `None` where all of it came from the store.
    seen_uptime_ms: Option<u64>,
    /// The row that the first live sample had in the ring it comes from.
    live_row: u64,
    _held: Held,
}

/// What is known of a past besides its samples.
pub(super) struct Origin {
    pub(super) seen_uptime_ms: Option<u64>,
    pub(super) live_row: u64,
    /// The most samples to keep; the newest are.
    pub(super) samples_max: usize,
}

impl Columns {
    fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Appends a sample that lies in a ring.
    pub(super) fn push_bits(&mut self, time: i64, source: i64, bits: u64, code: u8) {
        self.times.push(time);
        self.source.push(source);
        self.bits.push(bits);
        self.codes.push(code);
    }

    /// Appends a sample that lies in a cell.
    pub(super) fn push_cell(&mut self, time: i64, content: Content) {
        let source = content.source.map_or(NO_SOURCE, Timestamp::nanos);
        self.push_bits(time, source, 0, CELL);
        self.cells.push(content);
    }

    /// Appends what came from the store.
    pub(super) fn push_restored(&mut self, sample: Sample, codes: &Codes) {
        let Sample { value, quality, source_ts: source, received_ts } = sample;
        let time = received_ts.nanos();
        self.restored = self.len() + 1;
        if let Some((kind, bits)) = Kind::of(&value) {
            let code = codes.code(kind, quality);
            if code != CELL {
                let source = source.map_or(NO_SOURCE, Timestamp::nanos);
                return self.push_bits(time, source, bits, code);
            }
        }
        self.push_cell(time, Content { value, quality, source });
    }

    /// Appends a past that is older than what comes next.
    pub(super) fn push_past(&mut self, past: &Past) {
        let base = self.len();
        self.times.extend_from_slice(&past.times);
        self.bits.extend_from_slice(&past.bits);
        self.codes.extend_from_slice(&past.codes);
        self.source.extend_from_slice(&past.source);
        self.source.resize(self.times.len(), NO_SOURCE);
        self.cells.extend(past.cells.iter().map(|(_, content)| content.clone()));
        if past.restored > 0 {
            self.restored = base + past.restored;
        }
    }

    /// Keeps what is older than `time`.
    pub(super) fn keep_before(&mut self, time: i64) {
        let end = self.times.partition_point(|at| *at < time);
        let cells = self.codes.iter().take(end).filter(|code| **code == CELL).count();
        self.times.truncate(end);
        self.source.truncate(end);
        self.bits.truncate(end);
        self.codes.truncate(end);
        self.cells.truncate(cells);
        self.restored = self.restored.min(end);
    }

    /// Keeps the newest samples and seals them; `alike` are times to share if they are the same.
    pub(super) fn seal(
        mut self,
        origin: &Origin,
        alike: &mut Arc<[i64]>,
        bytes: &Arc<Bytes>,
    ) -> Option<Past> {
        let gone = self.len().saturating_sub(origin.samples_max);
        let cells_gone = self.codes.iter().take(gone).filter(|code| **code == CELL).count();
        self.times.drain(..gone);
        self.source.drain(..gone);
        self.bits.drain(..gone);
        self.codes.drain(..gone);
        self.cells.drain(..cells_gone);
        let live_gone = gone.saturating_sub(self.restored);
        if self.times.is_empty() {
            return None;
        }
        let mut per_sample = size_of::<u64>() + size_of::<u8>();
        if self.source.iter().all(|source| *source == NO_SOURCE) {
            self.source.clear();
        } else {
            per_sample += size_of::<i64>();
        }
        if **alike != *self.times {
            *alike = Arc::from(self.times.as_slice());
            per_sample += size_of::<i64>();
        }
        let hanging: u64 = self.cells.iter().map(cell_bytes).sum();
        let pointing = self.codes.iter().enumerate().filter(|(_, code)| **code == CELL);
        let cells = pointing.map(|(at, _)| at).zip(self.cells).collect();
        Some(Past {
            times: Arc::clone(alike),
            source: self.source.into(),
            bits: self.bits.into(),
            codes: self.codes.into(),
            cells,
            restored: self.restored.saturating_sub(gone),
            seen_uptime_ms: origin.seen_uptime_ms,
            live_row: origin.live_row + count(live_gone),
            _held: bytes.hold(Purpose::Pasts, count(per_sample) * count(alike.len()) + hanging),
        })
    }
}

fn cell_bytes(content: &Content) -> u64 {
    count(size_of::<(usize, Content)>()) + weight(&content.value)
}

impl Past {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Gives the time of the oldest sample; a past is never empty.
    pub(super) fn first_time(&self) -> i64 {
        self.times.first().copied().unwrap_or(i64::MAX)
    }

    pub(super) fn seen_uptime_ms(&self) -> Option<u64> {
        self.seen_uptime_ms
    }

    pub(super) fn live_row(&self) -> u64 {
        self.live_row
    }

    /// Gives the time of the newest sample that did not come from the store.
    pub(super) fn last_live(&self) -> Option<i64> {
        self.times.get(self.restored..).and_then(<[i64]>::last).copied()
    }

    /// Counts the samples older than `time`.
    pub(super) fn before(&self, time: i64) -> usize {
        self.times.partition_point(|at| *at < time)
    }

    /// Counts the samples that the store had, or that are not newer than `time`.
    pub(super) fn known_at(&self, time: i64) -> usize {
        self.times.partition_point(|at| *at <= time).max(self.restored)
    }

    /// Tells whether the live samples begin later than `time`, so that some may be missing.
    pub(super) fn is_cut_after(&self, time: i64) -> bool {
        self.times.get(self.restored).is_some_and(|first| *first > time)
    }

    pub(super) fn sample(&self, at: usize, codes: &Codes) -> Option<Sample> {
        let received_ts = Timestamp::from_nanos(*self.times.get(at)?);
        let code = *self.codes.get(at)?;
        if code == CELL {
            let nth = self.cells.binary_search_by_key(&at, |(at, _)| *at).ok()?;
            let Content { value, quality, source } = self.cells.get(nth)?.1.clone();
            return Some(Sample { value, quality, source_ts: source, received_ts });
        }
        let (kind, quality) = codes.get(code)?;
        let source = self.source.get(at).copied().filter(|source| *source != NO_SOURCE);
        Some(Sample {
            value: kind.value(*self.bits.get(at)?),
            quality,
            source_ts: source.map(Timestamp::from_nanos),
            received_ts,
        })
    }

    /// Appends the samples from `first` to `end` to a window.
    pub(super) fn push_to(&self, range: std::ops::Range<usize>, codes: &Codes, to: &mut Window) {
        range.filter_map(|at| self.sample(at, codes)).for_each(|sample| to.push(sample));
    }
}
