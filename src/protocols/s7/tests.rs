//! The whole driver against a scripted controller on a loopback port.

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

/// What the scripted controller does with a read; it always connects and agrees on 240 bytes.
#[derive(Clone, Copy)]
enum Act {
    /// Bytes equal to their number, in DB1 up to 499 and in the flags; nothing else is there.
    Serve,
    Ignore,
    Cut,
    Garbage,
    /// The answer to the request before this one.
    Stale,
    Twice,
    Short,
    /// Refuses every job: PUT/GET is not allowed.
    Refuse,
}

struct Plant {
    driver: Box<dyn Driver>,
    /// The items of each read.
    asked: Arc<Mutex<Vec<usize>>>,
    toll: Toll,
}

fn item(asked: &[u8]) -> Vec<u8> {
    let count = u16::from_be_bytes([asked[4], asked[5]]);
    let block = u16::from_be_bytes([asked[6], asked[7]]);
    let start = u32::from_be_bytes([0, asked[9], asked[10], asked[11]]) / 8;
    let is_there = asked[8] == 0x83 || (asked[8] == 0x84 && block == 1);
    if !is_there {
        return vec![0x0A, 0, 0, 0];
    }
    if start + u32::from(count) > 500 {
        return vec![0x05, 0, 0, 0];
    }
    let [high, low] = (count * 8).to_be_bytes();
    let mut out = vec![0xFF, 4, high, low];
    out.extend((start..start + u32::from(count)).map(|n| u8::try_from(n % 256).unwrap()));
    out
}

fn read(message: &[u8], act: Act) -> Vec<u8> {
    let mut data = Vec::new();
    for asked in message[12..].chunks(12) {
        if data.len() % 2 == 1 {
            data.push(0);
        }
        data.extend(item(asked));
    }
    if matches!(act, Act::Short) {
        data.pop();
    }
    let [d0, d1] = u16::try_from(data.len()).unwrap().to_be_bytes();
    let r1 = if matches!(act, Act::Stale) { message[5].wrapping_sub(1) } else { message[5] };
    let class = if matches!(act, Act::Refuse) { [0x81, 0x04] } else { [0, 0] };
    let head = [0x32, 3, 0, 0, message[4], r1, 0, 2, d0, d1, class[0], class[1], 4, message[11]];
    wrapped(&[&head[..], &data].concat())
}

fn wrapped(message: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(message.len() + 7).unwrap().to_be_bytes();
    [&[3, 0, high, low, 2, 0xF0, 0x80][..], message].concat()
}

async fn serve(mut stream: TcpStream, act: Act, asked: Arc<Mutex<Vec<usize>>>) {
    let mut head = [0_u8; 4];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut packet = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]])) - 4];
        stream.read_exact(&mut packet).await.unwrap();
        let out = match packet[1] {
            0xE0 => vec![3, 0, 0, 11, 6, 0xD0, 0, 1, 0, 0, 0],
            _ if packet[13] == 0xF0 => {
                let (r0, r1) = (packet[7], packet[8]);
                let head = [0x32, 3, 0, 0, r0, r1, 0, 8, 0, 0, 0, 0];
                wrapped(&[&head[..], &[0xF0, 0, 0, 1, 0, 1, 0, 240]].concat())
            }
            _ => {
                asked.lock().push(usize::from(packet[14]));
                let good = read(&packet[3..], act);
                match act {
                    Act::Ignore => continue,
                    Act::Cut => {
                        stream.write_all(&good[..good.len() / 2]).await.unwrap();
                        return;
                    }
                    Act::Garbage => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
                    Act::Twice => [good.clone(), good].concat(),
                    _ => good,
                }
            }
        };
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn tag(address: &str, data_type: &str) -> Tag {
    let data_type = DataType::parse(data_type).unwrap_or(DataType::Native);
    Tag { data_type, ..Tag::new(address, "press", address) }
}

impl Plant {
    async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<usize>>> = Arc::default();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, act, log.clone()));
            }
        });
        let settings = json!({"host": "127.0.0.1", "port": port, "timeout_ms": 200});
        let spec = EndpointSpec {
            name: "press".into(),
            protocol: "s7",
            settings: settings.as_object().unwrap().clone(),
            password: None,
            budget: Budget::default(),
            tags: Vec::new(),
            state_dir: std::path::PathBuf::new(),
        };
        let driver = (PROTOCOL.driver)(&spec).unwrap();
        let budget = Budget { requests_per_s: 1e6, burst: 1_000_000, ..Budget::default() };
        let toll = Toll::new(Meter::new(budget), Purpose::Scan);
        let mut plant = Self { driver, asked, toll };
        plant.driver.open(Arc::new(Notify::new()), &plant.toll, soon()).await.unwrap();
        plant
    }

    async fn scan(&mut self, tags: Vec<Tag>) -> Result<Batch, DriverError> {
        let planned: Vec<Planned> = (0..)
            .zip(tags)
            .map(|(id, tag)| Planned { id: TagId(id), tag: Arc::new(tag) })
            .collect();
        self.driver.plan(&planned);
        let mut batch = Batch::default();
        self.driver.acquire(SliceId(0), &mut batch, &self.toll, soon()).await?;
        batch.readings.sort_by_key(|reading| reading.tag);
        Ok(batch)
    }

    async fn ask(&mut self, ask: Ask) -> Result<Reply, DriverError> {
        match self.driver.ask(ask, self.toll.clone(), soon()) {
            Asking::Here(answer) => answer.await,
            Asking::InTurns(answer) => answer.await.map(Option::unwrap),
            Asking::Beside(answer) => answer.await,
        }
    }
}

