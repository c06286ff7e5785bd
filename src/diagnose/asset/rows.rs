//! The signals of an asset side by side.

use crate::model::{Quality, Timestamp, Window};

/// A row of one value per signal, and when it was so.
pub(super) type Row = (Timestamp, Vec<f64>);

/// Gives the signal that shows most, which makes the rows; one that never moves only where all
/// rest.
#[must_use]
pub fn busiest(histories: &[Window]) -> Option<usize> {
    let moves =
        |history: &Window| history.values.windows(2).any(|pair| pair.first() != pair.last());
    let key = |at: usize, history| (moves(history), history.len(), std::cmp::Reverse(at));
    let all = histories.iter().enumerate();
    all.max_by_key(|(at, history)| key(*at, history)).map(|(at, _)| at)
}

/// Puts histories side by side: whenever the one that leads shows something, a row of what each
/// had last shown. It is left out as long as one of them is Bad, is kept from before its link
/// broke, is no number, or has not begun; and where it comes no later than an instant, or sooner
/// after it or another row than it may.
#[must_use]
pub fn rows(
    histories: &[Window],
    leads: usize,
    apart_ms: i64,
    after: Option<Timestamp>,
) -> Vec<Row> {
    let Some(clock) = histories.get(leads) else { return Vec::new() };
    let mut reached = vec![0; histories.len()];
    let mut before = after;
    let mut rows = Vec::new();
    for at in &clock.received {
        if before.is_some_and(|before| *at <= before || at.millis_since(before) < apart_ms) {
            continue;
        }
        before = Some(*at);
        // Each goes on, whether or not another one has a value.
        let values: Vec<Option<f64>> = histories
            .iter()
            .zip(&mut reached)
            .map(|(history, reached)| value(history, reached, *at))
            .collect();
        rows.extend(values.into_iter().collect::<Option<Vec<f64>>>().map(|row| (*at, row)));
    }
    rows
}

/// Gives what a history had last shown at an instant; `reached` is how far it was read.
fn value(history: &Window, reached: &mut usize, at: Timestamp) -> Option<f64> {
    while history.received.get(*reached).is_some_and(|next| *next <= at) {
        *reached += 1;
    }
    let last = reached.checked_sub(1)?;
    usable(history, last)
}

fn usable(history: &Window, at: usize) -> Option<f64> {
    let quality = *history.qualities.get(at)?;
    // What was kept from before an outage is not what the process shows now.
    let is_kept = quality == Quality::UNCERTAIN_LAST_USABLE;
    history.values.get(at)?.as_f64().filter(|x| x.is_finite() && !quality.is_bad() && !is_kept)
}

/// Gives the first signal whose newest value can stand in no row.
pub(super) fn lacking(histories: &[Window]) -> Option<usize> {
    let newest = |history: &Window| usable(history, history.len().checked_sub(1)?);
    histories.iter().position(|history| newest(history).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Sample, Value};

    fn window(values: &[(i64, Option<f64>)]) -> Window {
        let mut window = Window::default();
        for (ms, value) in values {
            let (value, quality) = match value {
                Some(value) => (Value::F64(*value), Quality::GOOD),
                None => (Value::Null, Quality::BAD_NO_COMMUNICATION),
            };
            let received_ts = Timestamp::from_millis(*ms);
            window.push(Sample { value, quality, source_ts: None, received_ts });
        }
        window
    }

    fn at(rows: Vec<Row>) -> Vec<(i64, Vec<f64>)> {
        rows.into_iter().map(|(at, row)| (at.millis(), row)).collect()
    }

    #[test]
    fn a_row_holds_what_each_had_last_shown() {
        let fast = window(&[(100, Some(1.0)), (200, Some(2.0)), (300, Some(3.0))]);
        let slow = window(&[(150, Some(7.0))]);
        let both = [slow, fast];
        assert_eq!(busiest(&both), Some(1));
        let all = at(rows(&both, 1, 0, None));
        assert_eq!(all, [(200, vec![7.0, 2.0]), (300, vec![7.0, 3.0])]);
        let later = at(rows(&both, 1, 0, Some(Timestamp::from_millis(200))));
        assert_eq!(later, [(300, vec![7.0, 3.0])]);
        assert_eq!(at(rows(&both, 1, 150, None)), [(300, vec![7.0, 3.0])], "100 was before it");
    }

    #[test]
    fn an_outage_of_one_leaves_its_rows_out() {
        let a = window(&[(100, Some(1.0)), (200, Some(2.0)), (300, Some(3.0))]);
        let b = window(&[(100, Some(5.0)), (180, None), (290, Some(6.0))]);
        let found = at(rows(&[a, b], 0, 0, None));
        assert_eq!(found, [(100, vec![1.0, 5.0]), (300, vec![3.0, 6.0])]);
        assert!(rows(&[], 0, 0, None).is_empty());
    }

    #[test]
    fn what_was_kept_from_before_an_outage_stands_in_no_row() {
        let a = window(&[(100, Some(1.0)), (200, Some(2.0)), (300, Some(3.0))]);
        let mut b = window(&[(100, Some(5.0))]);
        b.push(Sample {
            value: Value::F64(5.0),
            quality: Quality::UNCERTAIN_LAST_USABLE,
            source_ts: None,
            received_ts: Timestamp::from_millis(150),
        });
        assert_eq!(lacking(&[a.clone(), b.clone()]), Some(1));
        assert_eq!(at(rows(&[a.clone(), b.clone()], 0, 0, None)), [(100, vec![1.0, 5.0])]);
        b.push(Sample {
            value: Value::F64(6.0),
            quality: Quality::GOOD,
            source_ts: None,
            received_ts: Timestamp::from_millis(250),
        });
        assert_eq!(lacking(&[a.clone(), b.clone()]), None);
        let found = at(rows(&[a, b], 0, 0, None));
        assert_eq!(found, [(100, vec![1.0, 5.0]), (300, vec![3.0, 6.0])]);
    }
}
