//! Numbers: a tag's history as floats, for statistics.

use super::TagCache;
use super::codes::{CELL, Codes, GOOD_F64};
use super::group::Rings;
use super::lines::{LINE_ROWS, Sink};
use super::raw::{Raw, Span, cut};
use super::read::Part;
use crate::model::{Quality, Sample, Stats, TagId, Timestamp};

/// A stretch of one tag's history as numbers; its memory is used again.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// A number per sample, oldest first; NaN where the sample is Bad or no finite number.
    pub values: Vec<f64>,
    /// A quality per sample.
    pub qualities: Vec<Quality>,
    raw: Raw,
}

impl Numbers {
    /// Makes an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Computes the statistics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(&self.values, &self.qualities)
    }

    fn clear(&mut self) {
        self.values.clear();
        self.qualities.clear();
    }

    /// Takes rows whose codes are not only those of good floats.
    fn push_coded(&mut self, bits: &[u64], row_codes: &[u8], codes: &Codes) {
        for (bits, code) in bits.iter().zip(row_codes) {
            let (number, quality) = codes.get(*code).map_or((None, Quality::BAD), |known| {
                (known.0.value(*bits).as_f64().filter(|_| !known.1.is_bad()), known.1)
            });
            self.values.push(number.unwrap_or(f64::NAN));
            self.qualities.push(quality);
        }
    }

    fn push(&mut self, sample: &Sample) {
        let number = sample.value.as_f64().filter(|_| !sample.quality.is_bad());
        self.values.push(number.unwrap_or(f64::NAN));
        self.qualities.push(sample.quality);
    }
}

/// Takes lines as they are copied, without a detour.
struct Lines<'a> {
    to: &'a mut Numbers,
    codes: &'a Codes,
    /// Something lies in a cell: the lines alone don't tell all.
    has_cells: bool,
}

impl Sink for Lines<'_> {
    fn clear(&mut self) {
        self.to.clear();
        self.has_cells = false;
    }

    fn line(&mut self, values: &[u64; LINE_ROWS], codes: [u8; LINE_ROWS]) {
        if codes == [GOOD_F64; LINE_ROWS] {
            self.to.values.extend_from_slice(&values.map(f64::from_bits));
            self.to.qualities.extend_from_slice(&[Quality::GOOD; LINE_ROWS]);
        } else {
            self.has_cells |= codes.contains(&CELL);
            self.to.push_coded(values, &codes, self.codes);
        }
    }

    fn times(&mut self, _: impl Iterator<Item = i64>) {}

    fn keep(&mut self, skipped: usize, gone: usize, length: usize) {
        let wanted = skipped + gone..skipped + length;
        cut(&mut self.to.values, &wanted);
        cut(&mut self.to.qualities, &wanted);
    }
}

impl TagCache {
    /// Fills `to` with a tag's newest `n` samples, or as many as there are.
    pub fn numbers_last(&self, id: TagId, n: usize, to: &mut Numbers) {
        let span = Span::Last(n);
        let in_lines = self.slots.spot(id).and_then(|spot| {
            self.in_group(spot.group, |group| {
                let Rings::Scan(ring) = &group.rings else { return false };
                let mut lines = Lines { to, codes: &self.codes, has_cells: false };
                ring.read(spot.column, span, &mut lines);
                !lines.has_cells
            })
        });
        if in_lines != Some(true) {
            self.numbers_of(id, span, to);
        }
    }

    /// Fills `to` with a tag's samples received from `since`, inclusive, to `until`, exclusive.
    pub fn numbers(&self, id: TagId, since: Timestamp, until: Timestamp, to: &mut Numbers) {
        self.numbers_of(id, Span::Between { since: since.nanos(), until: until.nanos() }, to);
    }

    fn numbers_of(&self, id: TagId, span: Span, to: &mut Numbers) {
        to.clear();
        let mut raw = std::mem::take(&mut to.raw);
        self.parts(id, span, &mut raw, &mut |part| match part {
            Part::Past(past, range) => range
                .filter_map(|at| past.sample(at, &self.codes))
                .for_each(|sample| to.push(&sample)),
            Part::Ring(group, column, raw) => {
                if raw.codes.contains(&CELL) {
                    let samples = group.samples(column, raw, &self.codes);
                    samples.filter_map(|(_, sample)| sample).for_each(|sample| to.push(&sample));
                } else {
                    to.push_coded(&raw.bits, &raw.codes, &self.codes);
                }
            }
        });
        to.raw = raw;
    }
}
