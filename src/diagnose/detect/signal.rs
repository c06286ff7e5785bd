//! A window made ready for the detectors, once for all of them.

use super::course::{Course, Run};
use crate::diagnose::finding::EvidenceSample;
use crate::model::{Quality, Timestamp, Value, Window};

/// The newest samples that are looked at; more says nothing of now.
pub const SAMPLES_MAX: usize = 20_000;
/// Whole numbers with no more different values are states.
const STATES_MAX: usize = 8;
/// Fewer samples say nothing of what kind of signal it is.
const KIND_MIN: usize = 8;
/// Beyond this the square of a number is none.
const USABLE_MAX: f64 = 1e150;

/// What kind of signal it is, by its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There are too few values to tell.
    Unknown,
    /// Truth values, text, or a few whole numbers: there is nothing between them.
    Discrete,
    /// Whole numbers that go up, but for a fall back.
    Counter,
    /// Measured numbers.
    Analogue,
}

/// The newest sample, whatever its quality.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newest {
    /// Its position in the window.
    pub position: usize,
    /// When it was received.
    pub received: Timestamp,
    /// Its quality.
    pub quality: Quality,
    /// Its source time, where it has one.
    pub source: Option<Timestamp>,
    /// When the first sample with that source time was received.
    pub source_since: Timestamp,
}

/// A window's usable numbers with their times, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Finite numbers that are not Bad, oldest first.
    pub numbers: Vec<f64>,
    /// When each of them was received.
    pub times: Vec<Timestamp>,
    /// Where each of them stands in the window.
    pub positions: Vec<usize>,
    /// When every sample was received, Bad ones too, oldest first.
    pub arrivals: Vec<Timestamp>,
    /// When a new source time was received, oldest first.
    pub stamped: Vec<Timestamp>,
    /// How often the source time moved while the value stood: its device stamps every reading.
    pub restamped: usize,
    /// The newest sample.
    pub newest: Option<Newest>,
    /// Since when all samples have been Bad; `None` where the newest is not.
    pub bad_since: Option<Timestamp>,
    /// Where each Bad sample stands that came since then.
    bad: Vec<EvidenceSample>,
    /// When the value last changed; `None` where it never did in the window.
    pub changed: Option<Timestamp>,
    /// What kind of signal it is.
    pub kind: Kind,
    /// Samples known to be lost inside the window.
    pub lost: u64,
    /// Its long run, where it is followed for longer than the window.
    pub(super) course: Run,
}

impl Signal {
    /// Prepares the newest 20 000 samples of a window. Samples out of order are put in order,
    /// and one that came twice counts once.
    #[must_use]
    pub fn of(window: &Window) -> Self {
        let len = window.len().min(window.values.len()).min(window.qualities.len());
        let mut order: Vec<usize> = (len.saturating_sub(SAMPLES_MAX)..len).collect();
        if !window.received.is_sorted() {
            order.sort_by_key(|at| window.received.get(*at).copied());
        }
        let mut signal = Self {
            numbers: Vec::with_capacity(order.len()),
            times: Vec::with_capacity(order.len()),
            positions: Vec::with_capacity(order.len()),
            arrivals: Vec::with_capacity(order.len()),
            stamped: Vec::new(),
            restamped: 0,
            newest: None,
            bad_since: None,
            bad: Vec::new(),
            changed: None,
            kind: Kind::Unknown,
            lost: window.lost,
            course: Run::default(),
        };
        let mut before: Option<&Value> = None;
        let mut is_measured = false;
        for position in order {
            let (Some(value), Some(quality), Some(received)) = (
                window.values.get(position),
                window.qualities.get(position).copied(),
                window.received.get(position).copied(),
            ) else {
                continue;
            };
            let is_again = signal.newest.is_some_and(|newest| newest.received == received);
            if is_again && before == Some(value) {
                continue;
            }
            let source = window.source.get(position).copied().flatten();
            let newest = signal.newest.filter(|newest| newest.source == source && source.is_some());
            let source_since = newest.map_or(received, |newest| newest.source_since);
            if source.is_some() && newest.is_none() {
                signal.stamped.push(received);
                signal.restamped += usize::from(before == Some(value));
            }
            signal.newest = Some(Newest { position, received, quality, source, source_since });
            signal.arrivals.push(received);
            if quality.is_bad() {
                signal.bad_since.get_or_insert(received);
                signal.bad.push(EvidenceSample { position, received_ts: received });
                continue;
            }
            signal.bad_since = None;
            signal.bad.clear();
            if before.is_some_and(|before| before != value) {
                signal.changed = Some(received);
            }
            before = Some(value);
            let Some(number) = value.as_f64().filter(|x| x.abs() < USABLE_MAX) else { continue };
            is_measured |= !matches!(value, Value::Bool(_));
            signal.numbers.push(number);
            signal.times.push(received);
            signal.positions.push(position);
        }
        signal.kind = match () {
            () if signal.numbers.is_empty() && before.is_some() => Kind::Discrete,
            () if !is_measured && !signal.numbers.is_empty() => Kind::Discrete,
            () => kind(&signal.numbers),
        };
        signal
    }

