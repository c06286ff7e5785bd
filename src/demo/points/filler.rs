//! The points of the filler's own controller: unit 1 of the Modbus server.

use super::super::process::{FillerState, Plant};
use super::{EXACT, FAST_MS, FREE, Layout, Place, Point, Sensor, Table, percent};
use crate::model::{Limits, Scalar, Scale, Value, WordOrder};

use WordOrder::{Abcd, Cdab};

const UNIT: u8 = 1;
const FLOAT: Layout = Layout::One(Scalar::Float32);
const COUNT: Layout = Layout::One(Scalar::UInt32);
const WORD: Layout = Layout::One(Scalar::UInt16);

/// The register of the cap hopper; [`super::super::faults`] knows a wrong one.
pub(crate) const CAP_HOPPER: u16 = 128;

/// Signed tenths, as this controller sends temperatures.
const TENTHS: Option<Scale> = Some(Scale { raw: (0.0, 1_000.0), eu: (0.0, 100.0) });
/// The counts of an analogue input of 0 to 10 V.
const ANALOGUE: Option<Scale> = Some(Scale { raw: (0.0, 27_648.0), eu: (0.0, 100.0) });

const fn register(
    table: Table,
    address: u16,
    layout: Layout,
    order: WordOrder,
    scale: Option<Scale>,
) -> Place {
    Place::Register { unit: UNIT, table, address, layout, order, scale }
}

/// A bit of the status word.
const fn status(
    bit: u8,
    name: &'static str,
    description: &'static str,
    truth: fn(&Plant) -> Value,
) -> Point {
    let place = Place::RegisterBit { unit: UNIT, table: Table::Holding, address: 140, bit };
    let (unit, sensor, limits, range) = ("", EXACT, FREE, (0.0, 1.0));
    Point { name, unit, description, truth, sensor, place, limits, scan_ms: 0, range }
}

const BLANK: Point = Point {
    name: "",
    unit: "",
    description: "",
    truth: |_| Value::Null,
    sensor: EXACT,
    place: Place::Bit { unit: UNIT, table: Table::Coil, address: 0 },
    limits: FREE,
    scan_ms: 0,
    range: (0.0, 1.0),
};

/// The points, by register.
pub(super) const POINTS: &[Point] = &[
    Point {
        name: "filler/speed",
        unit: "bottles/min",
        description: "actual filler speed",
        truth: |p| Value::F64(p.filler.speed_bpm),
        sensor: Sensor { noise: 0.4, resolution: 0.1 },
        place: register(Table::Holding, 100, FLOAT, Abcd, None),
        scan_ms: FAST_MS,
        range: (-5.0, 605.0),
        ..BLANK
    },
    Point {
        name: "filler/speed_setpoint",
        unit: "bottles/min",
        description: "set filler speed",
        truth: |_| Value::F64(600.0),
        place: register(Table::Holding, 102, WORD, Abcd, None),
        range: (600.0, 600.0),
        ..BLANK
    },
    Point {
        name: "filler/bowl_level",
        unit: "%",
        description: "filler bowl level",
        truth: |p| percent(p.filler.bowl_share()),
        sensor: Sensor { noise: 0.08, resolution: 0.01 },
        place: register(Table::Holding, 104, FLOAT, Cdab, None),
        limits: Limits { warn_low: Some(30.0), warn_high: Some(90.0), ..FREE },
        scan_ms: FAST_MS,
        range: (5.0, 95.0),
    },
    Point {
        name: "filler/drive_current",
        unit: "A",
        description: "main drive current",
        truth: |p| Value::F64(p.filler.current_a),
        sensor: Sensor { noise: 0.05, resolution: 0.01 },
        place: register(Table::Holding, 106, FLOAT, Cdab, None),
        limits: Limits { warn_high: Some(32.0), alarm_high: Some(38.0), ..FREE },
        scan_ms: FAST_MS,
        range: (0.5, 35.0),
    },
    Point {
        name: "filler/motor_temperature",
        unit: "degC",
        description: "main drive winding temperature",
        truth: |p| Value::F64(p.filler.motor_c),
        sensor: Sensor { noise: 0.08, resolution: 0.1 },
        place: register(Table::Input, 10, Layout::One(Scalar::Int16), Abcd, TENTHS),
        limits: Limits { warn_high: Some(75.0), alarm_high: Some(90.0), ..FREE },
        range: (30.0, 75.0),
        ..BLANK
    },
    Point {
        name: "filler/filled",
        description: "bottles filled since the last reset",
        truth: |p| Value::U64(u64::from(p.filler.filled)),
        place: register(Table::Holding, 120, COUNT, Abcd, None),
        range: (0.0, 900_000.0),
        ..BLANK
    },
    Point {
        name: "filler/rejected",
        description: "bottles rejected since the last reset",
        truth: |p| Value::U64(u64::from(p.filler.rejected)),
        place: register(Table::Holding, 122, COUNT, Cdab, None),
        range: (0.0, 30_000.0),
        ..BLANK
    },
    Point {
        name: "capper/torque",
        unit: "Nm",
        description: "capping torque of the last bottle",
        truth: |p| Value::F64(p.filler.torque_nm),
        sensor: Sensor { noise: 0.0, resolution: 0.001 },
        place: register(Table::Holding, 126, FLOAT, Abcd, None),
        limits: Limits { warn_low: Some(1.5), warn_high: Some(2.1), ..FREE },
        range: (1.4, 2.2),
        ..BLANK
    },
    Point {
        name: "capper/hopper_level",
        unit: "%",
        description: "cap hopper level",
        truth: hopper,
        sensor: Sensor { noise: 0.1, resolution: 0.01 },
        place: register(Table::Holding, CAP_HOPPER, WORD, Abcd, ANALOGUE),
        range: (20.0, 100.0),
        ..BLANK
    },
    Point {
        name: "filler/status_word",
        description: "state number of the controller",
        truth: |p| Value::U64(u64::from(p.filler.state.code())),
        place: register(Table::Input, 12, WORD, Abcd, None),
        range: (0.0, 5.0),
        ..BLANK
    },
    status(0, "filler/status_running", "status: running", |p| {
        Value::Bool(p.filler.state == FillerState::Running)
    }),
    status(3, "filler/status_starved", "status: starved", |p| {
        Value::Bool(p.filler.state == FillerState::Starved)
    }),
    status(4, "filler/status_blocked", "status: blocked", |p| {
        Value::Bool(p.filler.state == FillerState::Blocked)
    }),
    Point {
        name: "filler/drive_enabled",
        description: "main drive is enabled",
        truth: |p| Value::Bool(p.filler.speed_bpm > 1.0),
        ..BLANK
    },
    Point {
        name: "filler/guard_closed",
        description: "guard doors are closed",
        truth: |p| Value::Bool(p.filler.state != FillerState::Fault),
        place: Place::Bit { unit: UNIT, table: Table::Discrete, address: 2 },
        ..BLANK
    },
];

/// The hopper empties with the bottles and is refilled every nine thousand caps.
fn hopper(plant: &Plant) -> Value {
    let used = f64::from(plant.filler.filled % 9_000);
    Value::F64(92.0 - 60.0 * used / 9_000.0)
}
