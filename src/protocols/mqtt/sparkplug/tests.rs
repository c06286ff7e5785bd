//! Payloads held against what prost writes, and nodes against what they send.

use std::sync::Arc;

use prost::Message as _;

use super::super::tags::{Bound, Tags};
use super::metric::{RawPayload, type_name};
use super::names::{Names, shown};
use super::nodes::Nodes;
use super::proto::{Held, Metric, Payload};
use super::topic::Topic;
use crate::driver::{Batch, Content};
use crate::model::{DataType, Quality, TagId, Timestamp, Value};

const STALE: Quality = Quality::UNCERTAIN_LAST_USABLE;

fn metric(name: &str, kind: u32, value: Held) -> Metric {
    Metric {
        name: Some(name.to_owned()).filter(|name| !name.is_empty()),
        datatype: Some(kind).filter(|kind| *kind > 0),
        timestamp: Some(1_700_000_000_000),
        value: Some(value),
        ..Metric::default()
    }
}

fn payload(seq: u64, metrics: Vec<Metric>) -> Vec<u8> {
    Payload { timestamp: Some(1_700_000_000_123), metrics, seq: Some(seq) }.encode_to_vec()
}

/// Reads one value as a type.
fn one(kind: u32, value: Held) -> Result<Value, String> {
    let bytes = payload(0, vec![metric("m", kind, value)]);
    let read = RawPayload::read(&bytes).unwrap();
    read.metrics[0].value(kind).map(|(value, _)| value).map_err(|error| error.message)
}

#[test]
fn every_type_is_read_as_it_is_meant() {
    let int = |value: i32| Held::Int(value.cast_unsigned());
    for (kind, held, value) in [
        (1, int(-1), Value::I64(-1)),
        (1, Held::Int(0xFF), Value::I64(-1)),
        (1, Held::Int(0x7F), Value::I64(127)),
        (2, int(-300), Value::I64(-300)),
        (2, Held::Int(0xFED4), Value::I64(-300)),
        (3, int(i32::MIN), Value::I64(i32::MIN.into())),
        (3, Held::Long(0xFFFF_FFFF_FFFF_FFFE), Value::I64(-2)),
        (4, Held::Long(i64::MIN.cast_unsigned()), Value::I64(i64::MIN)),
        (5, Held::Int(255), Value::U64(255)),
        (7, Held::Long(u32::MAX.into()), Value::U64(u32::MAX.into())),
        (8, Held::Long(u64::MAX), Value::U64(u64::MAX)),
        (9, Held::Float(1.5), Value::F64(1.5)),
        (10, Held::Double(-2.25), Value::F64(-2.25)),
        (11, Held::Truth(true), Value::Bool(true)),
        (12, Held::Text("x".into()), Value::text("x")),
        (13, Held::Long(1500), Value::Time(Timestamp::from_millis(1500))),
        (17, Held::Bytes(vec![1, 2]), Value::bytes(&[1, 2])),
        (23, Held::Bytes(vec![0xFF, 0xFF, 2, 0]), Value::list([-1, 2].map(Value::I64))),
        (
            32,
            Held::Bytes(vec![3, 0, 0, 0, 0xA0]),
            Value::list([true, false, true].map(Value::Bool)),
        ),
        (33, Held::Bytes(b"a\0bc\0".to_vec()), Value::list(["a", "bc"].map(Value::text))),
    ] {
        assert_eq!(one(kind, held), Ok(value), "{}", type_name(kind));
    }
}

#[test]
fn what_is_no_value_of_its_type_is_an_error_and_never_another_value() {
    for (kind, held) in [
        (1, Held::Int(0x180)),
        (2, Held::Int(0x1_8000)),
        (5, Held::Int(256)),
        (6, Held::Int(65_536)),
        (7, Held::Long(1 << 32)),
        (11, Held::Int(1)),
        (12, Held::Int(1)),
        (3, Held::Double(1.0)),
        (13, Held::Long(u64::MAX)),
        (23, Held::Bytes(vec![1])),
        (32, Held::Bytes(vec![9, 0, 0, 0, 0])),
        (33, Held::Bytes(b"ab".to_vec())),
        (0, Held::Int(1)),
        (99, Held::Int(1)),
        (12, Held::Text("x".repeat(20_000))),
    ] {
        assert!(one(kind, held.clone()).is_err(), "{kind} {held:?}");
    }
}

