//! One file, played through a cache to every detector: those that learn, and those that run by
//! themselves.

use super::labelled::Labelled;
use super::running::Running;
use super::score::{Score, Tally};
use crate::cache::{CacheLimits, TagCache};
use crate::diagnose::asset::{ASSET, ASSET_SETTINGS, AssetModel};
use crate::diagnose::trained::{TRAINED, Trained};
use crate::model::{Quality, TagId, Value, Window};

/// How much of a file is learnt from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Train {
    /// So many rows.
    Rows(usize),
    /// So many hundredths of its rows.
    Percent(f64),
}

/// What one detector with one setting did on a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// The detector.
    pub detector: &'static str,
    /// Its setting.
    pub setting: f64,
    /// How often it was right; where it learnt nothing it never alarms.
    pub score: Score,
    /// Why it learnt nothing from the signals, where it did from none.
    pub why_not: Option<&'static str>,
}

impl Train {
    /// Reads `400` or `15%`.
    ///
    /// # Errors
    /// What is wanted instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || format!("{text:?}: rows, such as 400, or a share, such as 15%");
        match text.strip_suffix('%') {
            Some(share) => {
                let share = share.parse().map_err(|_| wanted())?;
                (share > 0.0 && share < 100.0).then_some(Self::Percent(share)).ok_or_else(wanted)
            }
            None => text.parse().map(Self::Rows).map_err(|_| wanted()),
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of at most ten million rows"
    )]
    fn rows(self, of: usize) -> usize {
        match self {
            Self::Rows(rows) => rows,
            Self::Percent(share) => (of as f64 * share / 100.0) as usize,
        }
    }
}

/// A detector that has learnt, of each signal or of all together.
enum Learnt {
    EachSignal(Vec<Option<Box<dyn Trained>>>),
    Together { model: Option<Box<AssetModel>>, setting: f64 },
}

impl Learnt {
    /// Tells whether something is wrong by the newest value of each signal.
    fn push(&mut self, row: &[Option<f64>]) -> bool {
        match self {
            Self::EachSignal(signals) => {
                let mut is_alarmed = false;
                for (detector, value) in signals.iter_mut().zip(row) {
                    if let (Some(detector), Some(value)) = (detector, value) {
                        is_alarmed |= detector.push(*value);
                    }
                }
                is_alarmed
            }
            Self::Together { model, setting } => {
                let values: Option<Vec<f64>> = row.iter().copied().collect();
                let judged = model.as_mut().zip(values).and_then(|(m, row)| m.judge(&row));
                judged.is_some_and(|judged| judged.index > *setting)
            }
        }
    }
}

/// Plays a file to every detector with every setting.
///
/// The rows are appended to a scan group of a cache; what the detectors get is read back from
/// it. `only` narrows to one detector.
#[must_use]
pub fn play(file: &Labelled, train: Train, only: Option<&str>) -> Vec<Played> {
    let train = train.rows(file.rows.len());
    let defaults = CacheLimits::default();
    let rows_per_group = train.max(defaults.rows_per_group);
    let cache = TagCache::new(CacheLimits { rows_per_group, ..defaults });
    let ids: Vec<TagId> = (0_u32..).zip(&file.signals).map(|(n, _)| TagId(n)).collect();
    let mut writer = cache.scan_group(&ids);
    let newest = |id: &TagId| {
        let latest = cache.latest(*id)?.sample;
        latest.value.as_f64().filter(|_| !latest.quality.is_bad())
    };
    let mut run: Vec<(Learnt, Tally, Played)> = Vec::new();
    let mut running = Some(Running::of(file, only)).filter(Running::is_wanted);
    let rows = file.rows.iter().zip(&file.times).zip(&file.labels);
    for (nth, ((row, at), is_wrong)) in rows.enumerate() {
        let readings: Vec<(Value, Quality)> = row.iter().map(|value| reading(*value)).collect();
        writer.append(*at, &readings);
        if let Some(running) = &mut running {
            running.look(nth, &cache, *at);
        }
        if nth < train {
            continue;
        }
        if nth == train {
            let before = |id: &TagId| {
                let mut window = cache.window_last(*id, train + 1);
                window.values.pop();
                numbers(&window)
            };
            let training: Vec<Vec<f64>> = ids.iter().map(before).collect();
            run = learn(&training, only);
            running.iter_mut().for_each(|running| running.limit(&training));
        }
        let shown: Vec<Option<f64>> = ids.iter().map(newest).collect();
        #[allow(clippy::cast_precision_loss, reason = "seconds to a millisecond")]
        let at_s = at.millis() as f64 / 1000.0;
        for (learnt, tally, _) in &mut run {
            tally.count(at_s, learnt.push(&shown), *is_wrong);
        }
        running.iter_mut().for_each(|running| running.count(at_s, *is_wrong));
    }
    let learnt = run.into_iter().map(|(_, tally, played)| Played { score: tally.score, ..played });
    let running = running.filter(|_| file.rows.len() > train).map(Running::played);
    learnt.chain(running.into_iter().flatten()).collect()
}

