//! Data sets and templates (Sparkplug 3.0, 6.4.14 and 6.4.15) as lists and structures.

use std::sync::Arc;

use super::super::errors::decode;
use super::metric::{METRICS_MAX, Raw, RawMetric, name, value};
use super::wire::Fields;
use crate::driver::DriverError;
use crate::model::{VALUE_DEPTH_MAX, VALUE_ITEMS_MAX, Value};

/// Values of one data set: 1000 rows of ten columns.
const ELEMENTS_MAX: usize = METRICS_MAX;

fn too_large() -> DriverError {
    decode("the structure is larger than a value may be")
}

/// Reads a data set: a list of rows, each a structure by column.
pub(super) fn data_set(bytes: &[u8]) -> Result<Value, DriverError> {
    let (mut columns, mut types, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for field in Fields::of(bytes) {
        match field? {
            (2, field) if columns.len() < VALUE_ITEMS_MAX => columns.push(name(field.text()?)),
            // Packed or one by one, as the encoder likes it.
            (3, super::wire::Field::Bytes(packed)) => types.extend(packed_types(packed)?),
            (3, field) if types.len() < VALUE_ITEMS_MAX => types.push(field.int()?),
            (4, field) if rows.len() < VALUE_ITEMS_MAX => rows.push(field.bytes()?),
            (2..=4, _) => return Err(too_large()),
            _ => {}
        }
    }
    if columns.len() != types.len() {
        return Err(decode("a data set has as many types as columns"));
    }
    if columns.len().saturating_mul(rows.len()) > ELEMENTS_MAX {
        return Err(too_large());
    }
    let rows: Result<Vec<Value>, _> = rows.into_iter().map(|r| row(r, &columns, &types)).collect();
    Ok(Value::list(rows?))
}

fn packed_types(packed: &[u8]) -> Result<Vec<u32>, DriverError> {
    // A type's number is below 128, so each takes a byte.
    if packed.len() > VALUE_ITEMS_MAX || packed.iter().any(|byte| *byte > 127) {
        return Err(too_large());
    }
    Ok(packed.iter().map(|byte| u32::from(*byte)).collect())
}

fn row(bytes: &[u8], columns: &[Arc<str>], types: &[u32]) -> Result<Value, DriverError> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut heads = columns.iter().zip(types);
    for field in Fields::of(bytes) {
        let (1, element) = field? else { continue };
        let Some((column, kind)) = heads.next() else {
            return Err(decode("a row of a data set has more values than columns"));
        };
        let raw = scalar(element.bytes()?, 1)?;
        let value = if raw == Raw::Nothing { Value::Null } else { value(*kind, raw, 0)? };
        fields.push((column.clone(), value));
    }
    match heads.next() {
        None => Ok(Value::map(fields)),
        Some(_) => Err(decode("a row of a data set has fewer values than columns")),
    }
}

/// Reads the one value of a message whose value fields begin at a number.
fn scalar(bytes: &[u8], first: u32) -> Result<Raw<'_>, DriverError> {
    let mut raw = Raw::Nothing;
    for field in Fields::of(bytes) {
        let (number, field) = field?;
        raw = match number.checked_sub(first) {
            Some(0) => Raw::Int(field.int()?),
            Some(1) => Raw::Long(field.long()?),
            Some(2) => Raw::Float(field.float()?),
            Some(3) => Raw::Double(field.double()?),
            Some(4) => Raw::Truth(field.truth()?),
            Some(5) => Raw::Text(field.text()?),
            _ => raw,
        };
    }
    Ok(raw)
}

/// Reads a template: `metrics` and `parameters` by name, and `template_ref`.
pub(super) fn template(bytes: &[u8], depth: usize) -> Result<Value, DriverError> {
    // The members lie two levels below, in the structure of `metrics`.
    if depth + 2 >= VALUE_DEPTH_MAX {
        return Err(decode(format!("the template is nested deeper than {VALUE_DEPTH_MAX} levels")));
    }
    let (mut metrics, mut parameters, mut reference) = (Vec::new(), Vec::new(), Value::Null);
    for field in Fields::of(bytes) {
        match field? {
            (2 | 3, _) if metrics.len() + parameters.len() >= VALUE_ITEMS_MAX => {
                return Err(too_large());
            }
            (2, field) => metrics.push(member(field.bytes()?, depth + 2)?),
            (3, field) => parameters.push(parameter(field.bytes()?)?),
            (4, field) => reference = Value::text(field.text()?),
            _ => {}
        }
    }
    let fields = [
        ("template_ref", reference),
        ("metrics", Value::map(metrics)),
        ("parameters", Value::map(parameters)),
    ];
    Ok(Value::map(fields.map(|(name, value)| (name.into(), value))))
}

fn member(bytes: &[u8], depth: usize) -> Result<(Arc<str>, Value), DriverError> {
    let metric = RawMetric::read(bytes)?;
    let label = metric.name.ok_or_else(|| decode("a member of a template has no name"))?;
    let held = match (metric.is_null, metric.raw) {
        (true, _) | (_, Raw::Nothing) => Value::Null,
        (false, raw) => value(metric.kind.unwrap_or_default(), raw, depth)?,
    };
    Ok((name(label), held))
}

fn parameter(bytes: &[u8]) -> Result<(Arc<str>, Value), DriverError> {
    let (mut label, mut kind) = ("", 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, field) => label = field.text()?,
            (2, field) => kind = field.int()?,
            _ => {}
        }
    }
    let raw = scalar(bytes, 3)?;
    let held = if raw == Raw::Nothing { Value::Null } else { value(kind, raw, 0)? };
    Ok((name(label), held))
}
