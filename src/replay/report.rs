//! The table: each detector on every group of files, with its usual setting, and with the one
//! that was best on the other groups.

use std::collections::BTreeMap;

use serde::Serialize;

use super::corpus::Corpus;
use super::play::{Played, Train, play};
use super::score::Score;
use crate::diagnose::asset::ASSET_USUAL;
use crate::diagnose::trained::usual;

/// Settings whose F1 is this near to the best are as good: the least sensitive of them is taken
/// (Breiman's rule of one standard error, with a hundredth for the error).
const AS_GOOD: f64 = 0.99;

/// One detector's line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The detector.
    pub detector: &'static str,
    /// The most false alarms a setting might give on the other groups, percent; `None` on the
    /// line of the usual setting.
    pub false_alarm_max_pct: Option<f64>,
    /// Right alarms among all alarms.
    pub precision: Option<f64>,
    /// Rows found among those that were wrong.
    pub recall: Option<f64>,
    /// The harmonic mean of both.
    pub f1: f64,
    /// Alarmed rows among those where all was well, percent.
    pub false_alarm_pct: f64,
    /// Events found, of how many.
    pub events: String,
    /// The median delay of the events that were found.
    pub delay_s: Option<f64>,
    /// The setting of each group, as chosen on the others.
    pub settings: String,
}

/// What the detectors did on a corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Files that were played.
    pub files: usize,
    /// Rows that were judged.
    pub rows: u64,
    /// A line per detector and bound.
    pub detectors: Vec<Line>,
    /// Files that were left out, and detectors that learnt nothing from any, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// The scores of one detector: by setting, by group.
type ByGroup = BTreeMap<usize, BTreeMap<String, Score>>;

/// Plays all files and scores each group with the setting chosen on the others.
#[must_use]
pub fn report(corpus: &Corpus, train: Train, only: Option<&str>, bounds_pct: &[f64]) -> Report {
    let mut order: Vec<&'static str> = Vec::new();
    let mut scores: BTreeMap<&'static str, ByGroup> = BTreeMap::new();
    let mut settings: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    let mut left_out: Vec<String> =
        corpus.left_out.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let mut untaught: BTreeMap<&'static str, &'static str> = BTreeMap::new();
    let mut rows = 0;
    for file in &corpus.files {
        let played = play(file, train, only);
        if played.is_empty() {
            left_out.push(format!("{}: no rows after the training", file.name));
        }
        rows += played.first().map_or(0, |p| judged(&p.score));
        for Played { detector, setting, score, why_not } in played {
            if let Some(why) = why_not {
                untaught.entry(detector).or_insert(why);
            } else if !order.contains(&detector) {
                order.push(detector);
            }
            let known = settings.entry(detector).or_default();
            let at = known.iter().position(|s| *s == setting).unwrap_or_else(|| {
                known.push(setting);
                known.len() - 1
            });
            let of = scores.entry(detector).or_default().entry(at).or_default();
            *of.entry(file.group.clone()).or_default() += &score;
        }
    }
    // One that learnt nothing anywhere was never wrong, and has no score.
    let none = untaught.iter().filter(|(detector, _)| !order.contains(detector));
    left_out.extend(none.map(|(detector, why)| format!("{detector}: {why}")));
    let lines = order.iter().flat_map(|detector| {
        let known = settings.get(detector).map(Vec::as_slice).unwrap_or_default();
        let of = scores.get(detector);
        // Where there is one setting there is none to choose.
        let bounds_pct = if known.len() > 1 { bounds_pct } else { &[] };
        let bounds = std::iter::once(None).chain(bounds_pct.iter().copied().map(Some));
        bounds.filter_map(move |bound| of.map(|of| line(detector, bound, known, of)))
    });
    let detectors = lines.collect();
    Report { files: corpus.files.len(), rows, detectors, left_out }
}

fn judged(score: &Score) -> u64 {
    score.hits + score.false_alarms + score.misses + score.quiet
}

fn line(detector: &'static str, bound: Option<f64>, settings: &[f64], by: &ByGroup) -> Line {
    let mut total = Score::default();
    let mut chosen = Vec::new();
    let groups: Vec<&String> = by.values().next().map_or(Vec::new(), |of| of.keys().collect());
    for group in groups {
        let at = match bound {
            Some(bound_pct) => choose(by, group, bound_pct),
            None => settings
                .iter()
                .position(|s| *s == usual(detector).unwrap_or(ASSET_USUAL))
                .unwrap_or_default(),
        };
        if let Some(score) = by.get(&at).and_then(|of| of.get(group)) {
            total += score;
        }
        let setting = settings.get(at).copied().unwrap_or_default();
        if !chosen.contains(&setting) {
            chosen.push(setting);
        }
    }
    let texts: Vec<String> = chosen.iter().map(|setting| format!("{setting}")).collect();
    Line {
        detector,
        false_alarm_max_pct: bound,
        precision: total.precision().map(thousandth),
        recall: total.recall().map(thousandth),
        f1: thousandth(total.f1()),
        false_alarm_pct: thousandth(total.false_alarm_rate() * 100.0),
        events: format!("{}/{}", total.events_found, total.events),
        delay_s: total.delay_s(),
        settings: texts.join(" "),
    }
}

/// Gives the position of the setting that is best on the other groups: of those within the
/// bound the best F1, and of those as good the least sensitive. Settings stand from the most
/// sensitive on. Where there is no other group it is the middle one.
fn choose(by: &ByGroup, group: &str, bound_pct: f64) -> usize {
    let others: Vec<(usize, Score)> = by
        .iter()
        .map(|(at, of)| {
            let mut sum = Score::default();
            of.iter().filter(|(name, _)| *name != group).for_each(|(_, score)| sum += score);
            (*at, sum)
        })
        .collect();
    if others.iter().all(|(_, score)| judged(score) == 0) {
        return by.len() / 2;
    }
    let within: Vec<&(usize, Score)> =
        others.iter().filter(|(_, s)| s.false_alarm_rate() * 100.0 <= bound_pct).collect();
    let best = within.iter().map(|(_, s)| s.f1()).fold(0.0_f64, f64::max);
    let as_good = within.iter().rev().find(|(_, s)| s.f1() >= best * AS_GOOD);
    as_good.map_or(by.len() - 1, |(at, _)| *at)
}

fn thousandth(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(hits: u64, false_alarms: u64) -> Score {
        Score {
            hits,
            false_alarms,
            misses: 100 - hits,
            quiet: 100 - false_alarms,
            ..Score::default()
        }
    }

    #[test]
    fn a_setting_is_chosen_on_the_other_groups_alone() {
        let mut by = ByGroup::new();
        let both = |a: Score, b: Score| [("a".to_owned(), a), ("b".to_owned(), b)].into();
        by.insert(0, both(score(99, 60), score(99, 10)));
        by.insert(1, both(score(80, 5), score(60, 0)));
        by.insert(2, both(score(79, 5), score(20, 0)));
        assert_eq!(choose(&by, "b", 20.0), 2, "too many false alarms, then as good");
        assert_eq!(choose(&by, "a", 20.0), 0);
        assert_eq!(choose(&by, "a", 5.0), 1);
        let found = line("d", Some(20.0), &[1.0, 2.0, 3.0], &by);
        assert_eq!(found.settings, "1 3");
        assert_eq!(found.recall, Some(0.595));
    }
}
