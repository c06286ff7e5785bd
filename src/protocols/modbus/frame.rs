//! Frames: a request to bytes, bytes to an answer. Pure, and strict in every build.

use super::address::Area;
use super::plan::Request;
use crate::driver::BlockData;

/// The MBAP header: transaction, protocol, length, unit (Modbus TCP V1.0b, 3.1.3).
const MBAP_BYTES: usize = 7;
/// The largest frame on TCP: 7 of MBAP and 253 of PDU (Modbus TCP V1.0b, 4.1).
pub(super) const FRAME_BYTES_MAX: usize = 260;
/// An exception sets the top bit of the function code (Modbus V1.1b3, 7).
const EXCEPTION: u8 = 0x80;

/// How a PDU is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrap {
    /// MBAP, with the transaction's id.
    Tcp(u16),
    /// Unit and CRC.
    Rtu,
}

/// A whole answer to what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Data(BlockData),
    /// The device's exception code.
    Exception(u8),
}

/// What makes bytes no answer to what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("it carries transaction {got}, not {asked}")]
    Transaction { got: u16, asked: u16 },
    #[error("its protocol id is {0}, not 0")]
    ProtocolId(u16),
    #[error("its length field is {got}, not {asked}")]
    Length { got: u16, asked: u16 },
    #[error("it comes from unit {got}")]
    Unit { got: u8 },
    #[error("its function code is {got}, not {asked}")]
    Function { got: u8, asked: u8 },
    #[error("it announces {got} data bytes, not {asked}")]
    ByteCount { got: u8, asked: u8 },
    #[error("its CRC does not match")]
    Crc,
    #[error("more bytes follow it than belong to it")]
    Trailing,
    #[cfg(feature = "writes")]
    #[error("it is no echo of what was written")]
    Echo,
}

/// Gives the bytes of data that answer a request: at most 250, within its one-byte count.
fn data_bytes(request: &Request) -> u8 {
    let bytes = if request.area.has_bits() { request.count.div_ceil(8) } else { request.count * 2 };
    u8::try_from(bytes).expect("the planner and the block check keep the limits")
}

/// Gives the bytes of the whole answer as it should come.
pub(super) fn answer_bytes(wrap: Wrap, request: &Request) -> usize {
    let data = usize::from(data_bytes(request));
    match wrap {
        Wrap::Tcp(_) => MBAP_BYTES + 2 + data,
        Wrap::Rtu => 3 + data + 2,
    }
}

/// Writes a request.
pub(super) fn encode(wrap: Wrap, request: &Request) -> Vec<u8> {
    let [start_hi, start_lo] = request.start.to_be_bytes();
    let [count_hi, count_lo] = request.count.to_be_bytes();
    let function = request.area.function();
    let pdu = [function, start_hi, start_lo, count_hi, count_lo];
    let mut frame = Vec::with_capacity(MBAP_BYTES + pdu.len());
    if let Wrap::Tcp(transaction) = wrap {
        frame.extend(transaction.to_be_bytes());
        // Protocol 0, then the length: the unit and five bytes of PDU.
        frame.extend([0, 0, 0, 6]);
    }
    frame.push(request.unit.0);
    frame.extend(pdu);
    if wrap == Wrap::Rtu {
        let crc = crc16(&frame);
        frame.extend(crc.to_le_bytes());
    }
    frame
}

