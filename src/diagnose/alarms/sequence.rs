//! What follows what in an alarm log: the most frequent pairs, and alarms that always come
//! together.

use std::collections::HashMap;

use crate::model::Timestamp;

/// What comes later than this has another cause.
const FOLLOWS_MS: i64 = 60_000;
/// What comes this close has the same cause: one of the two alarms says nothing.
const TOGETHER_MS: i64 = 1_000;
/// Fewer times may be chance.
const TIMES_MIN: usize = 3;
/// How often the one must come with the other to be its duplicate.
const DUPLICATE_SHARE: f64 = 0.9;

/// One alarm that follows another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The earlier.
    pub first: u32,
    /// The later.
    pub then: u32,
    /// How often it came next, within a minute.
    pub times: usize,
    /// How often among the activations of the earlier.
    pub share: f64,
    /// Both always come within a second of each other.
    pub is_duplicate: bool,
}

#[derive(Default)]
struct Tally {
    times: usize,
    together: usize,
}

/// Finds the most frequent pairs among activations sorted by time; sources are numbered.
#[must_use]
pub fn pairs(activations: &[(Timestamp, u32)], most: usize) -> Vec<Pair> {
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut tallies: HashMap<(u32, u32), Tally> = HashMap::new();
    for (_, source) in activations {
        *counts.entry(*source).or_default() += 1;
    }
    for ((at, first), (next_at, then)) in activations.iter().zip(activations.iter().skip(1)) {
        let apart_ms = next_at.millis_since(*at);
        if first != then && apart_ms <= FOLLOWS_MS {
            let tally = tallies.entry((*first, *then)).or_default();
            tally.times += 1;
            tally.together += usize::from(apart_ms <= TOGETHER_MS);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "counts of a log, far below 2^53")]
    let share = |times: usize, of: u32| times as f64 / counts.get(&of).map_or(1.0, |n| *n as f64);
    let frequent = tallies.iter().filter(|(_, tally)| tally.times >= TIMES_MIN);
    let mut found: Vec<Pair> = frequent
        .map(|((first, then), tally)| {
            let back = tallies.get(&(*then, *first)).map_or(0, |back| back.together);
            let together = tally.together + back;
            Pair {
                first: *first,
                then: *then,
                times: tally.times,
                share: share(tally.times, *first),
                is_duplicate: share(together, *first) >= DUPLICATE_SHARE
                    && share(together, *then) >= DUPLICATE_SHARE,
            }
        })
        .collect();
    found.sort_by_key(|pair| (std::cmp::Reverse(pair.times), pair.first, pair.then));
    found.truncate(most);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_always_comes_together_is_a_duplicate_and_what_follows_is_not() {
        let mut log = Vec::new();
        for hour in 0..5_i64 {
            let at = |s: i64| Timestamp::from_millis((hour * 3600 + s) * 1000);
            log.extend([(at(0), 1), (at(1), 2), (at(30), 3)]);
        }
        let found = pairs(&log, 10);
        let pair = |first, then| found.iter().find(|p| (p.first, p.then) == (first, then)).unwrap();
        assert!(pair(1, 2).is_duplicate && pair(1, 2).times == 5);
        assert!(!pair(2, 3).is_duplicate);
        assert!(!found.iter().any(|pair| pair.first == 3), "an hour later is another cause");
    }
}
