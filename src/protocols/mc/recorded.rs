//! The decoder on answers that a real R120PCPU gave (see `tests/corpus/README.md`).

use serde_json::Value;

use super::device::Device;
use super::errors;
use super::frame::{Answer, BadFrame, Request, decode};
use super::settings::Route;
use crate::driver::{BlockData, ErrorKind};

/// The controller that is connected itself.
const OWN: Route = Route { network: 0, pc: 0xFF, module_io: 0x03FF, station: 0 };

/// Every recorded answer with the name of its case.
fn recorded() -> Vec<(String, Vec<u8>)> {
    let text = include_str!("../../../tests/corpus/mc/live_profiles.json");
    let file: Value = serde_json::from_str(text).unwrap();
    let mut all = Vec::new();
    for (name, case) in file["cases"].as_object().unwrap() {
        let answers = &case["live_profiles"]["r120pcpu_tcp1025"]["responses"];
        for answer in answers.as_array().into_iter().flatten() {
            let digits: Vec<char> = answer.as_str().unwrap().chars().collect();
            let byte =
                |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
            all.push((name.clone(), digits.chunks(2).map(byte).collect()));
        }
    }
    assert!(all.len() > 10);
    all
}

fn answer(case: &str) -> Vec<u8> {
    recorded().into_iter().find(|(name, _)| name == case).unwrap().1
}

fn batch(device: &str, count: u32) -> Request {
    Request::Batch { device: Device::of_name(device).unwrap(), start: 0, count }
}

#[test]
fn bits_of_f_are_read_as_the_controller_showed_them() {
    let came = answer("3E QL F   Bit  Read  4pts");
    let got = decode(&batch("F", 4), OWN, &came).unwrap().unwrap();
    assert_eq!(got, Answer::Block(BlockData::Bits([true, false, true, false].into())));
    for count in [1, 2, 5, 6] {
        let other = decode(&batch("F", count), OWN, &came);
        assert_eq!(other, Err(BadFrame::Length), "{count} bits were asked");
    }
}

#[test]
fn an_answer_to_a_block_read_or_a_command_is_none_to_a_batch_read() {
    let block = answer("3E QL Block Read  D800x3 / M500x3");
    let words = decode(&batch("D", 6), OWN, &block).unwrap().unwrap();
    assert_eq!(words, Answer::Block(BlockData::Registers([0; 6].into())));
    assert_eq!(decode(&batch("D", 5), OWN, &block), Err(BadFrame::Length));
    let done = answer("3E Remote LATCH CLEAR");
    assert_eq!(decode(&batch("D", 1), OWN, &done), Err(BadFrame::Length));
}

#[test]
fn frames_of_4e_are_no_answers() {
    let longer = recorded().into_iter().filter(|(name, _)| name.starts_with("4E"));
    let mut tried = 0;
    for (name, came) in longer {
        for request in [batch("D", 4), batch("M", 1), Request::Cpu] {
            let got = decode(&request, OWN, &came);
            assert_eq!(got, Err(BadFrame::Subheader), "{name}");
        }
        tried += 1;
    }
    assert!(tried >= 12);
}

#[test]
fn the_end_codes_of_a_real_controller_are_explained() {
    // As recorded: a device that isn't read directly, no route, over the end, too many, no device.
    for (code, kind) in [
        (49244, ErrorKind::BadAddress),
        (18944, ErrorKind::Unreachable),
        (49238, ErrorKind::BadAddress),
        (49233, ErrorKind::BadAddress),
        (49243, ErrorKind::BadAddress),
    ] {
        let error = errors::end_code(code, &batch("SW", 1));
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.message.contains("see the error codes"), "{error}");
    }
}
