//! The points of the palletiser's S7 controller, by address.

use super::super::process::{FillerState, Plant};
use super::{EXACT, FAST_MS, FREE, Place, Point, Sensor};
use crate::model::{Limits, Value};

/// Cases on a full pallet.
const PALLET_CASES: u32 = 60;
/// Cases in a layer.
const LAYER_CASES: u32 = 12;
/// Kilograms of a case, and of the pallet below.
const CASE_KG: f64 = 12.9;
const PALLET_KG: f64 = 24.0;

const fn point(
    address: &'static str,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    sensor: Sensor,
    range: (f64, f64),
    truth: fn(&Plant) -> Value,
) -> Point {
    let place = Place::S7 { address };
    Point { name, unit, description, truth, sensor, place, limits: FREE, scan_ms: 0, range }
}

fn on_pallet(plant: &Plant) -> u32 {
    plant.packer.cases % PALLET_CASES
}

/// The points.
pub(super) const POINTS: &[Point] = &[
    Point {
        scan_ms: FAST_MS,
        ..point(
            "DB10,REAL0",
            "palletiser/speed",
            "cases/min",
            "cases set down a minute",
            Sensor { noise: 0.2, resolution: 0.1 },
            (-5.0, 70.0),
            |p| Value::F64(p.packer.cases_min),
        )
    },
    Point {
        limits: Limits { warn_high: Some(850.0), ..FREE },
        ..point(
            "DB10,REAL4",
            "palletiser/pallet_weight",
            "kg",
            "weight on the turntable",
            Sensor { noise: 0.5, resolution: 0.5 },
            (20.0, 830.0),
            |p| Value::F64(PALLET_KG + CASE_KG * f64::from(on_pallet(p))),
        )
    },
    point(
        "DB10,DINT8",
        "palletiser/pallets",
        "",
        "pallets finished since the shift began",
        EXACT,
        (0.0, 1e6),
        |p| Value::U64(u64::from(p.packer.cases / PALLET_CASES)),
    ),
    point(
        "DB10,INT12",
        "palletiser/layer",
        "",
        "layer that is being laid, from 1",
        EXACT,
        (1.0, 5.0),
        |p| Value::U64(u64::from(on_pallet(p) / LAYER_CASES + 1)),
    ),
    point(
        "DB10,STRING16.20",
        "palletiser/recipe",
        "",
        "pattern the layers are laid in",
        EXACT,
        (0.0, 0.0),
        |_| Value::text("EUR 12x5"),
    ),
    Point {
        scan_ms: FAST_MS,
        ..point("M0.0", "palletiser/running", "", "the robot runs", EXACT, (0.0, 1.0), |p| {
            Value::Bool(p.filler.state == FillerState::Running)
        })
    },
    point(
        "M0.1",
        "palletiser/gate_closed",
        "",
        "the safety gate is closed",
        EXACT,
        (0.0, 1.0),
        |_| Value::Bool(true),
    ),
    point(
        "MW4",
        "palletiser/gripper_vacuum",
        "mbar",
        "below ambient, at the gripper",
        Sensor { noise: 3.0, resolution: 1.0 },
        (500.0, 700.0),
        |p| Value::F64(600.0 + 5.0 * p.packer.cases_min / 50.0),
    ),
];
