//! Groups: the tags that one writer appends to.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::bytes::{Bytes, Held, Purpose};
use super::cells::{Cells, Content};
use super::codes::{CELL, Codes};
use super::lines::{Clocks, RawSample, ScanRing};
use super::past::Columns;
use super::protocol::{ATTEMPTS, Native, count, index};
use super::raw::{NO_SOURCE, Raw, Span};
use super::stream::StreamRing;
use crate::clock;
use crate::model::{Sample, TagId, Timestamp, Window};

/// The link never proved alive.
const NEVER: u64 = u64::MAX;

/// How the samples of a group come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Row by row.
    Scan,
    /// One by one.
    Stream,
}

/// What rings a group is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One ring of rows.
    Rows(Clocks),
    /// A ring per tag.
    Singles,
}

pub(super) enum Rings {
    Scan(ScanRing<Native>),
    /// A ring per tag, and when it last got a sample.
    Stream(Box<[(StreamRing<Native>, AtomicU64)]>),
}

/// Tags with their rings.
pub(super) struct Group {
    /// Never given twice in a run; later groups have greater ones.
    pub(super) id: u32,
    pub(super) tags: Arc<[TagId]>,
    pub(super) rings: Rings,
    pub(super) cells: Cells,
    /// Everything its tags got elsewhere came up to this time.
    pub(super) floor: i64,
    /// Tags that have moved on.
    gone: Box<[AtomicBool]>,
    seen_uptime_ms: AtomicU64,
    upto: AtomicI64,
    written: AtomicBool,
    held: Mutex<Option<Held>>,
}

impl Group {
    /// Makes a group whose rings can show `rows` rows or samples a tag; the next sample is later
    /// than `floor`.
    pub(super) fn new(
        id: u32,
        form: Form,
        tags: &[TagId],
        rows: usize,
        floor: i64,
        bytes: &Arc<Bytes>,
    ) -> Self {
        let rings = match form {
            Form::Rows(clocks) => Rings::Scan(ScanRing::new(tags.len(), rows, clocks)),
            Form::Singles => Rings::Stream(
                tags.iter().map(|_| (StreamRing::new(rows), AtomicU64::new(NEVER))).collect(),
            ),
        };
        Self {
            id,
            tags: tags.into(),
            rings,
            floor,
            cells: Cells::new(Arc::clone(bytes)),
            gone: tags.iter().map(|_| AtomicBool::new(false)).collect(),
            seen_uptime_ms: AtomicU64::new(NEVER),
            upto: AtomicI64::new(floor),
            written: AtomicBool::new(true),
            held: Mutex::new(Some(
                bytes.hold(Purpose::Rings, bytes_when_full(form, tags.len(), rows)),
            )),
        }
    }

    /// Becomes its writer where it has none, and is just these tags.
    pub(super) fn claim(&self, form: Form, tags: &[TagId]) -> bool {
        self.can_hold(form)
            && *self.tags == *tags
            && self.gone.iter().all(|gone| !gone.load(Ordering::Relaxed))
            // What the writer before stored must be seen by the next.
            && !self.written.swap(true, Ordering::AcqRel)
    }

    /// Is without a writer from now on.
    pub(super) fn release(&self) {
        self.written.store(false, Ordering::Release);
    }

    pub(super) fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    /// Tells whether its rings keep all that rings of this form keep.
    fn can_hold(&self, form: Form) -> bool {
        match (&self.rings, form) {
            (Rings::Scan(ring), Form::Rows(clocks)) => {
                clocks == Clocks::Ours || ring.clocks() == clocks
            }
            (Rings::Stream(_), Form::Singles) => true,
            _ => false,
        }
    }

    pub(super) fn way(&self) -> Way {
        match &self.rings {
            Rings::Scan(_) => Way::Scan,
            Rings::Stream(_) => Way::Stream,
        }
    }

    /// Notes that a tag has moved on.
    pub(super) fn leave(&self, column: usize) {
        if let Some(gone) = self.gone.get(column) {
            gone.store(true, Ordering::Release);
        }
    }

