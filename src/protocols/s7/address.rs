//! Address texts: `DB1.DBD4:REAL`, `DB1,REAL4`, `DB1,X10.3`, `MW10`, `M0.3`, `T5`, `C5`.

use std::fmt;

use super::area::{Area, Kind};
use super::value::Type;
use crate::driver::{DriverError, ErrorKind};
use crate::model::{DataType, Tag, Value, WordOrder};
use crate::plan::Span;

/// Bytes of an area are addressed by bits in three bytes, and blocks end at 65 536.
const BYTES_MAX: u32 = 65_536;
/// A value takes at most this many bytes: a tag is a point of the plant, not a recipe.
const VALUE_BYTES_MAX: u32 = 4096;

/// A value's place in the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    /// The area and its elements: bytes, or timers and counters.
    pub(crate) span: Span<Area>,
    /// What lies there.
    pub(crate) kind: Type,
    /// How many in a row; 0 is one on its own.
    pub(super) row: u16,
}

fn bad(what: impl Into<String>, hint: &str) -> DriverError {
    DriverError::new(ErrorKind::BadAddress, what).hint(hint)
}

fn unreadable() -> DriverError {
    bad(
        "the address can't be read",
        "write DB1.DBD4:REAL, DB1,REAL4, DB1,X10.3, MW10, M0.3, IB2, QW4, T5 or C5",
    )
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// What an address says before a type is laid on it.
struct Parsed {
    area: Area,
    start: u32,
    /// The type it names, with its bit or length; `None` where it leaves that to the tag.
    named: Option<Type>,
    /// The type that its size means where nothing else is said.
    sized: Type,
}

/// Splits `4:REAL` or `20:STRING[10]`.
fn typed(text: &str) -> Result<(&str, Option<Type>), DriverError> {
    let Some((place, word)) = text.split_once(':') else { return Ok((text, None)) };
    let hint = "types are BIT BYTE CHAR USINT SINT WORD INT UINT DWORD DINT UDINT REAL LREAL LINT \
                ULINT STRING[n] WSTRING[n] DATE_AND_TIME S5TIME TIME DATE TIME_OF_DAY";
    let none = || bad("what follows the colon is no type", hint);
    let kind = match word.trim().split_once('[') {
        None => Type::parse(word.trim()).ok_or_else(none)?,
        Some((word, length)) => {
            let length = length.strip_suffix(']').and_then(number).ok_or_else(none)?;
            Type::parse(word).and_then(|kind| kind.of_length(length)).ok_or_else(none)?
        }
    };
    Ok((place.trim(), Some(kind)))
}

/// Reads `10` or `10.3`: a byte, and what stands behind the dot.
fn place(text: &str) -> Option<(u32, Option<u16>)> {
    match text.split_once('.') {
        None => Some((number(text)?, None)),
        Some((start, rest)) => Some((number(start)?, Some(number(rest)?))),
    }
}

/// Puts a bit or a length into a type; nothing where it doesn't go with it.
fn with_detail(kind: Type, detail: Option<u16>) -> Option<Type> {
    match (kind, detail) {
        (Type::Bit(_), Some(bit)) => u8::try_from(bit).ok().filter(|bit| *bit < 8).map(Type::Bit),
        (Type::Bit(_), None) => None,
        (kind @ (Type::Text(_) | Type::WideText(_)), Some(length)) => kind.of_length(length),
        (kind, None) => Some(kind),
        (_, Some(_)) => None,
    }
}

/// Reads an address.
fn parse(text: &str) -> Result<Parsed, DriverError> {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    if let Some(rest) = upper.strip_prefix("DB") {
        let (block, rest) = rest.split_once([',', '.']).ok_or_else(unreadable)?;
        let block = number(block).ok_or_else(unreadable)?;
        let area = Area { kind: Kind::Block, block };
        return match upper.contains(',') {
            true => listed(area, rest),
            false => dotted(area, rest.strip_prefix("DB").ok_or_else(unreadable)?),
        };
    }
    let mut letters = upper.chars();
    let kind = match letters.next() {
        Some('M') => Kind::Flags,
        Some('I' | 'E') => Kind::Inputs,
        Some('Q' | 'A') => Kind::Outputs,
        Some('T') => return element(Kind::Timers, Type::S5Time, letters.as_str()),
        Some('C' | 'Z') => return element(Kind::Counters, Type::Counter, letters.as_str()),
        _ => return Err(unreadable()),
    };
    dotted(Area { kind, block: 0 }, letters.as_str())
}

/// Reads what follows a comma: `REAL4`, `X10.3`, `STRING20.30`.
fn listed(area: Area, rest: &str) -> Result<Parsed, DriverError> {
    let digits = rest.find(|c: char| c.is_ascii_digit()).ok_or_else(unreadable)?;
    // S5TIME has a digit of its own.
    let digits = if rest.starts_with("S5TIME") { "S5TIME".len() } else { digits };
    let (word, at) = rest.split_at_checked(digits).ok_or_else(unreadable)?;
    let kind = Type::parse(word).ok_or_else(unreadable)?;
    let (start, detail) = place(at).ok_or_else(unreadable)?;
    let kind = with_detail(kind, detail).ok_or_else(|| wrong_detail(kind))?;
    Ok(Parsed { area, start, named: Some(kind), sized: kind })
}

/// Reads `X10.3`, `B1`, `W2`, `D4`, `10.3`, `10`, each with a type behind a colon or without.
fn dotted(area: Area, rest: &str) -> Result<Parsed, DriverError> {
    let (rest, named) = typed(rest)?;
    let (size, at) = match rest.chars().next() {
        Some(letter @ ('X' | 'B' | 'W' | 'D')) => (Some(letter), rest.get(1..).unwrap_or_default()),
        _ => (None, rest),
    };
    let (start, detail) = place(at).ok_or_else(unreadable)?;
    let sized = match (size, detail) {
        (Some('X') | None, Some(_)) => Type::Bit(0),
        (Some('B') | None, None) => Type::Byte,
        (Some('W'), None) => Type::Word,
        (Some('D'), None) => Type::DWord,
        _ => return Err(unreadable()),
    };
    let sized = with_detail(sized, detail).ok_or_else(|| wrong_detail(sized))?;
    let named = match (named, sized) {
        // The bit stands in the place: M0.3:BIT.
        (Some(Type::Bit(_)), Type::Bit(_)) => Some(sized),
        (Some(Type::Bit(_)), _) => return Err(wrong_detail(Type::Bit(0))),
        (Some(_), Type::Bit(_)) => {
            return Err(bad("a bit is no number or text", "leave out the bit, or the type"));
        }
        (named, _) => {
            named.or_else(|| (sized == Type::Bit(0) || detail.is_some()).then_some(sized))
        }
    };
    Ok(Parsed { area, start, named, sized })
}

fn wrong_detail(kind: Type) -> DriverError {
    match kind {
        Type::Bit(_) => bad("a bit needs its number behind a dot", "bits are .0 to .7: DB1,X10.3"),
        Type::Text(_) | Type::WideText(_) => {
            bad("the text can't be that long", "a STRING has 1 to 254 characters: DB1,STRING20.30")
        }
        _ => bad("nothing may stand behind a dot there", "leave out what follows the dot"),
    }
}

fn element(kind: Kind, reads: Type, digits: &str) -> Result<Parsed, DriverError> {
    let start = number(digits).ok_or_else(unreadable)?;
    Ok(Parsed { area: Area { kind, block: 0 }, start, named: Some(reads), sized: reads })
}

/// Lays a type on an area: the tools name both.
///
/// # Errors
/// `BadAddress`: it ends beyond the area, or is wider than one value may be.
pub(crate) fn point(area: Area, start: u32, kind: Type, row: u16) -> Result<Point, DriverError> {
    let count = u32::from(row.max(1));
    let bytes = match kind {
        // Bits in a row run on through the bytes.
        Type::Bit(bit) => (u32::from(bit) + count).div_ceil(8),
        kind => kind.bytes() * count,
    };
    let width = bytes.div_ceil(area.kind.element_bytes());
    if bytes > VALUE_BYTES_MAX {
        let what = format!("the value takes {bytes} bytes, more than {VALUE_BYTES_MAX}");
        return Err(bad(what, "split it into several tags"));
    }
    if start.saturating_add(width) > BYTES_MAX {
        return Err(bad("the value ends beyond 65535, the last there can be", "check the number"));
    }
    Ok(Point { span: Span { area, start, width }, kind, row })
}

/// Reads an address with the type it names, or the one its size means.
///
/// # Errors
/// `BadAddress`, with what would be right.
pub(crate) fn parse_point(text: &str) -> Result<Point, DriverError> {
    let parsed = parse(text)?;
    point(parsed.area, parsed.start, parsed.named.unwrap_or(parsed.sized), 0)
}

/// Resolves a tag.
pub(super) fn resolve(tag: &Tag) -> Result<Point, DriverError> {
    let settings = |what: &str, hint: &str| {
        Err(DriverError::new(ErrorKind::Settings, what).hint(hint.to_owned()))
    };
    if tag.order != WordOrder::Abcd {
        return settings("S7 has one order of bytes, the high one first", "leave out order");
    }
    let parsed = parse(&tag.address)?;
    if tag.data_type == DataType::Native {
        return point(parsed.area, parsed.start, parsed.named.unwrap_or(parsed.sized), 0);
    }
    let Some((kind, count)) = Type::of_data_type(tag.data_type) else {
        return settings("S7 has no such text", "string(1) to string(254)");
    };
    let kind = match (parsed.named, kind) {
        (None, Type::Bit(_)) => {
            return Err(wrong_detail(Type::Bit(0)));
        }
        (None, kind) => kind,
        (Some(Type::Bit(bit)), Type::Bit(_)) => Type::Bit(bit),
        (Some(named), kind) if named == kind => kind,
        (Some(_), _) => {
            return settings("the address names another type than the key type", "say it once");
        }
    };
    let row = if matches!(tag.data_type, DataType::Array(..)) { count } else { 0 };
    point(parsed.area, parsed.start, kind, row)
}

impl Point {
    /// Makes the value of its bytes.
    pub(crate) fn read(&self, bytes: &[u8]) -> Option<Value> {
        if self.row == 0 {
            return self.kind.read(bytes);
        }
        let items: Option<Vec<Value>> = match self.kind {
            Type::Bit(first) => (0..usize::from(self.row))
                .map(|nth| {
                    let at = usize::from(first) + nth;
                    Some(Value::Bool(bytes.get(at / 8)? >> (at % 8) & 1 == 1))
                })
                .collect(),
            kind => {
                let width = usize::try_from(kind.bytes()).ok()?;
                bytes.chunks(width).map(|item| kind.read(item)).collect()
            }
        };
        Some(Value::list(items?))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { area, start, width } = self.span;
        match area.kind {
            Kind::Block => write!(out, "DB{} bytes {start}..{}", area.block, start + width - 1)?,
            Kind::Timers | Kind::Counters => write!(out, "{}{start}", area.kind.name())?,
            kind => write!(out, "{} bytes {start}..{}", kind.name(), start + width - 1)?,
        }
        if let Type::Bit(bit) = self.kind { write!(out, " bit {bit}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<(&'static str, u16, u32, u32, Type)> {
        let point = parse_point(text).ok()?;
        let Span { area, start, width } = point.span;
        Some((area.kind.name(), area.block, start, width, point.kind))
    }

    #[test]
    fn both_ways_of_writing_an_address_are_read() {
        for (text, want) in [
            ("DB1.DBD4:REAL", ("DB", 1, 4, 4, Type::Real)),
            ("db1.dbd4:real", ("DB", 1, 4, 4, Type::Real)),
            ("DB1,REAL4", ("DB", 1, 4, 4, Type::Real)),
            ("DB1,R4", ("DB", 1, 4, 4, Type::Real)),
            ("DB1,X10.3", ("DB", 1, 10, 1, Type::Bit(3))),
            ("DB1.DBX10.3", ("DB", 1, 10, 1, Type::Bit(3))),
            ("DB1.DBX10.3:BOOL", ("DB", 1, 10, 1, Type::Bit(3))),
            ("DB12.DBB7", ("DB", 12, 7, 1, Type::Byte)),
            ("DB12.DBW8:INT", ("DB", 12, 8, 2, Type::Int)),
            ("DB1.DBD4", ("DB", 1, 4, 4, Type::DWord)),
            ("DB1,STRING20.30", ("DB", 1, 20, 32, Type::Text(30))),
            ("DB1,S20.30", ("DB", 1, 20, 32, Type::Text(30))),
            ("DB1.DBB20:STRING[30]", ("DB", 1, 20, 32, Type::Text(30))),
            ("DB1,S5TIME6", ("DB", 1, 6, 2, Type::S5Time)),
            ("DB1,DT6", ("DB", 1, 6, 8, Type::DateAndTime)),
            ("MW10", ("M", 0, 10, 2, Type::Word)),
            ("MD10:REAL", ("M", 0, 10, 4, Type::Real)),
            ("M0.3", ("M", 0, 0, 1, Type::Bit(3))),
            ("IB2", ("I", 0, 2, 1, Type::Byte)),
            ("EB2", ("I", 0, 2, 1, Type::Byte)),
            ("E2.7", ("I", 0, 2, 1, Type::Bit(7))),
            ("QW4", ("Q", 0, 4, 2, Type::Word)),
            ("AW4", ("Q", 0, 4, 2, Type::Word)),
            ("T5", ("T", 0, 5, 1, Type::S5Time)),
            ("C5", ("C", 0, 5, 1, Type::Counter)),
        ] {
            assert_eq!(at(text), Some(want), "{text}");
        }
        for text in [
            "",
            "DB",
            "DB1",
            "DB1,",
            "DB1.DBD",
            "DB1,REAL",
            "DB1,REAL-4",
            "DB1,X10",
            "DB1,X10.8",
            "DB1,FOO4",
            "DB1.DBD4:FOO",
            "DB65536,INT0",
            "DB1,INT65535",
            "M0.9",
            "MX1",
            "PW1",
            "DB1.DBW0.3",
            "DB1,INT4.2",
            "DB1.DBX1.1:INT",
            "T",
            "K\u{e4}",
            "DB1,STRING0.255",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    fn tag(address: &str, kind: &str) -> Result<Point, DriverError> {
        let data_type = DataType::parse(kind).unwrap_or(DataType::Native);
        resolve(&Tag { data_type, ..Tag::new("t", "plc", address) })
    }

    #[test]
    fn the_type_comes_from_the_address_or_from_the_tag_and_never_from_both() {
        assert_eq!(tag("DB1.DBD4", "float32").unwrap().kind, Type::Real);
        assert_eq!(tag("DB1.DBD4", "").unwrap().kind, Type::DWord);
        assert_eq!(tag("DB1,REAL4", "float32").unwrap().kind, Type::Real);
        assert_eq!(tag("M0.3", "bool").unwrap().kind, Type::Bit(3));
        assert_eq!(tag("DB1.DBB20", "string(10)").unwrap().span.width, 12);
        let row = tag("DB1.DBD0", "float32[8]").unwrap();
        assert_eq!((row.span.width, row.row), (32, 8));
        assert!(tag("DB1,REAL4", "int32").is_err());
        assert!(tag("DB1.DBB4", "bool").is_err());
        assert!(tag("M0.3", "uint16").is_err());
    }

    #[test]
    fn rows_are_lists_and_bits_run_on_through_the_bytes() {
        let row = tag("DB1.DBW0", "int16[2]").unwrap();
        assert_eq!(row.read(&[0, 1, 255, 255]), Some(Value::list([Value::I64(1), Value::I64(-1)])));
        let bits = tag("DB1.DBX0.7", "bool[3]").unwrap();
        assert_eq!(bits.span.width, 2);
        let want = Value::list([true, false, true].map(Value::Bool));
        assert_eq!(bits.read(&[0x80, 0b10]), Some(want));
    }
}
