//! Tags: the named points of the plant.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::{EndpointName, Scale, UnitId};

/// A tag's name, such as `site/line1/press/temp`; unique in the plant.
pub type TagName = Arc<str>;

/// A dense number for a tag, stable across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TagId(pub u32);

/// The width and kind of one element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// One bit.
    Bool,
    /// 8 bits, unsigned.
    UInt8,
    /// 8 bits, signed.
    Int8,
    /// 16 bits, unsigned.
    UInt16,
    /// 16 bits, signed.
    Int16,
    /// 32 bits, unsigned.
    UInt32,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, unsigned.
    UInt64,
    /// 64 bits, signed.
    Int64,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64.
    Float64,
}

/// The type a tag is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// As the device describes it itself (OPC UA, MTConnect, Sparkplug).
    Native,
    /// One element.
    One(Scalar),
    /// That many elements in a row: `float32[8]`.
    Array(Scalar, u16),
    /// Text of that many bytes: `string(16)`.
    Text(u16),
}

/// The order of the bytes of a value that spans registers; `A` is the most significant byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WordOrder {
    /// Big-endian, the Modbus habit.
    #[default]
    Abcd,
    /// Words swapped.
    Cdab,
    /// Bytes swapped in each word.
    Badc,
    /// Little-endian.
    Dcba,
}

/// How often a tag is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanClass {
    /// Milliseconds from the start of one scan to the start of the next.
    pub scan_ms: u32,
}

/// Bounds for a tag's value; inclusive, alarm beats warn.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// At or below: warn.
    pub warn_low: Option<f64>,
    /// At or above: warn.
    pub warn_high: Option<f64>,
    /// At or below: alarm.
    pub alarm_low: Option<f64>,
    /// At or above: alarm.
    pub alarm_high: Option<f64>,
}

/// How a tag's alarms behave, as far as the configuration says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlarmSettings {
    /// Seconds a limit must be passed before the alarm counts.
    pub delay_s: Option<f64>,
    /// Engineering units the value must come back inside a limit before the alarm ends.
    pub hysteresis: Option<f64>,
    /// 1 to 1000 (OPC UA Part 5, 6.4.2), or the plant's word for it.
    pub priority: Option<Arc<str>>,
}

/// Everything the configuration says of one point.
#[derive(Debug, Clone, PartialEq)]
pub struct Tag {
    /// Unique in the plant.
    pub name: TagName,
    /// Names it had before: its id and history follow it.
    pub was: Vec<TagName>,
    /// The connection it is read through.
    pub endpoint: EndpointName,
    /// The device behind that connection.
    pub unit: UnitId,
    /// The protocol's own address text, as configured.
    pub address: Arc<str>,
    /// The type it is read as.
    pub data_type: DataType,
    /// The byte order of values that span registers.
    pub order: WordOrder,
    /// Picks a part of a structure: `a.b[3]`.
    pub path: Option<Arc<str>>,
    /// How often.
    pub scan: ScanClass,
    /// Raw counts to engineering units.
    pub scale: Option<Scale>,
    /// Changes smaller than this, in engineering units, keep the value reported before.
    pub deadband: Option<f64>,
    /// Its limits.
    pub limits: Limits,
    /// How passing them is alarmed.
    pub alarm: AlarmSettings,
    /// The engineering unit.
    pub unit_text: Arc<str>,
    /// The short label of the reference's health tools.
    pub label: Arc<str>,
    /// What it measures.
    pub description: Arc<str>,
    /// Where in the plant.
    pub area: Arc<str>,
}

impl Tag {
    /// Makes a tag with nothing but a name, an endpoint and an address.
    #[must_use]
    pub fn new(name: &str, endpoint: &str, address: &str) -> Self {
        Self {
            name: name.into(),
            was: Vec::new(),
            endpoint: endpoint.into(),
            unit: UnitId(0),
            address: address.into(),
            data_type: DataType::Native,
            order: WordOrder::Abcd,
            path: None,
            scan: ScanClass { scan_ms: 1000 },
            scale: None,
            deadband: None,
            limits: Limits::default(),
            alarm: AlarmSettings::default(),
            unit_text: "".into(),
            label: "".into(),
            description: "".into(),
            area: "".into(),
        }
    }
}

impl Scalar {
    /// Every element type with the word that names it in a configuration.
    pub const ALL: [(Self, &'static str); 11] = [
        (Self::Bool, "bool"),
        (Self::UInt8, "uint8"),
        (Self::Int8, "int8"),
        (Self::UInt16, "uint16"),
        (Self::Int16, "int16"),
        (Self::UInt32, "uint32"),
        (Self::Int32, "int32"),
        (Self::UInt64, "uint64"),
        (Self::Int64, "int64"),
        (Self::Float32, "float32"),
        (Self::Float64, "float64"),
    ];

    /// Gives the word that names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(scalar, _)| *scalar == self).map_or("?", |(_, word)| word)
    }

    /// Finds the element type a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(scalar, _)| *scalar)
    }

    /// Gives its width in bytes; a bit counts as one.
    #[must_use]
    pub const fn bytes(self) -> u16 {
        match self {
            Self::Bool | Self::UInt8 | Self::Int8 => 1,
            Self::UInt16 | Self::Int16 => 2,
            Self::UInt32 | Self::Int32 | Self::Float32 => 4,
            Self::UInt64 | Self::Int64 | Self::Float64 => 8,
        }
    }
}

impl DataType {
    /// Reads `uint16`, `float32[8]` or `string(16)`; a length of 0 is refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let length = |digits: &str| digits.parse::<u16>().ok().filter(|n| *n > 0);
        if let Some(rest) = text.strip_prefix("string(") {
            return Some(Self::Text(length(rest.strip_suffix(')')?)?));
        }
        match text.split_once('[') {
            Some((word, rest)) => {
                Some(Self::Array(Scalar::from_word(word)?, length(rest.strip_suffix(']')?)?))
            }
            None => Some(Self::One(Scalar::from_word(text)?)),
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => out.write_str("native"),
            Self::One(scalar) => out.write_str(scalar.word()),
            Self::Array(scalar, n) => write!(out, "{}[{n}]", scalar.word()),
            Self::Text(n) => write!(out, "string({n})"),
        }
    }
}

impl WordOrder {
    /// Reads `ABCD`, `CDAB`, `BADC` or `DCBA`, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "ABCD" => Some(Self::Abcd),
            "CDAB" => Some(Self::Cdab),
            "BADC" => Some(Self::Badc),
            "DCBA" => Some(Self::Dcba),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_as_it_is_written() {
        for text in ["bool", "uint16", "float64", "float32[8]", "string(16)"] {
            assert_eq!(DataType::parse(text).unwrap().to_string(), text);
        }
        for text in ["float", "float32[0]", "string()", "uint16[70000]", "uint16[3"] {
            assert_eq!(DataType::parse(text), None, "{text}");
        }
    }
}
