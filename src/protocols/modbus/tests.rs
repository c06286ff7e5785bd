//! The whole driver against a scripted server on a loopback port.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::PROTOCOL;
use crate::driver::{
    Ask, Asking, Batch, BlockData, BlockRef, Driver, DriverError, EndpointSpec, ErrorKind, Meter,
    Planned, Purpose, Reaction, Reply, SliceId, Toll,
};
use crate::model::{Budget, DataType, Quality, Tag, TagId, UnitId, Value};

/// What the scripted device does with a request.
enum Act {
    /// Answers registers equal to their address, bits true at odd ones.
    Serve,
    Refuse(u8),
    Ignore,
}

/// Unit, function, first address, count.
type Asked = (u8, u8, u16, u16);
type Script = fn(Asked) -> Act;

struct Plant {
    driver: Box<dyn Driver>,
    asked: Arc<Mutex<Vec<Asked>>>,
    toll: Toll,
}

async fn serve(mut stream: TcpStream, script: Script, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut frame = [0u8; 12];
    while stream.read_exact(&mut frame).await.is_ok() {
        let [t0, t1, _, _, _, _, unit, function, s0, s1, c0, c1] = frame;
        let (start, count) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([c0, c1]));
        asked.lock().push((unit, function, start, count));
        let pdu = match script((unit, function, start, count)) {
            Act::Ignore => continue,
            Act::Refuse(code) => vec![function | 0x80, code],
            Act::Serve => {
                let addresses = start..=start + (count - 1);
                let data: Vec<u8> = if function > 2 {
                    addresses.flat_map(u16::to_be_bytes).collect()
                } else {
                    let odd: Vec<u16> = addresses.collect();
                    let byte = |bits: &[u16]| {
                        bits.iter().rev().fold(0, |byte, a| byte << 1 | u8::from(a % 2 == 1))
                    };
                    odd.chunks(8).map(byte).collect()
                };
                [&[function, u8::try_from(data.len()).unwrap()][..], &data].concat()
            }
        };
        let [l0, l1] = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
        let answer = [&[t0, t1, 0, 0, l0, l1, unit][..], &pdu].concat();
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn tag(address: &str, data_type: &str, unit: u8) -> Tag {
    let data_type = DataType::parse(data_type).unwrap_or(DataType::Native);
    Tag { unit: UnitId(unit), data_type, ..Tag::new(address, "plc2", address) }
}

fn holdings(addresses: impl IntoIterator<Item = u16>) -> Vec<Tag> {
    addresses.into_iter().map(|a| tag(&a.to_string(), "uint16", 1)).collect()
}

fn spec(settings: serde_json::Value, tags: Vec<Tag>) -> EndpointSpec {
    EndpointSpec {
        name: "plc2".into(),
        protocol: "modbus",
        settings: settings.as_object().unwrap().clone(),
        password: None,
        budget: Budget::default(),
        tags: tags.into_iter().map(Arc::new).collect(),
        state_dir: std::path::PathBuf::new(),
    }
}

impl Plant {
    async fn start(script: Script, timeout_ms: u32, tags: Vec<Tag>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script, log.clone()));
            }
        });
        let settings = json!({"host": "127.0.0.1", "port": port, "timeout_ms": timeout_ms});
        let spec = spec(settings, tags);
        let planned: Vec<Planned> = spec
            .tags
            .iter()
            .zip(0..)
            .map(|(tag, id)| Planned { id: TagId(id), tag: tag.clone() })
            .collect();
        let mut driver = (PROTOCOL.driver)(&spec).unwrap();
        let report = driver.plan(&planned);
        assert!(report.rejected.is_empty(), "{:?}", report.rejected);
        let budget = Budget { requests_per_s: 1e6, burst: 100_000, ..Budget::default() };
        let mut plant = Self { driver, asked, toll: Toll::new(Meter::new(budget), Purpose::Scan) };
        plant.open().await;
        plant
    }

    async fn open(&mut self) {
        self.driver.open(Arc::new(Notify::new()), &self.toll, soon()).await.unwrap();
    }

    /// Scans one slice; also gives how many requests the device saw, held against what was paid.
    async fn scan(&mut self, slice: u32) -> (Batch, Result<(), DriverError>, usize) {
        let (before, paid) = (self.asked.lock().len(), self.toll.spent());
        let mut batch = Batch::default();
        let result = self.driver.acquire(SliceId(slice), &mut batch, &self.toll, soon()).await;
        let seen = self.asked.lock().len() - before;
        assert_eq!(usize::try_from(self.toll.spent() - paid).unwrap(), seen);
        (batch, result, seen)
    }

    async fn ask(&mut self, ask: Ask) -> Result<Reply, DriverError> {
        loop {
            match self.driver.ask(ask.clone(), self.toll.clone(), soon()) {
                Asking::Here(answer) => return answer.await,
                Asking::InTurns(answer) => {
                    if let Some(reply) = answer.await? {
                        return Ok(reply);
                    }
                }
                Asking::Beside(_) => panic!("a Modbus answer needs the session"),
            }
        }
    }
}

