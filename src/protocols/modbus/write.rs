//! Writes: one value to one request, and its echo. Function codes 5, 6, 15 and 16.

use super::address::{Area, Point, Shape};
use super::frame::{BadFrame, FRAME_BYTES_MAX, Wrap, crc16};
use super::plan::Request;
use crate::driver::{DriverError, ErrorKind};
use crate::model::Value;
use crate::net::registers;

/// A write carries 123 registers (Modbus V1.1b3, 6.12).
const REGISTERS_MAX: u16 = 123;
/// A write carries 1968 bits (Modbus V1.1b3, 6.11).
const BITS_MAX: u16 = 1968;
/// An exception sets the top bit of the function code (Modbus V1.1b3, 7).
const EXCEPTION: u8 = 0x80;

/// A whole answer to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    Done,
    /// The device's exception code.
    Exception(u8),
}

/// One write, ready to be wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    /// What it covers, for messages.
    pub(super) covers: Request,
    pdu: Vec<u8>,
    echo: [u8; 5],
}

impl Write {
    /// Makes the one request that writes a value.
    pub(super) fn new(point: &Point, value: &Value) -> Result<Self, DriverError> {
        let Point { unit, area, start, width, shape, order } = *point;
        let misfit = || {
            DriverError::new(ErrorKind::Settings, "the value is none of the tag's type")
                .hint("request it again with a value of the type that tag_find shows")
        };
        let covers = Request { unit, area, start, count: width };
        match (area, shape) {
            (Area::Input | Area::Discrete, _) => Err(refuse("a device only reads this table")),
            (_, Shape::BitOf(_)) => {
                Err(refuse("one bit of a register can't be written without its neighbours"))
            }
            (Area::Coil, Shape::Bit) => {
                let Value::Bool(on) = value else { return Err(misfit()) };
                // On is FF00, off 0000 (Modbus V1.1b3, 6.5).
                Ok(Self::single(covers, 0x05, if *on { 0xFF00 } else { 0 }))
            }
            (Area::Coil, _) => {
                let bits = bits(value).ok_or_else(misfit)?;
                within(bits.len(), width, BITS_MAX)?;
                let bytes: Vec<u8> = bits
                    .chunks(8)
                    .map(|eight| {
                        let set = eight.iter().enumerate().filter(|(_, on)| **on);
                        set.fold(0, |byte, (nth, _)| byte | 1 << nth)
                    })
                    .collect();
                Ok(Self::several(covers, 0x0F, &bytes))
            }
            (Area::Holding, _) => {
                let words = match shape {
                    Shape::Number(decode) => registers::of_number(value, decode, order),
                    Shape::Numbers(decode, _) => registers::of_numbers(value, decode, order),
                    Shape::Text(bytes) => registers::of_text(value, bytes, order),
                    Shape::Bit | Shape::Bits(_) | Shape::BitOf(_) => None,
                };
                let words = words.ok_or_else(misfit)?;
                within(words.len(), width, REGISTERS_MAX)?;
                match words.as_slice() {
                    [word] => Ok(Self::single(covers, 0x06, *word)),
                    words => {
                        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
                        Ok(Self::several(covers, 0x10, &bytes))
                    }
                }
            }
        }
    }

    fn single(covers: Request, function: u8, word: u16) -> Self {
        let [a0, a1] = covers.start.to_be_bytes();
        let [w0, w1] = word.to_be_bytes();
        let echo = [function, a0, a1, w0, w1];
        Self { covers, pdu: echo.to_vec(), echo }
    }

    fn several(covers: Request, function: u8, data: &[u8]) -> Self {
        let [a0, a1] = covers.start.to_be_bytes();
        let [c0, c1] = covers.count.to_be_bytes();
        let echo = [function, a0, a1, c0, c1];
        // At most 246 bytes, by the limits above.
        let bytes = u8::try_from(data.len()).unwrap_or(u8::MAX);
        Self { covers, pdu: [&echo[..], &[bytes], data].concat(), echo }
    }

    /// Writes the request.
    pub(super) fn encode(&self, wrap: Wrap) -> Vec<u8> {
        wrapped(wrap, self.covers.unit.0, &self.pdu)
    }

    /// Gives the bytes that go over the line both ways, for how long it takes.
    pub(super) fn line_bytes(&self) -> usize {
        (self.pdu.len() + self.echo.len() + 6).min(FRAME_BYTES_MAX)
    }

