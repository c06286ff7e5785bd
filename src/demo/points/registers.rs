//! The points of the utilities (unit 2) and of the packer (unit 3) of the Modbus server.

use super::super::process::Plant;
use super::{EXACT, FAST_MS, FREE, Layout, Place, Point, SLOW_MS, Sensor, Table};
use crate::model::{Limits, Scalar, Scale, Value, WordOrder};

/// The unit of the utilities' meter.
const UTILITIES: u8 = 2;
/// The unit of the packer.
pub(crate) const PACKER: u8 = 3;

const TENTHS: Option<Scale> = Some(Scale { raw: (0.0, 1_000.0), eu: (0.0, 100.0) });
const HUNDREDTHS: Option<Scale> = Some(Scale { raw: (0.0, 10_000.0), eu: (0.0, 100.0) });

/// A point in big-endian input registers.
#[derive(Clone, Copy)]
struct At {
    unit: u8,
    address: u16,
    layout: Layout,
    scale: Option<Scale>,
}

const fn at(unit: u8, address: u16, layout: Layout, scale: Option<Scale>) -> At {
    At { unit, address, layout, scale }
}

const fn one(scalar: Scalar) -> Layout {
    Layout::One(scalar)
}

const fn point(
    at: At,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    sensor: Sensor,
    range: (f64, f64),
    truth: fn(&Plant) -> Value,
) -> Point {
    let place = Place::Register {
        unit: at.unit,
        table: Table::Input,
        address: at.address,
        layout: at.layout,
        order: WordOrder::Abcd,
        scale: at.scale,
    };
    Point { name, unit, description, truth, sensor, place, limits: FREE, scan_ms: 0, range }
}

/// The points, unit by unit.
pub(super) const POINTS: &[Point] = &[
    Point {
        limits: Limits { warn_low: Some(6.2), alarm_low: Some(5.5), ..FREE },
        scan_ms: FAST_MS,
        ..point(
            at(UTILITIES, 0, one(Scalar::Float32), None),
            "air/pressure",
            "bar",
            "compressed air at the receiver",
            Sensor { noise: 0.004, resolution: 0.001 },
            (6.2, 7.4),
            |p| Value::F64(p.utilities.air_bar),
        )
    },
    point(
        at(UTILITIES, 2, one(Scalar::UInt32), None),
        "air/loadings",
        "",
        "times the compressor has loaded",
        EXACT,
        (48_211.0, 60_000.0),
        |p| Value::U64(u64::from(p.utilities.loadings)),
    ),
    point(
        at(UTILITIES, 4, one(Scalar::UInt16), TENTHS),
        "air/flow",
        "L/s",
        "free air drawn",
        Sensor { noise: 0.2, resolution: 0.1 },
        (20.0, 110.0),
        |p| Value::F64(p.utilities.air_l_s),
    ),
    Point {
        place: Place::Bit { unit: UTILITIES, table: Table::Discrete, address: 0 },
        ..point(
            at(UTILITIES, 0, one(Scalar::UInt16), None),
            "air/loaded",
            "",
            "the compressor delivers",
            EXACT,
            (0.0, 1.0),
            |p| Value::Bool(p.utilities.loaded),
        )
    },
    point(
        at(UTILITIES, 20, one(Scalar::Float64), None),
        "energy/power",
        "kW",
        "power at the main switch",
        Sensor { noise: 0.15, resolution: 0.01 },
        (30.0, 520.0),
        |p| Value::F64(p.utilities.power_kw),
    ),
    point(
        at(UTILITIES, 24, one(Scalar::UInt64), None),
        "energy/total",
        "Wh",
        "energy through the main switch",
        EXACT,
        (1.28e9, 1.32e9),
        |p| Value::U64(whole(1_000.0 * p.utilities.energy_kwh)),
    ),
    point(
        at(UTILITIES, 28, Layout::Row(Scalar::Float32, 3), None),
        "energy/voltages",
        "V",
        "phase voltages",
        Sensor { noise: 0.05, resolution: 0.1 },
        (215.0, 240.0),
        |p| Value::list(p.utilities.phase_v.map(Value::F64)),
    ),
    point(
        at(UTILITIES, 34, one(Scalar::UInt16), HUNDREDTHS),
        "energy/frequency",
        "Hz",
        "mains frequency",
        Sensor { noise: 0.003, resolution: 0.01 },
        (49.8, 50.2),
        |p| Value::F64(p.utilities.mains_hz),
    ),
    Point {
        scan_ms: SLOW_MS,
        ..point(
            at(UTILITIES, 40, Layout::Text(16), None),
            "energy/meter",
            "",
            "nameplate of the meter",
            EXACT,
            (0.0, 0.0),
            |_| Value::text("EM-340 rev 7"),
        )
    },
    point(
        at(PACKER, 0, one(Scalar::UInt32), None),
        "packer/cases",
        "",
        "cases packed since the last reset",
        EXACT,
        (0.0, 80_000.0),
        |p| Value::U64(u64::from(p.packer.cases)),
    ),
    point(
        at(PACKER, 2, one(Scalar::UInt16), TENTHS),
        "packer/speed",
        "cases/min",
        "packing speed",
        Sensor { noise: 0.05, resolution: 0.1 },
        (-1.0, 60.0),
        |p| Value::F64(p.packer.cases_min),
    ),
    Point {
        limits: Limits { warn_high: Some(60.0), alarm_high: Some(70.0), ..FREE },
        ..point(
            at(PACKER, 3, one(Scalar::Int16), TENTHS),
            "packer/oil_temperature",
            "degC",
            "hydraulic oil temperature",
            Sensor { noise: 0.08, resolution: 0.1 },
            (25.0, 60.0),
            |p| Value::F64(p.packer.oil_c),
        )
    },
    point(
        at(PACKER, 4, one(Scalar::Float32), None),
        "packer/film_left",
        "m",
        "film left on the reel",
        Sensor { noise: 0.0, resolution: 0.1 },
        (0.0, 1_500.0),
        |p| Value::F64(p.packer.film_m),
    ),
];

/// Cuts a counter's fraction.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a meter's count is positive and far below 2^63"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
