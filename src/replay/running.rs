//! The detectors that run by themselves in operation, on a labelled file as on a plant: over the
//! newest window of each signal, beside the others.

use std::collections::BTreeSet;

use super::labelled::Labelled;
use super::play::Played;
use super::score::Tally;
use crate::cache::TagCache;
use crate::diagnose::detect::{AssetWatch, DETECTORS, Member};
use crate::model::{Limits, Tag, TagId, Timestamp};

/// Samples of a window, as the collector's.
const WINDOW: usize = 512;
/// Rows from one look to the next.
const LOOK_ROWS: usize = 5;

/// The watch over the signals of a file.
pub(super) struct Running {
    watch: AssetWatch,
    tags: Vec<Tag>,
    only: Option<String>,
    open: BTreeSet<&'static str>,
    tallies: Vec<Tally>,
}

impl Running {
    pub(super) fn of(file: &Labelled, only: Option<&str>) -> Self {
        Self {
            watch: AssetWatch::default(),
            tags: file.signals.iter().map(|name| Tag::new(name, &file.name, name)).collect(),
            only: only.map(str::to_owned),
            open: BTreeSet::new(),
            tallies: vec![Tally::default(); DETECTORS.len()],
        }
    }

    /// Tells whether one of them is wanted.
    pub(super) fn is_wanted(&self) -> bool {
        DETECTORS.iter().any(|detector| self.wants(detector.name))
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }

    /// Takes what was learnt from as the range that people would have called usual: its extremes
    /// are the warning limits, which drift is judged by.
    pub(super) fn limit(&mut self, training: &[Vec<f64>]) {
        for (tag, column) in self.tags.iter_mut().zip(training) {
            let usable = || column.iter().copied().filter(|x| x.is_finite());
            tag.limits = Limits {
                warn_low: usable().reduce(f64::min),
                warn_high: usable().reduce(f64::max),
                ..Limits::default()
            };
        }
    }

    /// Looks at the newest windows, at every fifth row.
    pub(super) fn look(&mut self, nth: usize, cache: &TagCache, now: Timestamp) {
        if !nth.is_multiple_of(LOOK_ROWS) {
            return;
        }
        let members: Vec<Member<'_>> = (0..)
            .map(TagId)
            .zip(&self.tags)
            .map(|(id, tag)| {
                let window = cache.window_last(id, WINDOW);
                Member { id, tag: Some(tag), window, seen: Some(now) }
            })
            .collect();
        self.watch.look(&members, now);
        self.open = self.watch.open().map(|(_, detector, _)| detector).collect();
    }

    /// Counts a row by what is open.
    pub(super) fn count(&mut self, at_s: f64, is_wrong: bool) {
        for (detector, tally) in DETECTORS.iter().zip(&mut self.tallies) {
            tally.count(at_s, self.open.contains(detector.name), is_wrong);
        }
    }

    /// Gives what each of them did.
    pub(super) fn played(self) -> Vec<Played> {
        let wanted = |name: &str| self.wants(name);
        let all = DETECTORS.iter().zip(&self.tallies);
        all.filter(|(detector, _)| wanted(detector.name))
            .map(|(detector, tally)| Played {
                detector: detector.name,
                setting: detector.usual,
                score: tally.score.clone(),
                why_not: self.watch.why_not(detector.name),
            })
            .collect()
    }
}
