//! Frames: TPKT (RFC 1006), COTP class 0 (ISO 8073), S7 communication. Pure.
//!
//! The bytes stand as captures print them. Nothing is allocated before a length has been held
//! against its limit.

use super::area::{Area, Kind};

/// TPKT header and the shortest COTP header.
const TPKT_BYTES: usize = 4;
/// The longest TPKT there can be: its length is two bytes.
const TPKT_BYTES_MAX: usize = 65_535;
/// A COTP data header.
const DATA_HEAD: [u8; 3] = [0x02, 0xF0, 0x80];
/// S7 protocol id.
const S7: u8 = 0x32;
/// A job, its answer, and what is beside both.
const JOB: u8 = 1;
const ACK: u8 = 2;
const ACK_DATA: u8 = 3;
const USER_DATA: u8 = 7;
/// Functions.
const SETUP: u8 = 0xF0;
const READ_VAR: u8 = 0x04;
/// Bytes of a job's header, and of its answer's with the error in it.
const JOB_HEAD: usize = 10;
const ACK_HEAD: usize = 12;
/// How an item is given: any area by its bytes.
const ITEM_HEAD: [u8; 3] = [0x12, 0x0A, 0x10];
/// Transport sizes of a request.
const BYTES: u8 = 0x02;
const COUNTERS: u8 = 0x1C;
const TIMERS: u8 = 0x1D;
/// An item was read.
pub(super) const ITEM_GOOD: u8 = 0xFF;

/// Why bytes are no answer to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadFrame {
    #[error("what came is no TPKT: nothing there speaks ISO transport over TCP")]
    Tpkt,
    #[error("the transport refused the connection")]
    Refused,
    #[error("the transport ended the connection")]
    Disconnected,
    #[error("the transport's header is none that is due now")]
    Cotp,
    #[error("what came is no S7 message")]
    S7,
    #[error("the answer is to another request")]
    Reference,
    #[error("the answer's length does not fit what was asked")]
    Length,
    #[error("the answer has another number of items than was asked")]
    Items,
    #[error("more came than one answer")]
    Surplus,
}

/// A stretch to be read: bytes, or timers and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) area: Area,
    pub(super) start: u32,
    pub(super) count: u32,
}

impl Item {
    /// Gives the bytes its answer has.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.count * self.area.kind.element_bytes()).unwrap_or(usize::MAX)
    }
}

/// The controller refused a request as a whole: error class and code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16);

/// Wraps an S7 message.
pub(super) fn wrap(message: &[u8]) -> Vec<u8> {
    let length = TPKT_BYTES + DATA_HEAD.len() + message.len();
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    [&[3, 0, high, low][..], &DATA_HEAD, message].concat()
}

/// Writes a connection request: our transport selector and the CPU's.
pub(super) fn connect(tsap: [u8; 2]) -> Vec<u8> {
    let [kind, place] = tsap;
    vec![
        3, 0, 0, 22, 17, 0xE0, 0, 0, 0, 1, 0, // class 0, our reference 1
        0xC0, 1, 0x0A, // transport messages of 1024 bytes
        0xC1, 2, 1, 0, // ours
        0xC2, 2, kind, place,
    ]
}

/// A part and what follows it: a packet and more packets, parameters and data.
type Parts<'a> = (&'a [u8], &'a [u8]);

/// Takes the first TPKT: its contents, and what follows it.
fn tpkt(came: &[u8]) -> Result<Option<Parts<'_>>, BadFrame> {
    if came.first().is_some_and(|version| *version != 3) {
        return Err(BadFrame::Tpkt);
    }
    let Some(([_, _, high, low], _)) = came.split_first_chunk() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length < TPKT_BYTES + 3 {
        return Err(BadFrame::Tpkt);
    }
    match came.split_at_checked(length) {
        Some((packet, rest)) => Ok(Some((packet.get(TPKT_BYTES..).unwrap_or_default(), rest))),
        None => Ok(None),
    }
}

/// Reads the answer to a connection request; `None` while more bytes are needed.
pub(super) fn connected(came: &[u8]) -> Result<Option<()>, BadFrame> {
    let Some((packet, rest)) = tpkt(came)? else { return Ok(None) };
    match packet.get(1) {
        Some(0xD0) if rest.is_empty() => Ok(Some(())),
        Some(0xD0) => Err(BadFrame::Surplus),
        Some(0x80) => Err(BadFrame::Refused),
        _ => Err(BadFrame::Cotp),
    }
}

