//! Bytes to values, big-endian throughout. Pure.

use crate::model::{DataType, Quality, Scalar, Value};

/// The longest STRING (IEC 61131-3 as STEP 7 has it).
pub(crate) const STRING_MAX: u16 = 254;
/// The longest WSTRING.
const WSTRING_MAX: u16 = 16_382;

/// What lies in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// One bit of a byte, 0 to 7.
    Bit(u8),
    /// 8 bits.
    Byte,
    /// One character.
    Char,
    /// 8 bits, unsigned.
    USInt,
    /// 8 bits, signed.
    SInt,
    /// 16 bits.
    Word,
    /// 16 bits, signed.
    Int,
    /// 16 bits, unsigned.
    UInt,
    /// 32 bits.
    DWord,
    /// 32 bits, signed.
    DInt,
    /// 32 bits, unsigned.
    UDInt,
    /// IEEE 754 binary32.
    Real,
    /// IEEE 754 binary64.
    LReal,
    /// 64 bits, signed.
    LInt,
    /// 64 bits, unsigned.
    ULInt,
    /// Text of at most that many characters, behind its maximum and its length.
    Text(u16),
    /// The same in UTF-16.
    WideText(u16),
    /// Date and time in BCD.
    DateAndTime,
    /// A duration in BCD with its time base.
    S5Time,
    /// A duration in milliseconds.
    Time,
    /// Days since 1990-01-01.
    Date,
    /// Milliseconds since midnight.
    TimeOfDay,
    /// A counter in BCD.
    Counter,
}

/// Names in addresses; the first of a type is the one it is shown by.
const NAMES: &[(&str, Type)] = &[
    ("BIT", Type::Bit(0)),
    ("X", Type::Bit(0)),
    ("BOOL", Type::Bit(0)),
    ("BYTE", Type::Byte),
    ("B", Type::Byte),
    ("CHAR", Type::Char),
    ("C", Type::Char),
    ("USINT", Type::USInt),
    ("SINT", Type::SInt),
    ("WORD", Type::Word),
    ("W", Type::Word),
    ("INT", Type::Int),
    ("I", Type::Int),
    ("UINT", Type::UInt),
    ("DWORD", Type::DWord),
    ("DW", Type::DWord),
    ("D", Type::DWord),
    ("DINT", Type::DInt),
    ("DI", Type::DInt),
    ("UDINT", Type::UDInt),
    ("REAL", Type::Real),
    ("R", Type::Real),
    ("LREAL", Type::LReal),
    ("LR", Type::LReal),
    ("LINT", Type::LInt),
    ("ULINT", Type::ULInt),
    ("LWORD", Type::ULInt),
    ("STRING", Type::Text(STRING_MAX)),
    ("S", Type::Text(STRING_MAX)),
    ("WSTRING", Type::WideText(STRING_MAX)),
    ("WS", Type::WideText(STRING_MAX)),
    ("DATE_AND_TIME", Type::DateAndTime),
    ("DT", Type::DateAndTime),
    ("S5TIME", Type::S5Time),
    ("TIME", Type::Time),
    ("DATE", Type::Date),
    ("TIME_OF_DAY", Type::TimeOfDay),
    ("TOD", Type::TimeOfDay),
];

