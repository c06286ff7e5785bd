//! The ring of a scan group: tags that are read together and share their times.
//!
//! A line of 64 bytes holds seven values of one tag and their seven codes (and a spare byte), so
//! a window touches one cache line per seven samples. Lines lie `[block][tag]`: one scan writes
//! a run of neighbouring lines.
//!
//! Where the device says when a value was true, its times lie apart, eight bytes a sample: a
//! device that says nothing, as a Modbus one, costs nothing.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use super::codes::Kind;
use super::protocol::{ATTEMPTS, Head, Memory, Word, count, index};
use super::raw::{NO_SOURCE, Span, source_ts};
use crate::model::{Quality, Sample, Timestamp};

/// 64 bytes hold seven words of eight bytes and the byte of code of each.
pub(super) const LINE_ROWS: usize = 7;

#[repr(align(64))]
struct Line<M: Memory> {
    values: [M::Word; LINE_ROWS],
    codes: M::Word,
}

/// Seven rows of every tag; made when the writer first comes to it.
type Block<M> = OnceLock<Box<[Line<M>]>>;

/// The device's own times of seven rows of every tag; [`NO_SOURCE`] where it gave none.
type Lane<M> = OnceLock<Box<[[<M as Memory>::Word; LINE_ROWS]]>>;

/// Whose times a ring keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clocks {
    /// Ours, when a row was received.
    Ours,
    /// The device's too, for each sample.
    Both,
}

/// Takes the rows of one tag as they are copied, line by line.
pub(super) trait Sink {
    /// Starts again.
    fn clear(&mut self);

    /// Takes seven rows.
    fn line(&mut self, values: &[u64; LINE_ROWS], codes: [u8; LINE_ROWS]);

    /// Takes the device's times of the seven rows of a line, where the ring keeps them.
    fn sources(&mut self, _times: &[i64; LINE_ROWS]) {}

    /// Takes the time of each row that is wanted.
    fn times(&mut self, times: impl Iterator<Item = i64>);

    /// Forgets the first `skipped` rows of the lines, and what comes after the `length` rows
    /// that follow; of these, with their times, the first `gone`.
    fn keep(&mut self, skipped: usize, gone: usize, length: usize);
}

/// One row of one tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawSample {
    pub(super) row: u64,
    pub(super) time: i64,
    pub(super) source: i64,
    pub(super) bits: u64,
    pub(super) code: u8,
}

impl RawSample {
    /// Makes a sample of what its code says.
    pub(super) fn sample(self, kind: Kind, quality: Quality) -> Sample {
        let received_ts = Timestamp::from_nanos(self.time);
        let source_ts = source_ts(self.source);
        Sample { value: kind.value(self.bits), quality, source_ts, received_ts }
    }
}

/// Rows of `width` samples each.
pub(super) struct ScanRing<M: Memory> {
    head: Head<M>,
    width: usize,
    times: Box<[M::Word]>,
    blocks: Box<[Block<M>]>,
    /// One for each block.
    lanes: Option<Box<[Lane<M>]>>,
}

impl<M: Memory> Line<M> {
    fn empty() -> Self {
        Self { values: std::array::from_fn(|_| M::Word::new(0)), codes: M::Word::new(0) }
    }
}

/// Lines whose loads are under way at once. Each lies in a page of its own, so a window is as
/// slow as memory answers, unless all of them are asked for before the first is used.
const AHEAD: usize = 16;

/// Copies lines of one tag.
fn copy<'a, M: Memory>(
    mut blocks: impl Iterator<Item = &'a Block<M>>,
    column: usize,
    to: &mut impl Sink,
) {
    loop {
        let mut ahead = [const { None }; AHEAD];
        let mut taken = 0;
        for (slot, block) in ahead.iter_mut().zip(&mut blocks) {
            let line = block.get().and_then(|lines| lines.get(column));
            *slot = line.map(|line| (line, line.codes.load(Relaxed)));
            taken += 1;
        }
        for line in ahead.iter().take(taken) {
            let mut values = [0; LINE_ROWS];
            let mut codes = [0; LINE_ROWS];
            if let Some((line, word)) = line {
                for (to, value) in values.iter_mut().zip(&line.values) {
                    *to = value.load(Relaxed);
                }
                let [a, b, c, d, e, f, g, _spare] = word.to_le_bytes();
                codes = [a, b, c, d, e, f, g];
            }
            to.line(&values, codes);
        }
        if taken < AHEAD {
            return;
        }
    }
}

