//! The points of the capper's Mitsubishi controller.

use super::super::process::{FillerState, Plant};
use super::{EXACT, FAST_MS, FREE, Layout, Place, Point, Sensor};
use crate::model::{Limits, Scalar, Value};

const fn word(number: u32, scalar: Scalar) -> Place {
    Place::McWords { device: "D", number, layout: Layout::One(scalar) }
}

const fn bit(number: u32) -> Place {
    Place::McBit { device: "M", number }
}

const fn point(
    place: Place,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    sensor: Sensor,
    range: (f64, f64),
    truth: fn(&Plant) -> Value,
) -> Point {
    Point { name, unit, description, truth, sensor, place, limits: FREE, scan_ms: 0, range }
}

/// Torque a cap is tightened with: it rises a little with the speed.
fn torque_nm(plant: &Plant) -> f64 {
    1.6 + 0.3 * plant.filler.speed_share()
}

/// The points, by address.
pub(super) const POINTS: &[Point] = &[
    Point {
        scan_ms: FAST_MS,
        ..point(
            word(100, Scalar::Float32),
            "capper/head_speed",
            "caps/min",
            "caps tightened a minute",
            Sensor { noise: 0.4, resolution: 0.1 },
            (-5.0, 720.0),
            |p| Value::F64(p.filler.speed_bpm),
        )
    },
    Point {
        limits: Limits { warn_low: Some(1.4), warn_high: Some(2.2), ..FREE },
        ..point(
            word(102, Scalar::Float32),
            "capper/closing_torque",
            "N.m",
            "mean tightening torque",
            Sensor { noise: 0.02, resolution: 0.01 },
            (1.3, 2.3),
            |p| Value::F64(torque_nm(p)),
        )
    },
    point(
        word(104, Scalar::UInt32),
        "capper/capped",
        "",
        "bottles capped since the shift began",
        EXACT,
        (0.0, 1e7),
        |p| Value::U64(u64::from(p.filler.filled)),
    ),
    point(
        word(106, Scalar::UInt16),
        "capper/rejected",
        "",
        "bottles rejected at the capper",
        EXACT,
        (0.0, 65_535.0),
        |p| Value::U64(u64::from(p.filler.rejected % 65_536)),
    ),
    point(
        word(107, Scalar::Int16),
        "capper/oil_temperature",
        "degC",
        "gearbox oil",
        Sensor { noise: 0.2, resolution: 1.0 },
        (10.0, 90.0),
        |p| Value::F64(p.filler.motor_c - 4.0),
    ),
    Point {
        scan_ms: FAST_MS,
        ..point(bit(10), "capper/running", "", "the capper runs", EXACT, (0.0, 1.0), |p| {
            Value::Bool(p.filler.state == FillerState::Running)
        })
    },
    point(bit(11), "capper/air_ok", "", "air pressure is there", EXACT, (0.0, 1.0), |p| {
        Value::Bool(p.utilities.air_bar > 5.5)
    }),
];
