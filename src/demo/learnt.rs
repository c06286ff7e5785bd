//! Areas learnt from an hour of the line, run on in simulated time: silent as long as it is
//! sound, and soon told by the sensor that leaves the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::simulated::{Collector, Sound};
use crate::diagnose::asset::{ASSET_STANDING, AssetJudge, LearntAsset, Member};
use crate::diagnose::is_measured;
use crate::model::{Tag, TagId, Timestamp, Value, Window};

/// What is learnt from.
const LEARN_S: i64 = 3_600;
/// Seconds between two readings of what is learnt from: less than a window holds.
const READ_EVERY_S: i64 = 400;
/// How much of the newest is judged at once.
const NEWEST: usize = 64;

/// The areas of a line, learnt.
struct Areas {
    sound: Sound,
    collector: Collector,
    second: i64,
    judges: BTreeMap<String, (Vec<TagId>, AssetJudge)>,
}

impl Areas {
    /// Runs a line for an hour and learns its areas, but those left out.
    fn learn(seed: u64, left_out: &[&str]) -> Self {
        let (sound, collector) = (Sound::new(seed), Collector::new());
        let mut line = Self { sound, collector, second: 0, judges: BTreeMap::new() };
        let mut histories = vec![Window::default(); line.collector.known.len()];
        while line.second < LEARN_S {
            line.step(None);
            if line.second % READ_EVERY_S == 0 {
                for (id, history) in (0..).map(TagId).zip(&mut histories) {
                    let before = history.received.last().copied();
                    let window = line.collector.cache.window_last(id, 512);
                    let is_new = |at: &Timestamp| before.is_none_or(|before| *at > before);
                    let new = window.iter().filter(|sample| is_new(&sample.received_ts));
                    new.for_each(|sample| history.push(sample));
                }
            }
        }
        let mut areas: BTreeMap<String, Vec<TagId>> = BTreeMap::new();
        for (id, (known, history)) in
            (0..).map(TagId).zip(line.collector.known.iter().zip(&histories))
        {
            if is_measured(history) && !left_out.contains(&&*known.tag.area) {
                areas.entry(known.tag.area.to_string()).or_default().push(id);
            }
        }
        for (area, ids) in areas {
            let members = ids.iter().map(|id| Member::of(line.tag(*id))).collect();
            let of_area: Vec<Window> =
                ids.iter().map(|id| histories[id.0 as usize].clone()).collect();
            let learnt = LearntAsset::learn(members, &of_area, ASSET_STANDING).unwrap();
            let is_judged = |id: &TagId| learnt.tags.iter().any(|tag| tag.is_still(line.tag(*id)));
            let ids: Vec<TagId> = ids.into_iter().filter(is_judged).collect();
            line.judges.insert(area, (ids, AssetJudge::begin(Arc::new(learnt))));
        }
        line
    }

    fn tag(&self, id: TagId) -> &Tag {
        &self.collector.known[id.0 as usize].tag
    }

    /// Goes on by a second, one sensor showing so much more than there is.
    fn step(&mut self, wrong: Option<(&str, f64)>) {
        self.second += 1;
        let at = Timestamp::from_millis(self.second * 1000);
        let mut frame = self.sound.next(at);
        if let Some((name, by)) = wrong {
            let nth = self.collector.known.iter().position(|known| known.point.name == name);
            let cell = &mut frame.cells[nth.unwrap()];
            cell.value = Value::F64(cell.value.as_f64().unwrap() + by);
        }
        self.collector.take(at, &frame, &[]);
    }

    /// Judges every area, and gives those that are out with the sensor that explains most.
    fn look(&mut self) -> Vec<(String, &'static str)> {
        let mut out = Vec::new();
        for (area, (ids, judge)) in &mut self.judges {
            let newest = |id: &TagId| self.collector.cache.window_last(*id, NEWEST);
            judge.look(&ids.iter().map(newest).collect::<Vec<_>>()).unwrap();
            if let Some(now) = judge.now().filter(|now| now.alarmed_since.is_some()) {
                let leading = ids[now.leading].0 as usize;
                out.push((area.clone(), self.collector.known[leading].point.name));
            }
        }
        out
    }
}

/// An hour says nothing of what follows the day (the hall), or wanders for longer (a lamp).
const LONGER_THAN_AN_HOUR: &[&str] = &["hall", "inspector"];

#[test]
fn learnt_areas_are_silent_while_the_line_is_sound() {
    let mut line = Areas::learn(11, LONGER_THAN_AN_HOUR);
    assert_eq!(line.judges.len(), 12);
    for _ in 0..2 * LEARN_S {
        line.step(None);
        let out = line.look();
        assert!(out.is_empty(), "second {}: {out:?}", line.second);
    }
    let judged = line.judges.values().filter(|(_, judge)| judge.now().is_some());
    assert_eq!(judged.count(), 12, "each was judged");
}

#[test]
fn a_sensor_that_leaves_the_others_is_told_long_before_its_limits() {
    for (wrong, area) in [("pasteuriser/hold_temperature", "pasteuriser"), ("mixer/brix", "mixer")]
    {
        let mut line = Areas::learn(5, LONGER_THAN_AN_HOUR);
        line.look();
        let mut told = Vec::new();
        // 1.2 K or percent a minute, up to 2.
        for second in 0..300_u32 {
            line.step(Some((wrong, (f64::from(second) * 0.02).min(2.0))));
            told.extend(line.look().into_iter().map(|out| (second, out)));
        }
        let (first, _) = told.first().expect("it is told");
        assert!((10..150).contains(first), "{told:?}");
        let all_say_so = told.iter().all(|(_, (of, by))| of == area && *by == wrong);
        assert!(all_say_so, "{told:?}");
    }
}