fn reading(value: Option<f64>) -> (Value, Quality) {
    value.map_or((Value::Null, Quality::BAD), |value| (Value::F64(value), Quality::GOOD))
}

/// Gives a value per row, NaN where there is none.
fn numbers(window: &Window) -> Vec<f64> {
    window.values.iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

fn learn(columns: &[Vec<f64>], only: Option<&str>) -> Vec<(Learnt, Tally, Played)> {
    let mut run = Vec::new();
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    for kind in TRAINED.iter().filter(|kind| wanted(kind.name)) {
        for setting in kind.settings {
            let mut why_not = None;
            let mut of = |column: &Vec<f64>| {
                let usable: Vec<f64> = column.iter().copied().filter(|x| x.is_finite()).collect();
                (kind.learn)(&usable, *setting).map_err(|why| why_not = Some(why)).ok()
            };
            let signals: Vec<_> = columns.iter().map(&mut of).collect();
            let why_not = why_not.filter(|_| signals.iter().all(Option::is_none));
            let played = played(kind.name, *setting, why_not);
            run.push((Learnt::EachSignal(signals), Tally::default(), played));
        }
    }
    if wanted(ASSET) {
        let rows = columns.first().map_or(0, Vec::len);
        let row = |n: usize| columns.iter().filter_map(|c| c.get(n).copied()).collect();
        let rows: Vec<Vec<f64>> = (0..rows).map(row).collect();
        let whole: Vec<Vec<f64>> =
            rows.into_iter().filter(|row| row.iter().all(|x| x.is_finite())).collect();
        let learnt = AssetModel::learn(&whole);
        let why_not = learnt.as_ref().err().copied();
        let model = learnt.ok().map(Box::new);
        for setting in ASSET_SETTINGS {
            let together = Learnt::Together { model: model.clone(), setting: *setting };
            run.push((together, Tally::default(), played(ASSET, *setting, why_not)));
        }
    }
    run
}

fn played(detector: &'static str, setting: f64, why_not: Option<&'static str>) -> Played {
    Played { detector, setting, score: Score::default(), why_not }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::detect::detector;
    use crate::model::Timestamp;

    /// Two signals, noise from a fixed seed; both step up at row 300.
    fn stepping() -> Labelled {
        let mut state = 7_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 30) - 1.0
        };
        let wrong = |n: i64| n >= 300;
        let step = |n: i64| if wrong(n) { 9.0 } else { 0.0 };
        Labelled {
            name: "f".to_owned(),
            group: "g".to_owned(),
            signals: vec!["a".to_owned(), "b".to_owned()],
            times: (0..400).map(|n| Timestamp::from_millis(n * 1000)).collect(),
            rows: (0..400)
                .map(|n| vec![Some(noise() + step(n)), Some(noise() + step(n))])
                .collect(),
            labels: (0..400).map(wrong).collect(),
        }
    }

    #[test]
    fn a_step_is_found_soon_and_not_before() {
        let played = play(&stepping(), Train::Rows(200), None);
        let of = |name: &str| played.iter().rfind(move |p| p.detector == name).unwrap();
        for name in ["level", "cusum", ASSET] {
            let score = &of(name).score;
            assert_eq!((score.false_alarms, score.events_found), (0, 1), "{name}: {score:?}");
            assert!(score.delay_s().unwrap() <= 12.0, "{name}: {score:?}");
            assert_eq!(score.hits + score.misses + score.quiet, 200);
        }
    }

    #[test]
    fn what_learns_nothing_says_why_and_never_alarms() {
        let mut file = stepping();
        file.rows.iter_mut().for_each(|row| row.fill(None));
        let learns = |played: &Played| detector(played.detector).is_none();
        for played in play(&file, Train::Rows(200), None).into_iter().filter(learns) {
            assert!(played.why_not.is_some());
            assert_eq!((played.score.hits, played.score.false_alarms), (0, 0));
        }
        assert!(play(&file, Train::Rows(4000), None).is_empty());
    }

    #[test]
    fn the_training_is_rows_or_a_share() {
        assert_eq!(Train::parse("400"), Ok(Train::Rows(400)));
        assert_eq!(Train::parse("15%").unwrap().rows(4000), 600);
        assert!(Train::parse("0%").is_err() && Train::parse("many").is_err());
    }
}
