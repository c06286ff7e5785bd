//! 3E frames, binary: requests to bytes, bytes to answers. Pure.
//!
//! The bytes stand as the SLMP Reference Manual prints them (chapters 4 and 5). Nothing is
//! allocated before the length has been held against what was asked.

use super::device::{Device, Holds};
use super::plan::{Access, width_max};
use super::settings::{Model, Route};
use crate::driver::BlockData;

/// Subheader of a request.
const REQUEST: [u8; 2] = [0x50, 0x00];
/// Subheader of an answer.
const ANSWER: [u8; 2] = [0xD0, 0x00];
/// The subheader of an answer in ASCII code: the characters `D000`.
const ANSWER_ASCII: &[u8; 4] = b"D000";
/// Subheader, route, length.
const HEAD_BYTES: usize = 9;
/// What follows an end code at most: route, command and subcommand, and what modules add.
const ERROR_BYTES_MAX: usize = 64;
/// The name of a CPU (0101), padded with spaces.
const CPU_NAME_BYTES: usize = 16;

/// Batch read.
const BATCH_READ: u16 = 0x0401;
/// Random read.
const RANDOM_READ: u16 = 0x0403;
/// Batch write.
#[cfg(feature = "writes")]
const BATCH_WRITE: u16 = 0x1401;
/// Read CPU model name.
const READ_CPU: u16 = 0x0101;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// So many words or bits from a number on, whichever the device holds.
    Batch { device: Device, start: u32, count: u32 },
    /// Words, then pairs of words.
    Random { words: Vec<(Device, u32)>, doubles: Vec<(Device, u32)> },
    /// The model's name and code.
    Cpu,
    /// These words from a number on.
    #[cfg(feature = "writes")]
    Write { device: Device, start: u32, words: Vec<u16> },
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// To a batch read.
    Block(BlockData),
    /// To a random read: the words, then the pairs, the low word first.
    Points { words: Vec<u16>, doubles: Vec<[u16; 2]> },
    /// To the question for the model.
    Cpu { name: String, code: u16 },
    /// To a write.
    #[cfg(feature = "writes")]
    Written,
    /// The controller refused it.
    EndCode(u16),
}

/// Why bytes are no answer to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("the answer is in ASCII code, and this collector speaks binary code")]
    Ascii,
    #[error("the answer does not begin as a 3E frame in binary code does")]
    Subheader,
    #[error("the answer comes from another station than was asked")]
    Route,
    #[error("the answer's length does not fit what was asked")]
    Length,
    #[error("more came than one answer")]
    Surplus,
    #[error("the model's name is no text")]
    Name,
}

/// Puts a random read together from the points its values take.
pub(super) fn random(points: impl IntoIterator<Item = Access>) -> Request {
    let (mut words, mut doubles) = (Vec::new(), Vec::new());
    for point in points {
        match point {
            Access::Word { device, number } => words.push((device, number)),
            Access::Double { device, number } => doubles.push((device, number)),
        }
    }
    Request::Random { words, doubles }
}

fn put_device(out: &mut Vec<u8>, model: Option<Model>, device: Device, number: u32) {
    let code = device.code();
    if model == Some(Model::IqR) {
        out.extend(number.to_le_bytes());
        out.extend(u16::from(code).to_le_bytes());
    } else {
        let [low, middle, high, _] = number.to_le_bytes();
        out.extend([low, middle, high, code]);
    }
}