fn good(batch: &Batch) -> usize {
    batch.readings.iter().filter(|reading| reading.quality.is_good()).count()
}

/// Refuses whatever touches address 20.
fn no_20((_, _, start, count): Asked) -> Act {
    if (start..start + count).contains(&20) { Act::Refuse(2) } else { Act::Serve }
}

#[tokio::test]
async fn values_and_their_raw_blocks_come_in_the_slices_order() {
    let tags = vec![tag("holding:102", "float32", 1), tag("100", "", 1), tag("coil:7", "", 1)];
    let mut plant = Plant::start(|_| Act::Serve, 5000, tags).await;
    let (batch, result, requests) = plant.scan(0).await;
    assert_eq!((result, requests), (Ok(()), 2));
    let ids: Vec<u32> = batch.readings.iter().map(|reading| reading.tag.0).collect();
    assert_eq!(ids, [2, 1, 0]);
    assert_eq!(batch.readings[0].value, Value::Bool(true));
    assert_eq!(batch.readings[1].value, Value::U64(100));
    let expect = f64::from(f32::from_bits(102 << 16 | 103));
    assert_eq!(batch.readings[2].value, Value::F64(expect));
    let block = &batch.blocks[1];
    assert_eq!((block.at.area, block.at.address, block.at.count), ("holding", 100, 4));
    assert_eq!(block.data, BlockData::Registers([100, 101, 102, 103].into()));
}

