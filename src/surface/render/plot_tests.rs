//! Plots as they stand on a terminal.

use jiff::tz::TimeZone;

use super::*;
use crate::surface::render::cells::Times;

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(1_782_820_800 + s).unwrap()
}

fn reader() -> Reader {
    Reader { now: at(0), zone: TimeZone::UTC, times: Times::Full }
}

fn good(s: i64, value: f64) -> Dot {
    Dot { at: at(s), value: Some(value), trust: Trust::Good }
}

fn drawn(series: &Series) -> String {
    plot(series, Size { across: 31, down: 4 }, &reader())
}

#[test]
fn a_ramp_is_a_line_from_corner_to_corner_with_its_times_below() {
    let dots = (0..=50).map(|s| good(s, f64::from(i32::try_from(s).unwrap()))).collect();
    let shown = drawn(&Series { dots, unit: "bar".into(), ..Series::default() });
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 7, "{shown}");
    assert!(lines[0].starts_with("50.0 \u{2502}   ") && lines[3].starts_with("   0 \u{2502}"));
    assert_eq!(lines[5].trim(), "12:00:00        12:00:50");
    assert_eq!(lines[6].trim(), "bar");
    // Every column has a dot: nothing is left open.
    let has_dot = |column: usize| {
        lines[..4].iter().any(|line| line.chars().nth(6 + column).is_some_and(|c| c > '\u{2800}'))
    };
    assert!((0..24).all(has_dot), "{shown}");
}

#[test]
fn bad_points_and_lost_stretches_are_marked_and_never_joined() {
    let mut dots: Vec<Dot> = (0..10).map(|s| good(s, 1.0)).collect();
    dots.extend((10..20).map(|s| Dot { at: at(s), value: Some(9.0), trust: Trust::Bad }));
    dots.extend((20..30).map(|s| good(s, 3.0)));
    dots.extend((40..50).map(|s| good(s, 2.0)));
    let gaps = vec![(at(29), at(40))];
    let shown = drawn(&Series { dots, gaps, ..Series::default() });
    let lines: Vec<&str> = shown.lines().collect();
    // The Bad nine does not even stretch the scale.
    assert!(lines[0].starts_with("3.00"), "{shown}");
    let marks = lines[5];
    assert!(marks.contains("xxxx") && marks.contains("????"), "{shown}");
    let open = |column: usize| {
        lines[..4].iter().all(|l| l.chars().nth(6 + column).is_none_or(|c| c == ' '))
    };
    let from = marks.chars().position(|c| c == 'x').unwrap() - 6;
    assert!(open(from + 1) && open(from + 2), "{shown}");
    let from = marks.chars().position(|c| c == '?').unwrap() - 6;
    assert!(open(from + 2), "{shown}");
    assert!(lines[7].contains("x Bad   ? samples lost"), "{shown}");
}

#[test]
fn a_limit_near_by_is_drawn_and_one_far_away_is_named() {
    let dots: Vec<Dot> =
        (0..50).map(|s| good(s, 50.0 + f64::from(i32::try_from(s % 3).unwrap()))).collect();
    let limits = vec![("warn_high", 55.0), ("alarm_high", 9000.0)];
    let shown = drawn(&Series { dots, limits, ..Series::default() });
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("55.00 \u{2502}\u{2801} \u{2801} \u{2801}"), "{shown}");
    assert!(lines[6].contains("warn_high 55   alarm_high 9000"), "{shown}");
}

#[test]
fn what_can_not_be_plotted_says_why_and_extremes_do_no_harm() {
    let empty = drawn(&Series::default());
    assert_eq!(empty, "nothing to plot: there are no points\n");
    let text = Dot { value: None, ..good(0, 0.0) };
    let of = |dots: Vec<Dot>| drawn(&Series { dots, ..Series::default() });
    assert!(of(vec![text]).contains("no point of it is a number"));
    let bad = Dot { trust: Trust::Bad, ..good(0, 1.0) };
    let outage = of(vec![bad]);
    assert!(outage.contains("x Bad") && !outage.contains("nothing"), "{outage}");
    for value in [0.0, -1e308, 1e308, f64::NAN, f64::INFINITY, 5e-324] {
        for other in [0.0, 1e308, -1e308, 1.0] {
            assert!(!of(vec![good(0, value), good(1, other), good(1, value)]).is_empty());
        }
    }
    let tiny = plot(
        &Series { dots: vec![good(0, 1.0)], ..Series::default() },
        Size { across: 0, down: 0 },
        &reader(),
    );
    assert!(tiny.lines().count() >= 4, "{tiny}");
}

#[test]
fn a_sparkline_has_a_bar_a_column_and_a_mark_for_what_is_bad() {
    let mut dots: Vec<Dot> =
        (0..8).map(|s| good(s, f64::from(i32::try_from(s).unwrap()))).collect();
    assert_eq!(sparkline(&dots, 8), BARS.iter().collect::<String>());
    dots[3].trust = Trust::Bad;
    dots.remove(5);
    let shown = sparkline(&dots, 8);
    assert_eq!((shown.chars().nth(3), shown.chars().nth(5)), (Some('x'), Some(' ')), "{shown}");
    assert_eq!(sparkline(&[], 8), "");
    assert_eq!(sparkline(&[good(0, 7.0)], 4), "\u{2584}   ");
}
