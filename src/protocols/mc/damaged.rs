//! Ten thousand damaged answers: an error, a wait for more, or what the bytes really say.

use super::device::Device;
use super::frame::{Answer, Request, decode};
use super::settings::Route;
use crate::driver::BlockData;

/// The controller that is connected itself.
const OWN: Route = Route { network: 0, pc: 0xFF, module_io: 0x03FF, station: 0 };
/// Where the data begins: subheader, route, length, end code.
const DATA: usize = 11;

/// A small generator of our own, so that a failing case can be named by its number.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

fn byte(state: &mut u64) -> u8 {
    u8::try_from(next(state) % 256).unwrap()
}

/// A request, and a right answer to it.
fn case(state: &mut u64) -> (Request, Vec<u8>) {
    let device = |name: &str| Device::of_name(name).unwrap();
    let count = u32::try_from(1 + next(state) % 960).unwrap();
    let points = 1 + next(state) % 96;
    let (request, bytes) = match next(state) % 3 {
        0 => (Request::Batch { device: device("D"), start: 0, count }, 2 * count),
        1 => (Request::Batch { device: device("M"), start: 0, count }, count.div_ceil(2)),
        _ => {
            let (words, doubles) = (vec![(device("D"), 0); points], vec![(device("R"), 4); points]);
            (Request::Random { words, doubles }, u32::try_from(6 * points).unwrap())
        }
    };
    let length = u16::try_from(bytes + 2).unwrap().to_le_bytes();
    let mut frame = [&[0xD0, 0, 0, 0xFF, 0xFF, 3, 0][..], &length, &[0, 0]].concat();
    frame.extend((0..bytes).map(|_| byte(state)));
    (request, frame)
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

fn word(data: &[u8], at: usize) -> u16 {
    u16::from(data[at]) | u16::from(data[at + 1]) << 8
}

/// Reads the data of a whole answer in the plainest way there is.
fn plainly(request: &Request, frame: &[u8]) -> Answer {
    let data = &frame[DATA..];
    match request {
        Request::Batch { device, count, .. } if *device == Device::of_name("M").unwrap() => {
            let bit = |n: usize| data[n / 2] >> (if n % 2 == 0 { 4 } else { 0 }) & 1 == 1;
            let count = usize::try_from(*count).unwrap();
            Answer::Block(BlockData::Bits((0..count).map(bit).collect()))
        }
        Request::Random { words, doubles } => {
            let start = 2 * words.len();
            let double = |n: usize| [word(data, start + 4 * n), word(data, start + 4 * n + 2)];
            Answer::Points {
                words: (0..words.len()).map(|n| word(data, 2 * n)).collect(),
                doubles: (0..doubles.len()).map(double).collect(),
            }
        }
        _ => {
            let words = (0..data.len() / 2).map(|n| word(data, 2 * n));
            Answer::Block(BlockData::Registers(words.collect()))
        }
    }
}

#[test]
fn ten_thousand_damaged_answers_are_errors_or_what_their_bytes_say() {
    let mut state = 17;
    let (mut whole, mut refused) = (0, 0);
    for round in 0..10_000 {
        let (request, good) = case(&mut state);
        let want = plainly(&request, &good);
        assert_eq!(decode(&request, OWN, &good), Ok(Some(want)), "{round}");
        let mut came = good.clone();
        damage(&mut state, &mut came);
        match decode(&request, OWN, &came) {
            Ok(Some(Answer::EndCode(code))) => {
                assert_eq!(code, word(&came, DATA - 2), "{round}");
            }
            Ok(Some(answer)) => {
                assert_eq!(came.len(), good.len(), "{round}");
                assert_eq!(answer, plainly(&request, &came), "{round}");
                whole += 1;
            }
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(whole > 100 && refused > 1000, "{whole} {refused}: the damage is no damage");
}
