//! The points of the inspection machine behind a Sparkplug edge node, and of the hall's own
//! sensors, which publish plain topics.

use super::super::process::{FillerState, Plant};
use super::{EXACT, FREE, Place, Point, Sensor, percent};
use crate::model::{Limits, Value};

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

const fn metric(metric: &'static str, kind: u32) -> Place {
    Place::Metric { metric, kind }
}

const fn part(part: &'static str) -> Place {
    Place::Topic { topic: "demo/hall/climate", part }
}

/// The points.
pub(super) const POINTS: &[Point] = &[
    point(
        metric("Inputs/Inspected", 8),
        "inspector/inspected",
        "",
        "bottles inspected since the shift began",
        EXACT,
        (0.0, 1e7),
        |p| Value::U64(u64::from(p.filler.filled)),
    ),
    point(
        metric("Inputs/Rejected", 3),
        "inspector/rejected",
        "",
        "bottles rejected at the inspection",
        EXACT,
        (0.0, 1e7),
        |p| Value::U64(u64::from(p.filler.rejected)),
    ),
    point(
        metric("Inputs/LampTemperature", 9),
        "inspector/lamp_temperature",
        "degC",
        "lamp of the camera",
        Sensor { noise: 0.2, resolution: 0.5 },
        (10.0, 60.0),
        |p| Value::F64(p.ambient_c + 12.0),
    ),
    Point {
        limits: Limits { warn_low: Some(20.0), ..FREE },
        ..point(
            metric("Inputs/Contrast", 10),
            "inspector/contrast",
            "%",
            "contrast of the picture",
            Sensor { noise: 0.8, resolution: 0.1 },
            (60.0, 110.0),
            |p| percent(0.9 - 0.05 * p.filler.speed_share()),
        )
    },
    point(
        metric("Inputs/Running", 11),
        "inspector/running",
        "",
        "the inspection runs",
        EXACT,
        (0.0, 1.0),
        |p| Value::Bool(p.filler.state == FillerState::Running),
    ),
    point(
        metric("Properties/Program", 12),
        "inspector/program",
        "",
        "inspection program",
        EXACT,
        (0.0, 0.0),
        |_| Value::text("PET 0.5 l"),
    ),
    point(
        part("humidity"),
        "hall/humidity",
        "%",
        "relative humidity of the hall",
        Sensor { noise: 0.4, resolution: 0.1 },
        (20.0, 80.0),
        |p| Value::F64(75.0 - p.ambient_c),
    ),
    point(
        part("air.dust"),
        "hall/dust",
        "ug/m3",
        "fine dust in the hall",
        Sensor { noise: 0.6, resolution: 0.1 },
        (0.0, 40.0),
        |p| Value::F64(12.0 + 4.0 * p.filler.speed_share()),
    ),
    point(
        Place::Topic { topic: "demo/line1/inspector/speed", part: "" },
        "inspector/speed",
        "bottles/min",
        "bottles inspected a minute",
        Sensor { noise: 0.4, resolution: 0.1 },
        (-5.0, 720.0),
        |p| Value::F64(p.filler.speed_bpm),
    ),
];
