//! Writes: one value to one batch write of words (1401).

use super::address::{Point, Shape};
use super::device::Holds;
use super::frame::Request;
use crate::driver::{DriverError, ErrorKind};
use crate::model::{Value, WordOrder};
use crate::net::registers;
use crate::plan::Span;

/// A batch write carries 960 words (SLMP Reference Manual, 5.2).
const WORDS_MAX: usize = 960;

/// Makes the one request that writes a value.
pub(super) fn request(point: &Point, value: &Value) -> Result<Request, DriverError> {
    let refuse = |what: &str, hint: &str| {
        DriverError::new(ErrorKind::Unsupported, what).hint(hint.to_owned())
    };
    let Span { area: device, start, width } = point.span;
    if device.holds() == Holds::Bits {
        return Err(refuse("bits are not written, only words", "write a word of D, W, R or ZR"));
    }
    let words = match point.shape {
        Shape::Number(decode) => registers::of_number(value, decode, WordOrder::Cdab),
        Shape::Numbers(decode) => registers::of_numbers(value, decode, WordOrder::Cdab),
        Shape::Text(bytes) => registers::of_text(value, bytes, WordOrder::Badc),
        Shape::BitOf(_) => {
            let what = "one bit of a word can't be written without its neighbours";
            return Err(refuse(what, "write the whole word"));
        }
        Shape::Bit | Shape::Bits => None,
    };
    let whole = words.filter(|words| usize::try_from(width).is_ok_and(|w| w == words.len()));
    let words = whole.ok_or_else(|| {
        DriverError::new(ErrorKind::Settings, "the value is none of the tag's type")
            .hint("request it again with a value of the type that tag_find shows")
    })?;
    if words.len() > WORDS_MAX {
        return Err(refuse("the value is longer than one write", "at most 960 words at once"));
    }
    Ok(Request::Write { device, start, words })
}

#[cfg(test)]
mod tests {
    use super::super::address::resolve;
    use super::super::frame::{Answer, decode, encode};
    use super::super::settings::{Model, Route};
    use super::*;
    use crate::model::{DataType, Tag};

    const OWN: Route = Route { network: 0, pc: 0xFF, module_io: 0x03FF, station: 0 };

    fn made(address: &str, kind: &str, value: Value) -> Result<Request, DriverError> {
        let mut tag = Tag::new("t", "e", address);
        tag.data_type = DataType::parse(kind).unwrap();
        request(&resolve(&tag, Some(Model::Q)).unwrap(), &value)
    }

    /// The layout of 1401 as the SLMP Reference Manual prints it: head device, points, data.
    #[test]
    fn a_write_of_words_is_as_the_manual_prints_it() {
        let words = Value::list([0x1995, 0x1202, 0x1130].map(Value::U64));
        let write = made("D100", "uint16[3]", words).unwrap();
        let bytes = encode(&write, Some(Model::Q), OWN, 4);
        let want = [
            0x50, 0, 0, 0xFF, 0xFF, 3, 0, 0x12, 0, 4, 0, 0x01, 0x14, 0, 0, 100, 0, 0, 0xA8, 3, 0,
            0x95, 0x19, 0x02, 0x12, 0x30, 0x11,
        ];
        assert_eq!(bytes, want);
        let good = [0xD0, 0, 0, 0xFF, 0xFF, 3, 0, 2, 0, 0, 0];
        assert_eq!(decode(&write, OWN, &good), Ok(Some(Answer::Written)));
        let more = [0xD0, 0, 0, 0xFF, 0xFF, 3, 0, 4, 0, 0, 0, 1, 2];
        assert!(decode(&write, OWN, &more).is_err(), "data after a write is no answer to it");
    }

    #[test]
    fn bits_and_misfits_are_refused() {
        assert!(made("M10", "bool", Value::Bool(true)).is_err());
        assert!(made("D10.3", "bool", Value::Bool(true)).is_err());
        assert!(made("D10", "int16", Value::U64(40_000)).is_err());
        let Ok(Request::Write { words, .. }) = made("D10", "float32", Value::F64(2.5)) else {
            panic!()
        };
        assert_eq!(words, [0x0000, 0x4020], "the low word first");
    }
}
