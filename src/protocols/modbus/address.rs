//! Addresses: what people write, and the registers or bits it stands for.

use std::fmt;

use crate::driver::{BlockRef, DriverError, ErrorKind};
use crate::model::{DataType, Scalar, Tag, UnitId, VALUE_ITEMS_MAX, WordOrder};
use crate::net::words::Decode;

/// A PDU is 253 bytes, so an answer carries 125 registers (Modbus V1.1b3, 6.3 and 6.4).
pub(super) const REGISTERS_MAX: u16 = 125;
/// An answer carries 2000 bits (Modbus V1.1b3, 6.1 and 6.2).
pub(super) const BITS_MAX: u16 = 2000;
/// Each area has 65 536 addresses (Modbus V1.1b3, 4.3).
pub(super) const ADDRESSES: u32 = 65_536;

/// One of the four tables of a device (Modbus V1.1b3, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Area {
    Coil,
    Discrete,
    Holding,
    Input,
}

impl Area {
    /// The name of the area, the code that reads it, and its digit in the manuals' notation.
    const ALL: [(Self, &'static str, u8, char); 4] = [
        (Self::Coil, "coil", 0x01, '0'),
        (Self::Discrete, "discrete", 0x02, '1'),
        (Self::Holding, "holding", 0x03, '4'),
        (Self::Input, "input", 0x04, '3'),
    ];

    fn row(self) -> (Self, &'static str, u8, char) {
        Self::ALL.into_iter().find(|row| row.0 == self).expect("every area has its row")
    }

    /// Gives its name in blocks, tools and messages.
    pub(super) fn name(self) -> &'static str {
        self.row().1
    }

    /// Finds the area a block names.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Gives the function code that reads it.
    pub(super) fn function(self) -> u8 {
        self.row().2
    }

    /// Gives its leading digit in the manuals' notation.
    pub(super) fn digit(self) -> char {
        self.row().3
    }

    /// Tells whether it holds bits; the others hold registers.
    pub(super) fn has_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }

    /// Gives the most one answer carries.
    pub(super) fn count_max(self) -> u16 {
        if self.has_bits() { BITS_MAX } else { REGISTERS_MAX }
    }
}

/// Where an address text points, whatever type is read there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) area: Area,
    /// 0-based, as it goes on the wire.
    pub(super) address: u16,
    /// A bit of a register; 0 is the least significant.
    pub(super) bit: Option<u8>,
}

/// What is made of the registers or bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A coil or discrete input.
    Bit,
    /// That many of them in a row.
    Bits(u16),
    /// A bit of a register.
    BitOf(u8),
    /// One number.
    Number(Decode),
    /// That many numbers in a row.
    Numbers(Decode, u16),
    /// Text of that many bytes.
    Text(u16),
}

impl Shape {
    /// Gives the type that a device stores in this shape.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Bit | Self::BitOf(_) => DataType::One(Scalar::Bool),
            Self::Bits(n) => DataType::Array(Scalar::Bool, n),
            Self::Number(decode) => decode.scalar().map_or(DataType::Native, DataType::One),
            Self::Numbers(decode, n) => {
                decode.scalar().map_or(DataType::Native, |scalar| DataType::Array(scalar, n))
            }
            Self::Text(bytes) => DataType::Text(bytes),
        }
    }
}

/// A value's place in a device: never split over two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) unit: UnitId,
    pub(super) area: Area,
    pub(super) start: u16,
    /// Registers or bits, 1 or more; `start + width` is at most [`ADDRESSES`].
    pub(super) width: u16,
    pub(super) shape: Shape,
    pub(super) order: WordOrder,
}

impl Point {
    /// Gives the address after its last.
    pub(super) fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.width)
    }

    /// Gives the stretch it fills; a bit among others of a register fills none.
    pub(super) fn block(&self) -> Option<BlockRef> {
        let whole = !matches!(self.shape, Shape::BitOf(_));
        whole.then(|| BlockRef {
            unit: self.unit,
            area: self.area.name(),
            section: 0,
            address: self.start.into(),
            count: self.width.into(),
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.area.name(), self.start)?;
        if self.width > 1 {
            write!(out, "..{}", self.end() - 1)?;
        }
        if let Shape::BitOf(bit) = self.shape {
            write!(out, " bit {bit}")?;
        }
        write!(out, " (FC{:02}), unit {}", self.area.function(), self.unit.0)
    }
}

/// Makes the error of an address that can't be read as it stands.
fn refuse(message: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::BadAddress, message)
}

const GRAMMAR: &str = "write holding:100, input:100, coil:5, discrete:7 (0-based), holding:100.3 \
                       for a bit, 4x00101 (1-based), or a bare number for 0-based holding";

