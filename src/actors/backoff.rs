//! How long to leave something alone that has failed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first pause; a switch that drops one packet costs no more.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause; a machine that comes back is seen within it.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double from [`FIRST`] to [`LONGEST`], each up to a fifth shorter by chance, so
/// that devices which failed together are not asked together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failure and gives the pause before the next attempt.
    pub(crate) fn fail(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let chance = u32::from(RandomState::new().hash_one(self.failures).to_le_bytes()[0]);
        doubled - doubled / 5 * chance / 255
    }

    /// Forgets the failures after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Tells how often it failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_success() {
        let mut b = Backoff::default();
        let first = b.fail();
        assert!(first >= FIRST * 4 / 5 && first <= FIRST);
        for _ in 0..40 {
            assert!(b.fail() <= LONGEST);
        }
        assert!(b.fail() >= LONGEST * 4 / 5);
        b.reset();
        assert!(b.fail() <= FIRST);
    }
}