    /// Reads what has come so far; nothing while a whole answer may still come.
    pub(super) fn decode(&self, wrap: Wrap, came: &[u8]) -> Result<Option<Echo>, BadFrame> {
        let unit = self.covers.unit.0;
        let echo = wrapped(wrap, unit, &self.echo);
        let [function, ..] = self.echo;
        let code_at = if wrap == Wrap::Rtu { 2 } else { 8 };
        let code = came.get(code_at).copied().unwrap_or_default();
        let exception = wrapped(wrap, unit, &[function | EXCEPTION, code]);
        for (frame, answer) in [(echo, Echo::Done), (exception, Echo::Exception(code))] {
            if came.len() > frame.len() && came.starts_with(&frame) {
                return Err(BadFrame::Trailing);
            }
            if came == frame {
                return Ok(Some(answer));
            }
            if frame.starts_with(came) {
                return Ok(None);
            }
        }
        // The code of an exception is any byte, so a frame that waits for it may be one.
        Err(BadFrame::Echo)
    }
}

fn refuse(what: &str) -> DriverError {
    DriverError::new(ErrorKind::Unsupported, what)
        .hint("write whole holding registers or coils; ask the integrator for a word of its own")
}

fn within(count: usize, width: u16, max: u16) -> Result<(), DriverError> {
    if count == usize::from(width) && width <= max {
        return Ok(());
    }
    let what = format!("{count} elements can't be written in one message");
    Err(DriverError::new(ErrorKind::Settings, what).hint(format!("at most {max} at once")))
}

fn bits(value: &Value) -> Option<Vec<bool>> {
    let Value::List(items) = value else { return None };
    items.iter().map(|item| if let Value::Bool(on) = item { Some(*on) } else { None }).collect()
}

fn wrapped(wrap: Wrap, unit: u8, pdu: &[u8]) -> Vec<u8> {
    match wrap {
        Wrap::Tcp(transaction) => {
            let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX);
            [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit], pdu].concat()
        }
        Wrap::Rtu => {
            let mut frame = [&[unit], pdu].concat();
            let crc = crc16(&frame);
            frame.extend(crc.to_le_bytes());
            frame
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{DataType, Tag, UnitId};

    fn write(address: &str, kind: &str, value: Value) -> Result<Write, DriverError> {
        let mut tag = Tag::new("t", "e", address);
        tag.unit = UnitId(17);
        tag.data_type = DataType::parse(kind).unwrap();
        let tag = Arc::new(tag);
        Write::new(&super::super::address::resolve(&tag).unwrap(), &value)
    }

    /// Modbus V1.1b3, 6.5, 6.6, 6.11 and 6.12 as printed there.
    #[test]
    fn requests_are_as_the_standard_prints_them() {
        let pdu =
            |address: &str, kind: &str, value: Value| write(address, kind, value).unwrap().pdu;
        assert_eq!(pdu("coil:172", "bool", Value::Bool(true)), [0x05, 0x00, 0xAC, 0xFF, 0x00]);
        assert_eq!(pdu("holding:1", "uint16", Value::U64(3)), [0x06, 0x00, 0x01, 0x00, 0x03]);
        let on = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0].map(|bit| Value::Bool(bit == 1));
        assert_eq!(
            pdu("coil:19", "bool[10]", Value::list(on)),
            [0x0F, 0x00, 0x13, 0x00, 0x0A, 0x02, 0xCD, 0x01]
        );
        let words = Value::list([Value::U64(0x000A), Value::U64(0x0102)]);
        assert_eq!(
            pdu("holding:1", "uint16[2]", words),
            [0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A, 0x01, 0x02]
        );
    }

    #[test]
    fn what_can_not_be_written_whole_is_refused() {
        assert!(write("input:1", "uint16", Value::U64(1)).is_err());
        assert!(write("discrete:1", "bool", Value::Bool(true)).is_err());
        assert!(write("holding:1.3", "bool", Value::Bool(true)).is_err());
        assert!(write("holding:1", "uint16", Value::U64(65_536)).is_err());
        assert!(write("holding:1", "uint16[124]", Value::list((0..124).map(Value::U64))).is_err());
        assert!(write("holding:1", "uint16[2]", Value::list([Value::U64(1)])).is_err());
    }

    #[test]
    fn only_the_echo_or_an_exception_of_this_very_write_is_an_answer() {
        let write = write("holding:1", "uint16", Value::U64(3)).unwrap();
        for wrap in [Wrap::Tcp(9), Wrap::Rtu] {
            let good = wrapped(wrap, 17, &[6, 0, 1, 0, 3]);
            for end in 0..good.len() {
                assert_eq!(write.decode(wrap, &good[..end]), Ok(None), "{end}");
            }
            assert_eq!(write.decode(wrap, &good), Ok(Some(Echo::Done)));
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 0x10;
                assert!(!matches!(write.decode(wrap, &bad), Ok(Some(Echo::Done))), "{at}");
            }
            let refused = wrapped(wrap, 17, &[0x86, 2]);
            assert_eq!(write.decode(wrap, &refused), Ok(Some(Echo::Exception(2))));
            assert_eq!(write.decode(wrap, &[good, vec![0]].concat()), Err(BadFrame::Trailing));
        }
    }
}
