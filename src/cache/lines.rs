//! The ring of a scan group: tags that are read together and share their times.
//!
//! A line of 64 bytes holds seven values of one tag and their seven codes (and a spare byte), so
//! a window touches one cache line per seven samples. Lines lie `[block][tag]`: one scan writes
//! a run of neighbouring lines.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use super::protocol::{ATTEMPTS, Head, Memory, Word, count, index};
use super::raw::{Raw, Span};

/// 64 bytes hold seven words of eight bytes and the byte of code of each.
pub(super) const LINE_ROWS: usize = 7;

#[repr(align(64))]
struct Line<M: Memory> {
    values: [M::Word; LINE_ROWS],
    codes: M::Word,
}

/// Seven rows of every tag; made when the writer first comes to it.
type Block<M> = OnceLock<Box<[Line<M>]>>;

/// One row of one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawSample {
    pub(super) row: u64,
    pub(super) time: i64,
    pub(super) source: i64,
    pub(super) bits: u64,
    pub(super) code: u8,
}

/// Rows of `width` samples each.
pub(super) struct ScanRing<M: Memory> {
    head: Head<M>,
    width: usize,
    times: Box<[M::Word]>,
    blocks: Box<[Block<M>]>,
}

impl<M: Memory> Line<M> {
    fn empty() -> Self {
        Self { values: std::array::from_fn(|_| M::Word::new(0)), codes: M::Word::new(0) }
    }
}

impl<M: Memory> ScanRing<M> {
    /// Makes an empty ring in which at least `rows` rows can be read once it is full.
    pub(super) fn new(width: usize, rows: usize) -> Self {
        // One more: the slot under the writer's pen can't be read.
        let blocks = (rows + 1).div_ceil(LINE_ROWS);
        let slots = blocks * LINE_ROWS;
        Self {
            head: Head::new(count(slots)),
            width,
            times: (0..slots).map(|_| M::Word::new(0)).collect(),
            blocks: (0..blocks).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Gives the bytes a ring takes once it is full.
    pub(super) fn bytes_when_full(width: usize, rows: usize) -> u64 {
        let blocks = (rows + 1).div_ceil(LINE_ROWS);
        count(blocks * (width * size_of::<Line<M>>() + LINE_ROWS * size_of::<M::Word>()))
    }

    /// Gives the bytes taken now.
    pub(super) fn bytes(&self) -> u64 {
        let made = self.blocks.iter().filter(|block| block.get().is_some()).count();
        count(made * self.width * size_of::<Line<M>>() + self.times.len() * size_of::<M::Word>())
    }

    pub(super) fn head(&self) -> &Head<M> {
        &self.head
    }

    /// Appends one row. For the writer alone; as many samples as the ring is wide.
    pub(super) fn append(&self, time: i64, samples: impl Iterator<Item = (u64, u8)>) {
        let row = self.head.begin();
        let slot = index(row % self.head.slots());
        let (Some(block), Some(at)) = (self.blocks.get(slot / LINE_ROWS), self.times.get(slot))
        else {
            return;
        };
        let lines = block.get_or_init(|| (0..self.width).map(|_| Line::empty()).collect());
        at.store(time.cast_unsigned(), Relaxed);
        let nth = slot % LINE_ROWS;
        let shift = 8 * nth;
        let others = !(0xFF_u64 << shift);
        for (line, (bits, code)) in lines.iter().zip(samples) {
            if let Some(value) = line.values.get(nth) {
                value.store(bits, Relaxed);
            }
            // The one writer may read its own word back and change a byte of it.
            let codes = (line.codes.load(Relaxed) & others) | (u64::from(code) << shift);
            line.codes.store(codes, Relaxed);
        }
        self.head.publish(row);
    }

    fn time(&self, row: u64) -> i64 {
        let slot = index(row % self.head.slots());
        self.times.get(slot).map_or(0, |time| time.load(Relaxed).cast_signed())
    }

    /// Copies the wanted rows of one tag that are whole when the copy ends.
    pub(super) fn read(&self, column: usize, span: Span, out: &mut Raw) {
        for _ in 0..ATTEMPTS {
            out.clear();
            let rows = span.of(self.head.readable(), |row| self.time(row));
            out.first = rows.start;
            let mut row = rows.start;
            while row < rows.end {
                let slot = index(row % self.head.slots());
                let taken = (LINE_ROWS - slot % LINE_ROWS).min(index(rows.end - row));
                self.copy(column, slot, taken, out);
                row += count(taken);
            }
            let valid = self.head.valid_from();
            out.drop_before(valid);
            if valid <= rows.start {
                break;
            }
        }
        if let Span::Between { since, until } = span {
            out.keep_between(since, until);
        }
    }

    /// Copies `taken` rows that lie in one line.
    fn copy(&self, column: usize, slot: usize, taken: usize, out: &mut Raw) {
        let lines = self.blocks.get(slot / LINE_ROWS).and_then(OnceLock::get);
        let from = slot % LINE_ROWS;
        let rows = from..from + taken;
        let mut words = [0_u64; LINE_ROWS];
        let mut codes = [0_u8; 8];
        if let Some(line) = lines.and_then(|lines| lines.get(column)) {
            for (word, value) in words.iter_mut().zip(&line.values) {
                *word = value.load(Relaxed);
            }
            codes = line.codes.load(Relaxed).to_le_bytes();
        }
        out.bits.extend_from_slice(words.get(rows.clone()).unwrap_or_default());
        out.codes.extend_from_slice(codes.get(rows).unwrap_or_default());
        let times = self.times.get(slot..slot + taken).unwrap_or_default();
        out.times.extend(times.iter().map(|time| time.load(Relaxed).cast_signed()));
    }

    /// Copies the newest row of one tag.
    pub(super) fn latest(&self, column: usize) -> Option<RawSample> {
        for _ in 0..ATTEMPTS {
            let row = self.head.readable().end.checked_sub(1)?;
            let sample = self.sample(column, row)?;
            if self.head.valid_from() <= row {
                return Some(sample);
            }
        }
        None
    }

    fn sample(&self, column: usize, row: u64) -> Option<RawSample> {
        let slot = index(row % self.head.slots());
        let line = self.blocks.get(slot / LINE_ROWS)?.get()?.get(column)?;
        let bits = line.values.get(slot % LINE_ROWS)?.load(Relaxed);
        let code = *line.codes.load(Relaxed).to_le_bytes().get(slot % LINE_ROWS)?;
        Some(RawSample { row, time: self.time(row), source: super::raw::NO_SOURCE, bits, code })
    }

    /// Copies the newest row of the tags from `column` on, as many as `out` has room for.
    ///
    /// Gives the row, its time and how many were copied; `None` where there is no row, or the
    /// writer lapped every attempt.
    pub(super) fn latest_run(
        &self,
        column: usize,
        out: &mut [(u64, u8)],
    ) -> Option<(u64, i64, usize)> {
        for _ in 0..ATTEMPTS {
            let row = self.head.readable().end.checked_sub(1)?;
            let slot = index(row % self.head.slots());
            let nth = slot % LINE_ROWS;
            let lines = self.blocks.get(slot / LINE_ROWS)?.get()?.get(column..)?;
            for (line, to) in lines.iter().zip(out.iter_mut()) {
                let bits = line.values.get(nth).map_or(0, |value| value.load(Relaxed));
                let codes = line.codes.load(Relaxed).to_le_bytes();
                *to = (bits, codes.get(nth).copied().unwrap_or(0));
            }
            let time = self.time(row);
            if self.head.valid_from() <= row {
                return Some((row, time, lines.len().min(out.len())));
            }
        }
        None
    }
}