#[tokio::test]
async fn a_call_for_scattered_addresses_goes_on_where_its_budget_ended_and_asks_nothing_twice() {
    let mut plant = Plant::start(|_| Act::Serve, 5000, holdings([0])).await;
    let budget = Budget { requests_per_s: 20.0, burst: 10, ..Budget::default() };
    let call = Toll::new(Meter::new(budget), Purpose::Demand);
    // Nothing fits together: a request each, two of the burst and then four a second.
    let refs: Vec<Arc<str>> = (0..4_u16).map(|n| (n * 1000).to_string().into()).collect();
    let mut turns = 0;
    let readings = loop {
        turns += 1;
        let ask = Ask::Read { refs: refs.clone(), unit: None };
        let Asking::InTurns(turn) = plant.driver.ask(ask, call.clone(), soon()) else {
            panic!("it has the device for itself")
        };
        match turn.await.unwrap() {
            Some(Reply::Readings(readings)) => break readings,
            Some(other) => panic!("{other:?}"),
            // The scans have their turn.
            None => assert_eq!(plant.scan(0).await.2, 1),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let values: Vec<Value> = readings.into_iter().map(|reading| reading.value).collect();
    assert_eq!(values, [0, 1000, 2000, 3000].map(Value::U64));
    assert!(turns > 2, "{turns}");
    assert_eq!((call.spent(), plant.asked.lock().len()), (4, 4 + turns - 1));
}

#[test]
fn a_scan_of_many_requests_is_cut_into_slices_that_need_no_more_of_them() {
    let reals = (0..10_000u16).map(|n| tag(&(n * 2).to_string(), "float32", 1)).collect();
    let spec = spec(json!({"host": "127.0.0.1"}), reals);
    let planned: Vec<Planned> = spec
        .tags
        .iter()
        .zip(0..)
        .map(|(tag, id)| Planned { id: TagId(id), tag: tag.clone() })
        .collect();
    let plan = (PROTOCOL.driver)(&spec).unwrap().plan(&planned);
    let requests: Vec<u32> = plan.slices.iter().map(|slice| slice.requests).collect();
    assert_eq!(
        (requests.len(), requests.iter().max(), requests.iter().sum()),
        (17, Some(&10), 162)
    );
    let tags: Vec<TagId> = plan.slices.iter().flat_map(|slice| slice.tags.clone()).collect();
    assert_eq!(tags, planned.iter().map(|p| p.id).collect::<Vec<_>>());
    let costs = (PROTOCOL.requests)(&spec);
    assert_eq!(costs.iter().map(|cost| cost.requests).collect::<Vec<_>>(), [162]);
}

#[tokio::test]
async fn a_bad_address_fails_alone_and_is_not_asked_again() {
    let mut plant = Plant::start(no_20, 5000, holdings(0..60)).await;
    let (batch, result, _) = plant.scan(0).await;
    assert_eq!((result, batch.readings.len(), good(&batch)), (Ok(()), 60, 59));
    let bad = &batch.readings[20];
    assert_eq!((bad.quality, &bad.value), (Quality::BAD_CONFIGURATION_ERROR, &Value::Null));
    for _ in 0..2 {
        let (batch, _, requests) = plant.scan(0).await;
        assert_eq!((batch.readings.len(), good(&batch), requests), (60, 59, 2));
        assert_eq!(batch.readings[20].quality, Quality::BAD_CONFIGURATION_ERROR);
    }
    // What was learnt survives a reconnect, and comes back after ten minutes if it can be read.
    plant.open().await;
    assert_eq!(plant.scan(0).await.2, 2);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(601)).await;
    tokio::time::resume();
    assert_eq!(plant.scan(0).await.2, 3);
    assert_eq!(plant.scan(0).await.2, 2);
}

#[tokio::test]
async fn a_refused_gap_is_learnt_and_no_longer_bridged() {
    let mut plant = Plant::start(no_20, 5000, holdings([0, 5, 10, 30, 35, 40])).await;
    let (batch, result, requests) = plant.scan(0).await;
    assert_eq!((result, good(&batch), requests), (Ok(()), 6, 3));
    let (batch, _, requests) = plant.scan(0).await;
    assert_eq!((good(&batch), requests), (6, 2));
}

#[tokio::test]
async fn a_device_that_reads_fewer_at_once_is_learnt() {
    let few: Script = |(_, _, _, count)| if count > 40 { Act::Refuse(3) } else { Act::Serve };
    let mut plant = Plant::start(few, 5000, holdings(0..200)).await;
    let (batch, result, _) = plant.scan(0).await;
    assert_eq!((result, good(&batch)), (Ok(()), 200));
    for _ in 0..4 {
        let (batch, _, _) = plant.scan(0).await;
        assert_eq!(good(&batch), 200);
    }
    let before = plant.asked.lock().len();
    assert!(plant.scan(0).await.2 <= 9);
    assert!(plant.asked.lock()[before..].iter().all(|(_, _, _, count)| *count <= 40));
}

#[tokio::test]
async fn a_wrong_register_map_is_learnt_a_little_with_each_scan() {
    let none: Script = |(_, _, start, _)| if start < 500 { Act::Refuse(2) } else { Act::Serve };
    let tags = holdings((0..200).chain(500..510));
    let mut plant = Plant::start(none, 5000, tags).await;
    let (batch, result, requests) = plant.scan(0).await;
    assert_eq!((result, batch.readings.len(), good(&batch)), (Ok(()), 210, 10));
    assert!(requests <= 3 + 2 * 32, "{requests}");
    for _ in 0..20 {
        assert_eq!(plant.scan(0).await.1, Ok(()));
    }
    assert_eq!(plant.scan(0).await.2, 1);
}

#[tokio::test]
async fn a_busy_or_faulty_block_fails_alone_and_is_asked_again() {
    let busy: Script = |(_, _, start, _)| match start {
        0 => Act::Refuse(6),
        500 => Act::Refuse(4),
        900 => Act::Refuse(1),
        _ => Act::Serve,
    };
    let mut plant = Plant::start(busy, 5000, holdings([0, 1, 500, 700, 900])).await;
    for _ in 0..2 {
        let (batch, result, requests) = plant.scan(0).await;
        assert_eq!((result, requests), (Ok(()), 4));
        let qualities: Vec<Quality> = batch.readings.iter().map(|r| r.quality).collect();
        let fault = Quality::BAD_DEVICE_FAILURE;
        let refused = Quality::BAD_CONFIGURATION_ERROR;
        assert_eq!(qualities, [fault, fault, fault, Quality::GOOD, refused]);
    }
}

#[tokio::test]
async fn a_dead_unit_names_itself_and_its_neighbour_goes_on_after_one_reconnect() {
    let dead: Script = |(unit, ..)| if unit == 2 { Act::Ignore } else { Act::Serve };
    let tags = vec![tag("0", "", 1), tag("0", "", 2), tag("500", "", 2)];
    let mut plant = Plant::start(dead, 1000, tags).await;
    let (batch, result, requests) = plant.scan(1).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind, error.unit), (ErrorKind::Timeout, Some(UnitId(2))));
    assert_eq!((error.reaction(), requests), (Reaction::DropSession, 1));
    assert!(batch.readings.is_empty());
    let (_, result, requests) = plant.scan(0).await;
    assert_eq!((result.unwrap_err().kind, requests), (ErrorKind::LinkLost, 0));
    plant.open().await;
    let (batch, result, _) = plant.scan(0).await;
    assert_eq!((result, good(&batch)), (Ok(()), 1));
}