impl Type {
    /// Finds the type a word names, in any case.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, kind)| *kind)
    }

    /// Gives it with another length of text; nothing where it is none or the length can't be.
    pub(super) fn of_length(self, length: u16) -> Option<Self> {
        match self {
            Self::Text(_) if (1..=STRING_MAX).contains(&length) => Some(Self::Text(length)),
            Self::WideText(_) if (1..=WSTRING_MAX).contains(&length) => {
                Some(Self::WideText(length))
            }
            _ => None,
        }
    }

    /// Finds the type that a tag's `type` key means; `None` where S7 has none like it.
    pub(super) fn of_data_type(data_type: DataType) -> Option<(Self, u16)> {
        let of = |scalar| {
            Some(match scalar {
                Scalar::Bool => Self::Bit(0),
                Scalar::UInt8 => Self::USInt,
                Scalar::Int8 => Self::SInt,
                Scalar::UInt16 => Self::UInt,
                Scalar::Int16 => Self::Int,
                Scalar::UInt32 => Self::UDInt,
                Scalar::Int32 => Self::DInt,
                Scalar::UInt64 => Self::ULInt,
                Scalar::Int64 => Self::LInt,
                Scalar::Float32 => Self::Real,
                Scalar::Float64 => Self::LReal,
            })
        };
        match data_type {
            DataType::Native => None,
            DataType::One(scalar) => Some((of(scalar)?, 1)),
            DataType::Array(scalar, count) => Some((of(scalar)?, count)),
            DataType::Text(length) => Some((Self::Text(STRING_MAX).of_length(length)?, 1)),
        }
    }

    /// Gives how many bytes it takes.
    pub(crate) fn bytes(self) -> u32 {
        match self {
            Self::Bit(_) | Self::Byte | Self::Char | Self::USInt | Self::SInt => 1,
            Self::Word | Self::Int | Self::UInt | Self::S5Time | Self::Date | Self::Counter => 2,
            Self::DWord | Self::DInt | Self::UDInt | Self::Real | Self::Time | Self::TimeOfDay => 4,
            Self::LReal | Self::LInt | Self::ULInt | Self::DateAndTime => 8,
            Self::Text(length) => 2 + u32::from(length),
            Self::WideText(length) => 4 + 2 * u32::from(length),
        }
    }

    /// Reads a value from exactly its bytes; `None` where they can't be one.
    pub(crate) fn read(self, bytes: &[u8]) -> Option<Value> {
        let array2 = || bytes.try_into().ok();
        let array4 = || bytes.try_into().ok();
        let array8 = || bytes.try_into().ok();
        Some(match self {
            Self::Bit(bit) => Value::Bool(one(bytes)? >> bit & 1 == 1),
            Self::Byte | Self::USInt => Value::U64(u64::from(one(bytes)?)),
            Self::SInt => Value::I64(i64::from(one(bytes)?.cast_signed())),
            // Characters of STEP 7 are ISO 8859-1, the first 256 of Unicode.
            Self::Char => Value::text(char::from(one(bytes)?).encode_utf8(&mut [0; 4])),
            Self::Word | Self::UInt => Value::U64(u64::from(u16::from_be_bytes(array2()?))),
            Self::Int => Value::I64(i64::from(i16::from_be_bytes(array2()?))),
            Self::DWord | Self::UDInt => Value::U64(u64::from(u32::from_be_bytes(array4()?))),
            Self::DInt | Self::Time => Value::I64(i64::from(i32::from_be_bytes(array4()?))),
            Self::TimeOfDay => Value::U64(u64::from(u32::from_be_bytes(array4()?))),
            Self::Real => Value::F64(f64::from(f32::from_be_bytes(array4()?))),
            Self::LReal => Value::F64(f64::from_be_bytes(array8()?)),
            Self::LInt => Value::I64(i64::from_be_bytes(array8()?)),
            Self::ULInt => Value::U64(u64::from_be_bytes(array8()?)),
            Self::Text(length) => text(bytes, length)?,
            Self::WideText(length) => wide_text(bytes, length)?,
            Self::DateAndTime => date_and_time(bytes)?,
            Self::S5Time => s5_time(u16::from_be_bytes(array2()?))?,
            Self::Date => date(u16::from_be_bytes(array2()?))?,
            Self::Counter => {
                let [high, low] = array2()?;
                Value::U64(u64::from(high & 0x0F) % 10 * 100 + u64::from(bcd(low)?))
            }
        })
    }
}

/// Judges what bytes gave: no value, or one that JSON has no number for, is never good.
pub(crate) fn judged(value: Option<Value>) -> (Value, Quality) {
    match value {
        None => (Value::Null, Quality::BAD_DECODING_ERROR),
        Some(value) if holds_non_finite(&value) => (value, Quality::BAD_DECODING_ERROR),
        Some(value) => (value, Quality::GOOD),
    }
}

fn holds_non_finite(value: &Value) -> bool {
    match value {
        Value::F64(x) => !x.is_finite(),
        Value::List(items) => items.iter().any(holds_non_finite),
        _ => false,
    }
}

fn one(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// Reads a STRING: its maximum, its length, its characters. A length beyond either is a lie.
fn text(bytes: &[u8], declared: u16) -> Option<Value> {
    let ([max, length], characters) = bytes.split_first_chunk()?;
    if length > max || u16::from(*length) > declared {
        return None;
    }
    let characters = characters.get(..usize::from(*length))?;
    let text: String = characters.iter().copied().map(char::from).collect();
    Some(Value::text(&text))
}

fn wide_text(bytes: &[u8], declared: u16) -> Option<Value> {
    let ([m0, m1, l0, l1], rest) = bytes.split_first_chunk()?;
    let (max, length) = (u16::from_be_bytes([*m0, *m1]), u16::from_be_bytes([*l0, *l1]));
    if length > max || length > declared {
        return None;
    }
    let (units, _) = rest.get(..usize::from(length) * 2)?.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
    Some(Value::text(&String::from_utf16(&units).ok()?))
}

/// Reads two decimal digits in one byte.
fn bcd(byte: u8) -> Option<u8> {
    let (tens, ones) = (byte >> 4, byte & 0x0F);
    (tens < 10 && ones < 10).then_some(tens * 10 + ones)
}

/// Reads DATE_AND_TIME: year, month, day, hour, minute, second, milliseconds, day of the week.
/// The controller's clock has no time zone, so it stays text.
fn date_and_time(bytes: &[u8]) -> Option<Value> {
    let [year, month, day, hour, minute, second, ms, ms_day] = <[u8; 8]>::try_from(bytes).ok()?;
    let year = match u16::from(bcd(year)?) {
        // STEP 7: 90 to 99 are of the last century.
        year if year >= 90 => 1900 + year,
        year => 2000 + year,
    };
    let (month, day) = (bcd(month)?, bcd(day)?);
    let (hour, minute, second) = (bcd(hour)?, bcd(minute)?, bcd(second)?);
    let last = ms_day >> 4;
    let ms = u16::from(bcd(ms)?) * 10 + u16::from(last);
    let is_date = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 || last > 9 {
        return None;
    }
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}");
    Some(Value::text(&text))
}

