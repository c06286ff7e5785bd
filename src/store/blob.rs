//! Values that are no scalars, as bounded bytes.

use std::sync::Arc;

use super::bytes::{Cursor, Malformed, put_count, put_zigzag};
use crate::model::{Timestamp, VALUE_DEPTH_MAX, Value};

/// One stored value holds at most this many bytes: four of the longest texts.
pub(super) const BLOB_BYTES_MAX: usize = 64 * 1024;

/// The drivers stop at [`VALUE_DEPTH_MAX`]; one level more is the scalar at the bottom.
const DEPTH_MAX: usize = VALUE_DEPTH_MAX + 1;

/// Appends the value, or leaves `out` as it was where it is too large or too deep to store.
pub(super) fn put_blob(out: &mut Vec<u8>, value: &Value) -> Result<(), Malformed> {
    let start = out.len();
    let put = put_value(out, value, start, DEPTH_MAX);
    if put.is_err() {
        out.truncate(start);
    }
    put
}

fn put_value(
    out: &mut Vec<u8>,
    value: &Value,
    start: usize,
    depth: usize,
) -> Result<(), Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    match value {
        Value::Null => out.push(0),
        Value::Bool(b) => out.push(1 + u8::from(*b)),
        Value::I64(i) => put_word(out, 3, i.cast_unsigned()),
        Value::U64(u) => put_word(out, 4, *u),
        Value::F64(f) => put_word(out, 5, f.to_bits()),
        Value::Time(t) => {
            out.push(6);
            put_zigzag(out, t.nanos());
        }
        Value::Text(text) => put_bytes(out, 7, text.as_bytes(), start)?,
        Value::Bytes(bytes) => put_bytes(out, 8, bytes, start)?,
        Value::List(items) => {
            out.push(9);
            put_count(out, items.len());
            for item in items.iter() {
                put_value(out, item, start, depth)?;
            }
        }
        Value::Map(fields) => {
            out.push(10);
            put_count(out, fields.len());
            for (name, field) in fields.iter() {
                put_bytes(out, 7, name.as_bytes(), start)?;
                put_value(out, field, start, depth)?;
            }
        }
    }
    if out.len() - start > BLOB_BYTES_MAX { Err(Malformed) } else { Ok(()) }
}

fn put_word(out: &mut Vec<u8>, kind: u8, word: u64) {
    out.push(kind);
    out.extend_from_slice(&word.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, kind: u8, bytes: &[u8], start: usize) -> Result<(), Malformed> {
    if out.len() - start + bytes.len() > BLOB_BYTES_MAX {
        return Err(Malformed);
    }
    out.push(kind);
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Reads one value that fills `bytes` to the end.
pub(super) fn take_blob(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut from = Cursor::new(bytes);
    let value = take_value(&mut from, DEPTH_MAX)?;
    if from.left() == 0 { Ok(value) } else { Err(Malformed) }
}

fn take_value(from: &mut Cursor<'_>, depth: usize) -> Result<Value, Malformed> {
    let depth = depth.checked_sub(1).ok_or(Malformed)?;
    Ok(match from.byte()? {
        0 => Value::Null,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => Value::I64(from.word()?.cast_signed()),
        4 => Value::U64(from.word()?),
        5 => Value::F64(f64::from_bits(from.word()?)),
        6 => Value::Time(Timestamp::from_nanos(from.zigzag()?)),
        7 => Value::Text(take_text(from)?),
        8 => {
            let count = from.count(from.left())?;
            Value::Bytes(Arc::from(from.take(count)?))
        }
        9 => {
            // Every item takes a byte at least, so the count is bounded by what is left.
            let count = from.count(from.left())?;
            let mut items = Vec::with_capacity(count);
            for _ in 0..count {
                items.push(take_value(from, depth)?);
            }
            Value::List(items.into())
        }
        10 => {
            let count = from.count(from.left() / 3)?;
            let mut fields = Vec::with_capacity(count);
            for _ in 0..count {
                if from.byte()? != 7 {
                    return Err(Malformed);
                }
                let name = take_text(from)?;
                fields.push((name, take_value(from, depth)?));
            }
            Value::Map(fields.into())
        }
        _ => return Err(Malformed),
    })
}

fn take_text(from: &mut Cursor<'_>) -> Result<Arc<str>, Malformed> {
    let count = from.count(from.left())?;
    let text = std::str::from_utf8(from.take(count)?).map_err(|_| Malformed)?;
    Ok(Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structure_comes_back_in_the_devices_order() {
        let value = Value::map([
            ("z".into(), Value::list([Value::F64(-0.0), Value::U64(u64::MAX), Value::Null])),
            ("a".into(), Value::text("h\u{e4}rte")),
            ("m".into(), Value::bytes(&[0, 255])),
            ("t".into(), Value::Time(Timestamp::from_nanos(i64::MIN))),
        ]);
        let mut out = Vec::new();
        put_blob(&mut out, &value).unwrap();
        assert_eq!(take_blob(&out).unwrap(), value);
    }

    #[test]
    fn what_is_too_large_or_too_deep_leaves_nothing_behind() {
        let mut out = vec![1, 2, 3];
        let long = Value::text(&"x".repeat(16 * 1024));
        let huge = Value::list(std::iter::repeat_n(long, 5));
        assert_eq!(put_blob(&mut out, &huge), Err(Malformed));
        let deep = (0..20).fold(Value::Null, |inner, _| Value::list([inner]));
        assert_eq!(put_blob(&mut out, &deep), Err(Malformed));
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_memory_is_taken() {
        for bytes in [&[9_u8, 0xFF, 0xFF, 0xFF, 0x7F][..], &[7, 0x7F], &[10, 0x7F, 7], &[11]] {
            assert_eq!(take_blob(bytes), Err(Malformed));
        }
    }
}
