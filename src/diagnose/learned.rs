//! What detectors that learn would have found in a stretch of history: they learn from its first
//! part, and judge the rest value by value.

use super::asset::{AssetModel, busiest, rows};
use super::detect::{Kind, Signal};
use super::trained::TrainedKind;
use crate::model::{Timestamp, Window};

/// An alarm is over after so many judgements without one.
pub(super) const QUIET: usize = 15;
/// Stretches that are told; all are counted.
const STRETCHES_MAX: usize = 50;

/// One stretch in which the detector alarmed.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Its first alarm.
    pub opened: Timestamp,
    /// Its last one.
    pub last: Timestamp,
    /// How far out it was at most; 1 is the limit.
    pub furthest: f64,
    /// The signal that explained most of it then, by its position.
    pub leading: usize,
}

/// What a detector that learns would have found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learned {
    /// Rows that were judged.
    pub judged: usize,
    /// Why none was.
    pub why_not: Option<&'static str>,
    /// How many stretches there were.
    pub count: usize,
    /// The first 50 of them.
    pub stretches: Vec<Stretch>,
    open: Option<(Stretch, usize)>,
}

/// Judges one signal, after it has learnt from so many of its values.
#[must_use]
pub fn learned(kind: &TrainedKind, setting: f64, history: &Window, train: usize) -> Learned {
    let rows: Vec<(Timestamp, f64)> = usable(history).collect();
    let (before, after) = rows.split_at(train.min(rows.len()));
    let values: Vec<f64> = before.iter().map(|(_, value)| *value).collect();
    let mut learnt = match (kind.learn)(&values, setting) {
        Ok(learnt) => learnt,
        Err(why) => return Learned::not(why),
    };
    let mut found = Learned::default();
    for (at, value) in after {
        let is_alarmed = learnt.push(*value);
        found.note(*at, is_alarmed, (learnt.score(), 0));
    }
    found.ended()
}

/// Judges the signals of an asset together, after it has learnt from so many rows: what each had
/// last shown whenever the one that shows most did. An index beyond the setting is an alarm.
#[must_use]
pub fn learned_together(setting: f64, histories: &[Window], train: usize) -> Learned {
    let rows = busiest(histories).map_or_else(Vec::new, |leads| rows(histories, leads, 0, None));
    let (before, after) = rows.split_at(train.min(rows.len()));
    let values: Vec<Vec<f64>> = before.iter().map(|(_, row)| row.clone()).collect();
    let mut model = match AssetModel::learn(&values) {
        Ok(model) => model,
        Err(why) => return Learned::not(why),
    };
    let mut found = Learned::default();
    for (at, row) in after {
        if let Some(judged) = model.judge(row) {
            let far = (judged.index / setting, judged.leading);
            found.note(*at, judged.index > setting, far);
        }
    }
    found.ended()
}

/// Tells whether a history is of measured numbers, which an asset is judged by.
#[must_use]
pub fn is_measured(history: &Window) -> bool {
    Signal::of(history).kind == Kind::Analogue
}

impl Learned {
    fn not(why: &'static str) -> Self {
        Self { why_not: Some(why), ..Self::default() }
    }

    fn note(&mut self, at: Timestamp, is_alarmed: bool, (far, leading): (f64, usize)) {
        self.judged += 1;
        let before = self.open.take();
        self.open = match (before, is_alarmed) {
            (None, false) => None,
            (None, true) => Some((Stretch { opened: at, last: at, furthest: far, leading }, 0)),
            (Some((stretch, _)), true) => {
                let is_further = far > stretch.furthest;
                let (furthest, leading) = match is_further {
                    true => (far, leading),
                    false => (stretch.furthest, stretch.leading),
                };
                Some((Stretch { last: at, furthest, leading, ..stretch }, 0))
            }
            (Some((stretch, quiet)), false) if quiet + 1 < QUIET => Some((stretch, quiet + 1)),
            (Some((stretch, _)), false) => {
                self.close(stretch);
                None
            }
        };
    }

