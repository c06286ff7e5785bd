//! The scripted faults, run in simulated time through a cache to the detectors: each is found,
//! named right, soon enough, and alone; a sound line has none.

use std::collections::BTreeMap;

use super::faults::{self, Fault};
use super::frame::{FRAME_S, Line};
use super::points::PREFIX;
use super::process::FillerState;
use super::simulated::{Collector, Sound};
use crate::diagnose::Verdict;
use crate::model::Timestamp;

const SEED: u64 = 5;

/// What was open at a look, with its tag.
type Open = Vec<(&'static str, Verdict)>;

/// Runs the line with faults, and shows what is open every five seconds.
fn run(faults: &[&'static Fault], seconds: u32, mut each: impl FnMut(u32, Open)) {
    let mut line = Line::new(faults, SEED);
    let mut collector = Collector::new();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "five")]
    let frames = (0.5 / FRAME_S).round() as u32;
    for half in 1..=2 * seconds {
        let at = Timestamp::from_millis(i64::from(half) * 500);
        let frame = (0..frames).map(|_| line.next(at)).last().unwrap();
        collector.take(at, &frame, faults);
        if half % 10 == 0 {
            let open = collector.findings().into_iter();
            each(half / 2, open.map(|(tag, finding)| (tag, finding.verdict)).collect());
        }
    }
}

fn is_found_in_time(name: &str) {
    let fault = faults::by_name(name).unwrap();
    let tag = fault.tag.strip_prefix(PREFIX).unwrap();
    let (verdict, within_s) = fault.detected.unwrap();
    let mut found = BTreeMap::new();
    run(&[fault], fault.starts_s + within_s + 60, |second, open| {
        open.into_iter().for_each(|what| {
            found.entry(what).or_insert(second);
        });
    });
    let second = found.get(&(tag, verdict));
    let in_time = second.is_some_and(|s| *s <= fault.starts_s + within_s);
    assert!(in_time, "{name}: {found:?}");
    let is_unit = verdict == Verdict::UnitDead;
    for (other, said) in found.keys() {
        let is_of_unit = is_unit && other.starts_with("packer/");
        assert!(*other == tag || is_of_unit, "{name}: {other} {said:?}");
        assert_eq!(*said, verdict, "{name}: {found:?}");
    }
}

#[test]
fn a_bad_address_is_found_on_its_tag_alone() {
    is_found_in_time("bad-address");
}

#[test]
fn a_stuck_sensor_is_found_in_time() {
    is_found_in_time("stuck-sensor");
}

#[test]
fn a_drifting_sensor_is_found_in_time() {
    is_found_in_time("drifting-sensor");
}

/// The sensor has stood eight kelvin too high for thirteen minutes by then.
#[test]
fn a_drift_stays_found_after_it_has_ended() {
    let fault = faults::by_name("drifting-sensor").unwrap();
    let mut first = None;
    let mut gone = Vec::new();
    run(&[fault], 1_200, |second, open| match (&open[..], first) {
        ([], None) => {}
        ([("pasteuriser/hold_temperature", Verdict::Drift)], _) => {
            first.get_or_insert(second);
        }
        _ => gone.push((second, open)),
    });
    assert!(first.is_some() && gone.is_empty(), "{first:?} {gone:?}");
}

#[test]
fn a_dead_unit_is_found_on_every_tag_of_it() {
    is_found_in_time("dead-unit");
}

#[test]
fn a_stale_good_tag_is_found_in_time() {
    is_found_in_time("stale-good");
}

/// Six hours: a day takes a debug build more than a minute.
const SOUND_S: i64 = 6 * 3_600;

#[test]
fn a_sound_line_has_no_finding() {
    let mut sound = Sound::new(SEED);
    let mut collector = Collector::new();
    let mut found = Vec::new();
    for second in 1..=SOUND_S {
        let at = Timestamp::from_millis(second * 1000);
        let frame = sound.next(at);
        collector.take(at, &frame, &[]);
        // Half a window apart what stays in it is seen; what ends with a stop of the filler
        // is looked at while that lasts.
        let every = if sound.plant.filler.state == FillerState::Running { 300 } else { 60 };
        if second % every == 0 {
            let all = collector.findings();
            found
                .extend(all.into_iter().map(|(tag, f)| (second, tag, f.verdict, f.evidence.value)));
        }
    }
    assert!(
        found.is_empty(),
        "{} findings, such as {:?}",
        found.len(),
        &found[..found.len().min(40)]
    );
}
