//! One tag's values and qualities over the rows of a page.
//!
//! First byte: the kind of the values in bits 0-3, the layout of their integers in bits 4-5,
//! bit 7 set where a run-length list of qualities follows (else all are Good).
//!
//! Numbers become integers that keep their order: a float is stored as `value * 10^scale` where
//! that gives the same bits back, else as its own bits, 32 of them where 32 hold it.

use super::blob::{BLOB_BYTES_MAX, put_blob, take_blob};
use super::bytes::{Cursor, Malformed, put_count, put_varint};
use super::ints::{Layout, put_ints, take_ints};
use crate::model::{Column, Quality, Timestamp, Value};

/// Scales tried for a decimal: field devices resolve to four places at most.
const SCALES: [f64; 5] = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];
/// Beyond 2^53 a double no longer holds every integer.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// `BadEncodingLimitsExceeded` (OPC UA Part 6, annex A): stands where a value is too large to
/// store.
pub(super) const TOO_LARGE: Quality = Quality::from_status(0x8008_0000);

const QUALITIES_FOLLOW: u8 = 0x80;

/// What the values of a column are, as the low bits of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    I64,
    U64,
    Decimal(u8),
    Bits32,
    Bits64,
    Time,
    Blob,
    /// Stretches of different kinds, each a column of its own.
    Mixed,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool => 1,
            Self::I64 => 2,
            Self::U64 => 3,
            Self::Decimal(scale) => 4 + scale,
            Self::Bits32 => 9,
            Self::Bits64 => 10,
            Self::Time => 11,
            Self::Blob => 12,
            Self::Mixed => 13,
        }
    }

    fn from_code(code: u8) -> Result<Self, Malformed> {
        Ok(match code {
            0 => Self::Null,
            1 => Self::Bool,
            2 => Self::I64,
            3 => Self::U64,
            4..=8 => Self::Decimal(code - 4),
            9 => Self::Bits32,
            10 => Self::Bits64,
            11 => Self::Time,
            12 => Self::Blob,
            13 => Self::Mixed,
            _ => return Err(Malformed),
        })
    }
}

/// Memory that encoding and decoding use again from column to column.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    ints: Vec<i64>,
    runs: Vec<(usize, Quality)>,
    blob: Vec<u8>,
    last_blob: Vec<u8>,
}

/// Appends one column and gives the number of values that were too large to store.
pub(super) fn put_column(
    out: &mut Vec<u8>,
    values: &[Value],
    qualities: &[Quality],
    scratch: &mut Scratch,
) -> u64 {
    let head = out.len();
    let mut lost = Vec::new();
    put_values(out, values, 0, scratch, &mut lost);
    scratch.runs.clear();
    for (row, quality) in qualities.iter().enumerate() {
        let quality = if lost.binary_search(&row).is_ok() { TOO_LARGE } else { *quality };
        match scratch.runs.last_mut() {
            Some((count, last)) if *last == quality => *count += 1,
            _ => scratch.runs.push((1, quality)),
        }
    }
    if scratch.runs.iter().any(|(_, quality)| *quality != Quality::GOOD) {
        if let Some(byte) = out.get_mut(head) {
            *byte |= QUALITIES_FOLLOW;
        }
        for (count, quality) in &scratch.runs {
            put_count(out, *count);
            put_varint(out, u64::from(quality.status()));
        }
    }
    u64::try_from(lost.len()).unwrap_or(u64::MAX)
}

/// Tells kinds apart that can't share a stretch; all floats are one.
fn class(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::I64(_) => 2,
        Value::U64(_) => 3,
        Value::F64(_) => 4,
        Value::Time(_) => 5,
        Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => 6,
    }
}

fn put_values(
    out: &mut Vec<u8>,
    values: &[Value],
    first_row: usize,
    scratch: &mut Scratch,
    lost: &mut Vec<usize>,
) {
    let first = values.first().map_or(0, class);
    if values.iter().any(|value| class(value) != first) {
        out.push(Kind::Mixed.code());
        let mut row = first_row;
        for stretch in values.chunk_by(|a, b| class(a) == class(b)) {
            put_count(out, stretch.len());
            put_values(out, stretch, row, scratch, lost);
            row += stretch.len();
        }
        return;
    }
    let head = out.len();
    out.push(0);
    let ints = &mut scratch.ints;
    ints.clear();
    let kind = match first {
        0 => Kind::Null,
        6 => {
            put_blobs(out, values, first_row, scratch, lost);
            Kind::Blob
        }
        _ => to_ints(values, ints),
    };
    let layout = match kind {
        Kind::Null | Kind::Blob | Kind::Mixed => Layout::Same,
        _ => put_ints(out, &scratch.ints),
    };
    if let Some(byte) = out.get_mut(head) {
        *byte = kind.code() | layout.code() << 4;
    }
}

