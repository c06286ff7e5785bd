//! A learnt asset in operation: judged row by row as its tags show more.

use std::sync::Arc;

use super::rows::{lacking, rows};
use super::{AssetIndex, AssetModel, LearntAsset};
use crate::diagnose::learned::QUIET;
use crate::model::{Timestamp, Window};

/// How an asset stood at its newest row; while an alarm fades, at the last one beyond its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AssetNow {
    /// When that was.
    pub at: Timestamp,
    /// How far out it was; 1 is the limit.
    pub limits: f64,
    /// The signal that explained most of it, by its position.
    pub leading: usize,
    /// Since when it has been beyond its limit, but for moments.
    pub alarmed_since: Option<Timestamp>,
}

/// An asset that is judged.
#[derive(Debug)]
pub struct AssetJudge {
    learnt: Arc<LearntAsset>,
    model: AssetModel,
    /// The newest row that was looked at.
    reached: Option<Timestamp>,
    now: Option<AssetNow>,
    quiet: usize,
}

impl AssetJudge {
    /// Begins with what was learnt. The first look marks what is there; what comes is judged.
    #[must_use]
    pub fn begin(learnt: Arc<LearntAsset>) -> Self {
        let model = learnt.model();
        Self { learnt, model, reached: None, now: None, quiet: 0 }
    }

    /// Gives what it judges by.
    #[must_use]
    pub const fn learnt(&self) -> &Arc<LearntAsset> {
        &self.learnt
    }

    /// Gives how it stood at its newest row; `None` before the first.
    #[must_use]
    pub const fn now(&self) -> Option<AssetNow> {
        self.now
    }

    /// Tells whether there is something new, by when the signal that makes the rows last showed
    /// something.
    #[must_use]
    pub fn is_due(&self, newest: Timestamp) -> bool {
        self.reached != Some(newest)
    }

    /// Forgets how it stood where judging was interrupted: what it had followed stays, and the
    /// next look marks what is there.
    pub fn interrupt(&mut self) {
        if self.reached.take().is_some() {
            self.model.interrupt();
            self.now = None;
            self.quiet = 0;
        }
    }

    /// Judges the rows that have come since the last look, out of the newest of each history, and
    /// counts them.
    ///
    /// # Errors
    /// The first signal whose newest value can't be judged: how it stood is not how it stands.
    pub fn look(&mut self, histories: &[Window]) -> Result<usize, usize> {
        let LearntAsset { leads, apart_ms, .. } = *self.learnt;
        let newest = histories.get(leads).and_then(|leads| leads.received.last());
        let Some(newest) = newest.copied() else { return Err(leads) };
        // A clock that was set back must not silence it until it has caught up.
        let Some(reached) = self.reached.filter(|reached| *reached <= newest) else {
            self.reached = Some(newest);
            return lacking(histories).map_or(Ok(0), Err);
        };
        let mut count = 0;
        for (at, row) in rows(histories, leads, apart_ms, Some(reached)) {
            self.reached = Some(at);
            if let Some(judged) = self.model.judge(&row) {
                self.note(at, &judged);
                count += 1;
            }
        }
        lacking(histories).map_or(Ok(count), Err)
    }

