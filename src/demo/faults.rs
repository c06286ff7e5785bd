//! Scripted faults: what goes wrong on purpose, when, and what should be found.

use super::frame::Frame;
use super::points::{self, PREFIX};
use crate::diagnose::Verdict;
use crate::model::{Timestamp, Value};

/// One scripted fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// The tag it is done to.
    pub tag: &'static str,
    /// Seconds from the demo's start to the fault's.
    pub starts_s: u32,
    /// What should be found.
    pub found: &'static str,
    /// The verdict of the finding.
    pub verdict: Verdict,
    /// Seconds from the fault's start within which it is found.
    pub found_within_s: u32,
    effect: Effect,
}

#[derive(Debug, Clone, PartialEq)]
enum Effect {
    /// The value stands still, its time goes on.
    Stuck,
    /// An offset grows by so much a second, up to a bound.
    Drift { per_s: f64, offset_max: f64 },
    /// Value and time both stand still.
    Stale,
    /// A unit answers no more.
    Dead { unit: u8 },
    /// The configuration names a register that isn't there.
    Misaddressed { address: u16 },
}

/// In the hole before the cap hopper's register: nothing has ever been there.
const NO_REGISTER: u16 = 134;

static FAULTS: [Fault; 5] = [
    Fault {
        name: "bad-address",
        what: "the configured register does not exist: the device answers exception 2",
        tag: "demo/line1/capper/hopper_level",
        starts_s: 0,
        found: "BadConfigurationError, then the tag alone in quarantine",
        verdict: Verdict::BadAddress,
        found_within_s: 15,
        effect: Effect::Misaddressed { address: NO_REGISTER },
    },
    Fault {
        name: "stuck-sensor",
        what: "the value freezes while the filler goes on",
        tag: "demo/line1/filler/bowl_level",
        starts_s: 10,
        found: "a flat line with quality Good beside a moving speed",
        verdict: Verdict::Flatline,
        found_within_s: 60,
        effect: Effect::Stuck,
    },
    Fault {
        name: "drifting-sensor",
        what: "the reading climbs 1.2 K a minute above the truth, up to 8 K",
        tag: "demo/line1/pasteuriser/hold_temperature",
        starts_s: 15,
        found: "a steady rise with the steam valve and the hot water where they were",
        verdict: Verdict::Drift,
        found_within_s: 360,
        effect: Effect::Drift { per_s: 0.02, offset_max: 8.0 },
    },
    Fault {
        name: "stale-good",
        what: "value and source timestamp stop, the status stays Good",
        tag: "demo/line1/mixer/level",
        starts_s: 20,
        found: "a Good value whose source timestamp no longer advances",
        verdict: Verdict::GoodButStale,
        found_within_s: 60,
        effect: Effect::Stale,
    },
    Fault {
        name: "dead-unit",
        what: "Modbus unit 3 stops answering; its neighbours answer on",
        tag: "demo/line1/packer/cases",
        starts_s: 30,
        found: "BadNoCommunication on every packer tag and on no other",
        verdict: Verdict::UnitDead,
        found_within_s: 30,
        effect: Effect::Dead { unit: points::PACKER_UNIT },
    },
];

/// Lists the faults, in the order they start.
#[must_use]
pub fn list() -> &'static [Fault] {
    &FAULTS
}

/// Finds a fault by its name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Fault> {
    FAULTS.iter().find(|fault| fault.name == name)
}

