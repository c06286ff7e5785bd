//! Ten thousand damaged answers: an error, a wait for more, or what the bytes really say.

use super::area::{Area, Kind};
use super::frame::{self, Item};
use super::identity::{take_component, take_module, take_state};
use super::value::{Type, judged};
use crate::driver::Identity;
use crate::model::Value;

/// What the messages of these tests may have.
const PDU_BYTES: usize = 480;
const REFERENCE: u16 = 7;

/// A small generator of our own, so that a failing case can be named by its number.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

fn byte(state: &mut u64) -> u8 {
    u8::try_from(next(state) % 256).unwrap()
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

/// Items as they are asked for, and a right answer to them.
fn case(state: &mut u64) -> (Vec<Item>, Vec<u8>) {
    let area = Area { kind: Kind::Block, block: 1 };
    let wanted = 1 + next(state) % 10;
    let asked: Vec<Item> = (0..wanted)
        .map(|_| Item { area, start: 0, count: u32::try_from(1 + next(state) % 30).unwrap() })
        .collect();
    let mut data = Vec::new();
    for item in &asked {
        if data.len() % 2 == 1 {
            data.push(0);
        }
        let bits = u16::try_from(item.bytes() * 8).unwrap().to_be_bytes();
        data.extend([0xFF, 4, bits[0], bits[1]]);
        data.extend((0..item.bytes()).map(|_| byte(state)));
    }
    let bytes = u16::try_from(data.len()).unwrap().to_be_bytes();
    let count = u8::try_from(asked.len()).unwrap();
    let head = [0x32, 3, 0, 0, 0, 7, 0, 2, bytes[0], bytes[1], 0, 0, 4, count];
    (asked, frame::wrap(&[&head[..], &data].concat()))
}

/// Reads the items of a whole message in the plainest way there is.
fn plainly(asked: &[Item], message: &[u8]) -> Vec<Result<Vec<u8>, u8>> {
    let (mut at, mut out) = (14, Vec::new());
    for item in asked {
        if message[at] == 0xFF {
            out.push(Ok(message[at + 4..at + 4 + item.bytes()].to_vec()));
            at += 4 + item.bytes() + item.bytes() % 2;
        } else {
            out.push(Err(message[at]));
            at += 4;
        }
    }
    out
}

#[test]
fn ten_thousand_damaged_answers_are_errors_or_what_their_bytes_say() {
    let mut state = 23;
    let (mut whole, mut refused) = (0, 0);
    for round in 0..10_000 {
        let (asked, good) = case(&mut state);
        let joined = frame::message(&good, PDU_BYTES).unwrap().unwrap();
        let items = frame::items(&joined, REFERENCE, &asked).unwrap().unwrap();
        assert_eq!(items, plainly(&asked, &joined), "{round}");
        let mut came = good;
        damage(&mut state, &mut came);
        let joined = match frame::message(&came, PDU_BYTES) {
            Ok(Some(joined)) => joined,
            Ok(None) => continue,
            Err(_) => {
                refused += 1;
                continue;
            }
        };
        assert!(joined.len() <= PDU_BYTES && joined.capacity() <= 2 * PDU_BYTES, "{round}");
        match frame::items(&joined, REFERENCE, &asked) {
            Ok(Ok(items)) => {
                assert_eq!(items, plainly(&asked, &joined), "{round}");
                whole += 1;
            }
            Ok(Err(_)) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(whole > 100 && refused > 1000, "{whole} {refused}: the damage is no damage");
}

#[test]
fn ten_thousand_damaged_set_ups_grant_what_they_say_or_nothing() {
    let good = [0x32, 3, 0, 0, 0, 7, 0, 8, 0, 0, 0, 0, 0xF0, 0, 0, 1, 0, 1, 0, 240];
    let connection = [3, 0, 0, 11, 6, 0xD0, 0, 1, 0, 0, 0];
    let mut state = 29;
    for round in 0..10_000 {
        let mut came = good.to_vec();
        damage(&mut state, &mut came);
        if let Ok(Ok(bytes)) = frame::granted(&came, REFERENCE) {
            // The last two of the eight parameters; what is granted stands nowhere else.
            assert_eq!(bytes, u16::from_be_bytes([came[18], came[19]]), "{round}");
        }
        let mut came = connection.to_vec();
        damage(&mut state, &mut came);
        if frame::connected(&came) == Ok(Some(())) {
            assert_eq!((came[5], usize::from(came[3])), (0xD0, came.len()), "{round}");
        }
    }
}

#[test]
fn ten_thousand_stretches_of_any_bytes_are_a_value_of_each_type_or_bad() {
    let types = [
        Type::Text(20),
        Type::WideText(20),
        Type::DateAndTime,
        Type::S5Time,
        Type::Real,
        Type::LReal,
        Type::Counter,
        Type::Date,
        Type::Char,
        Type::ULInt,
        Type::TimeOfDay,
    ];
    let mut state = 31;
    for round in 0..10_000 {
        let kind = types[round % types.len()];
        let right = usize::try_from(kind.bytes()).unwrap();
        let length = if round % 3 == 0 { next(&mut state) % 64 } else { right };
        let bytes: Vec<u8> = (0..length).map(|_| byte(&mut state)).collect();
        let (value, quality) = judged(kind.read(&bytes));
        if let Value::F64(number) = &value {
            assert_eq!(quality.is_good(), number.is_finite(), "{round}");
        }
        if let Value::Text(text) = &value {
            // A date has ten characters whatever it was made of.
            assert!(text.len() <= 4 * right + 32, "{round}");
        }
        // Text says its own length within what was read; anything else has its width alone.
        let is_text = matches!(kind, Type::Text(_) | Type::WideText(_));
        assert!(is_text || length == right || !quality.is_good(), "{round}: {kind:?}");
    }
}

#[test]
fn ten_thousand_lists_of_any_bytes_name_no_more_than_they_hold() {
    let mut state = 37;
    for round in 0..10_000 {
        let length = next(&mut state) % 300;
        let list: Vec<u8> = (0..length).map(|_| byte(&mut state)).collect();
        let mut identity = Identity::default();
        take_module(&list, &mut identity);
        take_component(&list, &mut identity);
        take_state(&list, &mut identity);
        let bytes: usize = identity.details.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes <= 2 * length + 64, "{round}: {identity:?}");
    }
}