    fn close(&mut self, stretch: Stretch) {
        self.count += 1;
        if self.stretches.len() < STRETCHES_MAX {
            self.stretches.push(stretch);
        }
    }

    fn ended(mut self) -> Self {
        if let Some((stretch, _)) = self.open.take() {
            self.close(stretch);
        }
        if self.judged == 0 {
            self.why_not = Some("nothing came after what was learnt from");
        }
        self
    }
}

fn usable(history: &Window) -> impl Iterator<Item = (Timestamp, f64)> {
    history.iter().filter_map(|sample| {
        let number = sample.value.as_f64().filter(|x| x.is_finite() && !sample.quality.is_bad())?;
        Some((sample.received_ts, number))
    })
}

#[cfg(test)]
mod tests {
    use super::super::trained::TRAINED;
    use super::super::trained::tests::noise;
    use super::*;
    use crate::model::{Quality, Sample, Value};

    fn window(values: &[f64], every_ms: i64) -> Window {
        let mut window = Window::default();
        for (n, value) in (0_i64..).zip(values) {
            let received_ts = Timestamp::from_millis(n * every_ms);
            let (value, quality) = (Value::F64(*value), Quality::GOOD);
            window.push(Sample { value, quality, source_ts: None, received_ts });
        }
        window
    }

    #[test]
    fn each_stretch_is_told_once_with_how_far_it_went() {
        let mut values = noise(1500, 3);
        values[700..800].iter_mut().for_each(|x| *x += 6.0);
        values[1100..1150].iter_mut().for_each(|x| *x -= 9.0);
        let level = TRAINED.iter().find(|kind| kind.name == "level").unwrap();
        let found = learned(level, 4.0, &window(&values, 1000), 400);
        assert_eq!((found.count, found.judged), (2, 1100), "{found:?}");
        let seconds: Vec<i64> = found.stretches.iter().map(|s| s.opened.millis() / 1000).collect();
        assert!((700..712).contains(&seconds[0]) && (1100..1112).contains(&seconds[1]));
        assert!(found.stretches[1].furthest > found.stretches[0].furthest);
    }

    #[test]
    fn an_asset_is_judged_on_what_its_signals_show_together() {
        let flow = |n: usize| 10.0 * (f64::from(u32::try_from(n).unwrap()) / 40.0).sin();
        let (a, b, c) = (noise(1200, 3), noise(600, 4), noise(1200, 5));
        let fast: Vec<f64> = (0..1200).map(|n| 50.0 + flow(n) + a[n]).collect();
        let same: Vec<f64> = (0..1200).map(|n| 20.0 + flow(n) + c[n]).collect();
        let leak = |n: usize| if n >= 400 { 5.0 } else { 0.0 };
        // The last is read half as often, and leaks from second 800 on.
        let slow: Vec<f64> = (0..600).map(|n| 30.0 + 0.6 * flow(2 * n) + b[n] - leak(n)).collect();
        let histories = [window(&fast, 1000), window(&same, 1000), window(&slow, 2000)];
        let found = learned_together(1.3, &histories, 400);
        let first = &found.stretches[0];
        assert!((800..830).contains(&(first.opened.millis() / 1000)), "{found:?}");
        assert_eq!((first.leading, found.judged), (2, 800), "{found:?}");
    }

    #[test]
    fn what_teaches_nothing_says_why() {
        let level = TRAINED.first().unwrap();
        assert!(learned(level, 3.0, &Window::default(), 400).why_not.is_some());
        let all = learned(level, 3.0, &window(&noise(300, 1), 1000), 400);
        assert_eq!(all.why_not, Some("nothing came after what was learnt from"));
        assert!(learned_together(1.3, &[], 400).why_not.is_some());
        let bad = learned_together(1.3, &[window(&[f64::NAN; 900], 1000)], 400);
        assert!(bad.why_not.is_some());
    }
}