/// Gives the register the configuration names for a point, where a fault has it wrong.
pub(crate) fn misaddressed(faults: &[&'static Fault], point: &str) -> Option<u16> {
    faults.iter().find_map(|fault| match fault.effect {
        Effect::Misaddressed { address } if fault.tag.strip_prefix(PREFIX) == Some(point) => {
            Some(address)
        }
        _ => None,
    })
}

/// Works the chosen faults on each frame.
#[derive(Debug)]
pub(crate) struct Injector {
    chosen: Vec<Chosen>,
}

#[derive(Debug)]
struct Chosen {
    fault: &'static Fault,
    /// Where its tag stands in a frame.
    index: usize,
    /// What the frame showed when the fault began.
    held: Option<(Value, Timestamp)>,
}

impl Injector {
    /// Prepares the chosen faults.
    pub(crate) fn new(faults: &[&'static Fault]) -> Self {
        let place = |fault: &'static Fault| {
            let name = fault.tag.strip_prefix(PREFIX)?;
            let index = points::all().position(|point| point.name == name)?;
            Some(Chosen { fault, index, held: None })
        };
        Self { chosen: faults.iter().filter_map(|fault| place(fault)).collect() }
    }

    /// Changes what the faults that have begun change, and nothing else.
    pub(crate) fn apply(&mut self, elapsed_s: f64, frame: &mut Frame) {
        for chosen in &mut self.chosen {
            let running_s = elapsed_s - f64::from(chosen.fault.starts_s);
            if running_s < 0.0 {
                continue;
            }
            let Some(cell) = frame.cells.get_mut(chosen.index) else { continue };
            match chosen.fault.effect {
                Effect::Stuck => {
                    let now = (cell.value.clone(), cell.source_ts);
                    cell.value = chosen.held.get_or_insert(now).0.clone();
                }
                Effect::Stale => {
                    let now = (cell.value.clone(), cell.source_ts);
                    (cell.value, cell.source_ts) = chosen.held.get_or_insert(now).clone();
                }
                Effect::Drift { per_s, offset_max } => {
                    if let Value::F64(x) = cell.value {
                        cell.value = Value::F64(x + (per_s * running_s).min(offset_max));
                    }
                }
                Effect::Dead { unit } => frame.dead_unit = Some(unit),
                Effect::Misaddressed { .. } => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Line;
    use super::*;

    /// Runs two lines from one seed, one of them with the fault, and gives what differs.
    fn differences(name: &str, seconds: u32) -> (Vec<&'static str>, Frame, Frame) {
        let fault = by_name(name).unwrap();
        let (mut sound, mut faulty) = (Line::new(&[], 5), Line::new(&[fault], 5));
        let mut last = (Frame::default(), Frame::default());
        for tick in 1..=i64::from(seconds) * 10 {
            let at = Timestamp::from_millis(tick * 100);
            last = (sound.next(at), faulty.next(at));
        }
        let cells = last.0.cells.iter().zip(&last.1.cells);
        let changed = points::all()
            .zip(cells)
            .filter_map(|(point, (a, b))| (a != b).then_some(point.name))
            .collect();
        (changed, last.0, last.1)
    }

    #[test]
    fn every_fault_is_about_a_point_that_exists() {
        for fault in list() {
            let name = fault.tag.strip_prefix(PREFIX).unwrap();
            assert!(points::all().any(|point| point.name == name), "{name}");
            assert_eq!(by_name(fault.name), Some(fault));
        }
        assert_eq!(by_name("no-such-fault"), None);
    }

    #[test]
    fn no_fault_shows_before_its_time() {
        for fault in list().iter().filter(|fault| fault.starts_s > 0) {
            let (changed, _, faulty) = differences(fault.name, fault.starts_s - 1);
            assert!(changed.is_empty(), "{}: {changed:?}", fault.name);
            assert_eq!(faulty.dead_unit, None);
        }
    }

    #[test]
    fn a_stuck_sensor_keeps_its_value_and_its_time_goes_on() {
        let (changed, sound, faulty) = differences("stuck-sensor", 40);
        assert_eq!(changed, ["filler/bowl_level"]);
        let index = points::all().position(|p| p.name == "filler/bowl_level").unwrap();
        assert_eq!(sound.cells[index].source_ts, faulty.cells[index].source_ts);
        let (_, _, later) = differences("stuck-sensor", 60);
        assert_eq!(later.cells[index].value, faulty.cells[index].value);
    }

    #[test]
    fn a_drifting_sensor_climbs_above_the_truth_up_to_its_bound() {
        let offset = |seconds| {
            let (changed, sound, faulty) = differences("drifting-sensor", seconds);
            assert_eq!(changed, ["pasteuriser/hold_temperature"]);
            let index = points::all().position(|p| p.name == changed[0]).unwrap();
            let read = |frame: &Frame| frame.cells[index].value.as_f64().unwrap();
            read(&faulty) - read(&sound)
        };
        assert!((offset(65) - 1.0).abs() < 1e-6);
        assert!((offset(600) - 8.0).abs() < 1e-6);
    }

    #[test]
    fn a_stale_tag_stops_with_its_source_time() {
        let (changed, sound, faulty) = differences("stale-good", 60);
        assert_eq!(changed, ["mixer/level"]);
        let stood_ms = sound.cells[0].source_ts.millis_since(faulty.cells[0].source_ts);
        assert_eq!(stood_ms, 40_000);
    }

    #[test]
    fn a_dead_unit_changes_no_value_but_its_own_silence() {
        let (changed, sound, faulty) = differences("dead-unit", 40);
        assert!(changed.is_empty());
        assert_eq!((sound.dead_unit, faulty.dead_unit), (None, Some(3)));
    }

    #[test]
    fn a_bad_address_changes_the_configuration_alone() {
        let (changed, _, faulty) = differences("bad-address", 40);
        assert!(changed.is_empty());
        assert_eq!(faulty.dead_unit, None);
        let fault = by_name("bad-address").unwrap();
        assert_eq!(misaddressed(&[fault], "capper/hopper_level"), Some(NO_REGISTER));
        assert_eq!(misaddressed(&[fault], "capper/torque"), None);
        assert_eq!(misaddressed(&[], "capper/hopper_level"), None);
    }
}
