//! Address texts, and what lies there.

use std::fmt;

use super::device::{Device, Holds, Radix};
use super::scan::block_ref;
use super::settings::Model;
use crate::driver::{BlockRef, DriverError, ErrorKind};
use crate::model::{DataType, Scalar, Tag, Value, WordOrder};
use crate::net::words::{self, Decode};
use crate::plan::Span;

/// Numbers a request can carry in three bytes; iQ-R takes four, and its devices end far below.
const NUMBER_MAX: u32 = 0x00FF_FFFF;

/// What is made of the words or bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One bit of a bit device.
    Bit,
    /// Bits of a bit device in a row.
    Bits,
    /// One bit of a word.
    BitOf(u8),
    /// One number.
    Number(Decode),
    /// Numbers in a row.
    Numbers(Decode),
    /// Text of that many bytes, the low byte of each word first.
    Text(u16),
}

/// A value's place in the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// The device and its elements: words, or bits of a bit device.
    pub(super) span: Span<Device>,
    pub(super) shape: Shape,
}

/// A device, its number, and the bit of the word where one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The device.
    pub(crate) device: Device,
    /// Its number.
    pub(crate) number: u32,
    bit: Option<u8>,
}

impl Head {
    /// Gives it back where it names no bit of a word.
    ///
    /// # Errors
    /// `BadAddress`: it names a bit.
    pub(crate) fn whole(self) -> Result<Self, DriverError> {
        match self.bit {
            None => Ok(self),
            Some(_) => Err(bad(
                "a run of words begins with a word, not with a bit",
                "leave out what follows the dot",
            )),
        }
    }
}

fn bad(what: impl Into<String>, hint: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::BadAddress, what).hint(hint)
}