/// Keeps the order of the bits of floats in integers; it is its own inverse.
const fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63) & i64::MAX)
}

const fn ordered32(bits: i32) -> i32 {
    bits ^ ((bits >> 31) & i32::MAX)
}

fn to_ints(values: &[Value], ints: &mut Vec<i64>) -> Kind {
    let mut kind = Kind::Null;
    for value in values {
        let int = match value {
            Value::Bool(b) => (Kind::Bool, i64::from(*b)),
            Value::I64(i) => (Kind::I64, *i),
            Value::U64(u) => (Kind::U64, u.cast_signed()),
            Value::Time(t) => (Kind::Time, t.nanos()),
            Value::F64(_) => return floats_to_ints(values, ints),
            _ => continue,
        };
        kind = int.0;
        ints.push(int.1);
    }
    kind
}

fn floats(values: &[Value]) -> impl Iterator<Item = f64> + '_ {
    values.iter().filter_map(|value| if let Value::F64(f) = value { Some(*f) } else { None })
}

fn floats_to_ints(values: &[Value], ints: &mut Vec<i64>) -> Kind {
    for (scale, factor) in (0_u8..).zip(SCALES) {
        ints.clear();
        ints.extend(floats(values).map_while(|f| decimal(f, factor)));
        if ints.len() == values.len() {
            return Kind::Decimal(scale);
        }
    }
    ints.clear();
    ints.extend(floats(values).map_while(bits32));
    if ints.len() == values.len() {
        return Kind::Bits32;
    }
    ints.clear();
    ints.extend(floats(values).map(|f| ordered(f.to_bits().cast_signed())));
    Kind::Bits64
}

#[allow(clippy::cast_possible_truncation, reason = "checked to be an integer below 2^53")]
#[allow(clippy::cast_precision_loss, reason = "an integer below 2^53 is exact in a double")]
fn decimal(value: f64, factor: f64) -> Option<i64> {
    let scaled = (value * factor).round();
    // NaN fails the comparison too.
    if scaled.abs() < EXACT_INTEGER_MAX {
        let int = scaled as i64;
        (from_decimal(int, factor).to_bits() == value.to_bits()).then_some(int)
    } else {
        None
    }
}

#[allow(clippy::cast_precision_loss, reason = "the writer only stores integers below 2^53")]
fn from_decimal(int: i64, factor: f64) -> f64 {
    int as f64 / factor
}

#[allow(clippy::cast_possible_truncation, reason = "kept only where the bits come back")]
fn bits32(value: f64) -> Option<i64> {
    let narrow = value as f32;
    (f64::from(narrow).to_bits() == value.to_bits())
        .then(|| i64::from(ordered32(narrow.to_bits().cast_signed())))
}

fn put_blobs(
    out: &mut Vec<u8>,
    values: &[Value],
    first_row: usize,
    scratch: &mut Scratch,
    lost: &mut Vec<usize>,
) {
    let mut count = 0_usize;
    for (row, value) in (first_row..).zip(values) {
        scratch.blob.clear();
        if put_blob(&mut scratch.blob, value).is_err() {
            // One byte that stands for Null: nothing was kept, and the quality says why.
            scratch.blob.push(0);
            lost.push(row);
        }
        if count > 0 && scratch.blob != scratch.last_blob {
            put_run(out, count, &scratch.last_blob);
            count = 0;
        }
        if count == 0 {
            std::mem::swap(&mut scratch.blob, &mut scratch.last_blob);
        }
        count += 1;
    }
    if count > 0 {
        put_run(out, count, &scratch.last_blob);
    }
}

fn put_run(out: &mut Vec<u8>, count: usize, blob: &[u8]) {
    put_count(out, count);
    put_count(out, blob.len());
    out.extend_from_slice(blob);
}