    /// Adds its long run.
    #[must_use]
    pub fn along(self, course: &Course) -> Self {
        Self { course: course.run(), ..self }
    }

    /// Gives its long run: its course, or the window where that reaches further back.
    pub(super) fn long_run(&self) -> (&[f64], &[Timestamp]) {
        let begins = self.course.times.first();
        match begins.is_some_and(|begins| Some(begins) <= self.times.first()) {
            true => (&self.course.numbers, &self.course.times),
            false => (&self.numbers, &self.times),
        }
    }

    /// Names the Bad samples that came last as evidence.
    pub(super) fn bad_samples(&self) -> Vec<EvidenceSample> {
        self.bad.clone()
    }

    /// Names usable numbers as evidence.
    pub(super) fn samples(&self, range: std::ops::Range<usize>) -> Vec<EvidenceSample> {
        let positions = self.positions.get(range.clone()).unwrap_or_default();
        let times = self.times.get(range).unwrap_or_default();
        let name = |(position, at): (&usize, &Timestamp)| EvidenceSample {
            position: *position,
            received_ts: *at,
        };
        positions.iter().zip(times).map(name).collect()
    }

    /// Names the usable numbers from an instant on as evidence.
    pub(super) fn arrivals_since(&self, since: Timestamp) -> Vec<EvidenceSample> {
        let first = self.times.partition_point(|at| *at < since);
        self.samples(first..self.times.len())
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
pub(super) mod tests {
    use super::*;
    use crate::model::Sample;

    /// Makes a window of good numbers, one a second from second 0.
    pub(in crate::diagnose::detect) fn window(values: &[f64]) -> Window {
        let mut window = Window::default();
        for (second, value) in (0_i64..).zip(values) {
            window.push(sample(second, Value::F64(*value), Quality::GOOD));
        }
        window
    }

    pub(in crate::diagnose::detect) fn sample(
        second: i64,
        value: Value,
        quality: Quality,
    ) -> Sample {
        let received_ts = Timestamp::from_millis(second * 1000);
        Sample { value, quality, source_ts: None, received_ts }
    }

    #[test]
    fn bad_samples_arrive_and_are_no_numbers() {
        let mut window = window(&[1.5, 2.5]);
        window.push(sample(2, Value::F64(9.0), Quality::BAD));
        window.push(sample(3, Value::F64(f64::NAN), Quality::GOOD));
        let signal = Signal::of(&window);
        assert_eq!(signal.numbers, [1.5, 2.5]);
        assert_eq!((signal.arrivals.len(), signal.bad_since), (4, None));
        assert_eq!(signal.newest.unwrap().position, 3);
    }

    #[test]
    fn what_is_unsorted_is_put_in_order_and_what_came_twice_counts_once() {
        let mut mixed = Window::default();
        for second in [3, 1, 2, 2] {
            let value = Value::F64(f64::from(u8::try_from(second).unwrap()) + 0.5);
            mixed.push(sample(second, value, Quality::GOOD));
        }
        let signal = Signal::of(&mixed);
        assert_eq!(signal.numbers, [1.5, 2.5, 3.5]);
        assert_eq!(signal.positions, [1, 2, 0]);
    }

    #[test]
    fn the_kind_of_a_signal_shows_in_its_values() {
        let of = |values: &[f64]| Signal::of(&window(values)).kind;
        assert_eq!(of(&[1.0; 3]), Kind::Unknown);
        assert_eq!(of(&[0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]), Kind::Discrete);
        let counts: Vec<f64> = (0..40).map(f64::from).collect();
        assert_eq!(of(&counts), Kind::Counter);
        let measured: Vec<f64> = (0..40).map(|n| (f64::from(n) / 7.0).sin()).collect();
        assert_eq!(of(&measured), Kind::Analogue);
        let mut truths = Window::default();
        (0..9).for_each(|s| truths.push(sample(s, Value::Bool(s % 2 == 0), Quality::GOOD)));
        assert_eq!(Signal::of(&truths).kind, Kind::Discrete);
    }
}
