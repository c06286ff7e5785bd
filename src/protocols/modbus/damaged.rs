//! Ten thousand damaged answers: an error, a wait for more, or what the bytes really say.

use super::address::Area;
use super::frame::{Answer, Wrap, answer_bytes, crc16, decode};
use super::plan::Request;
use crate::driver::BlockData;
use crate::model::UnitId;

const TCP: Wrap = Wrap::Tcp(0x0102);
const UNIT: UnitId = UnitId(17);

/// A small generator of our own, so that a failing case can be named by its number.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

fn byte(state: &mut u64) -> u8 {
    u8::try_from(next(state) % 256).unwrap()
}

/// A request, and a right answer to it.
fn case(state: &mut u64, wrap: Wrap) -> (Request, Vec<u8>) {
    let areas = [(Area::Holding, 3_u8), (Area::Input, 4), (Area::Coil, 1), (Area::Discrete, 2)];
    let (area, function) = areas[next(state) % 4];
    let count = u16::try_from(1 + next(state) % 125).unwrap();
    let data = if area.has_bits() { count.div_ceil(8) } else { count * 2 };
    let data = u8::try_from(data).unwrap();
    let mut body = vec![UNIT.0, function, data];
    body.extend((0..data).map(|_| byte(state)));
    let frame = match wrap {
        Wrap::Tcp(transaction) => {
            let length = u16::try_from(body.len()).unwrap();
            [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &body].concat()
        }
        Wrap::Rtu => [&body[..], &crc16(&body).to_le_bytes()].concat(),
    };
    (Request { unit: UNIT, area, start: 100, count }, frame)
}

fn damage(state: &mut u64, frame: &mut Vec<u8>) {
    for _ in 0..=next(state) % 3 {
        let at = next(state) % frame.len();
        match next(state) % 5 {
            0 => frame[at] ^= 1 << (next(state) % 8),
            1 => frame.truncate(at.max(1)),
            2 => frame.push(0),
            3 => frame.insert(at, byte(state)),
            _ => frame[at] = byte(state),
        }
    }
}

/// Reads the data of a whole answer in the plainest way there is.
fn plainly(wrap: Wrap, request: &Request, frame: &[u8]) -> BlockData {
    let data = if wrap == Wrap::Rtu { &frame[3..frame.len() - 2] } else { &frame[9..] };
    let count = usize::from(request.count);
    if request.area.has_bits() {
        BlockData::Bits((0..count).map(|n| data[n / 8] >> (n % 8) & 1 == 1).collect())
    } else {
        let word = |n: usize| u16::from(data[2 * n]) << 8 | u16::from(data[2 * n + 1]);
        BlockData::Registers((0..count).map(word).collect())
    }
}

#[test]
fn ten_thousand_damaged_answers_are_errors_or_what_their_bytes_say() {
    let mut state = 11;
    let (mut whole, mut refused) = (0, 0);
    for round in 0..10_000 {
        let wrap = if round % 2 == 0 { TCP } else { Wrap::Rtu };
        let (request, good) = case(&mut state, wrap);
        assert_eq!(
            decode(wrap, &request, &good),
            Ok(Some(Answer::Data(plainly(wrap, &request, &good)))),
            "{round}"
        );
        let mut came = good.clone();
        damage(&mut state, &mut came);
        match decode(wrap, &request, &came) {
            Ok(Some(Answer::Data(data))) => {
                assert_eq!(came.len(), answer_bytes(wrap, &request), "{round}");
                assert_eq!(data, plainly(wrap, &request, &came), "{round}");
                // A checksum lets no damage through.
                assert!(wrap == TCP || came == good, "{round}");
                whole += 1;
            }
            Ok(Some(Answer::Exception(_)) | None) => {}
            Err(_) => refused += 1,
            #[cfg(feature = "writes")]
            #[allow(unreachable_patterns, reason = "reads have no other answer")]
            Ok(Some(_)) => panic!("{round}"),
        }
    }
    assert!(whole > 100 && refused > 1000, "{whole} {refused}: the damage is no damage");
}