impl<M: Memory> ScanRing<M> {
    /// Makes an empty ring in which at least `rows` rows can be read once it is full.
    pub(super) fn new(width: usize, rows: usize, clocks: Clocks) -> Self {
        // One more: the slot under the writer's pen can't be read.
        let blocks = (rows + 1).div_ceil(LINE_ROWS);
        let slots = blocks * LINE_ROWS;
        let lanes = || (0..blocks).map(|_| OnceLock::new()).collect();
        Self {
            head: Head::new(count(slots)),
            width,
            times: (0..slots).map(|_| M::Word::new(0)).collect(),
            blocks: (0..blocks).map(|_| OnceLock::new()).collect(),
            lanes: (clocks == Clocks::Both).then(lanes),
        }
    }

    /// Gives the bytes a ring takes once it is full.
    pub(super) fn bytes_when_full(width: usize, rows: usize, clocks: Clocks) -> u64 {
        let blocks = (rows + 1).div_ceil(LINE_ROWS);
        let line = Self::line_bytes(clocks);
        count(blocks * (width * line + LINE_ROWS * size_of::<M::Word>()))
    }

    fn line_bytes(clocks: Clocks) -> usize {
        let source = size_of::<[M::Word; LINE_ROWS]>();
        size_of::<Line<M>>() + if clocks == Clocks::Both { source } else { 0 }
    }

    /// Tells whose times it keeps.
    pub(super) fn clocks(&self) -> Clocks {
        if self.lanes.is_some() { Clocks::Both } else { Clocks::Ours }
    }

    /// Gives the bytes taken now.
    pub(super) fn bytes(&self) -> u64 {
        let made = self.blocks.iter().filter(|block| block.get().is_some()).count();
        let line = Self::line_bytes(self.clocks());
        count(made * self.width * line + self.times.len() * size_of::<M::Word>())
    }

    pub(super) fn head(&self) -> &Head<M> {
        &self.head
    }

    /// Appends one row. For the writer alone; as many samples as the ring is wide, and the
    /// device's times of the first of them.
    pub(super) fn append(
        &self,
        time: i64,
        samples: impl Iterator<Item = (u64, u8)>,
        sources: impl Iterator<Item = i64>,
    ) {
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
        if let Some(lane) = self.lanes.as_ref().and_then(|lanes| lanes.get(slot / LINE_ROWS)) {
            let none = || std::array::from_fn(|_| M::Word::new(NO_SOURCE.cast_unsigned()));
            let lane = lane.get_or_init(|| (0..self.width).map(|_| none()).collect());
            let sources = sources.chain(std::iter::repeat(NO_SOURCE));
            for (at, source) in lane.iter().filter_map(|times| times.get(nth)).zip(sources) {
                at.store(source.cast_unsigned(), Relaxed);
            }
        }
        self.head.publish(row);
    }

    /// Copies the device's times of whole lines of one tag.
    fn copy_sources(&self, column: usize, first: usize, lines: usize, to: &mut impl Sink) {
        let Some(lanes) = &self.lanes else { return };
        for lane in lanes.iter().skip(first).chain(lanes).take(lines) {
            let mut times = [NO_SOURCE; LINE_ROWS];
            if let Some(line) = lane.get().and_then(|lane| lane.get(column)) {
                for (to, time) in times.iter_mut().zip(line) {
                    *to = time.load(Relaxed).cast_signed();
                }
            }
            to.sources(&times);
        }
    }