/// Writes a field of bytes as protobuf does.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 127 {
        out.push(u8::try_from(length & 127).unwrap() | 128);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(bytes);
    out
}

/// A payload with one metric whose value is the field of that number.
fn structure(kind: u8, number: u8, bytes: &[u8]) -> Vec<u8> {
    // The number of a value's field takes two bytes of key from 16 on.
    let mut metric = field(1, b"s");
    metric.extend([4 << 3, kind]);
    let [high, low] = (u16::from(number) << 3 | 2).to_be_bytes();
    metric.extend([low | 0x80, high << 1 | low >> 7]);
    metric.extend(&field(0, bytes)[1..]);
    field(2, &metric)
}

fn structured(bytes: &[u8], kind: u32) -> Result<Value, String> {
    let read = RawPayload::read(bytes).map_err(|error| error.message)?;
    read.metrics[0].value(kind).map(|found| found.0).map_err(|error| error.message)
}

#[test]
fn data_sets_and_templates_are_structures() {
    let element = |value: &[u8]| field(1, value);
    let row =
        |n: u8, text: &[u8]| field(4, &[element(&[1 << 3, n]), element(&field(6, text))].concat());
    let heads = [field(2, b"n"), field(2, b"t"), vec![3 << 3, 5, 3 << 3, 12]].concat();
    let set = [heads.clone(), row(7, b"x"), row(8, b"y")].concat();
    let value = structured(&structure(16, 17, &set), 16).unwrap();
    assert_eq!(value.pick("[1].t"), Some(&Value::text("y")));
    assert_eq!(value.pick("[0].n"), Some(&Value::U64(7)));
    let packed = [field(2, b"n"), field(3, &[5]), field(4, &element(&[1 << 3, 9]))].concat();
    assert_eq!(
        structured(&structure(16, 17, &packed), 16).unwrap().pick("[0].n"),
        Some(&Value::U64(9))
    );
    let short = [heads, field(4, &element(&[1 << 3, 7]))].concat();
    assert!(structured(&structure(16, 17, &short), 16).unwrap_err().contains("fewer values"));

    let member = [field(1, b"speed"), vec![4 << 3, 3, 10 << 3, 42]].concat();
    let parameter = [field(1, b"max"), vec![2 << 3, 7, 3 << 3, 99]].concat();
    let template = [field(2, &member), field(3, &parameter), field(4, b"Motor")].concat();
    let value = structured(&structure(19, 18, &template), 19).unwrap();
    assert_eq!(value.pick("metrics.speed"), Some(&Value::I64(42)));
    assert_eq!(value.pick("parameters.max"), Some(&Value::U64(99)));
    assert_eq!(value.pick("template_ref"), Some(&Value::text("Motor")));
    let mut deep = template;
    for _ in 0..200 {
        let metric = structure(19, 18, &deep);
        // As a member it is field 2 of a template, as it is of a payload.
        deep = metric;
    }
    assert!(structured(&structure(19, 18, &deep), 19).unwrap_err().contains("nested deeper"));
}

