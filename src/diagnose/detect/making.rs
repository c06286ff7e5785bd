//! A signal in the making, sample by sample.

use std::borrow::Borrow;

use super::course::Run;
use super::signal::{Kind, Newest, Signal};
use crate::diagnose::finding::EvidenceSample;
use crate::model::{Quality, Sample, Timestamp, Value};

/// Whole numbers with no more different values are states.
const STATES_MAX: usize = 8;
/// Fewer samples say nothing of what kind of signal it is.
const KIND_MIN: usize = 8;
/// Beyond this the square of a number is none.
const USABLE_MAX: f64 = 1e150;

/// Makes a signal of samples as they come out of a cache, without a window between.
#[derive(Debug)]
pub struct SignalMaker {
    making: Making<Value>,
    taken: usize,
    in_order: bool,
}

impl SignalMaker {
    /// Begins with room for so many samples.
    #[must_use]
    pub fn with_room(samples: usize) -> Self {
        Self { making: Making::with_room(samples), taken: 0, in_order: true }
    }

    /// Takes the next sample.
    pub fn take(&mut self, sample: Sample) {
        let Sample { value, quality, source_ts, received_ts } = sample;
        self.in_order &=
            self.making.signal.newest.is_none_or(|newest| newest.received <= received_ts);
        self.making.push(self.taken, value, quality, (source_ts, received_ts));
        self.taken += 1;
    }

    /// Gives the signal, with the count of samples known to be lost; `None` where samples came
    /// out of order, which [`Signal::of`] puts in order.
    #[must_use]
    pub fn signal(self, lost: u64) -> Option<Signal> {
        self.in_order.then(|| self.making.signal(lost))
    }
}

/// What is known after so many samples; `V` is the value before, owned or lent.
#[derive(Debug)]
pub(super) struct Making<V> {
    signal: Signal,
    before: Option<V>,
    is_measured: bool,
}

impl<V: Borrow<Value>> Making<V> {
    pub(super) fn with_room(samples: usize) -> Self {
        let signal = Signal {
            numbers: Vec::with_capacity(samples),
            times: Vec::with_capacity(samples),
            positions: Vec::with_capacity(samples),
            arrivals: Vec::with_capacity(samples),
            stamped: Vec::new(),
            restamped: 0,
            newest: None,
            bad_since: None,
            bad: Vec::new(),
            changed: None,
            kind: Kind::Unknown,
            lost: 0,
            course: Run::default(),
        };
        Self { signal, before: None, is_measured: false }
    }

    /// Takes the next sample in the order of time, and where it stands in the window.
    pub(super) fn push(
        &mut self,
        position: usize,
        value: V,
        quality: Quality,
        (source, received): (Option<Timestamp>, Timestamp),
    ) {
        let signal = &mut self.signal;
        let before = self.before.as_ref().map(Borrow::borrow);
        let is_same = before == Some(value.borrow());
        if is_same && signal.newest.is_some_and(|newest| newest.received == received) {
            return;
        }
        let newest = signal.newest.filter(|newest| newest.source == source && source.is_some());
        let source_since = newest.map_or(received, |newest| newest.source_since);
        if source.is_some() && newest.is_none() {
            signal.stamped.push(received);
            signal.restamped += usize::from(is_same);
        }
        signal.newest = Some(Newest { position, received, quality, source, source_since });
        signal.arrivals.push(received);
        if quality.is_bad() {
            signal.bad_since.get_or_insert(received);
            signal.bad.push(EvidenceSample { position, received_ts: received });
            return;
        }
        signal.bad_since = None;
        signal.bad.clear();
        if before.is_some() && !is_same {
            signal.changed = Some(received);
        }
        let number = value.borrow().as_f64().filter(|x| x.abs() < USABLE_MAX);
        if let Some(number) = number {
            self.is_measured |= !matches!(value.borrow(), Value::Bool(_));
            signal.numbers.push(number);
            signal.times.push(received);
            signal.positions.push(position);
        }
        self.before = Some(value);
    }

    pub(super) fn signal(self, lost: u64) -> Signal {
        let numbers = &self.signal.numbers;
        let kind = match () {
            () if numbers.is_empty() && self.before.is_some() => Kind::Discrete,
            () if !self.is_measured && !numbers.is_empty() => Kind::Discrete,
            () => kind(numbers),
        };
        Signal { kind, lost, ..self.signal }
    }
}

/// Tells what kind of signal measured numbers are.
fn kind(numbers: &[f64]) -> Kind {
    if numbers.len() < KIND_MIN {
        return Kind::Unknown;
    }
    if numbers.iter().any(|x| x.fract() != 0.0) {
        return Kind::Analogue;
    }
    let mut states: Vec<f64> = Vec::with_capacity(STATES_MAX);
    for x in numbers {
        if !states.contains(x) {
            states.push(*x);
        }
        if states.len() > STATES_MAX {
            break;
        }
    }
    let steps = || numbers.iter().zip(numbers.iter().skip(1));
    let falls = steps().filter(|(a, b)| b < a).count();
    let rises = steps().filter(|(a, b)| b > a).count();
    match () {
        () if rises > 2 && rises > 20 * falls => Kind::Counter,
        () if states.len() <= STATES_MAX => Kind::Discrete,
        () => Kind::Analogue,
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::tests::sample;
    use super::*;
    use crate::model::Window;

    fn made(samples: impl IntoIterator<Item = Sample>, lost: u64) -> Option<Signal> {
        let mut maker = SignalMaker::with_room(8);
        samples.into_iter().for_each(|sample| maker.take(sample));
        maker.signal(lost)
    }

    #[test]
    fn a_signal_made_sample_by_sample_is_that_of_the_window() {
        let mut samples = vec![
            sample(1, Value::F64(1.5), Quality::GOOD),
            sample(2, Value::F64(2.5), Quality::GOOD),
            sample(2, Value::F64(2.5), Quality::GOOD),
            sample(3, Value::text("x"), Quality::GOOD),
            sample(4, Value::F64(f64::NAN), Quality::GOOD),
        ];
        let stamped = Sample {
            source_ts: Some(Timestamp::from_millis(4_500)),
            ..sample(5, Value::Bool(true), Quality::UNCERTAIN)
        };
        samples.push(stamped.clone());
        samples.push(Sample { received_ts: Timestamp::from_millis(6_000), ..stamped });
        samples.extend((7..9).map(|second| sample(second, Value::Null, Quality::BAD)));
        let mut window = Window { lost: 3, ..Window::default() };
        samples.iter().for_each(|sample| window.push(sample.clone()));
        assert_eq!(made(samples, 3), Some(Signal::of(&window)));
        assert_eq!(made([], 0), Some(Signal::of(&Window::default())));
    }

    #[test]
    fn samples_out_of_order_are_not_taken_for_ordered_ones() {
        let at = |second| sample(second, Value::F64(0.5), Quality::GOOD);
        assert_eq!(made([at(1), at(3), at(2)], 0), None);
    }
}
