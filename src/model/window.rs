//! A stretch of one tag's history, as columns.

use super::{Quality, Sample, Timestamp, Value};

/// Columns of equal length, oldest first, copied out of the cache or the store.
///
/// No lock or guard lives in it, so it may cross an await.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// When each sample was received.
    pub received: Vec<Timestamp>,
    /// The device's own times; empty where the protocol gives none at all.
    pub source: Vec<Option<Timestamp>>,
    /// The values.
    pub values: Vec<Value>,
    /// The qualities.
    pub qualities: Vec<Quality>,
    /// Samples known to be lost inside the window.
    pub lost: u64,
}

impl Window {
    /// Counts the samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Tells whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Makes room for so many samples more.
    pub fn reserve(&mut self, more: usize) {
        self.received.reserve(more);
        self.values.reserve(more);
        self.qualities.reserve(more);
    }

    /// Appends one sample.
    pub fn push(&mut self, sample: Sample) {
        if sample.source_ts.is_some() || !self.source.is_empty() {
            self.source.resize(self.received.len(), None);
            self.source.push(sample.source_ts);
        }
        self.received.push(sample.received_ts);
        self.values.push(sample.value);
        self.qualities.push(sample.quality);
    }

    /// Appends samples of one quality without times of the device's own, as many as both have.
    pub fn push_alike(
        &mut self,
        received: impl ExactSizeIterator<Item = Timestamp>,
        values: impl ExactSizeIterator<Item = Value>,
        quality: Quality,
    ) {
        let len = self.received.len() + received.len().min(values.len());
        self.received.extend(received);
        self.values.extend(values);
        self.received.truncate(len);
        self.values.truncate(len);
        self.qualities.resize(len, quality);
        if !self.source.is_empty() {
            self.source.resize(len, None);
        }
    }

    /// Gives the sample at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Sample> {
        Some(Sample {
            value: self.values.get(index)?.clone(),
            quality: *self.qualities.get(index)?,
            source_ts: self.source.get(index).copied().flatten(),
            received_ts: *self.received.get(index)?,
        })
    }

    /// Walks the samples, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Sample> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_are_alike_are_pushed_as_one_by_one() {
        let at = |n: i64| Timestamp::from_nanos(n);
        let sample = |n: i64, source_ts| Sample {
            value: Value::I64(n),
            quality: Quality::GOOD,
            source_ts,
            received_ts: at(n),
        };
        for first in [None, Some(at(0))] {
            let (mut one_by_one, mut alike) = (Window::default(), Window::default());
            one_by_one.push(sample(1, first));
            alike.push(sample(1, first));
            (2..5).for_each(|n| one_by_one.push(sample(n, None)));
            alike.push_alike(
                [2, 3, 4].map(at).into_iter(),
                [2, 3, 4].map(Value::I64).into_iter(),
                Quality::GOOD,
            );
            assert_eq!(alike, one_by_one);
        }
    }
}