#[tokio::test]
async fn a_gateway_without_its_target_fails_one_unit_and_the_session_lives() {
    let gateway: Script = |(unit, ..)| if unit == 2 { Act::Refuse(11) } else { Act::Serve };
    let tags = vec![tag("0", "", 1), tag("0", "", 2)];
    let mut plant = Plant::start(gateway, 5000, tags).await;
    let error = plant.scan(1).await.1.unwrap_err();
    assert_eq!((error.reaction(), error.unit), (Reaction::FailUnit, Some(UnitId(2))));
    assert_eq!(plant.scan(0).await.1, Ok(()));
}

#[tokio::test]
async fn an_abandoned_scan_ends_the_session() {
    let late: Script = |_| Act::Ignore;
    let mut plant = Plant::start(late, 10_000, holdings([0])).await;
    let scan = plant.scan(0);
    assert!(tokio::time::timeout(Duration::from_millis(100), scan).await.is_err());
    assert_eq!(plant.ask(Ask::Connect).await.unwrap_err().kind, ErrorKind::LinkLost);
}

#[tokio::test]
async fn a_passed_deadline_sends_nothing_and_keeps_the_session() {
    let mut plant = Plant::start(|_| Act::Serve, 5000, holdings([0])).await;
    let mut batch = Batch::default();
    let now = Instant::now();
    let error = plant.driver.acquire(SliceId(0), &mut batch, &plant.toll, now).await.unwrap_err();
    assert_eq!(error.reaction(), Reaction::FailTag);
    assert!(plant.asked.lock().is_empty());
    assert_eq!(plant.ask(Ask::Connect).await, Ok(Reply::Connected));
}

