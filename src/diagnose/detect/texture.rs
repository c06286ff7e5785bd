//! How a signal moves from one sample to the next: with noise of its own, or only when its
//! process does.

use crate::diagnose::robust::median;

/// Of white noise two thirds of the inner points are turning points (Bienayme 1874); what
/// follows a process turns seldom.
const TURNING_MIN: f64 = 0.4;
/// The least share of samples that differ from the one before.
const CHANGES_MIN: f64 = 0.25;
/// On a slope the steps themselves go up and down in turn where there is noise.
const STEPS_TURNING_MIN: f64 = 0.5;
/// Steps that differ by less than so many of the least are cut by the resolution.
const LEAST_STEPS: f64 = 3.0;
/// This share of the values is no difference.
const ROUNDING: f64 = 1e-9;
/// Fewer changes say nothing of either.
pub(super) const CHANGES_TO_TELL: usize = 12;

/// How numbers move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Texture {
    /// Share of samples that differ from the one before.
    pub(super) changing: f64,
    /// Share of changes that go the other way than the change before.
    pub(super) turning: f64,
    /// How often it changed.
    pub(super) changes: usize,
    /// The most samples in a row that were equal.
    pub(super) longest_run: usize,
}

impl Texture {
    pub(super) fn of(numbers: &[f64]) -> Self {
        let (mut changes, mut turns, mut run, mut longest_run) = (0_u32, 0_u32, 1, 1);
        let mut last_step = 0.0;
        for (a, b) in numbers.iter().zip(numbers.iter().skip(1)) {
            let step = b - a;
            if step == 0.0 {
                run += 1;
                longest_run = longest_run.max(run);
                continue;
            }
            run = 1;
            changes += 1;
            turns += u32::from(step * last_step < 0.0);
            last_step = step;
        }
        #[allow(clippy::cast_precision_loss, reason = "at most 20 000 samples")]
        let pairs = numbers.len().saturating_sub(1).max(1) as f64;
        Self {
            changing: f64::from(changes) / pairs,
            turning: f64::from(turns) / f64::from(changes.saturating_sub(1).max(1)),
            changes: usize::try_from(changes).unwrap_or(usize::MAX),
            longest_run,
        }
    }

    /// Tells whether it has noise of its own, so that it can't stand still by itself.
    pub(super) fn is_restless(&self) -> bool {
        self.changes >= CHANGES_TO_TELL
            && self.changing >= CHANGES_MIN
            && self.turning >= TURNING_MIN
    }
}

/// Tells whether numbers have noise of their own on top of a slope that hides it: their second
/// differences turn as those of noise do, and are more than a resolution makes of a ramp.
pub(super) fn is_noisy_on_a_slope(numbers: &[f64]) -> bool {
    let steps: Vec<f64> = numbers.iter().zip(numbers.iter().skip(1)).map(|(a, b)| b - a).collect();
    let texture = Texture::of(&steps);
    let later = steps.iter().skip(1);
    let mut bends: Vec<f64> = steps.iter().zip(later).map(|(a, b)| (b - a).abs()).collect();
    // What is left of a difference below this is rounding.
    let rounding = numbers.iter().fold(0.0_f64, |most, x| most.max(x.abs())) * ROUNDING;
    let moves = steps.iter().map(|step| step.abs()).chain(bends.iter().copied());
    let least = moves.filter(|step| *step > rounding).reduce(f64::min);
    let (Some(least), Some(bend)) = (least, median(&mut bends)) else { return false };
    texture.changes >= CHANGES_TO_TELL
        && texture.changing >= CHANGES_MIN
        && texture.turning >= STEPS_TURNING_MIN
        && bend >= LEAST_STEPS * least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn noise_is_restless_and_what_follows_a_process_is_not() {
        assert!(Texture::of(&noise(200, 4)).is_restless());
        let coarse: Vec<f64> = noise(200, 4).iter().map(|x| x.round()).collect();
        assert!(Texture::of(&coarse).is_restless());
        let smooth: Vec<f64> = (0..200).map(|n| (f64::from(n) / 20.0).sin()).collect();
        assert!(!Texture::of(&smooth).is_restless());
        assert!(!Texture::of(&[1.0; 200]).is_restless());
        assert!(!Texture::of(&noise(8, 4)).is_restless());
        assert!(!Texture::of(&[]).is_restless());
    }

    #[test]
    fn noise_shows_on_a_slope_and_a_resolution_is_none() {
        let sloping = |share: f64, resolution: f64| -> Vec<f64> {
            let values = noise(120, 4).into_iter().zip(0_u32..);
            let value = |(x, n): (f64, u32)| 40.0 + 2.0 * f64::from(n) + share * x;
            values.map(value).map(|x| (x / resolution).round() * resolution).collect()
        };
        assert!(!Texture::of(&sloping(1.0, 0.1)).is_restless());
        assert!(is_noisy_on_a_slope(&sloping(1.0, 0.1)));
        assert!(!is_noisy_on_a_slope(&sloping(0.0, 0.1)));
        assert!(!is_noisy_on_a_slope(&sloping(0.0, 1.5)));
        let smooth: Vec<f64> = (0..200).map(|n| (f64::from(n) / 20.0).sin()).collect();
        assert!(!is_noisy_on_a_slope(&smooth));
        assert!(!is_noisy_on_a_slope(&[]));
    }
}
