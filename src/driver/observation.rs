//! What an agent of machines knows of them: their model, their observations, their assets.

use std::sync::Arc;

use crate::model::Value;

/// What kind of thing a data item reports (MTConnect Part 2, 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// A measured quantity.
    Sample,
    /// A state, a message or a count.
    Event,
    /// Health: normal, warning or fault.
    Condition,
}

impl Category {
    /// Gives the standard's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sample => "SAMPLE",
            Self::Event => "EVENT",
            Self::Condition => "CONDITION",
        }
    }
}

/// The state that a condition reports (MTConnect Part 2, 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Nobody knows.
    Unavailable,
    /// Nothing is wrong.
    Normal,
    /// Something may become wrong.
    Warning,
    /// Something is wrong, and a person must see to it.
    Fault,
}

impl Level {
    /// Gives the standard's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unavailable => "UNAVAILABLE",
            Self::Normal => "NORMAL",
            Self::Warning => "WARNING",
            Self::Fault => "FAULT",
        }
    }
}

/// What a condition says beside its message.
#[derive(Debug, Clone, PartialEq)]
pub struct ConditionReport {
    /// How bad it is.
    pub level: Level,
    /// The machine's own code.
    pub native_code: Arc<str>,
    /// The machine's own severity.
    pub native_severity: Arc<str>,
    /// `HIGH` or `LOW`.
    pub qualifier: Arc<str>,
}

/// One observation. Untrusted text throughout.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The device's name.
    pub device: Arc<str>,
    /// The kind of the component that made it, such as `Controller`.
    pub component: Arc<str>,
    /// The id of the data item.
    pub item: Arc<str>,
    /// The data item's name; empty where it has none.
    pub name: Arc<str>,
    /// The name of its element; of a condition, the data item's type.
    pub kind: Arc<str>,
    /// The data item's sub-type.
    pub sub_type: Arc<str>,
    /// What kind of thing it reports.
    pub category: Category,
    /// The device's time, as it was written.
    pub timestamp: Arc<str>,
    /// Its place in the agent's buffer.
    pub sequence: Option<u64>,
    /// Text as it was written, or a map where it is a set of keyed values.
    pub value: Value,
    /// What it says as a condition.
    pub condition: Option<ConditionReport>,
}

/// Observations of one moment or one stretch of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observations {
    /// The observations, at most as many as are of use in an answer.
    pub rows: Vec<Arc<Observation>>,
    /// How many there were.
    pub total: usize,
}

/// One data item of a machine's model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelItem {
    /// Its id.
    pub id: Arc<str>,
    /// Its name; empty where it has none.
    pub name: Arc<str>,
    /// Its type, such as `POSITION`.
    pub kind: Arc<str>,
    /// Its sub-type, such as `ACTUAL`.
    pub sub_type: Arc<str>,
    /// `SAMPLE`, `EVENT` or `CONDITION`, as it was written.
    pub category: Arc<str>,
    /// The engineering unit.
    pub units: Arc<str>,
    /// `VALUE`, `DATA_SET`, `TABLE`, `TIME_SERIES`; empty where it was not said.
    pub representation: Arc<str>,
}

/// One component of a machine, the machine itself included.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelComponent {
    /// What it is, such as `Linear`.
    pub kind: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// Its name; empty where it has none.
    pub name: Arc<str>,
    /// The components above it, from the machine down: `Axes/Linear[X]`.
    pub path: Arc<str>,
    /// The component it is part of, by position; `None` for the machine.
    pub parent: Option<usize>,
    /// Its own data items.
    pub items: Vec<ModelItem>,
}

/// One machine.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelDevice {
    /// Its name.
    pub name: Arc<str>,
    /// Its unique id.
    pub uuid: Arc<str>,
    /// Its components, itself first.
    pub components: Vec<ModelComponent>,
}

/// One asset: a tool, a file, a fixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Asset {
    /// What it is, such as `CuttingTool`.
    pub kind: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// When it was changed last, as it was written.
    pub timestamp: Arc<str>,
    /// The machine it belongs to.
    pub device_uuid: Arc<str>,
    /// It has been taken away.
    pub is_removed: bool,
}
