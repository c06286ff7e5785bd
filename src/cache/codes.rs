//! Codes: one byte that says what kind a value is and how far to trust it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::model::{Quality, Timestamp, Value};

/// No sample: what a slot holds before it is written.
const ABSENT: u8 = 0;

/// The value doesn't fit into eight bytes: it lies in a cell, with its quality.
pub(super) const CELL: u8 = 255;

/// What kind a value of eight bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Null,
    Bool,
    I64,
    U64,
    F64,
    Time,
}

const KINDS: [Kind; 6] = [Kind::Null, Kind::Bool, Kind::I64, Kind::U64, Kind::F64, Kind::Time];

/// The code of a good float: the case that is worth a shortcut.
pub(super) const GOOD_F64: u8 = Kind::F64.good_code();

/// An entry of the table that is in use.
const SET: u64 = 1 << 63;

/// The kinds and qualities that were met so far, each with its code.
///
/// Qualities are as many as devices please (OPC UA has info bits), codes are not: what comes
/// when all are given away lies in cells.
pub(super) struct Codes {
    table: Box<[AtomicU64]>,
    used: AtomicUsize,
    adding: Mutex<()>,
}

impl Kind {
    const fn good_code(self) -> u8 {
        self as u8 + 1
    }

    /// Takes a value apart; `None` where it needs more than eight bytes.
    pub(super) fn of(value: &Value) -> Option<(Self, u64)> {
        Some(match value {
            Value::F64(x) => (Self::F64, x.to_bits()),
            Value::I64(i) => (Self::I64, i.cast_unsigned()),
            Value::U64(u) => (Self::U64, *u),
            Value::Bool(b) => (Self::Bool, u64::from(*b)),
            Value::Null => (Self::Null, 0),
            Value::Time(t) => (Self::Time, t.nanos().cast_unsigned()),
            Value::Text(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => return None,
        })
    }

    /// Puts a value together again.
    pub(super) fn value(self, bits: u64) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool => Value::Bool(bits != 0),
            Self::I64 => Value::I64(bits.cast_signed()),
            Self::U64 => Value::U64(bits),
            Self::F64 => Value::F64(f64::from_bits(bits)),
            Self::Time => Value::Time(Timestamp::from_nanos(bits.cast_signed())),
        }
    }
}

impl Codes {
    pub(super) fn new() -> Self {
        let codes = Self {
            table: (0..usize::from(CELL)).map(|_| AtomicU64::new(0)).collect(),
            used: AtomicUsize::new(usize::from(ABSENT) + 1),
            adding: Mutex::new(()),
        };
        for kind in KINDS {
            codes.add(entry(kind, Quality::GOOD));
        }
        codes
    }

    /// Gives the code of a kind and a quality; [`CELL`] where all codes are given away.
    pub(super) fn code(&self, kind: Kind, quality: Quality) -> u8 {
        if quality == Quality::GOOD {
            return kind.good_code();
        }
        let wanted = entry(kind, quality);
        self.find(wanted).unwrap_or_else(|| self.add(wanted))
    }

    fn find(&self, wanted: u64) -> Option<u8> {
        let used = self.used.load(Ordering::Acquire);
        let known = self.table.get(1..used)?;
        let nth = known.iter().position(|entry| entry.load(Ordering::Relaxed) == wanted)?;
        u8::try_from(nth + 1).ok()
    }

    fn add(&self, wanted: u64) -> u8 {
        let _adding = self.adding.lock();
        if let Some(code) = self.find(wanted) {
            return code;
        }
        let used = self.used.load(Ordering::Relaxed);
        let (Some(free), Ok(code)) = (self.table.get(used), u8::try_from(used)) else {
            return CELL;
        };
        free.store(wanted, Ordering::Relaxed);
        self.used.store(used + 1, Ordering::Release);
        code
    }

    /// Looks a code up; `None` for [`ABSENT`] and [`CELL`].
    ///
    /// Whoever read the code from a ring also sees its entry: it was made before the row.
    pub(super) fn get(&self, code: u8) -> Option<(Kind, Quality)> {
        let entry = self.table.get(usize::from(code))?.load(Ordering::Relaxed);
        if entry & SET == 0 {
            return None;
        }
        let [a, b, c, d, kind, ..] = entry.to_le_bytes();
        let quality = Quality::from_status(u32::from_le_bytes([a, b, c, d]));
        KINDS.get(usize::from(kind)).map(|kind| (*kind, quality))
    }
}

fn entry(kind: Kind, quality: Quality) -> u64 {
    SET | u64::from(kind as u8) << 32 | u64::from(quality.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scalar_comes_back_to_the_bit() {
        let codes = Codes::new();
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::I64(i64::MIN),
            Value::U64(u64::MAX),
            Value::F64(-0.0),
            Value::Time(Timestamp::from_nanos(-1)),
        ] {
            for quality in [Quality::GOOD, Quality::BAD_NO_COMMUNICATION] {
                let (kind, bits) = Kind::of(&value).unwrap();
                let code = codes.code(kind, quality);
                let (kind, back) = codes.get(code).unwrap();
                assert_eq!((kind.value(bits), back), (value.clone(), quality));
            }
        }
        assert_eq!(codes.code(Kind::F64, Quality::GOOD), GOOD_F64);
        assert_eq!((codes.get(ABSENT), codes.get(CELL)), (None, None));
    }

    #[test]
    fn qualities_past_the_last_code_ask_for_a_cell() {
        let codes = Codes::new();
        let given: Vec<u8> =
            (1..=400).map(|n| codes.code(Kind::F64, Quality::from_status(n))).collect();
        assert_eq!(given.last(), Some(&CELL));
        let kept = given.iter().filter(|code| **code != CELL).count();
        assert_eq!(kept, usize::from(CELL) - 1 - KINDS.len());
        assert_eq!(codes.code(Kind::F64, Quality::from_status(1)), given[0]);
    }
}