/// Reads S5TIME in seconds: a time base of 10 ms to 10 s and three decimal digits.
fn s5_time(word: u16) -> Option<Value> {
    let [high, low] = word.to_be_bytes();
    let base_ms = [10_u32, 100, 1_000, 10_000].get(usize::from(high >> 4 & 0b11)).copied()?;
    let hundreds = high & 0x0F;
    if hundreds > 9 {
        return None;
    }
    let count = u32::from(hundreds) * 100 + u32::from(bcd(low)?);
    Some(Value::F64(f64::from(count * base_ms) / 1000.0))
}

/// Writes a DATE as its day.
fn date(days: u16) -> Option<Value> {
    let first = jiff::civil::date(1990, 1, 1);
    let day = first.checked_add(jiff::Span::new().days(i64::from(days))).ok()?;
    Some(Value::text(&day.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, bytes: &[u8]) -> Option<Value> {
        Type::parse(kind).unwrap().read(bytes)
    }

    #[test]
    fn every_type_is_read_as_step_7_writes_it() {
        for (kind, bytes, want) in [
            ("BYTE", &[255][..], Value::U64(255)),
            ("SINT", &[255], Value::I64(-1)),
            ("USINT", &[255], Value::U64(255)),
            ("CHAR", &[0xE4], Value::text("\u{e4}")),
            ("WORD", &[1, 2], Value::U64(0x0102)),
            ("INT", &[0xFF, 0xF9], Value::I64(-7)),
            ("UINT", &[0xFF, 0xF9], Value::U64(0xFFF9)),
            ("DWORD", &[0, 1, 0, 0], Value::U64(65_536)),
            ("DINT", &[0xFF, 0xFF, 0xFF, 0xFE], Value::I64(-2)),
            ("UDINT", &[0xFF, 0xFF, 0xFF, 0xFE], Value::U64(0xFFFF_FFFE)),
            ("REAL", &[0x40, 0x20, 0, 0], Value::F64(2.5)),
            ("LREAL", &[0x40, 4, 0, 0, 0, 0, 0, 0], Value::F64(2.5)),
            ("LINT", &[255; 8], Value::I64(-1)),
            ("ULINT", &[255; 8], Value::U64(u64::MAX)),
            ("TIME", &[0, 0, 0x03, 0xE8], Value::I64(1000)),
            ("TOD", &[0, 0, 0x03, 0xE8], Value::U64(1000)),
            ("DATE", &[0, 31], Value::text("1990-02-01")),
            ("S5TIME", &[0x21, 0x27], Value::F64(127.0)),
            ("S5TIME", &[0x00, 0x05], Value::F64(0.05)),
            (
                "DT",
                &[0x24, 0x05, 0x31, 0x23, 0x59, 0x58, 0x12, 0x36],
                Value::text("2024-05-31T23:59:58.123"),
            ),
        ] {
            assert_eq!(read(kind, bytes), Some(want), "{kind}");
        }
        assert_eq!(Type::Bit(3).read(&[0b1000]), Some(Value::Bool(true)));
        assert_eq!(Type::Counter.read(&[0x01, 0x27]), Some(Value::U64(127)));
        let text = Type::Text(5);
        assert_eq!(text.read(&[5, 2, b'a', 0xFC, 0, 0, 0]), Some(Value::text("a\u{fc}")));
        let wide = Type::WideText(2);
        assert_eq!(wide.read(&[0, 2, 0, 1, 0x20, 0xAC, 0, 0]), Some(Value::text("\u{20ac}")));
    }

    #[test]
    fn bytes_that_lie_are_no_value() {
        assert_eq!(Type::Text(5).read(&[5, 6, b'a', b'b', b'c', b'd', b'e']), None);
        assert_eq!(Type::Text(5).read(&[2, 3, b'a', b'b', b'c', b'd', b'e']), None);
        assert_eq!(Type::WideText(1).read(&[0, 1, 0, 1, 0xD8, 0x00]), None, "half a pair");
        assert_eq!(read("DT", &[0x24, 0x13, 0x01, 0, 0, 0, 0, 0]), None);
        assert_eq!(read("DT", &[0x2F, 0x12, 0x01, 0, 0, 0, 0, 0]), None);
        assert_eq!(read("S5TIME", &[0x0A, 0x00]), None);
        assert_eq!(read("REAL", &[0; 3]), None);
        assert_eq!(read("BYTE", &[]), None);
    }
}
