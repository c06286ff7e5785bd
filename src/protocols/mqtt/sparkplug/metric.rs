//! Payloads and their metrics (Sparkplug 3.0, 6.4): bytes to values, pure and bounded.

use std::sync::Arc;

use super::super::errors::decode;
use super::super::payload::PAYLOAD_BYTES_MAX;
use super::structures;
use super::wire::{Field, Fields};
use crate::driver::DriverError;
use crate::model::{Quality, Timestamp, VALUE_BYTES_MAX, VALUE_ITEMS_MAX, Value};

/// Metrics of one payload: births of large nodes have a few thousand.
pub(in super::super) const METRICS_MAX: usize = 10_000;

/// Every type by its number (6.4.16), with its name.
const TYPES: [&str; 35] = [
    "Unknown",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float",
    "Double",
    "Boolean",
    "String",
    "DateTime",
    "Text",
    "UUID",
    "DataSet",
    "Bytes",
    "File",
    "Template",
    "PropertySet",
    "PropertySetList",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "Int64Array",
    "UInt8Array",
    "UInt16Array",
    "UInt32Array",
    "UInt64Array",
    "FloatArray",
    "DoubleArray",
    "BooleanArray",
    "StringArray",
    "DateTimeArray",
];

/// Gives a type's name; empty where there is none of that number.
pub(in super::super) fn type_name(kind: u32) -> &'static str {
    let at = usize::try_from(kind).unwrap_or(usize::MAX);
    TYPES.get(at).filter(|_| kind > 0).copied().unwrap_or_default()
}

/// A metric's value as it lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum Raw<'a> {
    Nothing,
    Int(u32),
    Long(u64),
    Float(f32),
    Double(f64),
    Truth(bool),
    Text(&'a str),
    Bytes(&'a [u8]),
    DataSet(&'a [u8]),
    Template(&'a [u8]),
    /// A member of the value that Sparkplug leaves to others.
    Foreign,
}

impl Raw<'_> {
    /// Gives the type that the bytes alone tell; whole numbers don't tell whether they have a sign.
    pub(super) fn own_kind(self) -> Option<u32> {
        match self {
            Self::Float(_) => Some(9),
            Self::Double(_) => Some(10),
            Self::Truth(_) => Some(11),
            Self::Text(_) => Some(12),
            _ => None,
        }
    }
}

/// One metric as it lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct RawMetric<'a> {
    pub(in super::super) name: Option<&'a str>,
    pub(in super::super) alias: Option<u64>,
    pub(in super::super) timestamp: Option<u64>,
    pub(in super::super) kind: Option<u32>,
    pub(in super::super) is_historical: bool,
    pub(in super::super) is_null: bool,
    /// Its property `Quality` (6.4.13): 0, 192 or 500.
    pub(in super::super) quality: Option<u32>,
    pub(in super::super) raw: Raw<'a>,
}

/// A payload, with its metrics still in the bytes.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct RawPayload<'a> {
    pub(in super::super) timestamp: Option<u64>,
    pub(in super::super) seq: Option<u64>,
    pub(in super::super) metrics: Vec<RawMetric<'a>>,
}

impl<'a> RawPayload<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// It is no Sparkplug payload, or larger than is taken.
    pub(in super::super) fn read(bytes: &'a [u8]) -> Result<Self, DriverError> {
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(decode(format!("the payload has {} bytes; 262144 are taken", bytes.len())));
        }
        let mut payload = Self { timestamp: None, seq: None, metrics: Vec::new() };
        for field in Fields::of(bytes) {
            match field? {
                (1, field) => payload.timestamp = Some(field.long()?),
                (2, _) if payload.metrics.len() >= METRICS_MAX => {
                    return Err(decode(format!("the payload has more than {METRICS_MAX} metrics")));
                }
                (2, field) => payload.metrics.push(RawMetric::read(field.bytes()?)?),
                (3, field) => payload.seq = Some(field.long()?),
                _ => {}
            }
        }
        Ok(payload)
    }

    /// Gives the number that ties a death to its birth (6.4.19).
    pub(in super::super) fn bd_seq(&self) -> Option<u64> {
        let metric = self.metrics.iter().find(|metric| metric.name == Some("bdSeq"))?;
        match metric.raw {
            Raw::Long(value) => Some(value),
            Raw::Int(value) => Some(u64::from(value)),
            _ => None,
        }
    }
}