#[tokio::test]
async fn values_of_several_areas_come_in_one_request() {
    let mut plant = Plant::start(Act::Serve).await;
    let tags = vec![
        tag("DB1.DBB1", ""),
        tag("DB1.DBW2", "int16"),
        tag("DB1,X9.0", ""),
        tag("MD4:DINT", ""),
        tag("DB1.DBW300", ""),
    ];
    let batch = plant.scan(tags).await.unwrap();
    let values: Vec<&Value> = batch.readings.iter().map(|reading| &reading.value).collect();
    let want = [
        Value::U64(1),
        Value::I64(0x0203),
        Value::Bool(true),
        Value::I64(0x0405_0607),
        Value::U64(0x2C2D),
    ];
    assert_eq!(values, want.iter().collect::<Vec<_>>());
    assert!(batch.readings.iter().all(|reading| reading.quality.is_good()));
    assert_eq!(*plant.asked.lock(), [3], "two stretches of DB1 and one of the flags");
    assert_eq!(batch.blocks.len(), 3);
}

#[tokio::test]
async fn a_bad_address_fails_alone_and_is_left_out_of_later_scans() {
    let mut plant = Plant::start(Act::Serve).await;
    let tags = || {
        let addresses = ["DB1,INT490", "DB1,INT496", "DB1,INT500", "DB2,INT0", "DB1,REAL8"];
        addresses.iter().map(|address| tag(address, "")).collect::<Vec<_>>()
    };
    let batch = plant.scan(tags()).await.unwrap();
    let qualities: Vec<Quality> = batch.readings.iter().map(|reading| reading.quality).collect();
    let (good, bad) = (Quality::GOOD, Quality::BAD_CONFIGURATION_ERROR);
    assert_eq!(qualities, [good, good, bad, bad, good]);
    assert_eq!(batch.readings[2].value, Value::Null);
    plant.asked.lock().clear();
    let again = plant.scan(tags()).await.unwrap();
    assert_eq!(again.readings[2].quality, bad);
    assert_eq!(plant.asked.lock().len(), 1, "what was learnt is remembered");
}

#[tokio::test]
async fn what_is_longer_than_an_answer_comes_in_pieces_and_whole() {
    let mut plant = Plant::start(Act::Serve).await;
    let block =
        |address, count| BlockRef { unit: UnitId(0), area: "DB", section: 1, address, count };
    let Ok(Reply::Block(got)) = plant.ask(Ask::Block(block(0, 500))).await else { panic!() };
    let want: Vec<u8> = (0..500_u32).map(|n| u8::try_from(n % 256).unwrap()).collect();
    assert_eq!(got.data, BlockData::Bytes(want.into()));
    assert_eq!(*plant.asked.lock(), [1, 1, 1], "222, 222 and 56 bytes");
    let error = plant.ask(Ask::Block(block(300, 300))).await.unwrap_err();
    assert_eq!((error.kind, error.reaction()), (ErrorKind::BadAddress, Reaction::FailTag));
}

#[tokio::test]
async fn a_wrong_reference_of_a_call_is_an_item_with_its_error() {
    let mut plant = Plant::start(Act::Serve).await;
    let refs = ["DB1.DBD4:DINT", "DB9,INT0", "nonsense", "DB1,INT499"];
    let refs = refs.iter().map(|text| (*text).into()).collect();
    let Ok(Reply::Readings(readings)) = plant.ask(Ask::Read { refs, unit: None }).await else {
        panic!()
    };
    assert_eq!(readings[0].value, Value::I64(0x0405_0607));
    for reading in &readings[1..] {
        assert_eq!(reading.error.as_ref().unwrap().kind, ErrorKind::BadAddress, "{reading:?}");
        assert_eq!(reading.value, Value::Null);
    }
}

#[tokio::test]
async fn a_refused_job_explains_put_get_and_keeps_the_session() {
    let mut plant = Plant::start(Act::Refuse).await;
    let error = plant.scan(vec![tag("DB1,INT0", "")]).await.unwrap_err();
    assert_eq!((error.kind, error.reaction()), (ErrorKind::Unsupported, Reaction::FailTag));
    assert!(error.hint.contains("PUT/GET"), "{error:?}");
    plant.ask(Ask::Connect).await.unwrap();
}

#[tokio::test]
async fn what_is_no_answer_drops_the_session_and_gives_no_value() {
    for (act, kind) in [
        (Act::Ignore, ErrorKind::Timeout),
        (Act::Cut, ErrorKind::LinkLost),
        (Act::Garbage, ErrorKind::Protocol),
        (Act::Stale, ErrorKind::Protocol),
        (Act::Twice, ErrorKind::Protocol),
        (Act::Short, ErrorKind::Protocol),
    ] {
        let mut plant = Plant::start(act).await;
        let error = plant.scan(vec![tag("DB1,INT0", ""), tag("M0.1", "")]).await.unwrap_err();
        assert_eq!((error.kind, error.reaction()), (kind, Reaction::DropSession), "{error}");
        assert!(!error.hint.is_empty());
        let after = plant.ask(Ask::Connect).await.unwrap_err();
        assert_eq!(after.kind, ErrorKind::LinkLost, "the connection is not used again");
    }
}