/// Reads an address text.
pub(super) fn parse(text: &str) -> Result<Place, DriverError> {
    let text = text.trim().to_ascii_lowercase();
    let (area, rest, base) = match text.split_once(':') {
        Some((word, rest)) => (area_of_word(word)?, rest, 0),
        None => match text.split_once('x') {
            Some((digit, rest)) => (area_of_digit(digit)?, rest, 1),
            None => (Area::Holding, text.as_str(), 0),
        },
    };
    let (digits, bit) = match rest.split_once('.') {
        Some((digits, bit)) => (digits, Some(bit)),
        None => (rest, None),
    };
    let number = digits.parse::<u32>().ok().filter(|_| !digits.starts_with('+'));
    let number = number.ok_or_else(|| refuse("this is no Modbus address").hint(GRAMMAR))?;
    if number < base {
        let digit = area.digit();
        return Err(refuse(format!(
            "{digit}x notation counts from 1, so there is no {digit}x00000"
        ))
        .hint(format!("the first one is {digit}x00001, or {}:0", area.name())));
    }
    let address = number - base;
    let Ok(address) = u16::try_from(address) else {
        let error = refuse(format!("address {address} is above 65535"));
        let bare = base == 0 && !text.contains(':');
        let meant = bare.then(|| classic(number)).flatten();
        return Err(error.hint(meant.unwrap_or_else(|| "addresses are 0 to 65535".to_owned())));
    };
    let bit = bit.map(|bit| bit_number(bit, area)).transpose()?;
    Ok(Place { area, address, bit })
}

fn area_of_word(word: &str) -> Result<Area, DriverError> {
    match word {
        "hr" => Ok(Area::Holding),
        "ir" => Ok(Area::Input),
        name => Area::of_name(name)
            .ok_or_else(|| refuse("the word before the colon names no area").hint(GRAMMAR)),
    }
}

fn area_of_digit(digit: &str) -> Result<Area, DriverError> {
    let mut letters = digit.chars();
    let found = match (letters.next(), letters.next()) {
        (Some(letter), None) => Area::ALL.into_iter().find(|row| row.3 == letter),
        _ => None,
    };
    found.map(|row| row.0).ok_or_else(|| {
        refuse("the digit before the x names no area").hint(
            "0x00001 is the first coil, 1x00001 discrete input, 3x00001 input register, \
                 4x00001 holding register",
        )
    })
}

fn bit_number(text: &str, area: Area) -> Result<u8, DriverError> {
    if area.has_bits() {
        return Err(refuse(format!("a {} is a bit and has none of its own", area.name()))
            .hint("leave out the dot and what follows"));
    }
    text.parse::<u8>().ok().filter(|bit| *bit < 16 && !text.starts_with('+')).ok_or_else(|| {
        refuse("the bit after the dot is not between 0 and 15")
            .hint("bit 0 is the least significant")
    })
}

/// Reads a number as the manuals' 1-based notation without its `x`, and shows the result.
fn classic(number: u32) -> Option<String> {
    // Five digits hold addresses to 9999, six digits all of them.
    let (leading, rest, width) = match number {
        10_000..=99_999 => (number / 10_000, number % 10_000, 5),
        100_000..=999_999 => (number / 100_000, number % 100_000, 5),
        _ => return None,
    };
    let area = match leading {
        1 => Area::Discrete,
        3 => Area::Input,
        4 => Area::Holding,
        _ => return None,
    };
    let address = rest.checked_sub(1).filter(|address| *address < ADDRESSES)?;
    let digit = area.digit();
    let name = area.name();
    Some(format!(
        "if the manual's 1-based notation is meant: {digit}x{rest:0width$} = {name} {address}"
    ))
}

/// Resolves a tag to its place and shape.
pub(super) fn resolve(tag: &Tag) -> Result<Point, DriverError> {
    if matches!(tag.unit.0, 248..=254) {
        return Err(DriverError::new(
            ErrorKind::Settings,
            format!("unit {} is reserved", tag.unit.0),
        )
        .hint("units are 1 to 247; 0 and 255 on TCP only (Modbus over Serial Line V1.02, 2.2)"));
    }
    point(parse(&tag.address)?, tag.data_type, tag.order, tag.unit)
}

/// Gives a place its type.
pub(super) fn point(
    place: Place,
    data_type: DataType,
    order: WordOrder,
    unit: UnitId,
) -> Result<Point, DriverError> {
    let (shape, width) = match (place.area.has_bits(), place.bit) {
        (true, _) => bits(place, data_type)?,
        (false, Some(bit)) => match data_type {
            DataType::Native | DataType::One(Scalar::Bool) => (Shape::BitOf(bit), 1),
            other => {
                return Err(refuse(format!("one bit of a register is no {other}"))
                    .hint("type = \"bool\", or leave out the dot and what follows"));
            }
        },
        (false, None) => registers(data_type)?,
    };
    let max = u32::from(place.area.count_max());
    let what = if place.area.has_bits() { "bits" } else { "registers" };
    let width =
        u16::try_from(width).ok().filter(|width| u32::from(*width) <= max).ok_or_else(|| {
            refuse(format!("{data_type} takes {width} {what}, and one answer carries {max}"))
                .hint("split it into several tags")
        })?;
    let point = Point { unit, area: place.area, start: place.address, width, shape, order };
    if point.end() > ADDRESSES {
        return Err(refuse(format!("{data_type} at {} ends beyond address 65535", place.address))
            .hint("the whole value has to lie within 0 to 65535"));
    }
    Ok(point)
}