impl<'a> RawMetric<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DriverError> {
        let mut metric = Self {
            name: None,
            alias: None,
            timestamp: None,
            kind: None,
            is_historical: false,
            is_null: false,
            quality: None,
            raw: Raw::Nothing,
        };
        for field in Fields::of(bytes) {
            let (number, field) = field?;
            match number {
                1 => metric.name = Some(field.text()?).filter(|name| !name.is_empty()),
                2 => metric.alias = Some(field.long()?),
                3 => metric.timestamp = Some(field.long()?),
                4 => metric.kind = Some(field.int()?),
                5 => metric.is_historical = field.truth()?,
                7 => metric.is_null = field.truth()?,
                9 => metric.quality = quality(field.bytes()?)?,
                10.. => metric.raw = raw(number, field)?,
                _ => {}
            }
        }
        Ok(metric)
    }

    /// Gives the sender's time; one that no clock shows is none.
    pub(in super::super) fn source_ts(&self) -> Option<Timestamp> {
        self.timestamp.and_then(instant)
    }

    /// Gives the value with how far to trust it, as a type.
    ///
    /// # Errors
    /// It is no value of that type.
    pub(in super::super) fn value(&self, kind: u32) -> Result<(Value, Quality), DriverError> {
        if self.is_null {
            // Sparkplug's null: OPC UA's BadNoData.
            return Ok((Value::Null, Quality::from_status(0x809B_0000)));
        }
        let quality = match self.quality {
            None | Some(192) => Quality::GOOD,
            Some(0) => Quality::BAD,
            Some(500) => Quality::UNCERTAIN_LAST_USABLE,
            Some(_) => Quality::from_status(0x4000_0000),
        };
        Ok((value(kind, self.raw, 0)?, quality))
    }
}

