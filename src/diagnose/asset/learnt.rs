//! An asset as it was learnt: all that is needed to judge it, run after run.

use serde::{Deserialize, Serialize};

use super::distinct::distinct;
use super::rows::{busiest, rows};
use super::{AssetIndex, AssetModel, SIGNALS_MAX};
use crate::model::{Tag, Timestamp, Window};

/// Rows that are learnt from: of a longer stretch every second one, every third and so on.
const ROWS_MAX: usize = 10_000;

/// A tag of an asset, as it was while the asset was learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where its values came from, and how they were made of what the device gave.
    made: String,
}

impl Member {
    /// Describes a tag.
    #[must_use]
    pub fn of(tag: &Tag) -> Self {
        let Tag { endpoint, unit, address, data_type, order, path, scale, unit_text, .. } = tag;
        let made = format!(
            "{endpoint} {unit:?} {address} {data_type:?} {order:?} {path:?} {scale:?} {unit_text}"
        );
        Self { name: tag.name.to_string(), made }
    }

    /// Tells whether a tag still shows what it showed then: another address, type, scale or unit
    /// makes its values other ones.
    #[must_use]
    pub fn is_still(&self, tag: &Tag) -> bool {
        self.made == Self::of(tag).made
    }
}

/// What an asset was like in a stretch that somebody knows to be sound.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LearntAsset {
    /// Its tags, in the order of a row.
    pub tags: Vec<Member>,
    /// The one that shows most, which makes the rows.
    pub leads: usize,
    /// Rows lie at least so far apart.
    pub apart_ms: i64,
    /// Rows that were learnt from.
    pub rows: usize,
    /// The first of them, in nanoseconds since 1970.
    first_ns: i64,
    /// The last of them.
    last_ns: i64,
    /// The index above which something is wrong.
    pub limit: f64,
    model: AssetModel,
}

impl LearntAsset {
    /// Learns from the histories of tags, in the order of the tags. What the others explain all
    /// of is left out.
    ///
    /// # Errors
    /// Why nothing can be learnt.
    pub fn learn(
        tags: Vec<Member>,
        histories: &[Window],
        limit: f64,
    ) -> Result<Self, &'static str> {
        if histories.len() > SIGNALS_MAX {
            return Err("an asset needs 2 to 64 signals");
        }
        let leads = busiest(histories).ok_or("there are no tags to learn from")?;
        let all = rows(histories, leads, 0, None);
        let apart_ms = apart_ms(&all.iter().map(|(at, _)| *at).collect::<Vec<_>>());
        let kept = if apart_ms > 0 { rows(histories, leads, apart_ms, None) } else { all };
        let at = |row: Option<&super::rows::Row>| row.map_or(0, |(at, _)| at.nanos());
        let (first_ns, last_ns) = (at(kept.first()), at(kept.last()));
        let mut values: Vec<Vec<f64>> = kept.into_iter().map(|(_, row)| row).collect();
        let own = distinct(&values, leads);
        let is_own = |signal: &usize| own.binary_search(signal).is_ok();
        for row in &mut values {
            let mut signals = 0..;
            row.retain(|_| signals.next().is_some_and(|signal| is_own(&signal)));
        }
        let named = tags.into_iter().enumerate().filter(|(signal, _)| is_own(signal));
        let tags: Vec<Member> = named.map(|(_, tag)| tag).collect();
        let leads =
            own.binary_search(&leads).map_err(|_| "the signal that shows most never moves")?;
        let model = AssetModel::learn(&values)?;
        Ok(Self { tags, leads, apart_ms, rows: values.len(), first_ns, last_ns, limit, model })
    }

    /// Gives when the first and the last row were, that it was learnt from.
    #[must_use]
    pub const fn stretch(&self) -> (Timestamp, Timestamp) {
        (Timestamp::from_nanos(self.first_ns), Timestamp::from_nanos(self.last_ns))
    }

    /// Gives the mean of each tag, and how far it alone would have to be off, over all the rows
    /// that are averaged, to be told; `None` where no distance would.
    #[must_use]
    pub fn reach(&self) -> Vec<Option<(f64, f64)>> {
        self.model.reach(self.limit)
    }

    /// Gives the model, to be led on by what comes.
    pub(super) fn model(&self) -> AssetModel {
        self.model.clone()
    }

    /// Gives how far out a judgement is, in limits.
    pub(super) fn limits(&self, judged: &AssetIndex) -> f64 {
        judged.index / self.limit
    }
}