/// Reads what has come so far; nothing while a whole answer may still come.
///
/// Each field is held against the request as soon as it is there, so that a stranger's frame is
/// not waited for.
pub(super) fn decode(
    wrap: Wrap,
    request: &Request,
    bytes: &[u8],
) -> Result<Option<Answer>, BadFrame> {
    let body_at = match wrap {
        Wrap::Tcp(transaction) => {
            check_mbap(transaction, request, bytes)?;
            MBAP_BYTES - 1
        }
        Wrap::Rtu => 0,
    };
    let Some(body) = bytes.get(body_at..) else { return Ok(None) };
    let asked = request.area.function();
    let data_len = data_bytes(request);
    if let Some(&got) = body.first()
        && got != request.unit.0
    {
        return Err(BadFrame::Unit { got });
    }
    let Some(&function) = body.get(1) else { return Ok(None) };
    let exception = function == asked | EXCEPTION;
    if !exception && function != asked {
        return Err(BadFrame::Function { got: function, asked });
    }
    let Some(&third) = body.get(2) else { return Ok(None) };
    if !exception && third != data_len {
        return Err(BadFrame::ByteCount { got: third, asked: data_len });
    }
    let end = if exception { 3 } else { 3 + usize::from(data_len) };
    check_length_field(wrap, bytes, end)?;
    let whole = if wrap == Wrap::Rtu { end + 2 } else { end };
    let Some(frame) = body.get(..whole) else { return Ok(None) };
    if body.len() > whole {
        return Err(BadFrame::Trailing);
    }
    // The CRC of a frame with its own CRC at the end is 0 (Modbus over Serial Line V1.02, 6.2.2).
    if wrap == Wrap::Rtu && crc16(frame) != 0 {
        return Err(BadFrame::Crc);
    }
    let data = frame.get(3..end).unwrap_or_default();
    Ok(Some(if exception { Answer::Exception(third) } else { Answer::Data(block(request, data)) }))
}

/// Holds the header of a TCP answer against its request, as far as it has come.
fn check_mbap(transaction: u16, request: &Request, bytes: &[u8]) -> Result<(), BadFrame> {
    if let Some(got) = word_at(bytes, 0)
        && got != transaction
    {
        return Err(BadFrame::Transaction { got, asked: transaction });
    }
    if let Some(protocol) = word_at(bytes, 2)
        && protocol != 0
    {
        return Err(BadFrame::ProtocolId(protocol));
    }
    // An exception is three bytes, data its count and three more: nothing else is worth a wait.
    let asked = u16::from(data_bytes(request)) + 3;
    match word_at(bytes, 4) {
        Some(got) if got != asked && got != 3 => Err(BadFrame::Length { got, asked }),
        _ => Ok(()),
    }
}

/// Holds the length field against what the function code says is to come.
fn check_length_field(wrap: Wrap, bytes: &[u8], end: usize) -> Result<(), BadFrame> {
    let asked = u16::try_from(end).expect("a body is at most 253 bytes");
    match (wrap, word_at(bytes, 4)) {
        (Wrap::Tcp(_), Some(got)) if got != asked => Err(BadFrame::Length { got, asked }),
        _ => Ok(()),
    }
}

fn word_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Turns data of the right length into registers or bits.
fn block(request: &Request, data: &[u8]) -> BlockData {
    match request.area {
        Area::Holding | Area::Input => BlockData::Registers(
            data.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect(),
        ),
        // The first bit is the least significant of the first byte (Modbus V1.1b3, 6.1).
        Area::Coil | Area::Discrete => BlockData::Bits(
            data.iter()
                .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
                .take(usize::from(request.count))
                .collect(),
        ),
    }
}