    pub(super) fn has(&self, column: usize) -> bool {
        self.gone.get(column).is_some_and(|gone| !gone.load(Ordering::Acquire))
    }

    pub(super) fn is_left_by_all(&self) -> bool {
        (0..self.tags.len()).all(|column| !self.has(column))
    }

    /// Gives the memory its rings may take back to the rings to come.
    pub(super) fn give_up_room(&self) {
        *self.held.lock() = None;
    }

    /// Gives the bytes its rings take now.
    pub(super) fn bytes(&self) -> u64 {
        match &self.rings {
            Rings::Scan(ring) => ring.bytes(),
            Rings::Stream(rings) => rings.iter().map(|(ring, _)| ring.bytes()).sum(),
        }
    }

    /// Gives the time of its newest sample; nothing has been received where it is the least.
    pub(super) fn upto(&self) -> i64 {
        self.upto.load(Ordering::Acquire)
    }

    /// Gives a time later than every other of this group.
    pub(super) fn later(&self, received: Timestamp) -> i64 {
        received.nanos().max(self.upto.load(Ordering::Relaxed).saturating_add(1))
    }

    /// Notes, after a sample is published, that nothing older will come. For the writer alone.
    pub(super) fn has_got(&self, time: i64) {
        self.upto.store(time, Ordering::Release);
    }

    /// Notes that the link proved alive.
    pub(super) fn has_seen(&self) {
        self.seen_uptime_ms.store(clock::uptime_ms(), Ordering::Relaxed);
    }

    /// Gives when the link of a tag last proved alive.
    pub(super) fn seen_uptime_ms(&self, column: usize) -> Option<u64> {
        let known = |at: &AtomicU64| Some(at.load(Ordering::Relaxed)).filter(|at| *at != NEVER);
        match &self.rings {
            Rings::Scan(_) => known(&self.seen_uptime_ms),
            Rings::Stream(rings) => {
                let own = rings.get(column).and_then(|(_, seen)| known(seen));
                own.max(known(&self.seen_uptime_ms))
            }
        }
    }

    pub(super) fn readable(&self, column: usize) -> Range<u64> {
        match &self.rings {
            Rings::Scan(ring) => ring.head().readable(),
            Rings::Stream(rings) => {
                rings.get(column).map_or(0..0, |(ring, _)| ring.head().readable())
            }
        }
    }

    /// Counts the samples it ever got.
    pub(super) fn samples_ever(&self) -> u64 {
        (0..self.tags.len()).map(|column| self.readable(column).end).sum()
    }

    pub(super) fn read(&self, column: usize, span: Span, out: &mut Raw) {
        match &self.rings {
            Rings::Scan(ring) => {
                out.first = ring.read(column, span, out);
                if let Span::Between { since, until } = span {
                    // What was lapped while the rows were looked for lies elsewhere in time.
                    out.keep_between(since, until);
                }
            }
            Rings::Stream(rings) => {
                out.clear();
                if let Some((ring, _)) = rings.get(column) {
                    ring.read(span, out);
                }
            }
        }
    }

    /// Gives the time of the oldest row of a tag that can be read; the latest where none can.
    pub(super) fn start_time(&self, column: usize) -> i64 {
        let mut raw = Raw::default();
        let from = self.readable(column).start;
        self.read(column, Span::Rows { from, before: u64::MAX, max: 1 }, &mut raw);
        raw.times.first().copied().unwrap_or(i64::MAX)
    }

    /// Copies the newest row of a tag.
    #[inline]
    pub(super) fn latest_raw(&self, column: usize) -> Option<RawSample> {
        match &self.rings {
            Rings::Scan(ring) => ring.latest(column),
            Rings::Stream(rings) => rings.get(column)?.0.latest(),
        }
    }

    /// Gives the newest sample of a tag.
    pub(super) fn latest(&self, column: usize, codes: &Codes) -> Option<Sample> {
        for _ in 0..ATTEMPTS {
            let raw = self.latest_raw(column)?;
            // The cell of the newest row is always kept: it can only be gone with its row.
            if let Some(sample) = self.sample(column, raw, codes) {
                return Some(sample);
            }
        }
        None
    }

