//! Numbers: a tag's history as floats, for statistics.

use super::TagCache;
use super::codes::{Codes, GOOD_F64};
use super::raw::{Raw, Span};
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

    fn push(&mut self, sample: &Sample) {
        let number = sample.value.as_f64().filter(|_| !sample.quality.is_bad());
        self.values.push(number.unwrap_or(f64::NAN));
        self.qualities.push(sample.quality);
    }

    fn push_raw(&mut self, raw: &Raw, codes: &Codes) {
        if raw.codes.iter().all(|code| *code == GOOD_F64) {
            self.values.extend(raw.bits.iter().map(|bits| f64::from_bits(*bits)));
            self.qualities.resize(self.values.len(), Quality::GOOD);
            return;
        }
        for (bits, code) in raw.bits.iter().zip(&raw.codes) {
            let (number, quality) = codes.get(*code).map_or((None, Quality::BAD), |known| {
                (known.0.value(*bits).as_f64().filter(|_| !known.1.is_bad()), known.1)
            });
            self.values.push(number.unwrap_or(f64::NAN));
            self.qualities.push(quality);
        }
    }
}

impl TagCache {
    /// Fills `to` with a tag's newest `n` samples, or as many as there are.
    pub fn numbers_last(&self, id: TagId, n: usize, to: &mut Numbers) {
        self.numbers_of(id, Span::Last(n), to);
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
                if raw.codes.contains(&super::codes::CELL) {
                    let samples = group.samples(column, raw, &self.codes);
                    samples.filter_map(|(_, sample)| sample).for_each(|sample| to.push(&sample));
                } else {
                    to.push_raw(raw, &self.codes);
                }
            }
        });
        to.raw = raw;
    }
}
