//! Time windows: `Mon-Fri 05:45-06:15 Europe/Berlin`.

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::model::Timestamp;

/// The days by their English names, in ISO order.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A stretch of the day on some days of the week, in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    text: String,
    days: [bool; 7],
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// Whether an instant lies in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The clocks are being changed, so the local minute is there twice.
    Ambiguous,
}

impl Window {
    /// Reads a window: days or a range of them, two times, an IANA zone (UTC where it is left out).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form =
            || format!("{text:?} is no window such as \"Mon-Fri 06:00-14:00 Europe/Berlin\"");
        let mut words = text.split_whitespace();
        let (first, second) = (words.next().ok_or_else(form)?, words.next());
        let (days, times) = match second {
            Some(second) if second.contains(':') => (first, second),
            _ if first.contains(':') => ("Mon-Sun", first),
            _ => return Err(form()),
        };
        let zone = if first.contains(':') { second } else { words.next() };
        if words.next().is_some() {
            return Err(form());
        }
        let (from, to) = times.split_once('-').ok_or_else(form)?;
        let zone = zone.unwrap_or("UTC");
        Ok(Self {
            text: text.to_owned(),
            days: days_of(days).ok_or_else(form)?,
            from: time_of(from).ok_or_else(form)?,
            to: time_of(to).ok_or_else(form)?,
            zone: TimeZone::get(zone)
                .map_err(|_| format!("{zone:?} is no time zone known here"))?,
        })
    }

    /// Tells whether an instant lies inside; the end does not belong to it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> Inside {
        let local = at.to_jiff().to_zoned(self.zone.clone()).datetime();
        let kind = self.zone.to_ambiguous_zoned(local).offset();
        if !matches!(kind, AmbiguousOffset::Unambiguous { .. }) {
            return Inside::Ambiguous;
        }
        let (day, time) = (local.date().weekday(), local.time());
        let is_in = if self.from < self.to {
            self.has(day) && self.from <= time && time < self.to
        } else {
            // Over midnight: the part after it belongs to the day before.
            (self.has(day) && self.from <= time) || (self.has(day.previous()) && time < self.to)
        };
        if is_in { Inside::Yes } else { Inside::No }
    }

    fn has(&self, day: Weekday) -> bool {
        let at = DAYS.iter().position(|(_, known)| *known == day);
        at.and_then(|at| self.days.get(at)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn day_of(word: &str) -> Option<usize> {
    DAYS.iter().position(|(name, _)| name.eq_ignore_ascii_case(word))
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (mut at, end) = (day_of(from)?, day_of(to)?);
        loop {
            *days.get_mut(at)? = true;
            if at == end {
                break;
            }
            at = (at + 1) % 7;
        }
    }
    Some(days)
}

fn time_of(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| {
        (text.len() == 2).then(|| text.parse::<i8>().ok()).flatten().filter(|n| *n >= 0)
    };
    Time::new(digits(hour)?, digits(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn days_times_and_midnight() {
        let shift = Window::parse("Mon-Fri 06:00-14:00").unwrap();
        // 2026-06-29 is a Monday.
        for (when, want) in [
            ("2026-06-29T06:00:00Z", Inside::Yes),
            ("2026-06-29T13:59:59Z", Inside::Yes),
            ("2026-06-29T14:00:00Z", Inside::No),
            ("2026-06-28T07:00:00Z", Inside::No),
        ] {
            assert_eq!(shift.contains(at(when)), want, "{when}");
        }
        let night = Window::parse("Fri 22:00-06:00 UTC").unwrap();
        assert_eq!(night.contains(at("2026-07-03T23:00:00Z")), Inside::Yes);
        assert_eq!(night.contains(at("2026-07-04T05:59:00Z")), Inside::Yes, "Friday's night");
        assert_eq!(night.contains(at("2026-07-03T05:59:00Z")), Inside::No, "Thursday's night");
        let over = Window::parse("Sat-Mon 00:00-12:00").unwrap();
        assert_eq!(over.contains(at("2026-06-28T01:00:00Z")), Inside::Yes, "Sunday");
    }

    #[test]
    fn a_minute_that_is_there_twice_is_ambiguous() {
        let berlin = Window::parse("02:00-03:00 Europe/Berlin").unwrap();
        assert_eq!(berlin.contains(at("2026-10-25T00:30:00Z")), Inside::Ambiguous);
        assert_eq!(berlin.contains(at("2026-10-25T01:30:00Z")), Inside::Ambiguous);
        assert_eq!(berlin.contains(at("2026-10-26T01:30:00Z")), Inside::Yes);
    }

    #[test]
    fn what_is_no_window_is_an_error() {
        for wrong in [
            "",
            "22h",
            "06:00",
            "Mon",
            "Mon 6:00-7:00",
            "Mon 06:00-25:00",
            "Mun 06:00-07:00",
            "Mon 06:00-07:00 Mars/Olympus",
            "Mon 06:00-07:00 UTC now",
        ] {
            assert!(Window::parse(wrong).is_err(), "{wrong}");
        }
    }
}