/// Joins the S7 message out of its transport messages; `None` while more bytes are needed.
pub(super) fn message(came: &[u8], bytes_max: usize) -> Result<Option<Vec<u8>>, BadFrame> {
    let mut joined = Vec::new();
    let mut rest = came;
    loop {
        let Some((packet, after)) = tpkt(rest)? else {
            // The bytes of an answer are bounded, whatever pieces it comes in.
            let may_grow = came.len() <= bytes_max.saturating_mul(2).saturating_add(TPKT_BYTES_MAX);
            return if may_grow { Ok(None) } else { Err(BadFrame::Length) };
        };
        let ([2, kind, end], part) = packet.split_first_chunk().ok_or(BadFrame::Cotp)? else {
            return Err(BadFrame::Cotp);
        };
        match kind {
            0xF0 => {}
            0x80 => return Err(BadFrame::Disconnected),
            _ => return Err(BadFrame::Cotp),
        }
        if joined.len() + part.len() > bytes_max {
            return Err(BadFrame::Length);
        }
        joined.extend_from_slice(part);
        rest = after;
        if end & 0x80 != 0 {
            return if rest.is_empty() { Ok(Some(joined)) } else { Err(BadFrame::Surplus) };
        }
    }
}

fn job(reference: u16, parameters: &[u8], data: &[u8]) -> Vec<u8> {
    let [r0, r1] = reference.to_be_bytes();
    let [p0, p1] = u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes();
    let [d0, d1] = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[S7, JOB, 0, 0, r0, r1, p0, p1, d0, d1][..], parameters, data].concat()
}

/// Writes the set-up of communication: one job in flight, messages of at most that many bytes.
pub(super) fn set_up(reference: u16, pdu_bytes: u16) -> Vec<u8> {
    let [high, low] = pdu_bytes.to_be_bytes();
    wrap(&job(reference, &[SETUP, 0, 0, 1, 0, 1, high, low], &[]))
}

/// Takes the parameters and data out of a job's answer.
fn acknowledged(message: &[u8], reference: u16) -> Result<Result<Parts<'_>, Refusal>, BadFrame> {
    let (head, rest) = message.split_first_chunk::<ACK_HEAD>().ok_or(BadFrame::S7)?;
    let [S7, kind, _, _, r0, r1, p0, p1, d0, d1, class, code] = *head else {
        return Err(BadFrame::S7);
    };
    if ![ACK, ACK_DATA].contains(&kind) {
        return Err(BadFrame::S7);
    }
    if u16::from_be_bytes([r0, r1]) != reference {
        return Err(BadFrame::Reference);
    }
    let error = u16::from_be_bytes([class, code]);
    if error != 0 {
        return Ok(Err(Refusal(error)));
    }
    let parameters = usize::from(u16::from_be_bytes([p0, p1]));
    let data = usize::from(u16::from_be_bytes([d0, d1]));
    if rest.len() != parameters + data {
        return Err(BadFrame::Length);
    }
    rest.split_at_checked(parameters).map(Ok).ok_or(BadFrame::Length)
}