fn bits(place: Place, data_type: DataType) -> Result<(Shape, u32), DriverError> {
    match data_type {
        DataType::Native | DataType::One(Scalar::Bool) => Ok((Shape::Bit, 1)),
        DataType::Array(Scalar::Bool, n) if usize::from(n) <= VALUE_ITEMS_MAX => {
            Ok((Shape::Bits(n), u32::from(n)))
        }
        DataType::Array(Scalar::Bool, n) => {
            Err(refuse(format!("a list of {n} bits is longer than {VALUE_ITEMS_MAX}"))
                .hint("split it into several tags"))
        }
        other => Err(refuse(format!("a {} holds bits, no {other}", place.area.name()))
            .hint("type = \"bool\" or \"bool[n]\"")),
    }
}

fn registers(data_type: DataType) -> Result<(Shape, u32), DriverError> {
    let known = |scalar: Scalar| {
        Decode::of(scalar).ok_or_else(|| {
            refuse(format!("a register holds 16 bits, no {}", scalar.word())).hint(match scalar {
                Scalar::Bool => "name the bit: holding:100.0 is the least significant of 16",
                _ => "type = \"uint16\" or \"int16\" reads the whole register",
            })
        })
    };
    Ok(match data_type {
        DataType::Native => (Shape::Number(Decode::UInt16), 1),
        DataType::One(scalar) => {
            let decode = known(scalar)?;
            (Shape::Number(decode), u32::from(decode.registers()))
        }
        DataType::Array(scalar, n) => {
            let decode = known(scalar)?;
            (Shape::Numbers(decode, n), u32::from(decode.registers()) * u32::from(n))
        }
        DataType::Text(bytes) => (Shape::Text(bytes), u32::from(bytes).div_ceil(2)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(address: &str, data_type: &str) -> Tag {
        let data_type = if data_type.is_empty() {
            DataType::Native
        } else {
            DataType::parse(data_type).unwrap()
        };
        Tag { unit: UnitId(3), data_type, ..Tag::new("t", "plc2", address) }
    }

    fn wire(address: &str, data_type: &str) -> Result<String, DriverError> {
        resolve(&tag(address, data_type)).map(|point| point.to_string())
    }

    #[test]
    fn every_notation_says_how_it_goes_on_the_wire() {
        for (address, data_type, expect) in [
            ("holding:100", "float32", "holding 100..101 (FC03), unit 3"),
            ("hr:100", "", "holding 100 (FC03), unit 3"),
            ("100", "", "holding 100 (FC03), unit 3"),
            (" Input:7 ", "int64", "input 7..10 (FC04), unit 3"),
            ("ir:7", "string(5)", "input 7..9 (FC04), unit 3"),
            ("coil:5", "", "coil 5 (FC01), unit 3"),
            ("coil:5", "bool[12]", "coil 5..16 (FC01), unit 3"),
            ("discrete:7", "bool", "discrete 7 (FC02), unit 3"),
            ("4x00101", "float32[8]", "holding 100..115 (FC03), unit 3"),
            ("3x00001", "", "input 0 (FC04), unit 3"),
            ("0x00001", "", "coil 0 (FC01), unit 3"),
            ("1X065536", "", "discrete 65535 (FC02), unit 3"),
            ("holding:100.3", "", "holding 100 bit 3 (FC03), unit 3"),
            ("4x00101.15", "bool", "holding 100 bit 15 (FC03), unit 3"),
            ("holding:65534", "float32", "holding 65534..65535 (FC03), unit 3"),
        ] {
            assert_eq!(wire(address, data_type).unwrap(), expect, "{address} {data_type}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_right_form() {
        for (address, data_type, hint) in [
            ("65536", "", "0 to 65535"),
            ("holding:65535", "float32", "within 0 to 65535"),
            ("4x00000", "", "4x00001"),
            ("2x00001", "", "4x00001"),
            ("DB1.DBW0", "", "holding:100"),
            ("holding:-1", "", "holding:100"),
            ("holding:+1", "", "holding:100"),
            ("", "", "holding:100"),
            ("holding:1.16", "", "bit 0"),
            ("coil:1.1", "", "leave out"),
            ("coil:1", "uint16", "bool"),
            ("holding:1", "bool", "holding:100.0"),
            ("holding:1", "uint8", "uint16"),
            ("holding:1.2", "uint16", "bool"),
            ("holding:1", "float64[32]", "several tags"),
            ("holding:1", "string(251)", "several tags"),
            ("coil:1", "bool[1001]", "several tags"),
            ("holding:1", "uint64[65535]", "several tags"),
        ] {
            let error = wire(address, data_type).unwrap_err();
            assert!(error.hint.contains(hint), "{address} {data_type}: {error:?}");
        }
        let reserved = Tag { unit: UnitId(248), ..tag("1", "") };
        assert_eq!(resolve(&reserved).unwrap_err().kind, ErrorKind::Settings);
    }

    #[test]
    fn a_number_in_the_old_notation_is_explained() {
        let six_digits = wire("400101", "").unwrap_err();
        assert!(six_digits.hint.ends_with("4x00101 = holding 100"), "{six_digits:?}");
    }
}
