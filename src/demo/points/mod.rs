//! Every point of the line, once: its name, its sensor, and where it is served.
//!
//! The servers, the configuration and the faults are all made from [`all`].

mod capper;
mod filler;
mod inspector;
mod nodes;
mod palletiser;
mod registers;
mod wrapper;

pub(crate) use registers::PACKER as PACKER_UNIT;

use crate::model::{Limits, Scalar, Scale, Value, WordOrder};

use super::process::Plant;
use super::rng::Rng;

/// Every point's name begins with it.
pub(crate) const PREFIX: &str = "demo/line1/";

/// Scans of the demo: a fast and a slow one; the rest follow their endpoint's default.
pub(crate) const FAST_MS: u32 = 500;
/// For what changes by the minute.
pub(crate) const SLOW_MS: u32 = 5_000;

/// One point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// Its name below [`PREFIX`].
    pub(crate) name: &'static str,
    /// The engineering unit; empty where it has none.
    pub(crate) unit: &'static str,
    /// What it is.
    pub(crate) description: &'static str,
    /// The true value in the process.
    pub(crate) truth: fn(&Plant) -> Value,
    /// How it is measured.
    pub(crate) sensor: Sensor,
    /// Where it is served.
    pub(crate) place: Place,
    /// Its limits in the configuration.
    pub(crate) limits: Limits,
    /// Its own scan; 0 follows the endpoint's.
    pub(crate) scan_ms: u32,
    /// The range it stays in on any day without faults; the OPC UA server tells it as EURange.
    pub(crate) range: (f64, f64),
}

/// A sensor: noise on the physical state, cut to a resolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sensor {
    /// Standard deviation of the noise, in the point's unit.
    pub(crate) noise: f64,
    /// The smallest step it shows; 0 shows everything.
    pub(crate) resolution: f64,
}

/// What is known exactly: counters, states, texts.
pub(crate) const EXACT: Sensor = Sensor { noise: 0.0, resolution: 0.0 };

/// No limits.
pub(crate) const FREE: Limits =
    Limits { warn_low: None, warn_high: None, alarm_low: None, alarm_high: None };

/// Where a point is served.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// A variable of the OPC UA server: `Mixer/Level` below `Line1`.
    Node {
        /// Folder and name.
        path: &'static str,
        /// The built-in type of the node.
        kind: NodeKind,
    },
    /// Registers of a Modbus unit.
    Register {
        /// The unit.
        unit: u8,
        /// Holding or input.
        table: Table,
        /// The first register.
        address: u16,
        /// What lies there.
        layout: Layout,
        /// Its byte order.
        order: WordOrder,
        /// From the register to the unit.
        scale: Option<Scale>,
    },
    /// A coil or a discrete input.
    Bit {
        /// The unit.
        unit: u8,
        /// Coil or discrete.
        table: Table,
        /// The bit's address.
        address: u16,
    },
    /// Words of the Mitsubishi controller, the low one first.
    McWords {
        /// A word device with decimal numbers: `D`.
        device: &'static str,
        /// The first word.
        number: u32,
        /// What lies there.
        layout: Layout,
    },
    /// A bit device of the Mitsubishi controller.
    McBit {
        /// A bit device with decimal numbers: `M`.
        device: &'static str,
        /// The bit.
        number: u32,
    },
    /// A value of the Siemens controller, by an address that names its type: `DB10,REAL0`.
    S7 {
        /// The address.
        address: &'static str,
    },
    /// A data item of the MTConnect agent.
    Item(&'static ItemKind),
    /// A metric of the device behind the Sparkplug edge node.
    Metric {
        /// Its name.
        metric: &'static str,
        /// The number of its type.
        kind: u32,
    },
    /// A plain topic of the broker, or a part of its JSON.
    Topic {
        /// The topic.
        topic: &'static str,
        /// The path of the part; empty where the payload is the value.
        part: &'static str,
    },
    /// One bit of a register.
    RegisterBit {
        /// The unit.
        unit: u8,
        /// Holding or input.
        table: Table,
        /// The register.
        address: u16,
        /// 0 is the least significant.
        bit: u8,
    },
}

/// A data item of the MTConnect agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemKind {
    /// Its id.
    pub(crate) id: &'static str,
    /// The component it belongs to: `Device`, `Controller` or `Rotary`.
    pub(crate) component: &'static str,
    /// `SAMPLE`, `EVENT` or `CONDITION`.
    pub(crate) category: &'static str,
    /// Its type, such as `LOAD`.
    pub(crate) kind: &'static str,
    /// The name of its observations' element; empty for a condition.
    pub(crate) element: &'static str,
    /// The engineering unit of a sample, in the standard's words.
    pub(crate) units: &'static str,
}

/// The built-in types the OPC UA server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Boolean.
    Boolean,
    /// Int32.
    Int32,
    /// UInt64.
    UInt64,
    /// Double.
    Double,
    /// String.
    Text,
    /// A one-dimensional array of Double.
    Doubles,
}

/// The four tables of a Modbus unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    /// FC01.
    Coil,
    /// FC02.
    Discrete,
    /// FC03.
    Holding,
    /// FC04.
    Input,
}