    /// Makes a sample of a copied row; `None` where the cell it points to is freed.
    pub(super) fn sample(&self, column: usize, raw: RawSample, codes: &Codes) -> Option<Sample> {
        if raw.code == CELL {
            let Content { value, quality, source } = self.cells.get(column, raw.row)?;
            let received_ts = Timestamp::from_nanos(raw.time);
            return Some(Sample { value, quality, source_ts: source, received_ts });
        }
        let (kind, quality) = codes.get(raw.code)?;
        Some(raw.sample(kind, quality))
    }

    /// Walks copied rows; a row whose cell was freed before its time comes as `None`, one that
    /// was lapped since it was copied doesn't come at all.
    pub(super) fn samples<'a>(
        &'a self,
        column: usize,
        raw: &'a Raw,
        codes: &'a Codes,
    ) -> impl Iterator<Item = (u64, Option<Sample>)> + 'a {
        (0..raw.len()).filter_map(move |nth| {
            let row = RawSample {
                row: raw.first + count(nth),
                time: *raw.times.get(nth)?,
                source: raw.source.get(nth).copied().unwrap_or(NO_SOURCE),
                bits: *raw.bits.get(nth)?,
                code: *raw.codes.get(nth)?,
            };
            let sample = self.sample(column, row, codes);
            (sample.is_some() || row.row >= self.readable(column).start)
                .then_some((row.row, sample))
        })
    }

    /// Appends copied rows to a window.
    pub(super) fn push_to(&self, column: usize, raw: &Raw, codes: &Codes, to: &mut Window) {
        to.reserve(raw.len());
        // Nearly always one code stands for the whole stretch, and no device tells its times.
        let plain = raw
            .codes
            .first()
            .filter(|code| raw.source.is_empty() && raw.codes.iter().all(|other| other == *code));
        if let Some(code) = plain.filter(|code| **code != CELL)
            && let Some((kind, quality)) = codes.get(*code)
        {
            let received = raw.times.iter().map(|time| Timestamp::from_nanos(*time));
            to.push_alike(received, raw.bits.iter().map(|bits| kind.value(*bits)), quality);
            return;
        }
        for (_, sample) in self.samples(column, raw, codes) {
            match sample {
                Some(sample) => to.push(sample),
                None => to.lost += 1,
            }
        }
    }

    /// Copies everything a tag has here, and gives the row it begins with.
    pub(super) fn carry(&self, column: usize, to: &mut Columns) -> u64 {
        let mut raw = Raw::default();
        self.read(column, Span::Last(usize::MAX), &mut raw);
        for nth in 0..raw.len() {
            let (Some(time), Some(bits), Some(code)) =
                (raw.times.get(nth), raw.bits.get(nth), raw.codes.get(nth))
            else {
                continue;
            };
            if *code != CELL {
                let source = raw.source.get(nth).copied().unwrap_or(NO_SOURCE);
                to.push_bits(*time, source, *bits, *code);
            } else if let Some(content) = self.cells.get(column, raw.first + count(nth)) {
                to.push_cell(*time, content);
            }
        }
        raw.first
    }
}

/// Gives the bytes that the rings of a group take once they are full.
fn bytes_when_full(form: Form, width: usize, rows: usize) -> u64 {
    match form {
        Form::Rows(clocks) => ScanRing::<Native>::bytes_when_full(width, rows, clocks),
        Form::Singles => count(width) * StreamRing::<Native>::bytes_when_full(rows),
    }
}

/// The least a ring shows, however short memory is: two lines of a scan group.
const ROWS_MIN: usize = 13;

/// Gives how many rows fit into `room` bytes, `wanted` at most.
pub(super) fn rows_that_fit(form: Form, width: usize, wanted: usize, room: u64) -> usize {
    let full = bytes_when_full(form, width, wanted).max(1);
    if full <= room {
        return wanted;
    }
    let share = u128::from(count(wanted)) * u128::from(room) / u128::from(full);
    index(u64::try_from(share).unwrap_or(u64::MAX)).clamp(ROWS_MIN.min(wanted), wanted)
}
