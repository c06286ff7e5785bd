//! Reads the times of observations: a hundred thousand to a document, nearly all of one form.

use crate::model::Timestamp;

/// Reads an instant with its zone; a time without one is none.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    plain(text.as_bytes()).or_else(|| Timestamp::parse(text).ok())
}

/// Reads `2026-06-30T10:00:00.123456Z`, the form that the standard asks for (Part 1, 5.4).
fn plain(text: &[u8]) -> Option<Timestamp> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1] =
        head
    else {
        return None;
    };
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    let two = |tens: &u8, ones: &u8| Some(digit(*tens)? * 10 + digit(*ones)?);
    let (year, month, day) = (two(y0, y1)? * 100 + two(y2, y3)?, two(m0, m1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(n0, n1)?, two(s0, s1)?);
    // A leap second and other rarities are for the long way round.
    let is_plain = (1970..2200).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !is_plain {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::from_nanos(seconds * 1_000_000_000 + fraction(rest)?))
}

/// Reads `.123456Z` as nanoseconds.
fn fraction(rest: &[u8]) -> Option<i64> {
    let digits = match rest {
        [b'Z'] => return Some(0),
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => digits,
        _ => return None,
    };
    let mut nanos = 0;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        nanos = nanos * 10 + i64::from(byte - b'0');
    }
    (digits.len()..9).for_each(|_| nanos *= 10);
    Some(nanos)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts the days from 1970-01-01 in the Gregorian calendar; years begin in March here, so that
/// a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_gives_what_the_long_way_gives() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-06-30T10:00:00.1234567Z",
            "2024-02-29T23:59:59.999999999Z",
            "2100-03-01T00:00:00.5Z",
            "1999-12-31T12:34:56Z",
        ] {
            assert_eq!(plain(text.as_bytes()), Timestamp::parse(text).ok(), "{text}");
        }
        for text in ["2023-02-29T00:00:00Z", "2026-06-30T24:00:00Z", "2026-13-01T00:00:00Z", "t"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(read("2026-06-30T10:00:00+02:00").is_some());
        assert_eq!(read("2011-05-11T13:55:22"), None, "no zone, no instant");
        for day in 0..80_000 {
            let at = Timestamp::from_nanos(day * 86_400_000_000_000);
            assert_eq!(plain(at.to_rfc3339().as_bytes()), Some(at), "{day}");
        }
    }
}