/// What lies in registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One number.
    One(Scalar),
    /// Numbers in a row.
    Row(Scalar, u16),
    /// Text of that many bytes, two to a register, padded with zeros.
    Text(u16),
}

impl Table {
    /// Gives its word in a Modbus address.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }
}

/// Gives every point, in the order of the frames.
pub(crate) fn all() -> impl Iterator<Item = &'static Point> {
    let machines = [
        filler::POINTS,
        registers::POINTS,
        capper::POINTS,
        palletiser::POINTS,
        wrapper::POINTS,
        inspector::POINTS,
    ];
    nodes::POINTS.iter().chain(machines.into_iter().flatten())
}

/// Gives each tag with the least and the most it ever shows while nothing is wrong with it.
pub fn ranges() -> impl Iterator<Item = (String, (f64, f64))> {
    all().map(|point| (format!("{PREFIX}{}", point.name), point.range))
}

/// Reads every sensor once.
pub(crate) fn measure(plant: &Plant, rng: &mut Rng) -> Vec<Value> {
    all().map(|point| point.sensor.read((point.truth)(plant), rng)).collect()
}

impl Sensor {
    fn read(self, truth: Value, rng: &mut Rng) -> Value {
        match truth {
            Value::F64(x) => Value::F64(self.show(x, rng)),
            Value::List(items) => {
                Value::list(items.iter().map(|item| self.read(item.clone(), rng)))
            }
            other => other,
        }
    }

    fn show(self, x: f64, rng: &mut Rng) -> f64 {
        self.cut(if self.noise > 0.0 { x + self.noise * rng.gauss() } else { x })
    }

    /// Cuts a value to the resolution.
    pub(super) fn cut(self, x: f64) -> f64 {
        if self.resolution > 0.0 {
            // Dividing by a whole number of steps shows 58.3, not 58.300000000000004.
            let steps = (1.0 / self.resolution).round();
            // Adding zero turns -0.0 into 0.0.
            (x * steps).round() / steps + 0.0
        } else {
            x
        }
    }
}

/// A percentage of a share.
fn percent(share: f64) -> Value {
    Value::F64(100.0 * share)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_there_are_enough_of_them() {
        let names: HashSet<&str> = all().map(|p| p.name).collect();
        assert_eq!(names.len(), all().count());
        assert!((40..=120).contains(&names.len()), "{}", names.len());
    }

    #[test]
    fn every_point_stays_in_its_range_for_a_day() {
        let mut plant = Plant::new(9);
        let mut rng = Rng::new(9);
        for second in 0..86_400 {
            plant.step(1.0);
            if second % 5 > 0 {
                continue;
            }
            for (point, value) in all().zip(measure(&plant, &mut rng)) {
                let numbers = match &value {
                    Value::List(items) => items.to_vec(),
                    Value::Text(text) => {
                        assert!(!text.is_empty(), "{}", point.name);
                        continue;
                    }
                    one => vec![one.clone()],
                };
                for number in numbers {
                    let x = number.as_f64().expect("sensors give finite numbers");
                    let (low, high) = point.range;
                    assert!(low <= x && x <= high, "{} {x} at {second} s", point.name);
                }
            }
        }
    }

    #[test]
    fn within_a_minute_most_measurements_have_moved() {
        let mut plant = Plant::new(1);
        let mut rng = Rng::new(1);
        plant.step(600.0);
        let before = measure(&plant, &mut rng);
        plant.step(60.0);
        let after = measure(&plant, &mut rng);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        assert!(moved * 3 > before.len() * 2, "{moved} of {}", before.len());
    }

    #[test]
    fn a_sensor_shows_steps_of_its_resolution() {
        let mut rng = Rng::new(1);
        let sensor = Sensor { noise: 0.3, resolution: 0.1 };
        for _ in 0..100 {
            let Value::F64(x) = sensor.read(Value::F64(20.0), &mut rng) else { panic!() };
            assert!((x * 10.0 - (x * 10.0).round()).abs() < 1e-9, "{x}");
        }
    }

    #[test]
    fn no_two_points_share_a_register_or_a_node() {
        let mut taken = HashSet::new();
        for point in all() {
            let cells: Vec<String> = match point.place {
                Place::Node { path, .. } => vec![path.to_owned()],
                Place::Register { unit, table, address, layout, .. } => (0..layout.registers())
                    .map(|offset| format!("{unit} {} {}", table.word(), address + offset))
                    .collect(),
                Place::Bit { unit, table, address } => {
                    vec![format!("{unit} {} {address}", table.word())]
                }
                Place::McWords { device, number, layout } => (0..u32::from(layout.registers()))
                    .map(|word| format!("{device}{}", number + word))
                    .collect(),
                Place::McBit { device, number } => vec![format!("{device}{number}")],
                Place::S7 { address } => vec![address.to_owned()],
                Place::Item(item) => vec![item.id.to_owned()],
                Place::Metric { metric, .. } => vec![metric.to_owned()],
                Place::Topic { topic, part } => vec![format!("{topic}#{part}")],
                Place::RegisterBit { unit, table, address, bit } => {
                    vec![format!("{unit} {} {address}.{bit}", table.word())]
                }
            };
            for cell in cells {
                assert!(taken.insert(cell.clone()), "{cell} taken twice, by {}", point.name);
            }
        }
    }
}
