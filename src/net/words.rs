//! Registers to values: width, sign and byte order. Pure.

use serde::{Deserialize, Serialize};

use crate::model::{Scalar, Value, WordOrder};

/// How a run of registers is read.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Decode {
    /// Each register as it came, whatever the order.
    Raw,
    /// 16 bits, unsigned.
    #[default]
    UInt16,
    /// 16 bits, two's complement.
    Int16,
    /// 32 bits, unsigned.
    UInt32,
    /// 32 bits, two's complement.
    Int32,
    /// 64 bits, unsigned.
    UInt64,
    /// 64 bits, two's complement.
    Int64,
    /// IEEE 754 binary32.
    Float32,
    /// IEEE 754 binary64.
    Float64,
}

impl Decode {
    /// Every way to read registers, with the word that names it.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Raw, "raw"),
        (Self::UInt16, "uint16"),
        (Self::Int16, "int16"),
        (Self::UInt32, "uint32"),
        (Self::Int32, "int32"),
        (Self::UInt64, "uint64"),
        (Self::Int64, "int64"),
        (Self::Float32, "float32"),
        (Self::Float64, "float64"),
    ];

    /// Finds the way a word names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(decode, _)| *decode)
    }

    /// Gives the word that names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(decode, _)| *decode == self).map_or("?", |(_, word)| word)
    }

    /// Finds the way to read one element of a tag; `None` for bits and single bytes.
    #[must_use]
    pub fn of(scalar: Scalar) -> Option<Self> {
        Self::parse(scalar.word())
    }

    /// Gives the element type it reads; `None` for bare registers.
    #[must_use]
    pub fn scalar(self) -> Option<Scalar> {
        Scalar::from_word(self.word())
    }

    /// Gives how many registers one value takes.
    #[must_use]
    pub const fn registers(self) -> u16 {
        match self {
            Self::Raw | Self::UInt16 | Self::Int16 => 1,
            Self::UInt32 | Self::Int32 | Self::Float32 => 2,
            Self::UInt64 | Self::Int64 | Self::Float64 => 4,
        }
    }
}

/// What a run of registers says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// One value for each whole group of registers.
    pub values: Vec<Value>,
    /// Registers at the end that make no whole value.
    pub leftover: Vec<u16>,
}

/// Reads registers as a row of values.
///
/// Non-finite floats stay what they are: JSON shows them as `null`.
#[must_use]
pub fn decode(registers: &[u16], decode: Decode, order: WordOrder) -> Decoded {
    let groups = registers.chunks_exact(usize::from(decode.registers()));
    let leftover = groups.remainder().to_vec();
    Decoded { values: groups.map(|group| number(group, decode, order)).collect(), leftover }
}

/// Reads exactly the registers of one value; `None` where there are more or fewer.
#[must_use]
pub fn value(registers: &[u16], decode: Decode, order: WordOrder) -> Option<Value> {
    let whole = registers.len() == usize::from(decode.registers());
    whole.then(|| number(registers, decode, order))
}

/// Puts one register's bytes as the order has them.
///
/// `BADC` and `DCBA` swap them in single registers too.
#[must_use]
pub fn word(register: u16, order: WordOrder) -> u16 {
    match order {
        WordOrder::Abcd | WordOrder::Cdab => register,
        WordOrder::Badc | WordOrder::Dcba => register.swap_bytes(),
    }
}

/// Reads registers as UTF-8 text, two bytes each, high byte first unless the order swaps them.
///
/// Takes the first `bytes` bytes and trims NULs from the end; `None` where that is no UTF-8.
#[must_use]
pub fn text(registers: &[u16], bytes: u16, order: WordOrder) -> Option<String> {
    let mut octets: Vec<u8> =
        registers.iter().flat_map(|register| word(*register, order).to_be_bytes()).collect();
    octets.truncate(usize::from(bytes));
    while octets.last() == Some(&0) {
        octets.pop();
    }
    String::from_utf8(octets).ok()
}

/// Lines up to four registers into a number, the most significant first.
fn gather(group: &[u16], order: WordOrder) -> u64 {
    let push = |bits: u64, register: &u16| (bits << 16) | u64::from(word(*register, order));
    match order {
        WordOrder::Abcd | WordOrder::Badc => group.iter().fold(0, push),
        WordOrder::Cdab | WordOrder::Dcba => group.iter().rev().fold(0, push),
    }
}

