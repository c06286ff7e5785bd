//! The points of the pallet wrapper, a machine with an MTConnect agent, by data item.

use super::super::process::{FillerState, Plant};
use super::{EXACT, FAST_MS, FREE, ItemKind, Place, Point, Sensor};
use crate::model::Value;

/// Cases on a full pallet.
const PALLET_CASES: u32 = 60;
/// The pallets that one reel of stretch film wraps, and those left when it is nearly empty.
const REEL_PALLETS: u32 = 40;
const NEARLY_EMPTY: u32 = 5;

const fn point(
    item: &'static ItemKind,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    sensor: Sensor,
    range: (f64, f64),
    truth: fn(&Plant) -> Value,
) -> Point {
    let place = Place::Item(item);
    Point { name, unit, description, truth, sensor, place, limits: FREE, scan_ms: FAST_MS, range }
}

const fn event(id: &'static str, component: &'static str, kind: &'static str) -> ItemKind {
    ItemKind { id, component, category: "EVENT", kind, element: "", units: "" }
}

const fn sample(
    id: &'static str,
    component: &'static str,
    kind: &'static str,
    units: &'static str,
) -> ItemKind {
    ItemKind { id, component, category: "SAMPLE", kind, element: "", units }
}

fn pallets(plant: &Plant) -> u32 {
    plant.packer.cases / PALLET_CASES
}

fn runs(plant: &Plant) -> bool {
    plant.filler.state == FillerState::Running
}

/// The points.
pub(super) const POINTS: &[Point] = &[
    point(
        &ItemKind { element: "Availability", ..event("avail", "Device", "AVAILABILITY") },
        "wrapper/availability",
        "",
        "whether the agent hears of the wrapper",
        EXACT,
        (0.0, 0.0),
        |_| Value::text("AVAILABLE"),
    ),
    point(
        &ItemKind { element: "Execution", ..event("exec", "Controller", "EXECUTION") },
        "wrapper/execution",
        "",
        "what its program does",
        EXACT,
        (0.0, 0.0),
        |p| Value::text(if runs(p) { "ACTIVE" } else { "READY" }),
    ),
    point(
        &ItemKind {
            element: "RotaryVelocity",
            ..sample("table_v", "Rotary", "ROTARY_VELOCITY", "REVOLUTION/MINUTE")
        },
        "wrapper/turntable_speed",
        "rpm",
        "of the turntable",
        Sensor { noise: 0.05, resolution: 0.01 },
        (-2.0, 20.0),
        |p| Value::F64(0.2 * p.packer.cases_min),
    ),
    point(
        &ItemKind { element: "Load", ..sample("table_l", "Rotary", "LOAD", "PERCENT") },
        "wrapper/motor_load",
        "%",
        "of the turntable's motor",
        Sensor { noise: 0.4, resolution: 0.1 },
        (-5.0, 100.0),
        |p| Value::F64(8.0 + 0.8 * p.packer.cases_min),
    ),
    point(
        &ItemKind {
            element: "Temperature",
            ..sample("drive_t", "Rotary", "TEMPERATURE", "CELSIUS")
        },
        "wrapper/drive_temp",
        "degC",
        "of the turntable's drive",
        Sensor { noise: 0.05, resolution: 0.1 },
        (0.0, 90.0),
        |p| Value::F64(p.packer.oil_c - 4.0),
    ),
    point(
        &ItemKind { element: "Amperage", ..sample("table_i", "Rotary", "AMPERAGE", "AMPERE") },
        "wrapper/motor_current",
        "A",
        "of the turntable's motor",
        Sensor { noise: 0.03, resolution: 0.01 },
        (0.0, 10.0),
        |p| Value::F64(1.2 + 0.05 * p.packer.cases_min),
    ),
    point(
        &ItemKind {
            element: "LinearForce",
            ..sample("film_f", "Controller", "LINEAR_FORCE", "NEWTON")
        },
        "wrapper/film_tension",
        "N",
        "of the film at the roller",
        Sensor { noise: 1.5, resolution: 0.5 },
        (50.0, 250.0),
        |p| Value::F64(110.0 + 0.6 * p.packer.cases_min),
    ),
    point(
        &ItemKind {
            element: "Velocity",
            ..sample("film_v", "Controller", "VELOCITY", "MILLIMETER/SECOND")
        },
        "wrapper/film_speed",
        "mm/s",
        "of the film at the roller",
        Sensor { noise: 2.0, resolution: 1.0 },
        (-50.0, 1500.0),
        |p| Value::F64(12.0 * p.packer.cases_min),
    ),
    point(
        &ItemKind {
            id: "film",
            component: "Controller",
            category: "CONDITION",
            kind: "SYSTEM",
            element: "",
            units: "",
        },
        "wrapper/film",
        "",
        "whether the reel of film will last",
        EXACT,
        (0.0, 0.0),
        |p| {
            let left = REEL_PALLETS - pallets(p) % REEL_PALLETS;
            Value::text(if left <= NEARLY_EMPTY { "WARNING" } else { "NORMAL" })
        },
    ),
];
