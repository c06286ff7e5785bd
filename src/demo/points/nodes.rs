//! The points of the OPC UA server.

use super::super::process::Plant;
use super::{EXACT, FAST_MS, FREE, NodeKind, Place, Point, SLOW_MS, Sensor, percent};
use crate::model::{Limits, Value};

use NodeKind::{Boolean, Double, Doubles, Int32, Text, UInt64};

const CELSIUS: Sensor = Sensor { noise: 0.04, resolution: 0.01 };
const PERCENT: Sensor = Sensor { noise: 0.03, resolution: 0.01 };
const OUTPUT: Sensor = Sensor { noise: 0.0, resolution: 0.1 };

/// A number with a unit and a sensor.
const fn number(
    name: &'static str,
    path: &'static str,
    unit: &'static str,
    description: &'static str,
    sensor: Sensor,
    range: (f64, f64),
    truth: fn(&Plant) -> Value,
) -> Point {
    let place = Place::Node { path, kind: Double };
    Point { name, unit, description, truth, sensor, place, limits: FREE, scan_ms: 0, range }
}

/// A state, counter or text, known exactly.
const fn state(
    name: &'static str,
    path: &'static str,
    description: &'static str,
    kind: NodeKind,
    range: (f64, f64),
    truth: fn(&Plant) -> Value,
) -> Point {
    let place = Place::Node { path, kind };
    let (unit, sensor, limits) = ("", EXACT, FREE);
    Point { name, unit, description, truth, sensor, place, limits, scan_ms: 0, range }
}

/// The same point with limits.
const fn limited(point: Point, limits: Limits) -> Point {
    Point { limits, ..point }
}

/// The same point with its own scan.
const fn every(point: Point, scan_ms: u32) -> Point {
    Point { scan_ms, ..point }
}

const BIT: (f64, f64) = (0.0, 1.0);
const SHARE: (f64, f64) = (-0.5, 100.5);

const LEVEL: Limits = Limits {
    warn_low: Some(40.0),
    warn_high: Some(85.0),
    alarm_low: Some(30.0),
    alarm_high: Some(92.0),
};
const HOLD: Limits = Limits {
    warn_low: Some(74.0),
    warn_high: Some(78.5),
    alarm_low: Some(72.0),
    alarm_high: Some(82.0),
};
const GLUE: Limits = Limits { warn_low: Some(145.0), warn_high: Some(155.0), ..FREE };

