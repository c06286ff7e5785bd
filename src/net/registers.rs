//! Values to registers: the way back of [`words`](super::words), in builds that write.

use super::words::{Decode, word};
use crate::model::{Value, WordOrder, integer};

/// Writes one value as its registers; `None` where it is none of that type.
#[must_use]
pub fn of_number(value: &Value, decode: Decode, order: WordOrder) -> Option<Vec<u16>> {
    let whole = || integer(value);
    let bits: u64 = match decode {
        Decode::Raw | Decode::UInt16 => u64::from(u16::try_from(whole()?).ok()?),
        Decode::Int16 => u64::from(i16::try_from(whole()?).ok()?.cast_unsigned()),
        Decode::UInt32 => u64::from(u32::try_from(whole()?).ok()?),
        Decode::Int32 => u64::from(i32::try_from(whole()?).ok()?.cast_unsigned()),
        Decode::UInt64 => u64::try_from(whole()?).ok()?,
        Decode::Int64 => i64::try_from(whole()?).ok()?.cast_unsigned(),
        Decode::Float32 => u64::from(single(value)?.to_bits()),
        Decode::Float64 => match value {
            Value::F64(f) if f.is_finite() => f.to_bits(),
            _ => return None,
        },
    };
    let order = if decode == Decode::Raw { WordOrder::Abcd } else { order };
    let count = u32::from(decode.registers());
    let nth = |n: u32| u16::try_from(bits >> (16 * n) & 0xFFFF).ok();
    // The most significant first, as the words module gathers them.
    let mut registers: Vec<u16> = (0..count).rev().filter_map(nth).collect();
    if matches!(order, WordOrder::Cdab | WordOrder::Dcba) {
        registers.reverse();
    }
    Some(registers.into_iter().map(|register| word(register, order)).collect())
}

/// Gives the binary32 that a number is exactly; `None` where it is none.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "what is lost is compared and refused")]
pub fn single(value: &Value) -> Option<f32> {
    match value {
        Value::F64(f) if f64::from(*f as f32) == *f && f.is_finite() => Some(*f as f32),
        _ => None,
    }
}

/// Writes a row of values.
#[must_use]
pub fn of_numbers(value: &Value, decode: Decode, order: WordOrder) -> Option<Vec<u16>> {
    let Value::List(items) = value else { return None };
    let rows: Option<Vec<Vec<u16>>> =
        items.iter().map(|item| of_number(item, decode, order)).collect();
    Some(rows?.concat())
}

/// Writes text into that many bytes, filled up with NULs.
#[must_use]
pub fn of_text(value: &Value, bytes: u16, order: WordOrder) -> Option<Vec<u16>> {
    let Value::Text(text) = value else { return None };
    let mut octets = text.as_bytes().to_vec();
    if octets.len() > usize::from(bytes) {
        return None;
    }
    octets.resize(usize::from(bytes.div_ceil(2)) * 2, 0);
    let (pairs, _) = octets.as_chunks::<2>();
    Some(pairs.iter().map(|pair| word(u16::from_be_bytes(*pair), order)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::words;

    const ORDERS: [WordOrder; 4] =
        [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba];

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits: u64, single: f32, double: f64) {
            for order in ORDERS {
                for (decode, _) in Decode::ALL {
                    let value = match decode {
                        Decode::Float32 => Value::F64(f64::from(single)),
                        Decode::Float64 => Value::F64(double),
                        Decode::Int16 | Decode::Int32 | Decode::Int64 => {
                            let shift = 64 - 16 * u32::from(decode.registers());
                            Value::I64(bits.cast_signed() >> shift)
                        }
                        _ => Value::U64(bits >> (64 - 16 * u32::from(decode.registers()))),
                    };
                    let Some(registers) = of_number(&value, decode, order) else {
                        prop_assert!(value.is_non_finite());
                        continue;
                    };
                    prop_assert_eq!(words::value(&registers, decode, order), Some(value));
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let of = |value: Value, decode| of_number(&value, decode, WordOrder::Abcd);
        assert_eq!(of(Value::U64(65_536), Decode::UInt16), None);
        assert_eq!(of(Value::I64(-1), Decode::UInt16), None);
        assert_eq!(of(Value::F64(1.0), Decode::UInt16), None);
        assert_eq!(of(Value::F64(0.1), Decode::Float32), None, "not exactly a binary32");
        assert_eq!(of(Value::F64(f64::NAN), Decode::Float64), None);
        let text = of_text(&Value::text("AB\u{e9}"), 5, WordOrder::Abcd).unwrap();
        assert_eq!(words::text(&text, 5, WordOrder::Abcd).as_deref(), Some("AB\u{e9}"));
        assert_eq!(of_text(&Value::text("ABC"), 2, WordOrder::Abcd), None);
    }
}
