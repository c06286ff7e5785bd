//! The registers and bits of every unit, made anew from each frame.

use std::collections::BTreeMap;

use super::super::frame::Frame;
use super::super::points::{self, Layout, Place, Table};
use crate::model::{Scalar, Scale, Value, WordOrder};

/// What the units hold at one instant. An address that isn't in here does not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    cells: BTreeMap<(u8, Table, u16), u16>,
    dead_unit: Option<u8>,
}

/// Why a read has no answer, or none but an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing is sent at all.
    Silence,
    /// There is no such unit behind the gateway.
    NoUnit,
    /// One of the addresses doesn't exist.
    NoAddress,
}

impl Memory {
    /// Lays a frame out in registers.
    pub(crate) fn new(frame: &Frame) -> Self {
        let mut memory = Self { cells: BTreeMap::new(), dead_unit: frame.dead_unit };
        for (point, cell) in points::all().zip(&frame.cells) {
            memory.place(point.place, &cell.value);
        }
        memory
    }

    fn place(&mut self, place: Place, value: &Value) {
        match place {
            Place::Node { .. }
            | Place::McWords { .. }
            | Place::McBit { .. }
            | Place::S7 { .. }
            | Place::Item(_)
            | Place::Metric { .. }
            | Place::Topic { .. } => {}
            Place::Bit { unit, table, address } => {
                self.cells.insert((unit, table, address), u16::from(*value == Value::Bool(true)));
            }
            Place::RegisterBit { unit, table, address, bit } => {
                let word = self.cells.entry((unit, table, address)).or_default();
                *word |= u16::from(*value == Value::Bool(true)) << bit;
            }
            Place::Register { unit, table, address, layout, order, scale } => {
                let words = encode(value, layout, order, scale);
                for (address, word) in (address..).zip(words) {
                    self.cells.insert((unit, table, address), word);
                }
            }
        }
    }

    /// Reads `count` cells from `address` on.
    pub(crate) fn read(
        &self,
        unit: u8,
        table: Table,
        address: u16,
        count: u16,
    ) -> Result<Vec<u16>, Refusal> {
        if self.dead_unit == Some(unit) {
            return Err(Refusal::Silence);
        }
        if !self.cells.keys().any(|(known, _, _)| *known == unit) {
            return Err(Refusal::NoUnit);
        }
        (0..count)
            .map(|offset| {
                let address = address.checked_add(offset)?;
                self.cells.get(&(unit, table, address)).copied()
            })
            .collect::<Option<Vec<u16>>>()
            .ok_or(Refusal::NoAddress)
    }
}

impl Layout {
    /// Counts the registers it takes.
    pub(crate) fn registers(self) -> u16 {
        match self {
            Self::One(scalar) => scalar.bytes().div_ceil(2),
            Self::Row(scalar, items) => scalar.bytes().div_ceil(2) * items,
            Self::Text(bytes) => bytes.div_ceil(2),
        }
    }
}

pub(crate) fn encode(
    value: &Value,
    layout: Layout,
    order: WordOrder,
    scale: Option<Scale>,
) -> Vec<u16> {
    match (layout, value) {
        (Layout::Row(scalar, _), Value::List(items)) => {
            items.iter().flat_map(|item| words(item, scalar, order, scale)).collect()
        }
        (Layout::Text(bytes), Value::Text(text)) => {
            let mut padded = text.as_bytes().to_vec();
            padded.resize(usize::from(bytes), 0);
            big_endian(&padded)
        }
        (Layout::One(scalar), one) => words(one, scalar, order, scale),
        // A point whose layout doesn't fit its value has no register: exception 2 shows it.
        _ => Vec::new(),
    }
}

/// Encodes one number; [`Scale`] runs backwards here, from the unit to the register.
fn words(value: &Value, scalar: Scalar, order: WordOrder, scale: Option<Scale>) -> Vec<u16> {
    let number = value.as_f64().unwrap_or_default();
    let raw = scale.map_or(number, |s| {
        let share = (number - s.eu.0) / (s.eu.1 - s.eu.0);
        s.raw.0 + share * (s.raw.1 - s.raw.0)
    });
    let exact = match value {
        Value::U64(count) if scale.is_none() => Some(*count),
        _ => None,
    };
    let mut words = big_endian(&bytes(raw, exact, scalar));
    if matches!(order, WordOrder::Cdab | WordOrder::Dcba) {
        words.reverse();
    }
    if matches!(order, WordOrder::Badc | WordOrder::Dcba) {
        words.iter_mut().for_each(|word| *word = word.swap_bytes());
    }
    words
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer saturates, as a register at the end of its range does"
)]
fn bytes(raw: f64, exact: Option<u64>, scalar: Scalar) -> Vec<u8> {
    let whole = raw.round();
    match scalar {
        Scalar::Bool | Scalar::UInt8 | Scalar::UInt16 => (whole as u16).to_be_bytes().to_vec(),
        Scalar::Int8 | Scalar::Int16 => (whole as i16).to_be_bytes().to_vec(),
        Scalar::UInt32 => (whole as u32).to_be_bytes().to_vec(),
        Scalar::Int32 => (whole as i32).to_be_bytes().to_vec(),
        Scalar::UInt64 => exact.unwrap_or(whole as u64).to_be_bytes().to_vec(),
        Scalar::Int64 => (whole as i64).to_be_bytes().to_vec(),
        Scalar::Float32 => (raw as f32).to_be_bytes().to_vec(),
        Scalar::Float64 => raw.to_be_bytes().to_vec(),
    }
}

fn big_endian(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            [high] => u16::from_be_bytes([*high, 0]),
            _ => 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_in_registers_as_their_order_says() {
        let at = |value: Value, scalar, order| words(&value, scalar, order, None);
        let pi = Value::F64(3.141_592_74);
        // IEEE 754 binary32 of pi: 40 49 0F DB.
        assert_eq!(at(pi.clone(), Scalar::Float32, WordOrder::Abcd), [0x4049, 0x0FDB]);
        assert_eq!(at(pi.clone(), Scalar::Float32, WordOrder::Cdab), [0x0FDB, 0x4049]);
        assert_eq!(at(pi.clone(), Scalar::Float32, WordOrder::Badc), [0x4940, 0xDB0F]);
        assert_eq!(at(pi, Scalar::Float32, WordOrder::Dcba), [0xDB0F, 0x4940]);
        let count = Value::U64(0x0102_0304_0506_0708);
        assert_eq!(at(count, Scalar::UInt64, WordOrder::Abcd), [0x0102, 0x0304, 0x0506, 0x0708]);
    }

    #[test]
    fn a_scaled_number_lies_there_in_counts_and_saturates_at_the_ends() {
        let tenths = Scale::new((0.0, 1_000.0), (0.0, 100.0));
        let at = |x, scalar| words(&Value::F64(x), scalar, WordOrder::Abcd, tenths);
        assert_eq!(at(58.3, Scalar::Int16), [583]);
        assert_eq!(at(-1.0, Scalar::Int16), [0xFFF6]);
        assert_eq!(at(-1.0, Scalar::UInt16), [0]);
        assert_eq!(at(1e9, Scalar::UInt16), [u16::MAX]);
    }

    #[test]
    fn text_is_two_characters_a_register_padded_with_zeros() {
        let text = Value::text("ABC");
        assert_eq!(encode(&text, Layout::Text(6), WordOrder::Abcd, None), [0x4142, 0x4300, 0x0000]);
    }
}