#[tokio::test]
async fn a_block_is_read_as_asked_and_limits_are_held() {
    let mut plant = Plant::start(no_20, 5000, Vec::new()).await;
    let at = |area, address, count| {
        Ask::Block(BlockRef { unit: UnitId(9), area, section: 0, address, count })
    };
    let Ok(Reply::Block(block)) = plant.ask(at("discrete", 1, 3)).await else { panic!() };
    assert_eq!(block.data, BlockData::Bits([true, false, true].into()));
    assert_eq!(plant.asked.lock().last(), Some(&(9, 2, 1, 3)));
    let refused = plant.ask(at("input", 15, 10)).await.unwrap_err();
    assert_eq!((refused.kind, refused.status), (ErrorKind::BadAddress, Some(2)));
    let sent = plant.asked.lock().len();
    for (area, address, count) in [
        ("holding", 0, 0),
        ("holding", 0, 126),
        ("coil", 0, 2001),
        ("holding", 65_535, 2),
        ("holding", 65_536, 1),
        ("dm", 0, 1),
    ] {
        let error = plant.ask(at(area, address, count)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadAddress, "{area} {address} {count}");
        assert!(!error.hint.is_empty());
    }
    assert_eq!(plant.asked.lock().len(), sent);
}

#[tokio::test]
async fn addresses_on_demand_are_coalesced_and_a_bad_one_fails_alone() {
    let mut plant = Plant::start(no_20, 5000, Vec::new()).await;
    let refs = ["19", "20", "holding:21.0", "4x00023@5", "banana", "0@248"];
    let ask = Ask::Read { refs: refs.iter().map(|text| Arc::from(*text)).collect(), unit: None };
    let Ok(Reply::Readings(readings)) = plant.ask(ask).await else { panic!() };
    let values: Vec<&Value> = readings.iter().map(|reading| &reading.value).collect();
    let null = &Value::Null;
    let (n19, bit, n22) = (&Value::U64(19), &Value::Bool(true), &Value::U64(22));
    assert_eq!(values, [n19, null, bit, n22, null, null]);
    let failed: Vec<bool> = readings.iter().map(|reading| reading.error.is_some()).collect();
    assert_eq!(failed, [false, true, false, false, true, true]);
    assert_eq!(plant.asked.lock().last(), Some(&(5, 3, 22, 1)));
}

#[tokio::test]
async fn what_modbus_has_not_is_unsupported() {
    let mut plant = Plant::start(|_| Act::Serve, 5000, Vec::new()).await;
    let error = plant.ask(Ask::Conditions).await.unwrap_err();
    assert_eq!((error.kind, error.reaction()), (ErrorKind::Unsupported, Reaction::FailTag));
}

#[test]
fn the_cost_of_ten_thousand_tags_is_known_before_any_is_read() {
    let real = |i: u32| Tag {
        data_type: DataType::parse("float32").unwrap(),
        ..tag(&(2 * i).to_string(), "", 1)
    };
    let tags = (0..10_000).map(real).chain([tag("coil:1", "", 1), tag("0", "", 2)]).collect();
    let costs = (PROTOCOL.requests)(&spec(json!({"host": "plc2"}), tags));
    assert_eq!(costs.len(), 1);
    assert_eq!((costs[0].scan_ms, costs[0].requests, costs[0].tags), (1000, 164, 10_002));
}

#[test]
fn a_broadcast_unit_is_refused_on_serial_lines_only() {
    for (settings, refused) in [(json!({"host": "plc2"}), 0), (json!({"serial": "/dev/ttyS0"}), 1)]
    {
        let mut driver = (PROTOCOL.driver)(&spec(settings, Vec::new())).unwrap();
        let planned = Planned { id: TagId(0), tag: Arc::new(tag("0", "", 0)) };
        assert_eq!(driver.plan(&[planned]).rejected.len(), refused);
    }
}