/// Reads one column of `rows` rows; the caller has bounded `rows`.
pub(super) fn take_column(
    from: &mut Cursor<'_>,
    rows: usize,
    scratch: &mut Scratch,
) -> Result<Column, Malformed> {
    let head = from.byte()?;
    let mut values = Vec::with_capacity(rows);
    take_values(from, head & !QUALITIES_FOLLOW, rows, scratch, &mut values)?;
    let qualities = if head & QUALITIES_FOLLOW == 0 {
        vec![Quality::GOOD; rows]
    } else {
        take_qualities(from, rows)?
    };
    Ok(Column { values, qualities })
}

fn take_qualities(from: &mut Cursor<'_>, rows: usize) -> Result<Vec<Quality>, Malformed> {
    let mut qualities = Vec::with_capacity(rows);
    while qualities.len() < rows {
        let count = from.count(rows - qualities.len())?.max(1);
        let quality = Quality::from_status(from.u32()?);
        qualities.extend(std::iter::repeat_n(quality, count));
    }
    Ok(qualities)
}

fn take_values(
    from: &mut Cursor<'_>,
    head: u8,
    rows: usize,
    scratch: &mut Scratch,
    values: &mut Vec<Value>,
) -> Result<(), Malformed> {
    let kind = Kind::from_code(head & 0x0F)?;
    let layout = Layout::from_code(head >> 4)?;
    match kind {
        Kind::Null => values.extend(std::iter::repeat_n(Value::Null, rows)),
        Kind::Blob => take_blobs(from, rows, values)?,
        Kind::Mixed => {
            let mut left = rows;
            while left > 0 {
                let count = from.count(left)?;
                let stretch = from.byte()?;
                // A stretch within a stretch is never written; reading one would recurse freely.
                if count == 0 || stretch & 0x0F == Kind::Mixed.code() {
                    return Err(Malformed);
                }
                take_values(from, stretch, count, scratch, values)?;
                left -= count;
            }
        }
        _ => {
            scratch.ints.clear();
            take_ints(from, layout, rows, &mut scratch.ints)?;
            for int in &scratch.ints {
                values.push(from_int(kind, *int)?);
            }
        }
    }
    Ok(())
}

fn from_int(kind: Kind, int: i64) -> Result<Value, Malformed> {
    Ok(match kind {
        Kind::Bool if int == 0 || int == 1 => Value::Bool(int == 1),
        Kind::I64 => Value::I64(int),
        Kind::U64 => Value::U64(int.cast_unsigned()),
        Kind::Decimal(scale) => {
            let factor = SCALES.get(usize::from(scale)).ok_or(Malformed)?;
            Value::F64(from_decimal(int, *factor))
        }
        Kind::Bits32 => {
            let bits = ordered32(i32::try_from(int).map_err(|_| Malformed)?);
            Value::F64(f64::from(f32::from_bits(bits.cast_unsigned())))
        }
        Kind::Bits64 => Value::F64(f64::from_bits(ordered(int).cast_unsigned())),
        Kind::Time => Value::Time(Timestamp::from_nanos(int)),
        _ => return Err(Malformed),
    })
}

fn take_blobs(
    from: &mut Cursor<'_>,
    rows: usize,
    values: &mut Vec<Value>,
) -> Result<(), Malformed> {
    let mut left = rows;
    while left > 0 {
        let count = from.count(left)?;
        let len = from.count(BLOB_BYTES_MAX)?;
        if count == 0 {
            return Err(Malformed);
        }
        let value = take_blob(from.take(len)?)?;
        values.extend(std::iter::repeat_n(value, count));
        left -= count;
    }
    Ok(())
}

/// Passes over one column without keeping its values.
pub(super) fn skip_column(
    from: &mut Cursor<'_>,
    rows: usize,
    scratch: &mut Scratch,
) -> Result<(), Malformed> {
    let head = from.byte()?;
    let kind = Kind::from_code(head & 0x0F)?;
    if matches!(kind, Kind::Null | Kind::Blob | Kind::Mixed) {
        take_values(from, head & !QUALITIES_FOLLOW, rows, scratch, &mut Vec::new())?;
    } else {
        scratch.ints.clear();
        let layout = Layout::from_code((head & !QUALITIES_FOLLOW) >> 4)?;
        take_ints(from, layout, rows, &mut scratch.ints)?;
    }
    if head & QUALITIES_FOLLOW != 0 {
        take_qualities(from, rows)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "column_tests.rs"]
mod tests;