/// Reads how long messages may be.
pub(super) fn granted(message: &[u8], reference: u16) -> Result<Result<u16, Refusal>, BadFrame> {
    let parameters = match acknowledged(message, reference)? {
        Ok((parameters, _)) => parameters,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match parameters {
        [SETUP, _, _, _, _, _, high, low] => Ok(Ok(u16::from_be_bytes([*high, *low]))),
        _ => Err(BadFrame::S7),
    }
}

/// Bytes of a read job with so many items.
pub(super) fn request_bytes(items: usize) -> usize {
    JOB_HEAD + 2 + 12 * items
}

/// Bytes that an item takes in an answer: its head, its data, and a fill byte.
pub(super) fn answer_item_bytes(data: usize) -> usize {
    4 + data + data % 2
}

/// Bytes of an answer before its items.
pub(super) const ANSWER_HEAD: usize = ACK_HEAD + 2;

/// Writes a read of these items.
pub(super) fn read(reference: u16, items: &[Item]) -> Vec<u8> {
    let count = u8::try_from(items.len()).unwrap_or(u8::MAX);
    let mut parameters = vec![READ_VAR, count];
    for Item { area, start, count } in items {
        let (size, address) = match area.kind {
            Kind::Timers => (TIMERS, *start),
            Kind::Counters => (COUNTERS, *start),
            _ => (BYTES, *start * 8),
        };
        let [c0, c1] = u16::try_from(*count).unwrap_or(u16::MAX).to_be_bytes();
        let [b0, b1] = area.block.to_be_bytes();
        let [_, a0, a1, a2] = address.to_be_bytes();
        parameters.extend(ITEM_HEAD);
        parameters.extend([size, c0, c1, b0, b1, area.kind.code(), a0, a1, a2]);
    }
    wrap(&job(reference, &parameters, &[]))
}

/// What came of each item: its bytes, or the controller's return code.
pub(super) type Items = Vec<Result<Vec<u8>, u8>>;

/// Reads the answer to a read: the items in the order asked.
pub(super) fn items(
    message: &[u8],
    reference: u16,
    asked: &[Item],
) -> Result<Result<Items, Refusal>, BadFrame> {
    let (parameters, mut data) = match acknowledged(message, reference)? {
        Ok(parts) => parts,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match parameters {
        [READ_VAR, count] if usize::from(*count) == asked.len() => {}
        [READ_VAR, _] => return Err(BadFrame::Items),
        _ => return Err(BadFrame::S7),
    }
    let mut items = Vec::with_capacity(asked.len());
    for (nth, item) in asked.iter().enumerate() {
        let ([code, size, high, low], rest) = data.split_first_chunk().ok_or(BadFrame::Length)?;
        if *code != ITEM_GOOD {
            items.push(Err(*code));
            data = rest;
            continue;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // Bits, words and integers are counted in bits, the others in bytes.
        let length = if (0x03..=0x05).contains(size) { length.div_ceil(8) } else { length };
        if length != item.bytes() {
            return Err(BadFrame::Length);
        }
        let (bytes, rest) = rest.split_at_checked(length).ok_or(BadFrame::Length)?;
        items.push(Ok(bytes.to_vec()));
        // Items of odd length are filled up, but for the last.
        let fill = usize::from(length % 2 == 1 && nth + 1 < asked.len());
        data = rest.get(fill..).ok_or(BadFrame::Length)?;
    }
    // Some controllers fill up the last item too.
    if data.len() <= 1 { Ok(Ok(items)) } else { Err(BadFrame::Length) }
}

/// Writes the question for a part of the system status list, or for the rest of one.
pub(super) fn status_list(reference: u16, id: u16, index: u16, more: Option<u8>) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    let [x0, x1] = index.to_be_bytes();
    let (parameters, data) = match more {
        None => (vec![0, 1, 0x12, 4, 0x11, 0x44, 1, 0], vec![0xFF, 9, 0, 4, i0, i1, x0, x1]),
        Some(sequence) => {
            (vec![0, 1, 0x12, 8, 0x12, 0x44, 1, sequence, 0, 0, 0, 0], vec![0x0A, 0, 0, 0])
        }
    };
    let mut message = job(reference, &parameters, &data);
    if let Some(kind) = message.get_mut(1) {
        *kind = USER_DATA;
    }
    wrap(&message)
}

/// A part of a system status list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListPart {
    pub(super) data: Vec<u8>,
    /// The number to ask for the rest with, where there is one.
    pub(super) more: Option<u8>,
}

/// Reads a part of a system status list.
pub(super) fn list_part(
    message: &[u8],
    reference: u16,
) -> Result<Result<ListPart, Refusal>, BadFrame> {
    let (head, rest) = message.split_first_chunk::<JOB_HEAD>().ok_or(BadFrame::S7)?;
    let [S7, USER_DATA, _, _, r0, r1, p0, p1, d0, d1] = *head else { return Err(BadFrame::S7) };
    if u16::from_be_bytes([r0, r1]) != reference {
        return Err(BadFrame::Reference);
    }
    let parameters = usize::from(u16::from_be_bytes([p0, p1]));
    let data = usize::from(u16::from_be_bytes([d0, d1]));
    if rest.len() != parameters + data {
        return Err(BadFrame::Length);
    }
    let (parameters, data) = rest.split_at_checked(parameters).ok_or(BadFrame::Length)?;
    let [_, _, 0x12, 8, 0x12, 0x84, 1, sequence, _, last, e0, e1] = parameters else {
        return Err(BadFrame::S7);
    };
    let error = u16::from_be_bytes([*e0, *e1]);
    if error != 0 {
        return Ok(Err(Refusal(error)));
    }
    let ([code, _, high, low], data) = data.split_first_chunk().ok_or(BadFrame::Length)?;
    if *code != ITEM_GOOD {
        return Ok(Err(Refusal(u16::from(*code))));
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let data = data.get(..length).ok_or(BadFrame::Length)?.to_vec();
    Ok(Ok(ListPart { data, more: (*last != 0).then_some(*sequence) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: Area = Area { kind: Kind::Flags, block: 0 };

    fn asked() -> Vec<Item> {
        let block = Area { kind: Kind::Block, block: 1 };
        vec![
            Item { area: block, start: 4, count: 3 },
            Item { area: FLAGS, start: 10, count: 2 },
            Item { area: Area { kind: Kind::Timers, block: 0 }, start: 5, count: 1 },
        ]
    }

    /// The answer to [`asked`] under reference 7: three bytes, an item that isn't there, a timer.
    fn answer() -> Vec<u8> {
        let data = [0xFF, 4, 0, 24, 1, 2, 3, 0, 0x0A, 0, 0, 0, 0xFF, 9, 0, 2, 0x21, 0x27];
        let head = [S7, ACK_DATA, 0, 0, 0, 7, 0, 2, 0, 18, 0, 0, READ_VAR, 3];
        [&head[..], &data].concat()
    }

    #[test]
    fn requests_are_as_captures_print_them() {
        let request = read(7, &asked());
        let items = [
            0x12, 0x0A, 0x10, 2, 0, 3, 0, 1, 0x84, 0, 0, 32, //
            0x12, 0x0A, 0x10, 2, 0, 2, 0, 0, 0x83, 0, 0, 80, //
            0x12, 0x0A, 0x10, 0x1D, 0, 1, 0, 0, 0x1D, 0, 0, 5,
        ];
        let head = [3, 0, 0, 55, 2, 0xF0, 0x80, S7, 1, 0, 0, 0, 7, 0, 38, 0, 0, 4, 3];
        assert_eq!(request, [&head[..], &items].concat());
        assert_eq!(request.len() - 7, request_bytes(3));
        assert_eq!(connect([3, 1]).len(), 22);
    }

    #[test]
    fn each_item_has_its_own_result() {
        let got = items(&answer(), 7, &asked()).unwrap().unwrap();
        assert_eq!(got, [Ok(vec![1, 2, 3]), Err(0x0A), Ok(vec![0x21, 0x27])]);
    }

    #[test]
    fn an_answer_to_another_request_is_none_to_this() {
        assert_eq!(items(&answer(), 8, &asked()), Err(BadFrame::Reference));
        assert_eq!(items(&answer(), 7, &asked()[..2]), Err(BadFrame::Items));
        let mut longer = asked();
        longer[0].count = 4;
        assert_eq!(items(&answer(), 7, &longer), Err(BadFrame::Length));
        let short = answer();
        assert_eq!(items(&short[..short.len() - 1], 7, &asked()), Err(BadFrame::Length));
        let mut refused = answer();
        refused[10] = 0x81;
        refused[11] = 0x04;
        assert_eq!(items(&refused, 7, &asked()), Ok(Err(Refusal(0x8104))));
    }

    #[test]
    fn a_message_is_joined_from_its_pieces() {
        let whole = wrap(&[1, 2, 3, 4]);
        for end in 0..whole.len() {
            assert_eq!(message(&whole[..end], 100), Ok(None), "{end}");
        }
        assert_eq!(message(&whole, 100), Ok(Some(vec![1, 2, 3, 4])));
        let pieces = [&[3, 0, 0, 9, 2, 0xF0, 0x00, 1, 2][..], &wrap(&[3, 4])].concat();
        assert_eq!(message(&pieces, 100), Ok(Some(vec![1, 2, 3, 4])));
        assert_eq!(message(&pieces, 3), Err(BadFrame::Length));
        let twice = [&whole[..], &whole].concat();
        assert_eq!(message(&twice, 100), Err(BadFrame::Surplus));
        assert_eq!(message(b"HTTP", 100), Err(BadFrame::Tpkt));
        assert_eq!(message(&[3, 0, 0, 7, 2, 0x80, 0x80], 100), Err(BadFrame::Disconnected));
        assert_eq!(connected(&[3, 0, 0, 11, 6, 0xD0, 0, 1, 0, 0, 0]), Ok(Some(())));
        assert_eq!(connected(&[3, 0, 0, 11, 6, 0x80, 0, 1, 0, 0, 1]), Err(BadFrame::Refused));
    }

    /// A small generator of our own, so that a failing case can be named by its number.
    fn next(state: &mut u64) -> usize {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap()
    }

    #[test]
    fn ten_thousand_damaged_answers_are_errors_or_whole_values() {
        let part = [
            S7, USER_DATA, 0, 0, 0, 7, 0, 12, 0, 8, 0, 1, 0x12, 8, 0x12, 0x84, 1, 3, 0, 0, 0,
            0, //
            0xFF, 9, 0, 4, 1, 2, 3, 4,
        ];
        let mut state = 3;
        for round in 0..10_000 {
            let mut came = if round % 2 == 0 { wrap(&answer()) } else { wrap(&part) };
            for _ in 0..=next(&mut state) % 3 {
                let at = next(&mut state) % came.len();
                match next(&mut state) % 4 {
                    0 => came[at] ^= 1 << (next(&mut state) % 8),
                    1 => came.truncate(at.max(1)),
                    2 => came.push(0),
                    _ => came[at] = u8::try_from(next(&mut state) % 256).unwrap(),
                }
            }
            let Ok(Some(joined)) = message(&came, 100) else { continue };
            if let Ok(Ok(items)) = items(&joined, 7, &asked()) {
                for (item, asked) in items.iter().zip(asked()) {
                    assert!(
                        item.as_ref().is_ok_and(|bytes| bytes.len() == asked.bytes())
                            || item.is_err(),
                        "{round}"
                    );
                }
            }
            if let Ok(Ok(part)) = list_part(&joined, 7) {
                assert!(part.data.len() <= joined.len(), "{round}");
            }
        }
    }
}