/// The points, folder by folder.
pub(super) const POINTS: &[Point] = &[
    every(
        limited(
            number(
                "mixer/level",
                "Mixer/Level",
                "%",
                "mixing tank level",
                PERCENT,
                (40.0, 85.0),
                |p| percent(p.mixer.level()),
            ),
            LEVEL,
        ),
        FAST_MS,
    ),
    number(
        "mixer/temperature",
        "Mixer/Temperature",
        "degC",
        "mixing tank temperature",
        CELSIUS,
        (15.0, 25.0),
        |p| Value::F64(p.mixer.temperature_c()),
    ),
    number(
        "mixer/jacket_temperature",
        "Mixer/JacketTemperature",
        "degC",
        "heating jacket temperature",
        CELSIUS,
        (12.0, 45.0),
        |p| Value::F64(p.mixer.jacket_c),
    ),
    number(
        "mixer/heater_output",
        "Mixer/HeaterOutput",
        "%",
        "heater controller output",
        OUTPUT,
        SHARE,
        |p| percent(p.mixer.heater_share()),
    ),
    number(
        "mixer/water_valve",
        "Mixer/WaterValve",
        "%",
        "water valve position",
        OUTPUT,
        SHARE,
        |p| percent(p.mixer.water_valve),
    ),
    number(
        "mixer/syrup_valve",
        "Mixer/SyrupValve",
        "%",
        "syrup valve position",
        OUTPUT,
        SHARE,
        |p| percent(p.mixer.syrup_valve),
    ),
    number(
        "mixer/water_flow",
        "Mixer/WaterFlow",
        "L/min",
        "water into the mixing tank",
        Sensor { noise: 0.8, resolution: 0.1 },
        (-6.0, 680.0),
        |p| Value::F64(60.0 * p.mixer.water_l_s),
    ),
    number(
        "mixer/syrup_flow",
        "Mixer/SyrupFlow",
        "L/min",
        "syrup into the mixing tank",
        Sensor { noise: 0.2, resolution: 0.1 },
        (-2.0, 130.0),
        |p| Value::F64(60.0 * p.mixer.syrup_l_s),
    ),
    number(
        "mixer/brix",
        "Mixer/Brix",
        "degBx",
        "sugar content of the mixture",
        Sensor { noise: 0.01, resolution: 0.01 },
        (9.0, 12.0),
        |p| Value::F64(p.mixer.brix()),
    ),
    state("mixer/batch", "Mixer/Batch", "batch number", Int32, (100.0, 10_000.0), |p| {
        Value::I64(i64::from(p.mixer.batch))
    }),
    number(
        "pasteuriser/inlet_temperature",
        "Pasteuriser/InletTemperature",
        "degC",
        "product before the plates",
        CELSIUS,
        (15.0, 25.0),
        |p| Value::F64(p.pasteuriser.inlet_c),
    ),
    every(
        limited(
            number(
                "pasteuriser/hold_temperature",
                "Pasteuriser/HoldTemperature",
                "degC",
                "product at the end of the holding tube",
                CELSIUS,
                (70.0, 82.0),
                |p| Value::F64(p.pasteuriser.hold_c),
            ),
            HOLD,
        ),
        FAST_MS,
    ),
    number(
        "pasteuriser/outlet_temperature",
        "Pasteuriser/OutletTemperature",
        "degC",
        "product on its way to the filler",
        CELSIUS,
        (10.0, 25.0),
        |p| Value::F64(p.pasteuriser.outlet_c),
    ),
    number(
        "pasteuriser/hot_water_temperature",
        "Pasteuriser/HotWaterTemperature",
        "degC",
        "hot water before the plates",
        CELSIUS,
        (65.0, 90.0),
        |p| Value::F64(p.pasteuriser.hot_water_c),
    ),
    number(
        "pasteuriser/flow",
        "Pasteuriser/Flow",
        "L/min",
        "product through the plates",
        Sensor { noise: 0.6, resolution: 0.1 },
        (50.0, 430.0),
        |p| Value::F64(60.0 * p.pasteuriser.flow_l_s),
    ),
    number(
        "pasteuriser/steam_valve",
        "Pasteuriser/SteamValve",
        "%",
        "steam valve position",
        OUTPUT,
        SHARE,
        |p| percent(p.pasteuriser.steam),
    ),
    number(
        "pasteuriser/units",
        "Pasteuriser/Units",
        "PU",
        "pasteurisation units in the tube",
        Sensor { noise: 0.0, resolution: 0.1 },
        (5.0, 3_000.0),
        |p| Value::F64(p.pasteuriser.units()),
    ),
    state("pasteuriser/divert", "Pasteuriser/Divert", "flow diversion valve", Boolean, BIT, |p| {
        Value::Bool(p.pasteuriser.diverting)
    }),
    state("filler/state", "Filler/State", "0 stopped to 5 fault", Int32, (0.0, 5.0), |p| {
        Value::I64(i64::from(p.filler.state.code()))
    }),
    state("filler/state_name", "Filler/StateName", "state in words", Text, BIT, |p| {
        Value::text(p.filler.state.word())
    }),
    state(
        "filler/fault",
        "Filler/FillerFault",
        "the filler stands with a fault",
        Boolean,
        BIT,
        |p| Value::Bool(p.filler.state == super::super::process::FillerState::Fault),
    ),
    state(
        "filler/bottles_total",
        "Filler/BottlesTotal",
        "bottles since commissioning",
        UInt64,
        (4.8e9, 5.0e9),
        |p| Value::U64(4_831_077_120 + u64::from(p.filler.filled)),
    ),
    Point {
        unit: "mL",
        sensor: Sensor { noise: 0.0, resolution: 0.1 },
        ..state(
            "filler/valve_volumes",
            "Filler/ValveVolumes",
            "last volumes of the weighing valves",
            Doubles,
            (490.0, 510.0),
            |p| Value::list(p.filler.valve_ml.map(Value::F64)),
        )
    },
    state("labeller/running", "Labeller/Running", "labeller is ready", Boolean, BIT, |p| {
        Value::Bool(p.conveyors.labeller_runs())
    }),
    number("labeller/speed", "Labeller/Speed", "%", "labeller speed", OUTPUT, SHARE, |p| {
        percent(p.conveyors.labeller_share())
    }),
    limited(
        number(
            "labeller/glue_temperature",
            "Labeller/GlueTemperature",
            "degC",
            "glue pot",
            Sensor { noise: 0.1, resolution: 0.1 },
            (146.0, 154.0),
            |p| Value::F64(p.conveyors.glue_c),
        ),
        GLUE,
    ),
    every(
        number(
            "labeller/labels_left",
            "Labeller/LabelsLeft",
            "",
            "labels left on the roll",
            Sensor { noise: 0.0, resolution: 1.0 },
            (0.0, 12_000.0),
            |p| Value::F64(p.conveyors.labels),
        ),
        SLOW_MS,
    ),
    number(
        "conveyor/accumulation",
        "Conveyor/Accumulation",
        "%",
        "accumulation between filler and labeller",
        OUTPUT,
        (0.0, 110.0),
        |p| percent(p.conveyors.accumulation()),
    ),
    number(
        "conveyor/infeed",
        "Conveyor/Infeed",
        "",
        "empty bottles before the filler",
        Sensor { noise: 0.0, resolution: 1.0 },
        (-2.0, 300.0),
        |p| Value::F64(p.conveyors.infeed),
    ),
    number(
        "conveyor/belt_speed",
        "Conveyor/BeltSpeed",
        "m/min",
        "outfeed belt speed",
        Sensor { noise: 0.05, resolution: 0.1 },
        (7.0, 39.0),
        |p| Value::F64(p.conveyors.belt_m_min),
    ),
    state("cip/step", "Cip/Step", "0 idle, then the recipe's steps", Int32, (0.0, 5.0), |p| {
        Value::I64(i64::try_from(p.cip.step).unwrap_or_default())
    }),
    number(
        "cip/conductivity",
        "Cip/Conductivity",
        "mS/cm",
        "conductivity of the return",
        Sensor { noise: 0.02, resolution: 0.01 },
        (0.0, 76.0),
        |p| Value::F64(p.cip.conductivity),
    ),
    number(
        "cip/return_temperature",
        "Cip/ReturnTemperature",
        "degC",
        "temperature of the return",
        CELSIUS,
        (15.0, 80.0),
        |p| Value::F64(p.cip.return_c),
    ),
    number(
        "hall/temperature",
        "Hall/Temperature",
        "degC",
        "hall temperature",
        CELSIUS,
        (21.0, 29.0),
        |p| Value::F64(p.ambient_c),
    ),
    every(
        state("line/recipe", "Line/Recipe", "product and bottle", Text, BIT, |_| {
            Value::text("Orange 0.5 L")
        }),
        SLOW_MS,
    ),
];
