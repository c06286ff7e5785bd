//! A collector without its connections: what the devices show in simulated time goes through a
//! cache to whatever judges it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::faults::{self, Fault};
use super::frame::{Cell, Frame};
use super::points::{self, Layout, PREFIX, Place, Point};
use super::process::Plant;
use super::rng::Rng;
use crate::cache::{CacheLimits, LastValue, ScanWriter, StreamWriter, TagCache};
use crate::diagnose::Finding;
use crate::diagnose::detect::{AssetWatch, Member};
use crate::model::{DataType, Quality, Sample, Tag, TagId, Timestamp, Value};

/// Samples of a window, as the collector's.
const WINDOW: usize = 512;

/// A point as the collector has it.
pub(super) struct Known {
    pub(super) point: &'static Point,
    pub(super) tag: Tag,
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
pub(super) struct Collector {
    pub(super) cache: Arc<TagCache>,
    pub(super) known: Vec<Known>,
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
    pub(super) fn new() -> Self {
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
    pub(super) fn take(&mut self, at: Timestamp, frame: &Frame, faults: &[&'static Fault]) {
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
    pub(super) fn findings(&mut self) -> Vec<(&'static str, Finding)> {
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

/// A plant that runs by the second, with nothing wrong, beside the noise of its sensors.
pub(super) struct Sound {
    pub(super) plant: Plant,
    sensors: Rng,
}

impl Sound {
    /// A plant that has run for a quarter of an hour.
    pub(super) fn new(seed: u64) -> Self {
        let mut plant = Plant::new(seed);
        plant.step(900.0);
        Self { plant, sensors: Rng::new(!seed) }
    }

    /// Gives what every point shows a second later.
    pub(super) fn next(&mut self, at: Timestamp) -> Frame {
        self.plant.step(1.0);
        let values = points::measure(&self.plant, &mut self.sensors);
        let cell = |value| Cell { value, source_ts: at, status: None };
        Frame { cells: values.into_iter().map(cell).collect(), ..Frame::default() }
    }
}