/// Reads `D100`, `D100.5`, `X1F`, `W1F`. Numbers of X and Y are read as the model writes them;
/// without a model they are refused, never guessed.
///
/// # Errors
/// `BadAddress`, with what would be right.
pub(crate) fn parse(text: &str, model: Option<Model>) -> Result<Head, DriverError> {
    let text = text.trim();
    let Some((device, rest)) = Device::split(text) else {
        let hint = format!(
            "write a device and its number, such as D100 or M10; there are {}",
            Device::names()
        );
        return Err(bad("the address names no device of a MELSEC controller", hint));
    };
    let (digits, bit) = match rest.split_once('.') {
        None => (rest, None),
        Some((digits, bit)) if device.holds() == Holds::Words => {
            let bit = u8::from_str_radix(bit, 16).ok().filter(|bit| *bit < 16);
            let hint = "bits of a word are .0 to .F";
            (digits, Some(bit.ok_or_else(|| bad("there is no such bit in a word", hint))?))
        }
        Some(_) => {
            let what = format!("{} holds bits: it has none inside", device.name());
            return Err(bad(what, "leave out what follows the dot"));
        }
    };
    let (radix, digits_are) = match (device.radix(), model) {
        (Radix::Decimal, _) => (10, "decimal"),
        (Radix::Hexadecimal, _) => (16, "hexadecimal"),
        (Radix::Inputs, Some(Model::IqF)) => (8, "octal on iQ-F"),
        (Radix::Inputs, Some(_)) => (16, "hexadecimal"),
        (Radix::Inputs, None) => {
            let what = "X and Y are written in octal on iQ-F and in hexadecimal elsewhere, and \
             the model is not known";
            return Err(bad(what, "set plctype to Q, L, QnA, iQ-R, iQ-L or iQ-F"));
        }
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let number = u32::from_str_radix(digits, radix).ok().filter(|n| plain && *n <= NUMBER_MAX);
    let number = number.ok_or_else(|| {
        bad(
            format!("what follows {} is no number of it", device.name()),
            format!("numbers of {} are {digits_are}", device.name()),
        )
    })?;
    Ok(Head { device, number, bit })
}

/// Lays a type on an address.
pub(super) fn point(head: Head, data_type: DataType) -> Result<Point, DriverError> {
    let name = head.device.name();
    let span = |width: u32| Span { area: head.device, start: head.number, width };
    let of_words = || {
        let hint = "a word holds int16, uint16, int32, uint32, int64, uint64, float32, float64, \
         string(n), or a bit as D100.5";
        bad(format!("that type can't be read from words of {name}"), hint)
    };
    let number = |scalar| Decode::of(scalar).ok_or_else(of_words);
    let (width, shape) = match (head.device.holds(), head.bit, data_type) {
        (Holds::Bits, _, DataType::Native | DataType::One(Scalar::Bool)) => (1, Shape::Bit),
        (Holds::Bits, _, DataType::Array(Scalar::Bool, n)) => (u32::from(n), Shape::Bits),
        (Holds::Bits, ..) => {
            let what = format!("{name} holds bits, and the type is a number or text");
            return Err(bad(what, "use type bool or bool[n]"));
        }
        (Holds::Words, Some(bit), DataType::Native | DataType::One(Scalar::Bool)) => {
            (1, Shape::BitOf(bit))
        }
        (Holds::Words, Some(_), _) => {
            return Err(bad("a bit of a word is a bool", "use type bool, or leave out the bit"));
        }
        (Holds::Words, None, DataType::Native) => (1, Shape::Number(Decode::UInt16)),
        (Holds::Words, None, DataType::One(scalar)) => {
            let decode = number(scalar)?;
            (u32::from(decode.registers()), Shape::Number(decode))
        }
        (Holds::Words, None, DataType::Array(scalar, n)) => {
            let decode = number(scalar)?;
            (u32::from(decode.registers()) * u32::from(n), Shape::Numbers(decode))
        }
        (Holds::Words, None, DataType::Text(bytes)) => {
            (u32::from(bytes.div_ceil(2)), Shape::Text(bytes))
        }
    };
    let point = Point { span: span(width), shape };
    let max = super::plan::width_max(head.device);
    if width > max {
        let what =
            format!("the value takes {width} elements of {name}, more than one request reads");
        return Err(bad(what, format!("at most {max} at once")));
    }
    if point.span.end() > NUMBER_MAX + 1 {
        return Err(bad("the value ends beyond the last number there can be", "check the number"));
    }
    Ok(point)
}

/// Resolves a tag.
pub(super) fn resolve(tag: &Tag, model: Option<Model>) -> Result<Point, DriverError> {
    if tag.order != WordOrder::Abcd {
        let what = "a MELSEC controller has one order of words, the low one first";
        return Err(DriverError::new(ErrorKind::Settings, what).hint("leave out order"));
    }
    point(parse(&tag.address, model)?, tag.data_type)
}

impl Point {
    /// Gives the stretch it fills; a bit among others of a word fills none.
    pub(super) fn block(&self) -> Option<BlockRef> {
        let Span { area, start, width } = self.span;
        (!matches!(self.shape, Shape::BitOf(_))).then(|| block_ref(area, start, width))
    }

    /// Gives the type that the controller stores.
    pub(super) fn data_type(&self) -> DataType {
        let width = u16::try_from(self.span.width).unwrap_or(u16::MAX);
        let of = |decode: Decode| decode.scalar();
        match self.shape {
            Shape::Bit | Shape::BitOf(_) => DataType::One(Scalar::Bool),
            Shape::Bits => DataType::Array(Scalar::Bool, width),
            Shape::Number(decode) => of(decode).map_or(DataType::Native, DataType::One),
            Shape::Numbers(decode) => of(decode).map_or(DataType::Native, |scalar| {
                DataType::Array(scalar, width / decode.registers())
            }),
            Shape::Text(bytes) => DataType::Text(bytes),
        }
    }

    /// Makes the value of its words.
    pub(super) fn of_words(&self, registers: &[u16]) -> Option<Value> {
        match self.shape {
            Shape::Number(decode) => words::value(registers, decode, WordOrder::Cdab),
            Shape::Numbers(decode) => {
                Some(Value::list(words::decode(registers, decode, WordOrder::Cdab).values))
            }
            Shape::BitOf(bit) => Some(Value::Bool(registers.first()? >> bit & 1 == 1)),
            Shape::Text(bytes) => {
                words::text(registers, bytes, WordOrder::Badc).map(|text| Value::text(&text))
            }
            Shape::Bit | Shape::Bits => None,
        }
    }

    /// Makes the value of its bits.
    pub(super) fn of_bits(&self, bits: &[bool]) -> Option<Value> {
        match self.shape {
            Shape::Bit => bits.first().copied().map(Value::Bool),
            Shape::Bits => Some(Value::list(bits.iter().copied().map(Value::Bool))),
            _ => None,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Span { area, start, width } = self.span;
        let kind = match area.holds() {
            Holds::Words => "words",
            Holds::Bits => "bits",
        };
        write!(out, "{} {kind} of {} from number {start}", width, area.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, model: Option<Model>) -> Option<(&'static str, u32)> {
        parse(text, model).ok().map(|head| (head.device.name(), head.number))
    }

    #[test]
    fn numbers_are_read_as_the_device_writes_them() {
        for (text, model, want) in [
            ("D100", None, Some(("D", 100))),
            ("d100", None, Some(("D", 100))),
            ("W1F", None, Some(("W", 0x1F))),
            ("B1f", None, Some(("B", 0x1F))),
            ("SB10", None, Some(("SB", 16))),
            ("SW10", None, Some(("SW", 16))),
            ("ZR100", None, Some(("ZR", 100))),
            ("X1F", Some(Model::Q), Some(("X", 0x1F))),
            ("Y10", Some(Model::IqR), Some(("Y", 16))),
            ("X17", Some(Model::IqF), Some(("X", 0o17))),
            ("X18", Some(Model::IqF), None),
            ("X10", None, None),
            ("D1F", None, None),
            ("D", None, None),
            ("D-1", None, None),
            ("D+1", None, None),
            ("D99999999", None, None),
            ("Q1", None, None),
            ("", None, None),
        ] {
            assert_eq!(number(text, model), want, "{text} {model:?}");
        }
        assert!(parse("X10", None).unwrap_err().hint.contains("plctype"));
    }

    #[test]
    fn a_type_fits_its_device_or_is_refused() {
        let lay = |text: &str, kind: &str| {
            let kind =
                if kind.is_empty() { DataType::Native } else { DataType::parse(kind).unwrap() };
            point(parse(text, Some(Model::Q)).unwrap(), kind).map(|p| (p.span.width, p.shape))
        };
        assert_eq!(lay("D0", ""), Ok((1, Shape::Number(Decode::UInt16))));
        assert_eq!(lay("D0", "float32"), Ok((2, Shape::Number(Decode::Float32))));
        assert_eq!(lay("D0", "int16[4]"), Ok((4, Shape::Numbers(Decode::Int16))));
        assert_eq!(lay("D0", "string(5)"), Ok((3, Shape::Text(5))));
        assert_eq!(lay("D0.F", "bool"), Ok((1, Shape::BitOf(15))));
        assert_eq!(lay("M0", ""), Ok((1, Shape::Bit)));
        assert_eq!(lay("M0", "bool[8]"), Ok((8, Shape::Bits)));
        for (text, kind) in [
            ("M0", "int16"),
            ("D0", "bool"),
            ("D0.1", "int16"),
            ("D0", "uint8"),
            ("D0", "int32[500]"),
        ] {
            assert!(lay(text, kind).is_err(), "{text} {kind}");
        }
        assert!(parse("M0.1", None).is_err());
        assert!(parse("D0.G", None).is_err());
    }

    #[test]
    fn the_low_word_comes_first_and_so_does_the_low_byte_of_text() {
        let of = |kind: &str, registers: &[u16]| {
            let point = point(parse("D0", None).unwrap(), DataType::parse(kind).unwrap()).unwrap();
            point.of_words(registers)
        };
        assert_eq!(of("uint32", &[0x0001, 0x0002]), Some(Value::U64(0x0002_0001)));
        assert_eq!(of("int32", &[0xFFFE, 0xFFFF]), Some(Value::I64(-2)));
        assert_eq!(of("float32", &[0x0000, 0x4020]), Some(Value::F64(2.5)));
        assert_eq!(of("string(3)", &[0x4241, 0x0043]), Some(Value::text("ABC")));
        assert_eq!(of("float32", &[0x0000]), None);
    }
}