fn number(group: &[u16], decode: Decode, order: WordOrder) -> Value {
    let order = if decode == Decode::Raw { WordOrder::Abcd } else { order };
    let bits = gather(group, order);
    // Moves the sign to the top bit and back.
    let signed = |width: u32| Value::I64((bits << (64 - width)).cast_signed() >> (64 - width));
    match decode {
        Decode::Raw | Decode::UInt16 | Decode::UInt32 | Decode::UInt64 => Value::U64(bits),
        Decode::Int16 => signed(16),
        Decode::Int32 => signed(32),
        Decode::Int64 => signed(64),
        Decode::Float32 => {
            let bits = u32::try_from(bits).expect("two registers are 32 bits");
            Value::F64(f64::from(f32::from_bits(bits)))
        }
        Decode::Float64 => Value::F64(f64::from_bits(bits)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    const ORDERS: [(WordOrder, [u16; 2]); 4] = [
        (WordOrder::Abcd, [0x4148, 0x0001]),
        (WordOrder::Cdab, [0x0001, 0x4148]),
        (WordOrder::Badc, [0x4841, 0x0100]),
        (WordOrder::Dcba, [0x0100, 0x4841]),
    ];

    /// Compares as the golden set asks: numbers to 1e-6, everything else exactly.
    fn same(expect: &Json, got: &Json) -> bool {
        match (expect, got) {
            (Json::Array(a), Json::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Number(a), Json::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
            }
            _ => expect == got,
        }
    }

    #[test]
    fn every_recorded_decoding_comes_out_right() {
        let golden: Json =
            serde_json::from_str(include_str!("../../tests/golden/modbus_decode.json")).unwrap();
        let mut seen = 0;
        for vector in golden["vectors"].as_array().unwrap() {
            if vector["function"] != "_decode_registers" || vector["name"] == "unknown_decode" {
                continue;
            }
            let registers: Vec<u16> = vector["input"]["registers"]
                .as_array()
                .unwrap()
                .iter()
                // One vector serves numbers no register holds: their low 16 bits count.
                .map(|r| u16::try_from(r.as_i64().unwrap() & 0xFFFF).unwrap())
                .collect();
            let how = Decode::parse(vector["input"]["decode"].as_str().unwrap()).unwrap();
            let got = decode(&registers, how, WordOrder::Abcd);
            let shown = serde_json::to_value(&got.values).unwrap();
            if vector["name"] == "float32_one_hi" {
                // Recorded after the reference's rounding to six digits; a subnormal is no zero.
                assert_eq!(got.values, [Value::F64(f64::from(f32::from_bits(0x0001_0000)))]);
                seen += 1;
                continue;
            }
            assert!(same(&vector["expect"]["decoded"], &shown), "{vector} gave {shown}");
            let leftover = vector["expect"].get("leftover_registers").cloned();
            let leftover = leftover.unwrap_or_else(|| Json::Array(Vec::new()));
            assert_eq!(leftover, serde_json::to_value(&got.leftover).unwrap(), "{vector}");
            seen += 1;
        }
        assert_eq!(seen, 27);
        assert_eq!(Decode::parse("float46"), None);
    }

    #[test]
    fn four_orders_carry_the_same_32_bits() {
        for (order, registers) in ORDERS {
            let got = decode(&registers, Decode::UInt32, order).values;
            assert_eq!(got, [Value::U64(0x4148_0001)], "{order:?}");
            let got = decode(&registers, Decode::Float32, order).values;
            assert_eq!(got, [Value::F64(f64::from(f32::from_bits(0x4148_0001)))], "{order:?}");
        }
    }

    #[test]
    fn four_orders_carry_the_same_64_bits() {
        let minus_two = [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE];
        assert_eq!(decode(&minus_two, Decode::Int64, WordOrder::Abcd).values, [Value::I64(-2)]);
        let swapped = [0xFEFF, 0xFFFF, 0xFFFF, 0xFFFF];
        assert_eq!(decode(&swapped, Decode::Int64, WordOrder::Dcba).values, [Value::I64(-2)]);
        let [a, b, c, d] = [0x3FF8, 0x0000, 0x0000, 0x0001];
        let exact = f64::from_bits(0x3FF8_0000_0000_0001);
        for (order, registers) in [
            (WordOrder::Abcd, [a, b, c, d]),
            (WordOrder::Cdab, [d, c, b, a]),
            (WordOrder::Badc, [a, b, c, d].map(u16::swap_bytes)),
            (WordOrder::Dcba, [d, c, b, a].map(u16::swap_bytes)),
        ] {
            let got = decode(&registers, Decode::Float64, order).values;
            assert_eq!(got, [Value::F64(exact)], "{order:?}");
        }
    }

    #[test]
    fn byte_orders_swap_single_registers_and_word_orders_do_not() {
        for (order, seen) in [
            (WordOrder::Abcd, 0x0102),
            (WordOrder::Cdab, 0x0102),
            (WordOrder::Badc, 0x0201),
            (WordOrder::Dcba, 0x0201),
        ] {
            assert_eq!(decode(&[0x0102], Decode::UInt16, order).values, [Value::U64(seen)]);
            assert_eq!(decode(&[0x0102], Decode::Raw, order).values, [Value::U64(0x0102)]);
        }
    }

    #[test]
    fn text_is_trimmed_at_the_end_and_never_guessed() {
        let pump = [0x5075, 0x6D70, 0x0000];
        assert_eq!(text(&pump, 6, WordOrder::Abcd).as_deref(), Some("Pump"));
        assert_eq!(text(&pump, 3, WordOrder::Abcd).as_deref(), Some("Pum"));
        assert_eq!(text(&[0x7550, 0x706D], 4, WordOrder::Badc).as_deref(), Some("Pump"));
        assert_eq!(text(&[0xFF41], 2, WordOrder::Abcd), None);
        assert_eq!(text(&[0, 0], 4, WordOrder::Abcd).as_deref(), Some(""));
    }
}