    fn note(&mut self, at: Timestamp, judged: &AssetIndex) {
        let limits = self.learnt.limits(judged);
        let fresh = AssetNow { at, limits, leading: judged.leading, alarmed_since: None };
        let before = self.now.filter(|before| before.alarmed_since.is_some());
        self.quiet = if limits > 1.0 { 0 } else { self.quiet + 1 };
        self.now = Some(match before {
            _ if limits > 1.0 => {
                let since = before.and_then(|before| before.alarmed_since);
                AssetNow { alarmed_since: since.or(Some(at)), ..fresh }
            }
            Some(before) if self.quiet < QUIET => before,
            _ => fresh,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::asset::Member;
    use crate::diagnose::trained::tests::noise;
    use crate::model::{Quality, Sample, Tag, Value};

    /// Three flows that move together; the last loses some between seconds 800 and 900.
    fn loop_of(seconds: usize) -> Vec<Window> {
        let (a, b, c) = (noise(seconds, 3), noise(seconds, 4), noise(seconds, 5));
        let flow = |n: usize| 10.0 * (f64::from(u32::try_from(n).unwrap()) / 40.0).sin();
        let leak = |n: usize| if (800..900).contains(&n) { 5.0 } else { 0.0 };
        let window = |value: &dyn Fn(usize) -> f64| {
            let mut window = Window::default();
            for n in 0..seconds {
                let received_ts = Timestamp::from_millis(i64::try_from(n).unwrap() * 1000);
                let (value, quality) = (Value::F64(value(n)), Quality::GOOD);
                window.push(Sample { value, quality, source_ts: None, received_ts });
            }
            window
        };
        vec![
            window(&|n| 50.0 + flow(n) + a[n]),
            window(&|n| 20.0 + flow(n) + c[n]),
            window(&|n| 30.0 + 0.6 * flow(n) + b[n] - leak(n)),
        ]
    }

    fn learnt() -> LearntAsset {
        let member = |name| Member::of(&Tag::new(name, "plc", "HR0"));
        let tags = ["in", "same", "out"].map(member).to_vec();
        LearntAsset::learn(tags, &loop_of(600), 1.3).unwrap()
    }

    /// Gives what had been received by then.
    fn until(histories: &[Window], second: i64) -> Vec<Window> {
        let cut = |window: &Window| {
            let mut out = Window::default();
            let by_then = |s: &Sample| s.received_ts <= Timestamp::from_millis(second * 1000);
            window.iter().filter(by_then).for_each(|sample| out.push(sample));
            out
        };
        histories.iter().map(cut).collect()
    }

    #[test]
    fn a_leak_is_told_while_it_lasts_and_by_what_leads() {
        let histories = loop_of(1200);
        let mut judge = AssetJudge::begin(Arc::new(learnt()));
        let mut alarmed = Vec::new();
        for second in (600..1200_i64).step_by(5) {
            judge.look(&until(&histories, second)).unwrap();
            if let Some(AssetNow { alarmed_since: Some(since), leading, .. }) = judge.now() {
                alarmed.push((second, since.millis() / 1000, leading));
            }
        }
        let (first, since, leading) = alarmed[0];
        assert!((805..830).contains(&first) && (800..830).contains(&since), "{alarmed:?}");
        assert_eq!(leading, 2);
        assert!(alarmed.iter().all(|(at, begun, _)| *begun == since && *at < 945), "{alarmed:?}");
    }

    #[test]
    fn what_was_learnt_judges_the_same_once_it_is_read_again() {
        let kept = serde_json::to_vec(&learnt()).unwrap();
        let again: LearntAsset = serde_json::from_slice(&kept).unwrap();
        let judged = |learnt: LearntAsset| {
            let mut judge = AssetJudge::begin(Arc::new(learnt));
            judge.look(&loop_of(600)).unwrap();
            assert_eq!(judge.now(), None, "the first look marks where it begins");
            judge.look(&loop_of(850)).unwrap();
            judge.now().unwrap()
        };
        assert_eq!(judged(again), judged(learnt()));
        assert_eq!(learnt().stretch().1, Timestamp::from_millis(599_000));
    }

    #[test]
    fn a_clock_set_back_does_not_silence_it() {
        let mut judge = AssetJudge::begin(Arc::new(learnt()));
        judge.look(&loop_of(9000)).unwrap();
        assert!(!judge.is_due(Timestamp::from_millis(8_999_000)));
        assert!(judge.is_due(Timestamp::from_millis(699_000)));
        assert_eq!(judge.look(&loop_of(700)), Ok(0), "it goes on from there");
        assert_eq!(judge.look(&loop_of(702)), Ok(2));
        assert_eq!(judge.now().unwrap().at, Timestamp::from_millis(701_000));
    }

    #[test]
    fn a_signal_without_a_value_of_now_is_named_and_what_stood_is_forgotten_with_its_link() {
        let mut judge = AssetJudge::begin(Arc::new(learnt()));
        assert_eq!(judge.look(&loop_of(600)), Ok(0));
        assert_eq!(judge.look(&loop_of(850)), Ok(250));
        let stands = judge.now().unwrap();
        assert!(stands.alarmed_since.is_some());
        let mut histories = loop_of(850);
        let kept = Sample {
            quality: Quality::UNCERTAIN_LAST_USABLE,
            ..histories[1].iter().last().unwrap()
        };
        let received_ts = kept.received_ts.plus_millis(500);
        histories[1].push(Sample { received_ts, ..kept });
        assert_eq!(judge.look(&histories), Err(1));
        assert_eq!(judge.now(), Some(stands));
        judge.interrupt();
        assert_eq!(judge.now(), None);
        assert_eq!(judge.look(&loop_of(1200)), Ok(0), "what came meanwhile was not watched");
    }
}
