//! Detectors of one signal that learn from a healthy stretch and then judge value by value, in
//! one pass and without a look ahead.

mod any;
mod cusum;
mod level;
mod memory;
mod outlier;
mod period;
mod scatter;
mod three_sigma;

pub use any::Any;
pub use cusum::Cusum;
pub use level::Level;
pub use outlier::Outlier;
pub use scatter::Scatter;
pub use three_sigma::ThreeSigma;

/// Fewer values teach nothing of how a signal varies.
pub const TRAIN_MIN: usize = 60;
/// Beyond this the square of a number is none.
const USABLE_MAX: f64 = 1e150;

/// A detector that has learnt.
pub trait Trained: Send {
    /// Takes the next value, and tells whether something is wrong now.
    fn push(&mut self, value: f64) -> bool;
    /// How far the newest value lies out; 1 is the limit.
    fn score(&self) -> f64;
}

/// Learns from values, oldest first, with a setting; says why where they teach nothing.
pub type Learn = fn(&[f64], f64) -> Result<Box<dyn Trained>, &'static str>;

/// A detector by its name, and how it learns.
#[derive(Clone, Copy)]
pub struct TrainedKind {
    /// Its name on the command line and in findings.
    pub name: &'static str,
    /// What it finds.
    pub finds: &'static str,
    /// The setting that is used where nobody chooses one.
    pub usual: f64,
    /// Settings worth trying, most sensitive first.
    pub settings: &'static [f64],
    /// Makes one that has learnt.
    pub learn: Learn,
}

/// Every detector that learns, the plain rule they are held against last.
pub const TRAINED: &[TrainedKind] = &[
    TrainedKind {
        name: "level",
        finds: "a mean that has left its usual band",
        usual: 3.0,
        settings: &[2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0],
        learn: |values, k| Ok(Box::new(Level::learn(values, k)?)),
    },
    TrainedKind {
        name: "cusum",
        finds: "a small deviation that lasts",
        usual: 2.0,
        settings: &[1.0, 1.5, 2.0, 3.0, 4.0],
        learn: |values, k| Ok(Box::new(Cusum::learn(values, k)?)),
    },
    TrainedKind {
        name: "scatter",
        finds: "noise that has grown or gone",
        usual: 2.0,
        settings: &[1.5, 2.0, 3.0, 5.0],
        learn: |values, k| Ok(Box::new(Scatter::learn(values, k)?)),
    },
    TrainedKind {
        name: "outlier",
        finds: "values far from their neighbours that come back (Hampel)",
        usual: 5.0,
        settings: &[4.0, 5.0, 7.0, 10.0],
        learn: |values, k| Ok(Box::new(Outlier::learn(values, k)?)),
    },
    TrainedKind {
        name: "any",
        finds: "what any of the above finds, each with its usual setting times this",
        usual: 1.0,
        settings: &[0.8, 1.0, 1.25, 1.5, 2.0],
        learn: |values, factor| Ok(Box::new(Any::learn(values, factor)?)),
    },
    TrainedKind {
        name: "three-sigma",
        finds: "the plain rule: three deviations from the mean of training",
        usual: 3.0,
        settings: &[3.0],
        learn: |values, k| Ok(Box::new(ThreeSigma::learn(values, k)?)),
    },
];

/// Finds a detector by its name.
#[must_use]
pub fn trained(name: &str) -> Option<&'static TrainedKind> {
    TRAINED.iter().find(|kind| kind.name == name)
}

/// Gives the usual setting of a detector.
#[must_use]
pub fn usual(detector: &str) -> Option<f64> {
    trained(detector).map(|kind| kind.usual)
}

/// Checks what is to be learnt from.
fn checked(values: &[f64]) -> Result<(), &'static str> {
    if values.len() < TRAIN_MIN {
        return Err("fewer than 60 numbers to learn from");
    }
    if values.iter().any(|v| !is_usable(*v)) {
        return Err("a number is not finite or too large to square");
    }
    let first = values.first().copied().unwrap_or(0.0);
    if values.iter().all(|v| *v == first) {
        return Err("the signal never moved in what was to be learnt from");
    }
    Ok(())
}

fn is_usable(value: f64) -> bool {
    value.is_finite() && value.abs() < USABLE_MAX
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Noise between -1 and 1 from a fixed seed.
    pub(in crate::diagnose) fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 30) - 1.0
            })
            .collect()
    }

    #[test]
    fn none_learns_from_nothing_and_none_fires_often_on_more_of_the_same() {
        for kind in TRAINED {
            for bad in [vec![], vec![1.0; 500], vec![f64::NAN; 500], noise(30, 1)] {
                assert!((kind.learn)(&bad, kind.usual).is_err(), "{}", kind.name);
            }
            let values = noise(3000, 3);
            let mut learnt = (kind.learn)(&values[..600], kind.usual).unwrap();
            let fired = values[600..].iter().filter(|v| learnt.push(**v)).count();
            // Three deviations are passed by one value in 370.
            assert!(fired <= 24, "{}: {fired} of 2400", kind.name);
        }
    }

    #[test]
    fn each_finds_what_it_is_for() {
        let healthy = noise(600, 5);
        let after = noise(300, 6);
        let finds = |name: &str, wrong: &dyn Fn(usize, f64) -> f64| {
            let kind = TRAINED.iter().find(|kind| kind.name == name).unwrap();
            let mut learnt = (kind.learn)(&healthy, kind.usual).unwrap();
            let mut fired = after.iter().enumerate().map(|(n, v)| learnt.push(wrong(n, *v)));
            fired.any(|is| is)
        };
        assert!(finds("level", &|_, v| v + 4.0));
        assert!(finds("cusum", &|n, v| v + f64::from(u32::try_from(n).unwrap()) * 0.02));
        assert!(finds("scatter", &|_, v| v * 4.0));
        assert!(finds("scatter", &|_, v| v * 0.05));
        assert!(finds("outlier", &|n, v| if n == 100 { 15.0 } else { v }));
        assert!(finds("three-sigma", &|_, v| v + 4.0));
    }

    #[test]
    fn a_value_that_is_no_number_changes_nothing() {
        for kind in TRAINED {
            let values = noise(600, 9);
            let mut learnt = (kind.learn)(&values, kind.usual).unwrap();
            for bad in [f64::NAN, f64::INFINITY, 1e308, -1e308] {
                assert!(!learnt.push(bad), "{} {bad}", kind.name);
            }
            assert!(!learnt.push(values[3]), "{}", kind.name);
        }
    }
}