/// Computes the CRC of a serial frame (Modbus over Serial Line V1.02, 6.2.2); low byte first.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::UnitId;

    const ASKED: Request = Request { unit: UnitId(17), area: Area::Holding, start: 107, count: 3 };
    const TCP: Wrap = Wrap::Tcp(0x0102);

    /// The example of the application protocol, V1.1b3, 6.3, behind an MBAP header.
    const ANSWER: [u8; 15] = [1, 2, 0, 0, 0, 9, 17, 3, 6, 0x02, 0x2B, 0x00, 0x00, 0x00, 0x64];

    fn changed(at: usize, byte: u8) -> Result<Option<Answer>, BadFrame> {
        let mut bytes = ANSWER;
        bytes[at] = byte;
        decode(TCP, &ASKED, &bytes)
    }

    fn rtu(body: &[u8]) -> Vec<u8> {
        [body, &crc16(body).to_le_bytes()].concat()
    }

    #[test]
    fn a_request_is_written_as_the_standard_prints_it() {
        let body = [17, 3, 0x00, 0x6B, 0x00, 0x03];
        assert_eq!(encode(TCP, &ASKED), [&[1, 2, 0, 0, 0, 6][..], &body].concat());
        // The CRC of this very frame stands in many manuals: 76 87.
        assert_eq!(encode(Wrap::Rtu, &ASKED), [&body[..], &[0x76, 0x87]].concat());
    }

    #[test]
    fn a_whole_answer_is_read_and_each_shorter_one_awaited() {
        let data = BlockData::Registers([0x022B, 0, 0x64].into());
        assert_eq!(decode(TCP, &ASKED, &ANSWER), Ok(Some(Answer::Data(data.clone()))));
        let serial = rtu(&ANSWER[6..]);
        assert_eq!(decode(Wrap::Rtu, &ASKED, &serial), Ok(Some(Answer::Data(data))));
        for end in 0..ANSWER.len() {
            assert_eq!(decode(TCP, &ASKED, &ANSWER[..end]), Ok(None), "{end}");
        }
        for end in 0..serial.len() {
            assert_eq!(decode(Wrap::Rtu, &ASKED, &serial[..end]), Ok(None), "{end}");
        }
        assert_eq!(answer_bytes(TCP, &ASKED), ANSWER.len());
        assert_eq!(answer_bytes(Wrap::Rtu, &ASKED), serial.len());
    }

    #[test]
    fn bits_come_least_significant_first_and_padding_is_dropped() {
        // V1.1b3, 6.1: coils 20..38, 19 of them.
        let asked = Request { unit: UnitId(1), area: Area::Coil, start: 19, count: 19 };
        let bytes = rtu(&[1, 1, 3, 0xCD, 0x6B, 0x05]);
        let Ok(Some(Answer::Data(BlockData::Bits(bits)))) = decode(Wrap::Rtu, &asked, &bytes)
        else {
            panic!()
        };
        let shown: String = bits.iter().map(|b| if *b { '1' } else { '0' }).collect();
        assert_eq!(shown, "1011001111010110101");
    }

    #[test]
    fn each_field_that_is_not_as_asked_makes_a_bad_frame() {
        let transaction = BadFrame::Transaction { got: 0x0103, asked: 0x0102 };
        assert_eq!(changed(1, 3), Err(transaction));
        assert_eq!(changed(3, 1), Err(BadFrame::ProtocolId(1)));
        assert_eq!(changed(5, 8), Err(BadFrame::Length { got: 8, asked: 9 }));
        assert_eq!(changed(6, 18), Err(BadFrame::Unit { got: 18 }));
        assert_eq!(changed(7, 4), Err(BadFrame::Function { got: 4, asked: 3 }));
        assert_eq!(changed(8, 4), Err(BadFrame::ByteCount { got: 4, asked: 6 }));
        // A length field of an exception with the function code of data, and the other way round.
        assert_eq!(changed(5, 3), Err(BadFrame::Length { got: 3, asked: 9 }));
        assert_eq!(changed(7, 0x83), Err(BadFrame::Length { got: 9, asked: 3 }));
        let long = [&ANSWER[..], &[0]].concat();
        assert_eq!(decode(TCP, &ASKED, &long), Err(BadFrame::Trailing));
        let mut serial = rtu(&ANSWER[6..]);
        serial[4] ^= 1;
        assert_eq!(decode(Wrap::Rtu, &ASKED, &serial), Err(BadFrame::Crc));
    }

    #[test]
    fn a_stranger_is_known_by_its_first_bytes() {
        assert!(decode(TCP, &ASKED, b"HT").is_err());
        assert!(decode(Wrap::Rtu, &ASKED, &[0xFF]).is_err());
    }

    #[test]
    fn an_exception_is_an_answer() {
        let bytes = [1, 2, 0, 0, 0, 3, 17, 0x83, 2];
        assert_eq!(decode(TCP, &ASKED, &bytes), Ok(Some(Answer::Exception(2))));
        assert_eq!(decode(Wrap::Rtu, &ASKED, &rtu(&bytes[6..])), Ok(Some(Answer::Exception(2))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_value_of_another_length(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            prefix in 0usize..9,
            count in 1u16..=125,
            wrap in prop::sample::select(vec![TCP, Wrap::Rtu]),
        ) {
            let asked = Request { count, ..ASKED };
            for (byte, right) in bytes.iter_mut().zip(ANSWER).take(prefix) {
                *byte = right;
            }
            if let Ok(Some(Answer::Data(BlockData::Registers(registers)))) =
                decode(wrap, &asked, &bytes)
            {
                prop_assert_eq!(registers.len(), usize::from(count));
                prop_assert_eq!(bytes.len(), answer_bytes(wrap, &asked));
            }
        }
    }
}