/// Gives how far apart rows must be so that not too many are learnt from; 0 takes them all.
fn apart_ms(times: &[Timestamp]) -> i64 {
    let every = times.len().div_ceil(ROWS_MAX);
    if every < 2 {
        return 0;
    }
    let mut steps: Vec<i64> =
        times.iter().zip(times.iter().skip(1)).map(|(a, b)| b.millis_since(*a)).collect();
    steps.sort_unstable();
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(0);
    // Half a step less, so that one which comes early still counts.
    let halves = i64::try_from(2 * every - 1).unwrap_or(i64::MAX);
    (usual.saturating_mul(halves) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::trained::tests::noise;
    use crate::model::{Quality, Sample, Value};

    #[test]
    fn a_long_stretch_is_thinned_to_what_is_learnt_from() {
        let times = |n: i64| (0..n).map(|n| Timestamp::from_millis(n * 1000)).collect::<Vec<_>>();
        assert_eq!(apart_ms(&times(10_000)), 0);
        assert_eq!(apart_ms(&times(10_001)), 1500);
        assert_eq!(apart_ms(&times(40_000)), 3500);
    }

    #[test]
    fn one_sensor_in_two_units_is_one_signal() {
        let (a, b) = (noise(600, 3), noise(600, 4));
        let history = |value: &dyn Fn(usize) -> f64| {
            let mut window = Window::default();
            for n in 0..600 {
                let received_ts = Timestamp::from_millis(i64::try_from(n).unwrap() * 1000);
                let (value, quality) = (Value::F64(value(n)), Quality::GOOD);
                window.push(Sample { value, quality, source_ts: None, received_ts });
            }
            window
        };
        let celsius = history(&|n| a[n]);
        let histories = [celsius.clone(), history(&|n| 1.8 * a[n] + 32.0), history(&|n| b[n])];
        let member = |name: &str| Member::of(&Tag::new(name, "plc", "HR0"));
        let tags = ["c", "f", "other"].map(member).to_vec();
        let learnt = LearntAsset::learn(tags, &histories, 3.0).unwrap();
        assert_eq!(learnt.tags, ["c", "other"].map(member));
        let resting = history(&|_| 4.0);
        let histories = [resting, histories[0].clone(), histories[2].clone()];
        let tags = ["rests", "c", "other"].map(member).to_vec();
        let learnt = LearntAsset::learn(tags, &histories, 3.0).unwrap();
        assert_eq!(learnt.tags, ["c", "other"].map(member), "what rests leads none");
        let twins = [celsius, history(&|n| 1.8 * a[n] + 32.0)];
        let tags = ["c", "f"].map(member).to_vec();
        assert!(LearntAsset::learn(tags, &twins, 3.0).is_err(), "one signal is no asset");
    }

    #[test]
    fn nothing_teaches_nothing() {
        assert!(LearntAsset::learn(Vec::new(), &[], 3.0).is_err());
        let tags = vec![Member::of(&Tag::new("a", "plc", "HR0"))];
        assert!(LearntAsset::learn(tags, &[Window::default()], 3.0).is_err());
    }

    #[test]
    fn a_tag_that_is_made_otherwise_is_another() {
        let tag = Tag::new("loop1/flow", "plc", "HR0");
        let member = Member::of(&tag);
        assert!(member.is_still(&Tag { deadband: Some(1.0), ..tag.clone() }));
        let scale = crate::model::Scale::new((0.0, 27_648.0), (0.0, 100.0));
        for other in [
            Tag { scale, ..tag.clone() },
            Tag { unit_text: "l/s".into(), ..tag.clone() },
            Tag { address: "HR1".into(), ..tag.clone() },
            Tag { endpoint: "plc2".into(), ..tag.clone() },
            Tag { order: crate::model::WordOrder::Cdab, ..tag },
        ] {
            assert!(!member.is_still(&other), "{other:?}");
        }
    }
}
