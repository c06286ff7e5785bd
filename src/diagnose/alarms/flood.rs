//! Alarm floods by a sliding window (ISA-18.2, EEMUA 191): they start at ten in ten minutes and
//! end below five.

use std::collections::VecDeque;

use crate::model::Timestamp;

/// The window that floods are counted in.
pub const FLOOD_WINDOW_S: i64 = 600;
/// As many in the window start a flood.
pub const FLOOD_START: usize = 10;
/// Fewer in the window end it.
pub const FLOOD_END: usize = 5;

const WINDOW_NANOS: i64 = FLOOD_WINDOW_S * 1_000_000_000;

/// One flood, by positions among the activations it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood {
    /// The first activation of the window that started it: the first-out.
    pub first: usize,
    /// The activation that made it a flood.
    pub started_by: usize,
    /// The last activation in it.
    pub last: usize,
    /// The most activations in one window.
    pub peak: usize,
    /// When fewer than five were left in the window; `None` where it still lasts.
    pub ended: Option<Timestamp>,
}

/// What the sliding window shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Floods {
    /// The floods, oldest first.
    pub floods: Vec<Flood>,
    /// The most activations in any ten minutes, and when that was.
    pub peak: Option<(usize, Timestamp)>,
}

/// Finds floods among activations sorted by time; one that `until` does not see end still lasts.
#[must_use]
pub fn floods(activations: &[Timestamp], until: Timestamp) -> Floods {
    let mut found = Floods::default();
    let mut window: VecDeque<(usize, Timestamp)> = VecDeque::new();
    let mut flood: Option<Flood> = None;
    for (at, time) in activations.iter().enumerate() {
        if let Some(open) = &mut flood
            && let Some(end) = end(&window).filter(|end| end <= time)
        {
            open.ended = Some(end);
            found.floods.extend(flood.take());
        }
        while window.front().is_some_and(|(_, old)| is_out(*old, *time)) {
            window.pop_front();
        }
        window.push_back((at, *time));
        let count = window.len();
        if found.peak.is_none_or(|(peak, _)| count > peak) {
            found.peak = Some((count, *time));
        }
        match &mut flood {
            Some(open) => {
                open.last = at;
                open.peak = open.peak.max(count);
            }
            None if count >= FLOOD_START => {
                let first = window.front().map_or(at, |(first, _)| *first);
                flood = Some(Flood { first, started_by: at, last: at, peak: count, ended: None });
            }
            None => {}
        }
    }
    if let Some(mut open) = flood {
        open.ended = end(&window).filter(|end| *end <= until);
        found.floods.push(open);
    }
    found
}

fn is_out(old: Timestamp, now: Timestamp) -> bool {
    now.nanos().saturating_sub(old.nanos()) >= WINDOW_NANOS
}

/// Gives when fewer than five are left, if nothing more comes.
fn end(window: &VecDeque<(usize, Timestamp)>) -> Option<Timestamp> {
    let fifth_newest = window.len().checked_sub(FLOOD_END)?;
    let (_, time) = window.get(fifth_newest)?;
    Some(Timestamp::from_nanos(time.nanos().saturating_add(WINDOW_NANOS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: &[i64]) -> Vec<Timestamp> {
        seconds.iter().map(|s| Timestamp::from_millis(s * 1000)).collect()
    }

    #[test]
    fn a_flood_starts_at_ten_and_ends_when_fewer_than_five_are_left() {
        let mut seconds: Vec<i64> = (0..10).map(|n| n * 30).collect();
        seconds.push(5000);
        let found = floods(&at(&seconds), Timestamp::from_millis(6_000_000));
        let flood = found.floods[0];
        assert_eq!((flood.first, flood.started_by, flood.last, flood.peak), (0, 9, 9, 10));
        // The fifth newest of them came at 150 s.
        assert_eq!(flood.ended, Some(Timestamp::from_millis(750_000)));
        assert_eq!(found.peak.map(|(count, _)| count), Some(10));
    }

    #[test]
    fn nine_in_ten_minutes_are_none_and_the_window_slides() {
        let steady: Vec<i64> = (0..100).map(|n| n * 67).collect();
        assert!(floods(&at(&steady), Timestamp::from_millis(7_000_000)).floods.is_empty());
        let across: Vec<i64> = (0..10).map(|n| 500 + n * 20).collect();
        assert_eq!(floods(&at(&across), Timestamp::from_millis(700_000)).floods.len(), 1);
    }

    #[test]
    fn a_flood_lasts_while_five_are_in_the_window() {
        let mut seconds: Vec<i64> = (0..12).map(|n| n * 10).collect();
        seconds.extend((0..20).map(|n| 200 + n * 110));
        let found = floods(&at(&seconds), Timestamp::from_millis(2_300_000));
        assert_eq!(found.floods.len(), 1);
        assert_eq!(found.floods[0].ended, None);
    }
}