/// Counts a list that the planner keeps within one byte.
fn count_byte(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

fn body(request: &Request, model: Option<Model>) -> (u16, u16, Vec<u8>) {
    let long = if model == Some(Model::IqR) { 2 } else { 0 };
    let mut out = Vec::new();
    match request {
        Request::Batch { device, start, count } => {
            put_device(&mut out, model, *device, *start);
            out.extend(u16::try_from(*count).unwrap_or(u16::MAX).to_le_bytes());
            (BATCH_READ, long + u16::from(device.holds() == Holds::Bits), out)
        }
        Request::Random { words, doubles } => {
            out.extend([count_byte(words.len()), count_byte(doubles.len())]);
            for (device, number) in words.iter().chain(doubles) {
                put_device(&mut out, model, *device, *number);
            }
            (RANDOM_READ, long, out)
        }
        Request::Cpu => (READ_CPU, 0, out),
        #[cfg(feature = "writes")]
        Request::Write { device, start, words } => {
            put_device(&mut out, model, *device, *start);
            out.extend(u16::try_from(words.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            (BATCH_WRITE, long, out)
        }
    }
}

/// Writes a request. `timer` is how long the controller may work at it, in 250 ms.
pub(super) fn encode(request: &Request, model: Option<Model>, route: Route, timer: u16) -> Vec<u8> {
    let (command, subcommand, data) = body(request, model);
    let length = u16::try_from(data.len() + 6).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(HEAD_BYTES + 6 + data.len());
    out.extend(REQUEST);
    out.extend(route_bytes(route));
    out.extend(length.to_le_bytes());
    out.extend(timer.to_le_bytes());
    out.extend(command.to_le_bytes());
    out.extend(subcommand.to_le_bytes());
    out.extend(data);
    out
}

fn route_bytes(route: Route) -> [u8; 5] {
    let [low, high] = route.module_io.to_le_bytes();
    [route.network, route.pc, low, high, route.station]
}

/// Gives the bytes that the data of a good answer has.
fn data_bytes(request: &Request) -> usize {
    match request {
        Request::Batch { device, count, .. } => {
            let count = usize::try_from((*count).min(width_max(*device))).unwrap_or_default();
            match device.holds() {
                Holds::Words => count * 2,
                // Two bits a byte, the first in the high half.
                Holds::Bits => count.div_ceil(2),
            }
        }
        Request::Random { words, doubles } => words.len() * 2 + doubles.len() * 4,
        Request::Cpu => CPU_NAME_BYTES + 2,
        #[cfg(feature = "writes")]
        Request::Write { .. } => 0,
    }
}

/// Reads an answer; `None` while more bytes are needed.
///
/// # Errors
/// The bytes are no answer to this request.
pub(super) fn decode(
    request: &Request,
    route: Route,
    came: &[u8],
) -> Result<Option<Answer>, BadFrame> {
    if came.get(..4) == Some(ANSWER_ASCII) {
        return Err(BadFrame::Ascii);
    }
    let begins = |with: &[u8]| came.iter().zip(with).all(|(got, want)| got == want);
    if !begins(&ANSWER) {
        // The first characters of an answer in ASCII code: wait for the rest of them.
        let may_be_ascii = came.len() < 4 && begins(ANSWER_ASCII);
        return if may_be_ascii { Ok(None) } else { Err(BadFrame::Subheader) };
    }
    let Some((head, rest)) = came.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [_, _, route_got @ .., low, high] = head;
    if *route_got != route_bytes(route) {
        return Err(BadFrame::Route);
    }
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    if length < 2 || length > 2 + data_bytes(request).max(ERROR_BYTES_MAX) {
        return Err(BadFrame::Length);
    }
    if rest.len() < length {
        return Ok(None);
    }
    if rest.len() > length {
        return Err(BadFrame::Surplus);
    }
    let Some((end, data)) = rest.split_first_chunk::<2>() else { return Err(BadFrame::Length) };
    match u16::from_le_bytes(*end) {
        0 if data.len() == data_bytes(request) => answer(request, data).map(Some),
        0 => Err(BadFrame::Length),
        code => Ok(Some(Answer::EndCode(code))),
    }
}

fn words(data: &[u8]) -> Vec<u16> {
    let (pairs, _) = data.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
}

fn answer(request: &Request, data: &[u8]) -> Result<Answer, BadFrame> {
    match request {
        Request::Batch { device, count, .. } => Ok(Answer::Block(match device.holds() {
            Holds::Words => BlockData::Registers(words(data).into()),
            Holds::Bits => {
                let count = usize::try_from(*count).unwrap_or_default();
                let bits = data.iter().flat_map(|byte| [byte >> 4 & 1 == 1, byte & 1 == 1]);
                BlockData::Bits(bits.take(count).collect())
            }
        })),
        Request::Random { words: wanted, .. } => {
            let (single, double) =
                data.split_at_checked(wanted.len() * 2).ok_or(BadFrame::Length)?;
            let (pairs, _) = double.as_chunks::<4>();
            let pair = |[a, b, c, d]: &[u8; 4]| {
                [u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])]
            };
            Ok(Answer::Points { words: words(single), doubles: pairs.iter().map(pair).collect() })
        }
        Request::Cpu => {
            let (name, code) = data.split_at_checked(CPU_NAME_BYTES).ok_or(BadFrame::Length)?;
            let name = std::str::from_utf8(name).map_err(|_| BadFrame::Name)?;
            let code = code.first_chunk::<2>().ok_or(BadFrame::Length)?;
            let name = name.trim_end_matches(['\0', ' ']).to_owned();
            Ok(Answer::Cpu { name, code: u16::from_le_bytes(*code) })
        }
        #[cfg(feature = "writes")]
        Request::Write { .. } => Ok(Answer::Written),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Route = Route { network: 0, pc: 0xFF, module_io: 0x03FF, station: 0 };

    fn device(name: &str) -> Device {
        Device::of_name(name).unwrap()
    }

    fn batch(name: &str, start: u32, count: u32) -> Request {
        Request::Batch { device: device(name), start, count }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: String = hex.split_whitespace().collect();
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn requests_are_as_the_manual_prints_them() {
        // Three words from D100; two words in long form from the same.
        let d100 = encode(&batch("D", 100, 3), Some(Model::Q), OWN, 4);
        assert_eq!(d100, bytes("5000 00FFFF0300 0C00 0400 0104 0000 640000A8 0300"));
        let long = encode(&batch("D", 100, 2), Some(Model::IqR), OWN, 4);
        assert_eq!(long, bytes("5000 00FFFF0300 0E00 0400 0104 0200 64000000A800 0200"));
        let m100 = encode(&batch("M", 100, 8), None, OWN, 16);
        assert_eq!(m100, bytes("5000 00FFFF0300 0C00 1000 0104 0100 64000090 0800"));
        let apart = random([
            Access::Word { device: device("D"), number: 0 },
            Access::Double { device: device("D"), number: 1500 },
            Access::Word { device: device("M"), number: 96 },
        ]);
        assert_eq!(
            encode(&apart, None, OWN, 4),
            bytes("5000 00FFFF0300 1400 0400 0304 0000 0201 000000A8 60000090 DC0500A8")
        );
        assert_eq!(
            encode(&Request::Cpu, None, OWN, 4),
            bytes("5000 00FFFF0300 0600 0400 0101 0000")
        );
    }

    #[test]
    fn answers_come_out_as_they_were_sent_in_any_pieces() {
        let words = bytes("D000 00FFFF0300 0800 0000 3412 0200 EF1D");
        let asked = batch("D", 100, 3);
        let want = Answer::Block(BlockData::Registers([0x1234, 2, 0x1DEF].into()));
        assert_eq!(decode(&asked, OWN, &words), Ok(Some(want)));
        for end in 0..words.len() {
            assert_eq!(decode(&asked, OWN, &words[..end]), Ok(None), "{end}");
        }
        let bits = bytes("D000 00FFFF0300 0400 0000 1001");
        let want = Answer::Block(BlockData::Bits([true, false, false].into()));
        assert_eq!(decode(&batch("M", 0, 3), OWN, &bits), Ok(Some(want)));
        let cpu = bytes("D000 00FFFF0300 1400 0000 5130335544564350552020202020202066 03");
        let want = Answer::Cpu { name: "Q03UDVCPU".into(), code: 0x0366 };
        assert_eq!(decode(&Request::Cpu, OWN, &cpu), Ok(Some(want)));
        let apart =
            Request::Random { words: vec![(device("D"), 0)], doubles: vec![(device("D"), 4)] };
        let points = bytes("D000 00FFFF0300 0800 0000 0500 0100 0200");
        let want = Answer::Points { words: vec![5], doubles: vec![[1, 2]] };
        assert_eq!(decode(&apart, OWN, &points), Ok(Some(want)));
    }

    #[test]
    fn a_short_answer_is_an_error_and_never_zeros() {
        let asked = batch("D", 0, 2);
        for (hex, bad) in [
            ("D000 00FFFF0300 0200 0000", BadFrame::Length),
            ("D000 00FFFF0300 0300 0000 00", BadFrame::Length),
            ("D000 00FFFF0300 0400 0000 0000", BadFrame::Length),
            ("D000 00FFFF0300 0100 00", BadFrame::Length),
            ("D000 00FFFF0300 FFFF 0000", BadFrame::Length),
            ("D000 00FFFF0300 0600 0000 0100 0200 00", BadFrame::Surplus),
            ("D000 01FFFF0300 0600 0000 0100 0200", BadFrame::Route),
            ("D400 0000", BadFrame::Subheader),
            ("44303030 3030", BadFrame::Ascii),
            ("00", BadFrame::Subheader),
        ] {
            assert_eq!(decode(&asked, OWN, &bytes(hex)), Err(bad), "{hex}");
        }
        let refused = bytes("D000 00FFFF0300 0B00 56C0 00FFFF0300 0104 0000");
        assert_eq!(decode(&asked, OWN, &refused), Ok(Some(Answer::EndCode(0xC056))));
    }

    /// A small generator of our own, so that a failing case can be named by its number.
    fn next(state: &mut u64) -> u64 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn ten_thousand_damaged_answers_are_errors_or_whole_values() {
        let cases = [
            (batch("D", 0, 4), bytes("D000 00FFFF0300 0A00 0000 0100 0200 0300 0400")),
            (batch("M", 0, 5), bytes("D000 00FFFF0300 0500 0000 100110")),
            (
                Request::Cpu,
                bytes("D000 00FFFF0300 1400 0000 5130335544564350552020202020202066 03"),
            ),
        ];
        let mut state = 7;
        for round in 0..10_000 {
            let (request, good) = &cases[round % cases.len()];
            let mut came = good.clone();
            for _ in 0..=next(&mut state) % 3 {
                let at = usize::try_from(next(&mut state)).unwrap() % came.len();
                match next(&mut state) % 4 {
                    0 => came[at] ^= 1 << (next(&mut state) % 8),
                    1 => came.truncate(at.max(1)),
                    2 => came.push(0),
                    _ => came[at] = u8::try_from(next(&mut state) % 256).unwrap(),
                }
            }
            if let Ok(Some(Answer::Block(data))) = decode(request, OWN, &came) {
                let Request::Batch { count, .. } = request else { panic!("{round}") };
                assert_eq!(data.count(), usize::try_from(*count).unwrap(), "{round}");
                assert_eq!(came.len(), good.len(), "{round}");
            }
        }
    }
}
