//! The scripted faults, run in simulated time through a cache to the detectors: each is found,
//! named right, soon enough, and alone; a sound line has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults::{self, Fault};
use super::frame::{Cell, FRAME_S, Frame, Line};
use super::points::{self, Layout, PREFIX, Place, Point};
use super::process::{FillerState, Plant};
use super::rng::Rng;
use crate::cache::{CacheLimits, LastValue, ScanWriter, StreamWriter, TagCache};
use crate::diagnose::detect::{AssetWatch, Member};
use crate::diagnose::{Finding, Verdict};
use crate::model::{DataType, Quality, Sample, Tag, TagId, Timestamp, Value};

/// Samples of a window, as the collector's.
const WINDOW: usize = 512;
const SEED: u64 = 5;

/// A point as the collector has it.
struct Known {
    point: &'static Point,
    tag: Tag,
    way: Way,
    /// The value a subscription last reported.
    shown: Option<Value>,
    /// Why it delivers nothing, since its mark was written.
    failed: Option<Quality>,
}

/// How it comes into the cache.
enum Way {
    /// By subscription: a sample where the value has changed.
    Stream(StreamWriter),
    /// By scans: a sample each.
    Scan(ScanWriter),
}

/// A collector without its connections.
struct Collector {
    cache: Arc<TagCache>,
    known: Vec<Known>,
    /// A watch over each area.
    areas: BTreeMap<String, AssetWatch>,
    now: Timestamp,
}

fn definition(point: &Point) -> Tag {
    let mut tag = Tag::new(&format!("{PREFIX}{}", point.name), "demo", point.name);
    tag.limits = point.limits;
    tag.description = point.description.into();
    tag.area = point.name.split('/').next().unwrap_or_default().into();
    if let Place::Register { layout, scale, .. } = point.place {
        tag.scale = scale;
        if let Layout::One(scalar) = layout {
            tag.data_type = DataType::One(scalar);
        }
    }
    tag
}

impl Collector {
    fn new() -> Self {
        let cache = TagCache::new(CacheLimits {
            rows_per_group: WINDOW + 8,
            samples_per_stream: WINDOW + 8,
            ..CacheLimits::default()
        });
        let known = (0..).zip(points::all()).map(|(n, point)| Known {
            point,
            tag: definition(point),
            way: match point.place {
                Place::Node { .. } => Way::Stream(cache.stream_group(&[TagId(n)])),
                _ => Way::Scan(cache.scan_group(&[TagId(n)])),
            },
            shown: None,
            failed: None,
        });
        let known = known.collect();
        Self { cache, known, areas: BTreeMap::new(), now: Timestamp::default() }
    }

    /// Takes what the devices show at this instant; a failure is one mark until it ends.
    fn take(&mut self, at: Timestamp, frame: &Frame, faults: &[&'static Fault]) {
        self.now = at;
        for (known, cell) in self.known.iter_mut().zip(&frame.cells) {
            // As often as its definition says; the endpoints' own default is a second.
            let scan_ms = if known.point.scan_ms == 0 { 1000 } else { known.point.scan_ms };
            if at.millis() % i64::from(scan_ms) != 0 {
                continue;
            }
            let is_dead = match known.point.place {
                Place::Register { unit, .. }
                | Place::Bit { unit, .. }
                | Place::RegisterBit { unit, .. } => frame.dead_unit == Some(unit),
                _ => false,
            };
            let failed = match () {
                () if is_dead => Some(Quality::BAD_NO_COMMUNICATION),
                () if faults::misaddressed(faults, known.point.name).is_some() => {
                    Some(Quality::BAD_CONFIGURATION_ERROR)
                }
                () => None,
            };
            if let (Some(quality), None, Way::Scan(writer)) = (failed, known.failed, &mut known.way)
            {
                writer.append_outage(at, quality, LastValue::Dropped);
            }
            known.failed = failed;
            if failed.is_none() {
                known.take(at, cell);
            }
        }
    }

    /// Runs every detector on every tag, and gives what is open.
    fn findings(&mut self) -> Vec<(&'static str, Finding)> {
        let mut areas: BTreeMap<&str, Vec<Member<'_>>> = BTreeMap::new();
        for (id, known) in (0..).map(TagId).zip(&self.known) {
            // The link answers keep-alives all the time, whatever a tag does.
            let seen = known.failed.is_none().then_some(self.now);
            let window = self.cache.window_last(id, WINDOW);
            let member = Member { id, tag: Some(&known.tag), window, seen };
            areas.entry(&*known.tag.area).or_default().push(member);
        }
        let mut found = Vec::new();
        for (area, members) in areas {
            let watch = self.areas.entry(area.to_owned()).or_default();
            watch.look(&members, self.now);
            let name = |id: TagId| self.known[id.0 as usize].point.name;
            found.extend(watch.open().map(|(id, _, finding)| (name(id), finding.clone())));
        }
        found
    }
}

impl Known {
    fn take(&mut self, at: Timestamp, cell: &Cell) {
        match &mut self.way {
            Way::Stream(writer) => {
                if self.shown.as_ref() != Some(&cell.value) {
                    self.shown = Some(cell.value.clone());
                    let id = writer.tags()[0];
                    let source_ts = Some(cell.source_ts);
                    let value = cell.value.clone();
                    let sample =
                        Sample { value, quality: Quality::GOOD, source_ts, received_ts: at };
                    writer.append(id, sample);
                }
            }
            Way::Scan(writer) => writer.append(at, &[(cell.value.clone(), Quality::GOOD)]),
        }
    }
}

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
    let mut plant = Plant::new(SEED);
    plant.step(900.0);
    let mut sensors = Rng::new(!SEED);
    let mut collector = Collector::new();
    let mut found = Vec::new();
    for second in 1..=SOUND_S {
        plant.step(1.0);
        let at = Timestamp::from_millis(second * 1000);
        let values = points::measure(&plant, &mut sensors);
        let cells =
            values.into_iter().map(|value| Cell { value, source_ts: at, status: None }).collect();
        collector.take(at, &Frame { cells, ..Frame::default() }, &[]);
        // Half a window apart what stays in it is seen; what ends with a stop of the filler
        // is looked at while that lasts.
        let every = if plant.filler.state == FillerState::Running { 300 } else { 60 };
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