    #[inline]
    fn source(&self, column: usize, slot: usize) -> i64 {
        let Some(lanes) = &self.lanes else { return NO_SOURCE };
        let line = lanes.get(slot / LINE_ROWS).and_then(OnceLock::get).and_then(|l| l.get(column));
        let time = line.and_then(|line| line.get(slot % LINE_ROWS));
        time.map_or(NO_SOURCE, |time| time.load(Relaxed).cast_signed())
    }

    fn time(&self, row: u64) -> i64 {
        let slot = index(row % self.head.slots());
        self.times.get(slot).map_or(0, |time| time.load(Relaxed).cast_signed())
    }

    /// Copies the wanted rows of one tag that are whole when the copy ends, and gives the row
    /// they begin with.
    pub(super) fn read(&self, column: usize, span: Span, to: &mut impl Sink) -> u64 {
        let mut first = 0;
        for _ in 0..ATTEMPTS {
            to.clear();
            let rows = span.of(self.head.readable(), |row| self.time(row));
            let length = index(rows.end - rows.start);
            let slot = index(rows.start % self.head.slots());
            let skipped = slot % LINE_ROWS;
            // Whole lines, with their ends cut off afterwards: a copy of seven is one of a
            // length that the compiler knows.
            let lines = if length == 0 { 0 } else { (skipped + length).div_ceil(LINE_ROWS) };
            // The line it began with may be the last one too, once round the ring.
            let blocks = self.blocks.iter().skip(slot / LINE_ROWS).chain(&self.blocks);
            copy(blocks.take(lines), column, to);
            self.copy_sources(column, slot / LINE_ROWS, lines, to);
            let times = self.times.iter().skip(slot).chain(&self.times).take(length);
            to.times(times.map(|time| time.load(Relaxed).cast_signed()));
            first = self.head.valid_from().clamp(rows.start, rows.end);
            let gone = index(first - rows.start);
            to.keep(skipped, gone, length);
            if gone == 0 {
                break;
            }
        }
        first
    }

    /// Copies the newest row of one tag.
    #[inline]
    pub(super) fn latest(&self, column: usize) -> Option<RawSample> {
        for _ in 0..ATTEMPTS {
            let row = self.head.newest()?;
            let sample = self.sample(column, row)?;
            if self.head.valid_from() <= row {
                return Some(sample);
            }
        }
        None
    }

    #[inline]
    fn sample(&self, column: usize, row: u64) -> Option<RawSample> {
        let slot = index(row % self.head.slots());
        let line = self.blocks.get(slot / LINE_ROWS)?.get()?.get(column)?;
        let bits = line.values.get(slot % LINE_ROWS)?.load(Relaxed);
        let code = *line.codes.load(Relaxed).to_le_bytes().get(slot % LINE_ROWS)?;
        let source = self.source(column, slot);
        Some(RawSample { row, time: self.time(row), source, bits, code })
    }

    /// Copies the newest row of the tags from `column` on, as many as `out` has room for, and
    /// the device's times where the ring keeps them.
    ///
    /// Gives the row's time; `None` where there is no row, or the writer lapped every attempt.
    pub(super) fn latest_run(
        &self,
        column: usize,
        out: &mut [(u64, u8)],
        sources: &mut [i64],
    ) -> Option<i64> {
        for _ in 0..ATTEMPTS {
            let row = self.head.newest()?;
            let slot = index(row % self.head.slots());
            let nth = slot % LINE_ROWS;
            let lines = self.blocks.get(slot / LINE_ROWS)?.get()?.get(column..)?;
            for (line, to) in lines.iter().zip(out.iter_mut()) {
                let bits = line.values.get(nth).map_or(0, |value| value.load(Relaxed));
                let codes = line.codes.load(Relaxed).to_le_bytes();
                *to = (bits, codes.get(nth).copied().unwrap_or(0));
            }
            if self.lanes.is_some() {
                for (nth, to) in sources.iter_mut().enumerate() {
                    *to = self.source(column + nth, slot);
                }
            }
            let time = self.time(row);
            if self.head.valid_from() <= row {
                return Some(time);
            }
        }
        None
    }
}