#[test]
fn ten_thousand_spoilt_payloads_are_read_or_refused() {
    let whole = payload(
        3,
        vec![
            metric("Inputs/Temp", 10, Held::Double(1.5)),
            Metric { alias: Some(7), ..metric("n", 3, Held::Int(5)) },
            metric("text", 12, Held::Text("abc".into())),
            metric("row", 24, Held::Bytes(vec![0; 40])),
        ],
    );
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut refused = 0;
    for nth in 0..10_000_usize {
        let mut bytes = whole.clone();
        for _ in 0..=nth % 4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = usize::try_from(state % 4096).unwrap() % bytes.len();
            bytes[at] = u8::try_from(state >> 40 & 0xFF).unwrap();
        }
        if nth % 3 == 0 {
            bytes.truncate(nth % whole.len());
        }
        match shown(&bytes, &Names::default()) {
            Ok(Content::Metrics { metrics, .. }) => {
                for metric in metrics.iter() {
                    assert_eq!(
                        metric.error.is_some(),
                        metric.quality == Quality::BAD_DECODING_ERROR
                    );
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1000, "{refused}");
    let many = field(2, &[]).repeat(10_001);
    assert!(RawPayload::read(&many).unwrap_err().message.contains("more than 10000 metrics"));
}

/// A host with one tag on each of these metrics of node G/E.
struct Host {
    nodes: Nodes,
    tags: Tags,
}

impl Host {
    fn following(metrics: &[(Option<&str>, &str)]) -> Self {
        let mut nodes = Nodes::default();
        let mut bound = Vec::new();
        for (at, (device, metric)) in metrics.iter().enumerate() {
            nodes.follow(("G", "E", *device), metric, at);
            let id = TagId(u32::try_from(at).unwrap());
            bound.push(Bound::new(id, None, DataType::Native));
        }
        Self { nodes, tags: Tags::of(bound) }
    }

    fn hear(&mut self, topic: &str, bytes: &[u8]) -> Result<Arc<Names>, String> {
        let topic = Topic::parse(topic).unwrap();
        let heard = self.nodes.hear(&topic, bytes, &mut self.tags, Timestamp::from_millis(1));
        heard.map_err(|error| error.message)
    }

    /// Takes what came: tag, value, quality, and how many were lost.
    fn take(&mut self) -> (Vec<(u32, Value, Quality)>, u64) {
        let mut out = Batch::default();
        self.tags.drain(&mut out);
        let readings = out.readings.into_iter().map(|r| (r.tag.0, r.value, r.quality));
        (readings.collect(), out.lost)
    }
}

fn born(seq: u64, bd_seq: u64) -> Vec<u8> {
    payload(
        seq,
        vec![
            metric("bdSeq", 8, Held::Long(bd_seq)),
            Metric { alias: Some(1), ..metric("up", 3, Held::Int(1)) },
        ],
    )
}

fn by_alias(seq: u64, alias: u64, value: u32) -> Vec<u8> {
    payload(seq, vec![Metric { alias: Some(alias), ..metric("", 0, Held::Int(value)) }])
}

#[test]
fn an_alias_stands_for_what_the_birth_named_and_an_unknown_one_for_nothing() {
    let mut host = Host::following(&[(None, "up")]);
    host.hear("spBv1.0/G/NDATA/E", &by_alias(4, 1, 7)).unwrap();
    assert_eq!(host.take(), (vec![], 0), "nothing of it is followed before its first birth");
    assert_eq!(host.nodes.take_wanting().len(), 1);
    host.hear("spBv1.0/G/NBIRTH/E", &born(0, 0)).unwrap();
    host.hear("spBv1.0/G/NDATA/E", &by_alias(1, 1, 7)).unwrap();
    let good = Quality::GOOD;
    assert_eq!(host.take().0, [(0, Value::I64(1), good), (0, Value::I64(7), good)]);
    assert!(host.nodes.take_wanting().is_empty());
    let bytes = by_alias(2, 9, 7);
    let names = host.hear("spBv1.0/G/NDATA/E", &bytes).unwrap();
    assert_eq!(host.take(), (vec![(0, Value::I64(7), STALE)], 1));
    let Ok(Content::Metrics { metrics, .. }) = shown(&bytes, &names) else { panic!() };
    assert!(metrics[0].error.as_ref().unwrap().message.contains("alias 9"));
}

#[test]
fn a_gap_is_counted_and_everything_is_stale_until_the_next_birth() {
    let mut host = Host::following(&[(None, "up"), (Some("D"), "x")]);
    host.hear("spBv1.0/G/NBIRTH/E", &born(254, 0)).unwrap();
    let x = |seq, value| payload(seq, vec![metric("x", 10, Held::Double(value))]);
    host.hear("spBv1.0/G/DBIRTH/E/D", &x(255, 1.0)).unwrap();
    // The numbers begin anew after 255.
    host.hear("spBv1.0/G/DDATA/E/D", &x(0, 2.0)).unwrap();
    let (readings, lost) = host.take();
    assert_eq!((readings.len(), lost), (3, 0));
    assert!(readings.iter().all(|reading| reading.2.is_good()));
    // The same message once more is none.
    host.hear("spBv1.0/G/DDATA/E/D", &x(0, 2.0)).unwrap();
    assert_eq!(host.take(), (vec![], 0));
    host.hear("spBv1.0/G/DDATA/E/D", &x(3, 4.0)).unwrap();
    let (readings, lost) = host.take();
    assert_eq!(lost, 2);
    assert_eq!(
        readings,
        [(0, Value::I64(1), STALE), (1, Value::F64(2.0), STALE), (1, Value::F64(4.0), STALE)]
    );
    assert_eq!(host.nodes.take_wanting().len(), 1);
    host.hear("spBv1.0/G/NBIRTH/E", &born(0, 1)).unwrap();
    host.hear("spBv1.0/G/DBIRTH/E/D", &x(1, 5.0)).unwrap();
    let newest = host.take().0;
    assert_eq!(newest.last(), Some(&(1, Value::F64(5.0), Quality::GOOD)));
}

#[test]
fn a_death_is_of_the_session_whose_birth_has_its_number() {
    let mut host = Host::following(&[(None, "up"), (Some("D"), "x")]);
    let death = |bd_seq| {
        Payload { metrics: vec![metric("bdSeq", 8, Held::Long(bd_seq))], ..Payload::default() }
            .encode_to_vec()
    };
    host.hear("spBv1.0/G/NBIRTH/E", &born(0, 7)).unwrap();
    let x = payload(1, vec![metric("x", 10, Held::Double(1.0))]);
    host.hear("spBv1.0/G/DBIRTH/E/D", &x).unwrap();
    host.take();
    host.hear("spBv1.0/G/NDEATH/E", &death(6)).unwrap();
    assert_eq!(host.take().0, [], "the will of the session before");
    host.hear("spBv1.0/G/DDEATH/E/D", &payload(2, vec![])).unwrap();
    assert_eq!(host.take().0, [(1, Value::F64(1.0), STALE)]);
    host.hear("spBv1.0/G/NDEATH/E", &death(7)).unwrap();
    assert_eq!(host.take().0, [(0, Value::I64(1), STALE)]);
    host.hear("spBv1.0/G/NBIRTH/E", &born(0, 8)).unwrap();
    assert_eq!(host.take().0, [(0, Value::I64(1), Quality::GOOD)]);
}

#[test]
fn history_is_not_the_present_and_null_is_no_value() {
    let mut host = Host::following(&[(None, "up"), (None, "gone")]);
    host.hear("spBv1.0/G/NBIRTH/E", &born(0, 0)).unwrap();
    assert_eq!(host.take().0[0].2, Quality::BAD_NODE_ID_UNKNOWN);
    let past = Metric { is_historical: Some(true), ..metric("up", 3, Held::Int(9)) };
    host.hear("spBv1.0/G/NDATA/E", &payload(1, vec![past])).unwrap();
    assert_eq!(host.take().0, []);
    let null = Metric { is_null: Some(true), value: None, ..metric("up", 3, Held::Int(9)) };
    host.hear("spBv1.0/G/NDATA/E", &payload(2, vec![null])).unwrap();
    let (tag, value, quality) = host.take().0.pop().unwrap();
    assert_eq!((tag, value, quality.name().as_str()), (0, Value::Null, "BadNoData"));
}

#[test]
fn a_value_that_says_its_own_name_and_type_needs_no_birth() {
    let mut host = Host::following(&[(Some("D"), "x")]);
    let x = payload(9, vec![metric("x", 3, Held::Int(5))]);
    host.hear("spBv1.0/G/DDATA/E/D", &x).unwrap();
    assert_eq!(host.take().0, [(0, Value::I64(5), Quality::GOOD)]);
    let untyped = payload(10, vec![metric("x", 0, Held::Int(5))]);
    host.hear("spBv1.0/G/DDATA/E/D", &untyped).unwrap();
    assert_eq!(host.take().0, [(0, Value::Null, Quality::BAD_DECODING_ERROR)]);
    assert!(host.hear("spBv1.0/G/NDATA/E", &[0xFF; 40]).is_err());
    assert_eq!(host.take().1, 1, "what can't be read is lost");
}
