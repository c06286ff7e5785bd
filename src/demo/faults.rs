//! Scripted faults: what goes wrong on purpose, when, and what should be found.

use super::frame::Frame;
use super::points::{self, PREFIX, Sensor};
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
    /// What the detectors say of the tag, and within how many seconds of the fault's start;
    /// `None` where it is the link that tells, or no test holds them to it.
    pub detected: Option<(Verdict, u32)>,
    /// Whether it works where nobody names it: it leaves most of the line to be looked at.
    pub is_usual: bool,
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
    /// Every time of the OPC UA server is off by whole hours.
    Zone { hours: i64 },
    /// The OPC UA status is this instead of Good.
    Status(u32),
    /// The configuration names a port where nobody listens.
    Unplugged,
    /// The configuration asks for a security that the server does not offer.
    Unsecured,
}

/// In the hole before the cap hopper's register: nothing has ever been there.
const NO_REGISTER: u16 = 134;

/// InfoType DataValue with the Overflow bit (OPC UA Part 4, 7.39.1, table 177).
const GOOD_OVERFLOW: u32 = 0x0480;
/// BadWaitingForInitialData.
const WAITING: u32 = 0x8032_0000;

static FAULTS: [Fault; 10] = [
    Fault {
        name: "bad-address",
        what: "the configured register does not exist: the device answers exception 2",
        tag: "demo/line1/capper/hopper_level",
        starts_s: 0,
        found: "BadConfigurationError, then the tag alone in quarantine",
        detected: Some((Verdict::BadAddress, 15)),
        is_usual: true,
        effect: Effect::Misaddressed { address: NO_REGISTER },
    },
    Fault {
        name: "stuck-sensor",
        what: "the value freezes while the filler goes on",
        tag: "demo/line1/filler/bowl_level",
        starts_s: 10,
        found: "a flat line with quality Good beside a moving speed",
        detected: Some((Verdict::Flatline, 60)),
        is_usual: true,
        effect: Effect::Stuck,
    },
    Fault {
        name: "drifting-sensor",
        what: "the reading climbs 1.2 K a minute above the truth, up to 8 K",
        tag: "demo/line1/pasteuriser/hold_temperature",
        starts_s: 75,
        found: "a steady rise with the steam valve and the hot water where they were",
        detected: Some((Verdict::Drift, 360)),
        is_usual: true,
        effect: Effect::Drift { per_s: 0.02, offset_max: 8.0 },
    },
    Fault {
        name: "dead-unit",
        what: "Modbus unit 3 stops answering; its neighbours answer on",
        tag: "demo/line1/packer/cases",
        starts_s: 30,
        found: "BadNoCommunication on every packer tag and on no other",
        detected: Some((Verdict::UnitDead, 30)),
        is_usual: true,
        effect: Effect::Dead { unit: points::PACKER_UNIT },
    },
    Fault {
        name: "stale-good",
        what: "value and source timestamp stop, the status stays Good",
        tag: "demo/line1/mixer/level",
        starts_s: 35,
        found: "a Good value whose source timestamp no longer advances",
        detected: Some((Verdict::GoodButStale, 60)),
        is_usual: true,
        effect: Effect::Stale,
    },
    Fault {
        name: "wrong-zone",
        what: "the OPC UA server stamps local time, two hours ahead, as UTC",
        tag: "demo/line1/mixer/level",
        starts_s: 0,
        found: "one wrong clock, named as a time-zone mistake of 2 h",
        detected: None,
        is_usual: false,
        effect: Effect::Zone { hours: 2 },
    },
    Fault {
        name: "queue-overflow",
        what: "the server's queue for the value runs over: its status has the Overflow bit",
        tag: "demo/line1/mixer/level",
        starts_s: 0,
        found: "samples lost on the way in",
        detected: None,
        is_usual: false,
        effect: Effect::Status(GOOD_OVERFLOW),
    },
    Fault {
        name: "never-written",
        what: "nothing ever writes the value: its status is BadWaitingForInitialData",
        tag: "demo/line1/mixer/level",
        starts_s: 0,
        found: "a tag that was never read",
        detected: None,
        is_usual: false,
        effect: Effect::Status(WAITING),
    },
    Fault {
        name: "dead-endpoint",
        what: "nobody listens where the palletiser's controller should be",
        tag: "demo/line1/palletiser/speed",
        starts_s: 0,
        found: "one dead endpoint, and nothing of its tags",
        detected: None,
        is_usual: false,
        effect: Effect::Unplugged,
    },
    Fault {
        name: "no-security",
        what: "the configuration asks for encryption, and the OPC UA server offers none",
        tag: "demo/line1/mixer/level",
        starts_s: 0,
        found: "a rejected certificate or security, and nothing of its tags",
        detected: None,
        is_usual: false,
        effect: Effect::Unsecured,
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

/// Tells whether the configuration of the Siemens controller names a dead port.
pub(crate) fn is_unplugged(faults: &[&'static Fault]) -> bool {
    faults.iter().any(|fault| fault.effect == Effect::Unplugged)
}

/// Tells whether the configuration asks the OPC UA server for security.
pub(crate) fn is_unsecured(faults: &[&'static Fault]) -> bool {
    faults.iter().any(|fault| fault.effect == Effect::Unsecured)
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
    /// What measures it.
    sensor: Sensor,
    /// What the frame showed when the fault began.
    held: Option<(Value, Timestamp)>,
}

impl Injector {
    /// Prepares the chosen faults.
    pub(crate) fn new(faults: &[&'static Fault]) -> Self {
        let place = |fault: &'static Fault| {
            let name = fault.tag.strip_prefix(PREFIX)?;
            let (index, point) = points::all().enumerate().find(|(_, point)| point.name == name)?;
            Some(Chosen { fault, index, sensor: point.sensor, held: None })
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
            if let Effect::Zone { hours } = chosen.fault.effect {
                let shift = |at: Timestamp| at.plus_millis(hours * 3_600_000);
                frame.cells.iter_mut().for_each(|cell| cell.source_ts = shift(cell.source_ts));
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
                        let drifted = x + (per_s * running_s).min(offset_max);
                        cell.value = Value::F64(chosen.sensor.cut(drifted));
                    }
                }
                Effect::Dead { unit } => frame.dead_unit = Some(unit),
                Effect::Status(status) => cell.status = Some(status),
                // Done to all cells, or to the configuration.
                Effect::Zone { .. }
                | Effect::Misaddressed { .. }
                | Effect::Unplugged
                | Effect::Unsecured => {}
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
        assert!((offset(125) - 1.0).abs() < 1e-6);
        assert!((offset(600) - 8.0).abs() < 1e-6);
    }

    #[test]
    fn a_stale_tag_stops_with_its_source_time() {
        let (changed, sound, faulty) = differences("stale-good", 60);
        assert_eq!(changed, ["mixer/level"]);
        let stood_ms = sound.cells[0].source_ts.millis_since(faulty.cells[0].source_ts);
        assert_eq!(stood_ms, 25_000);
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

    #[test]
    fn a_wrong_zone_moves_every_time_and_no_value() {
        let (_, sound, faulty) = differences("wrong-zone", 5);
        for (a, b) in sound.cells.iter().zip(&faulty.cells) {
            assert_eq!(b.source_ts.millis_since(a.source_ts), 7_200_000);
            assert_eq!(a.value, b.value);
        }
    }
}
