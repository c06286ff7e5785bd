//! The ring of one streamed tag: its samples come on their own, with source times of their own.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;

use super::lines::RawSample;
use super::protocol::{ATTEMPTS, Head, Memory, Word, count, index};
use super::raw::{NO_SOURCE, Raw, Span};

/// Slots that are made at once: most tags that stream change seldom and never need more.
const CHUNK_SLOTS: usize = 32;

/// The distance from received to source time is kept in 56 bits of nanoseconds, 416 days either
/// way; this pattern says that there is no source time.
const NO_DISTANCE: i64 = -(1 << 55);

/// 24 bytes: the value, the time it was received, and the distance to its source time with the
/// code in the lowest byte.
struct Slot<M: Memory> {
    value: M::Word,
    time: M::Word,
    tail: M::Word,
}

type Chunk<M> = OnceLock<Box<[Slot<M>; CHUNK_SLOTS]>>;

/// The samples of one tag.
pub(super) struct StreamRing<M: Memory> {
    head: Head<M>,
    chunks: Box<[Chunk<M>]>,
}

/// Tells whether a ring can hold this source time; a clock that is years off needs a cell.
pub(super) fn source_fits(time: i64, source: i64) -> bool {
    source == NO_SOURCE
        || source.checked_sub(time).is_some_and(|gap| gap > NO_DISTANCE && gap < -NO_DISTANCE)
}

fn tail(time: i64, source: i64, code: u8) -> u64 {
    let distance = if source == NO_SOURCE { NO_DISTANCE } else { source.saturating_sub(time) };
    (distance << 8).cast_unsigned() | u64::from(code)
}

fn source_of(time: i64, tail: u64) -> i64 {
    let distance = tail.cast_signed() >> 8;
    if distance == NO_DISTANCE { NO_SOURCE } else { time.saturating_add(distance) }
}

impl<M: Memory> StreamRing<M> {
    /// Makes an empty ring in which at least `samples` samples can be read once it is full.
    pub(super) fn new(samples: usize) -> Self {
        // One more: the slot under the writer's pen can't be read.
        let chunks = (samples + 1).div_ceil(CHUNK_SLOTS);
        Self {
            head: Head::new(count(chunks * CHUNK_SLOTS)),
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Gives the bytes a ring takes once it is full.
    pub(super) fn bytes_when_full(samples: usize) -> u64 {
        let chunks = (samples + 1).div_ceil(CHUNK_SLOTS);
        count(chunks * (CHUNK_SLOTS * size_of::<Slot<M>>() + size_of::<Chunk<M>>()))
    }

    /// Gives the bytes taken now.
    pub(super) fn bytes(&self) -> u64 {
        let made = self.chunks.iter().filter(|chunk| chunk.get().is_some()).count();
        count(made * CHUNK_SLOTS * size_of::<Slot<M>>() + self.chunks.len() * size_of::<Chunk<M>>())
    }

    pub(super) fn head(&self) -> &Head<M> {
        &self.head
    }

    /// Appends one sample, whose source time fits. For the writer alone.
    pub(super) fn append(&self, time: i64, source: i64, bits: u64, code: u8) {
        let row = self.head.begin();
        let at = index(row % self.head.slots());
        if let Some(chunk) = self.chunks.get(at / CHUNK_SLOTS) {
            let slots = chunk.get_or_init(|| {
                Box::new(std::array::from_fn(|_| Slot {
                    value: M::Word::new(0),
                    time: M::Word::new(0),
                    tail: M::Word::new(0),
                }))
            });
            if let Some(slot) = slots.get(at % CHUNK_SLOTS) {
                slot.value.store(bits, Relaxed);
                slot.time.store(time.cast_unsigned(), Relaxed);
                slot.tail.store(tail(time, source, code), Relaxed);
            }
        }
        self.head.publish(row);
    }

    fn slot(&self, row: u64) -> Option<&Slot<M>> {
        let at = index(row % self.head.slots());
        self.chunks.get(at / CHUNK_SLOTS)?.get()?.get(at % CHUNK_SLOTS)
    }

    fn time(&self, row: u64) -> i64 {
        self.slot(row).map_or(0, |slot| slot.time.load(Relaxed).cast_signed())
    }

    /// Copies the wanted samples that are whole when the copy ends.
    pub(super) fn read(&self, span: Span, out: &mut Raw) {
        for _ in 0..ATTEMPTS {
            out.clear();
            let rows = span.of(self.head.readable(), |row| self.time(row));
            out.first = rows.start;
            for row in rows.clone() {
                let sample = self.sample(row);
                out.times.push(sample.time);
                out.source.push(sample.source);
                out.bits.push(sample.bits);
                out.codes.push(sample.code);
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

    /// Copies the newest sample.
    pub(super) fn latest(&self) -> Option<RawSample> {
        for _ in 0..ATTEMPTS {
            let row = self.head.newest()?;
            let sample = self.sample(row);
            if self.head.valid_from() <= row {
                return Some(sample);
            }
        }
        None
    }

    fn sample(&self, row: u64) -> RawSample {
        let Some(slot) = self.slot(row) else {
            return RawSample { row, time: 0, source: NO_SOURCE, bits: 0, code: 0 };
        };
        let time = slot.time.load(Relaxed).cast_signed();
        let tail = slot.tail.load(Relaxed);
        let [code, ..] = tail.to_le_bytes();
        RawSample { row, time, source: source_of(time, tail), bits: slot.value.load(Relaxed), code }
    }
}