fn raw(number: u32, field: Field<'_>) -> Result<Raw<'_>, DriverError> {
    Ok(match number {
        10 => Raw::Int(field.int()?),
        11 => Raw::Long(field.long()?),
        12 => Raw::Float(field.float()?),
        13 => Raw::Double(field.double()?),
        14 => Raw::Truth(field.truth()?),
        15 => Raw::Text(field.text()?),
        16 => Raw::Bytes(field.bytes()?),
        17 => Raw::DataSet(field.bytes()?),
        18 => Raw::Template(field.bytes()?),
        _ => Raw::Foreign,
    })
}

/// Finds `Quality` among a metric's properties.
fn quality(set: &[u8]) -> Result<Option<u32>, DriverError> {
    let (mut at, mut count, mut found) = (None, 0_usize, None);
    for field in Fields::of(set) {
        let (1, key) = field? else { continue };
        if key.text()? == "Quality" {
            at = Some(count);
        }
        count += 1;
    }
    let Some(at) = at else { return Ok(None) };
    let mut values = Fields::of(set).filter_map(Result::ok).filter(|(number, _)| *number == 2);
    if let Some((_, value)) = values.nth(at) {
        for field in Fields::of(value.bytes()?) {
            match field? {
                (3, field) => found = Some(field.int()?),
                (4, field) => found = Some(u32::try_from(field.long()?).unwrap_or(u32::MAX)),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Turns milliseconds into an instant; `None` where no calendar has it.
pub(in super::super) fn instant(ms: u64) -> Option<Timestamp> {
    let ms = i64::try_from(ms).ok()?;
    ms.checked_mul(1_000_000).map(Timestamp::from_nanos)
}

/// A signed number of so many bits, in two's complement: of its own width, or extended to 32 or
/// 64 bits as encoders like it.
fn signed(raw: u64, bits: u32) -> Option<Value> {
    let shift = 64 - bits;
    let low = (raw << shift) >> shift;
    // The arithmetic shift brings the sign along.
    let value = (raw << shift).cast_signed() >> shift;
    let wide = value.cast_unsigned();
    let is_fit = raw == low || raw == wide || raw == wide & u64::from(u32::MAX);
    is_fit.then_some(Value::I64(value))
}

fn unsigned(raw: u64, bits: u32) -> Option<Value> {
    (bits == 64 || raw >> bits == 0).then_some(Value::U64(raw))
}

fn text(text: &str) -> Option<Value> {
    (text.len() <= VALUE_BYTES_MAX).then(|| Value::text(text))
}

/// Reads a value as a type.
///
/// # Errors
/// It is no value of that type, or longer than a value may be: nothing is cut.
pub(super) fn value(kind: u32, raw: Raw<'_>, depth: usize) -> Result<Value, DriverError> {
    let whole = match raw {
        Raw::Int(value) => Some(u64::from(value)),
        Raw::Long(value) => Some(value),
        _ => None,
    };
    let found = match (kind, raw) {
        (1, _) => whole.and_then(|raw| signed(raw, 8)),
        (2, _) => whole.and_then(|raw| signed(raw, 16)),
        (3, _) => whole.and_then(|raw| signed(raw, 32)),
        (4, _) => whole.and_then(|raw| signed(raw, 64)),
        (5, _) => whole.and_then(|raw| unsigned(raw, 8)),
        (6, _) => whole.and_then(|raw| unsigned(raw, 16)),
        (7, _) => whole.and_then(|raw| unsigned(raw, 32)),
        (8, _) => whole.and_then(|raw| unsigned(raw, 64)),
        (9 | 10, Raw::Float(value)) => Some(Value::F64(f64::from(value))),
        (9 | 10, Raw::Double(value)) => Some(Value::F64(value)),
        (11, Raw::Truth(value)) => Some(Value::Bool(value)),
        (12 | 14 | 15, Raw::Text(value)) => text(value),
        (13, _) => whole.and_then(instant).map(Value::Time),
        (16, Raw::DataSet(bytes)) => return structures::data_set(bytes),
        (17 | 18, Raw::Bytes(bytes)) => {
            (bytes.len() <= VALUE_BYTES_MAX).then(|| Value::bytes(bytes))
        }
        (19, Raw::Template(bytes)) => return structures::template(bytes, depth),
        (22..=34, Raw::Bytes(bytes)) => array(kind, bytes),
        _ => None,
    };
    found.ok_or_else(|| mismatch(kind, raw))
}

fn mismatch(kind: u32, raw: Raw<'_>) -> DriverError {
    match (type_name(kind), raw) {
        ("", _) => decode("the metric has no type that Sparkplug knows"),
        (name, Raw::Nothing) => decode(format!("the metric is {name} and has no value")),
        (name, _) => decode(format!("the value is no {name}, or longer than a value may be")),
    }
}

/// Reads numbers that lie in a row, the low byte first (6.4.17).
fn array(kind: u32, bytes: &[u8]) -> Option<Value> {
    fn row<const N: usize>(bytes: &[u8], one: impl Fn([u8; N]) -> Option<Value>) -> Option<Value> {
        let (rows, rest) = bytes.as_chunks::<N>();
        if !rest.is_empty() || rows.len() > VALUE_ITEMS_MAX {
            return None;
        }
        rows.iter().map(|bytes| one(*bytes)).collect::<Option<Vec<_>>>().map(Value::list)
    }
    let double = |value: f64| Some(Value::F64(value));
    match kind {
        22 => row(bytes, |b| Some(Value::I64(i8::from_le_bytes(b).into()))),
        23 => row(bytes, |b| Some(Value::I64(i16::from_le_bytes(b).into()))),
        24 => row(bytes, |b| Some(Value::I64(i32::from_le_bytes(b).into()))),
        25 => row(bytes, |b| Some(Value::I64(i64::from_le_bytes(b)))),
        26 => row(bytes, |b| Some(Value::U64(u8::from_le_bytes(b).into()))),
        27 => row(bytes, |b| Some(Value::U64(u16::from_le_bytes(b).into()))),
        28 => row(bytes, |b| Some(Value::U64(u32::from_le_bytes(b).into()))),
        29 => row(bytes, |b| Some(Value::U64(u64::from_le_bytes(b)))),
        30 => row(bytes, |b| double(f32::from_le_bytes(b).into())),
        31 => row(bytes, |b| double(f64::from_le_bytes(b))),
        32 => truths(bytes),
        33 => texts(bytes),
        34 => row(bytes, |b| instant(u64::from_le_bytes(b)).map(Value::Time)),
        _ => None,
    }
}

/// A count of 32 bits, then the truth values, the highest bit of a byte first.
fn truths(bytes: &[u8]) -> Option<Value> {
    let (count, bits) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    if count > VALUE_ITEMS_MAX || bits.len() != count.div_ceil(8) {
        return None;
    }
    let truth = |nth: usize| Some(Value::Bool((bits.get(nth / 8)? >> (7 - nth % 8)) & 1 == 1));
    (0..count).map(truth).collect::<Option<Vec<_>>>().map(Value::list)
}

/// Texts, each ended by a NUL.
fn texts(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::list([]));
    }
    let texts: Vec<&[u8]> = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0).collect();
    if texts.len() > VALUE_ITEMS_MAX {
        return None;
    }
    let one = |bytes: &&[u8]| text(std::str::from_utf8(bytes).ok()?);
    texts.iter().map(one).collect::<Option<Vec<_>>>().map(Value::list)
}

/// Makes a name that is kept.
pub(super) fn name(text: &str) -> Arc<str> {
    text.into()
}
