//! Writes: one value to one item of a write job.

use super::address::Point;
use super::area::Kind;
use super::errors;
use super::frame::{Item, WriteItem};
use super::plan::Limits;
use super::value::Type;
use crate::driver::{DriverError, ErrorKind};
use crate::model::{DataType, Scalar, Value, integer};
use crate::net::registers::single;
use crate::plan::Span;

/// A write job's own bytes: header, parameters of one item, and the item's head.
const JOB_BYTES: usize = 10 + 14 + 4;

/// Gives the type that is stored; [`DataType::Native`] where it is never written.
pub(super) fn data_type(point: &Point) -> DataType {
    let scalar = match point.kind {
        Type::Bit(_) => Scalar::Bool,
        Type::Byte | Type::USInt => Scalar::UInt8,
        Type::SInt => Scalar::Int8,
        Type::Word | Type::UInt => Scalar::UInt16,
        Type::Int => Scalar::Int16,
        Type::DWord | Type::UDInt => Scalar::UInt32,
        Type::DInt => Scalar::Int32,
        Type::Real => Scalar::Float32,
        Type::LReal => Scalar::Float64,
        Type::LInt => Scalar::Int64,
        Type::ULInt => Scalar::UInt64,
        _ => return DataType::Native,
    };
    match point.row {
        0 => DataType::One(scalar),
        count => DataType::Array(scalar, count),
    }
}

/// Makes the one item that writes a value.
pub(super) fn item(point: &Point, value: &Value, limits: Limits) -> Result<WriteItem, DriverError> {
    let refuse =
        |what: &str| DriverError::new(ErrorKind::Unsupported, what).hint("write a data block");
    let Span { area, start, width } = point.span;
    if !matches!(area.kind, Kind::Block | Kind::Flags) {
        return Err(refuse("inputs, outputs, timers and counters are never written"));
    }
    let misfit = || {
        DriverError::new(ErrorKind::Settings, "the value is none of the tag's type")
            .hint("request it again with a value of the type that the dry run shows")
    };
    let covers = Item { area, start, count: width };
    if let (Type::Bit(bit), 0) = (point.kind, point.row) {
        let Value::Bool(on) = value else { return Err(misfit()) };
        return Ok(WriteItem { covers, bit: Some(bit), data: vec![u8::from(*on)] });
    }
    if matches!(point.kind, Type::Bit(_)) {
        return Err(refuse("bits in a row can't be written without their neighbours"));
    }
    let data = match (point.row, value) {
        (0, value) => bytes(point.kind, value).ok_or_else(misfit)?,
        (count, Value::List(items)) if items.len() == usize::from(count) => {
            let rows: Option<Vec<Vec<u8>>> =
                items.iter().map(|item| bytes(point.kind, item)).collect();
            rows.ok_or_else(misfit)?.concat()
        }
        _ => return Err(misfit()),
    };
    if data.len() != covers.bytes() {
        return Err(misfit());
    }
    if data.len() + JOB_BYTES > limits.pdu_bytes {
        return Err(refuse("the value is longer than one message of this controller"));
    }
    Ok(WriteItem { covers, bit: None, data })
}

fn bytes(kind: Type, value: &Value) -> Option<Vec<u8>> {
    let whole = || integer(value);
    Some(match kind {
        Type::Byte | Type::USInt => vec![u8::try_from(whole()?).ok()?],
        Type::SInt => i8::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::Word | Type::UInt => u16::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::Int => i16::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::DWord | Type::UDInt => u32::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::DInt => i32::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::ULInt => u64::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::LInt => i64::try_from(whole()?).ok()?.to_be_bytes().to_vec(),
        Type::Real => single(value)?.to_be_bytes().to_vec(),
        Type::LReal => match value {
            Value::F64(f) if f.is_finite() => f.to_be_bytes().to_vec(),
            _ => return None,
        },
        _ => return None,
    })
}

/// Turns the controller's return code into what it means.
pub(super) fn outcome(code: u8, written: &WriteItem) -> Result<(), DriverError> {
    match code {
        super::frame::ITEM_GOOD => Ok(()),
        code => Err(errors::item(code, &written.covers)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::parse_point;
    use super::super::frame::{message, write, written};
    use super::*;

    const LIMITS: Limits = Limits { pdu_bytes: 240 };

    fn made(address: &str, value: Value) -> Result<WriteItem, DriverError> {
        item(&parse_point(address).unwrap(), &value, LIMITS)
    }

    /// A write of DB1.DBW0 := 0x1234 and of DB1.DBX4.2 := 1 as Wireshark's captures show them.
    #[test]
    fn a_job_is_as_captures_print_it() {
        let word = made("DB1.DBW0:WORD", Value::U64(0x1234)).unwrap();
        let want = [
            0x03, 0x00, 0x00, 0x25, 0x02, 0xF0, 0x80, 0x32, 0x01, 0x00, 0x00, 0x00, 0x07, 0x00,
            0x0E, 0x00, 0x06, 0x05, 0x01, 0x12, 0x0A, 0x10, 0x02, 0x00, 0x02, 0x00, 0x01, 0x84,
            0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x10, 0x12, 0x34,
        ];
        assert_eq!(write(7, &word), want);
        let bit = made("DB1.DBX4.2", Value::Bool(true)).unwrap();
        let bytes = write(7, &bit);
        assert_eq!(
            &bytes[22..],
            [0x01, 0x00, 0x01, 0x00, 0x01, 0x84, 0x00, 0x00, 0x22, 0x00, 0x03, 0x00, 0x01, 0x01,]
        );
    }

    #[test]
    fn the_return_code_is_read_and_nothing_else() {
        let answer = |code: u8| {
            let bytes =
                [3, 0, 0, 22, 2, 0xF0, 0x80, 0x32, 3, 0, 0, 0, 7, 0, 2, 0, 1, 0, 0, 5, 1, code];
            let joined = message(&bytes, 300).unwrap().unwrap();
            written(&joined, 7).map(|refused| refused.unwrap())
        };
        assert_eq!(answer(0xFF), Ok(0xFF));
        assert_eq!(answer(0x05), Ok(0x05));
        let word = made("DB1.DBW0:WORD", Value::U64(1)).unwrap();
        assert!(outcome(0xFF, &word).is_ok() && outcome(0x05, &word).is_err());
    }

    #[test]
    fn what_is_never_written_is_refused() {
        assert!(made("DB1.DBW0:INT", Value::U64(40_000)).is_err());
        assert!(made("DB1.DBD0:REAL", Value::F64(0.1)).is_err(), "not exactly a binary32");
        assert!(made("QW4", Value::U64(1)).is_err());
        assert!(made("T5", Value::U64(1)).is_err());
        assert!(made("DB1.DBX0.0", Value::U64(1)).is_err());
        assert_eq!(made("DB1.DBD0:REAL", Value::F64(2.5)).unwrap().data, [0x40, 0x20, 0, 0]);
        assert_eq!(made("MW10:INT", Value::I64(-2)).unwrap().data, [0xFF, 0xFE]);
    }
}
