//! Any of the detectors of one signal: what is raised for a tag that all of them look at.

use super::{Cusum, Level, Outlier, Scatter, Trained, checked};

/// The detectors, each with its usual setting times a factor.
pub struct Any(Vec<Box<dyn Trained>>);

impl Any {
    /// Learns with all detectors; one that learns nothing is left out.
    ///
    /// # Errors
    /// Why none could learn.
    pub fn learn(values: &[f64], factor: f64) -> Result<Self, &'static str> {
        checked(values)?;
        let of = |name: &str| factor * super::usual(name).unwrap_or(1.0);
        let boxed = |learnt| -> Box<dyn Trained> { learnt };
        let all: [Option<Box<dyn Trained>>; 4] = [
            Level::learn(values, of("level")).ok().map(|d| boxed(Box::new(d))),
            Cusum::learn(values, of("cusum")).ok().map(|d| boxed(Box::new(d))),
            Scatter::learn(values, of("scatter")).ok().map(|d| boxed(Box::new(d))),
            Outlier::learn(values, of("outlier")).ok().map(|d| boxed(Box::new(d))),
        ];
        let learnt: Vec<_> = all.into_iter().flatten().collect();
        if learnt.is_empty() {
            return Err("no detector learns anything from these values");
        }
        Ok(Self(learnt))
    }
}

impl Trained for Any {
    fn push(&mut self, value: f64) -> bool {
        let mut is_alarm = false;
        // Each must see each value.
        for detector in &mut self.0 {
            is_alarm |= detector.push(value);
        }
        is_alarm
    }

    fn score(&self) -> f64 {
        self.0.iter().map(|detector| detector.score()).fold(0.0, f64::max)
    }
}
