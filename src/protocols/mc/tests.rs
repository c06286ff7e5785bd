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
    Ask, Asking, Batch, BlockData, Driver, DriverError, EndpointSpec, ErrorKind, Meter, Planned,
    Purpose, Reaction, Reply, SliceId, Toll,
};
use crate::model::{Budget, DataType, Quality, Tag, TagId, Value};

/// What the scripted controller does with a request.
#[derive(Clone, Copy)]
enum Act {
    /// Words equal to their number, bits true at odd ones; none beyond 999.
    Serve,
    Ignore,
    Cut,
    Garbage,
    Ascii,
    Twice,
    Short,
}

struct Plant {
    driver: Box<dyn Driver>,
    asked: Arc<Mutex<Vec<u16>>>,
    toll: Toll,
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])
}

/// Words of a random read or a batch; an end code for what lies beyond 999.
fn data(command: u16, body: &[u8]) -> Result<Vec<u8>, u16> {
    let word = |n: u32| if n > 999 { Err(0xC056) } else { Ok(u16::try_from(n).unwrap()) };
    match command {
        0x0101 => Ok([&b"Q03UDVCPU       "[..], &[0x66, 3]].concat()),
        0x0401 if body[3] == 0x90 => {
            let count = u32::from(u16::from_le_bytes([body[4], body[5]]));
            let start = number(body);
            word(start + count - 1)?;
            let bit = |at: u32| u8::from(at < count && (start + at) % 2 == 1);
            Ok((0..count).step_by(2).map(|at| bit(at) << 4 | bit(at + 1)).collect())
        }
        0x0401 => {
            let count = u32::from(u16::from_le_bytes([body[4], body[5]]));
            let words: Result<Vec<u16>, u16> =
                (number(body)..number(body) + count).map(word).collect();
            Ok(words?.into_iter().flat_map(u16::to_le_bytes).collect())
        }
        _ => {
            let (words, points) = (usize::from(body[0]), body[2..].chunks(4));
            let mut out = Vec::new();
            for (nth, point) in points.enumerate() {
                let head = number(point);
                for at in 0..if nth < words { 1 } else { 2 } {
                    out.extend(word(head + at)?.to_le_bytes());
                }
            }
            Ok(out)
        }
    }
}

async fn serve(mut stream: TcpStream, act: Act, asked: Arc<Mutex<Vec<u16>>>) {
    let mut head = [0_u8; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut body = vec![0; usize::from(u16::from_le_bytes([head[7], head[8]]))];
        stream.read_exact(&mut body).await.unwrap();
        let command = u16::from_le_bytes([body[2], body[3]]);
        asked.lock().push(command);
        let (end, data) = data(command, &body[6..]).map_or_else(|code| (code, vec![]), |d| (0, d));
        let length = u16::try_from(data.len() + 2).unwrap().to_le_bytes();
        let route = &head[2..7];
        let good =
            [&[0xD0, 0][..], route, &length, &u16::to_le_bytes(end), data.as_slice()].concat();
        let out = match act {
            Act::Serve => good,
            Act::Ignore => continue,
            Act::Cut => {
                stream.write_all(&good[..good.len() / 2]).await.unwrap();
                return;
            }
            Act::Garbage => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Act::Ascii => b"D00000FF03FF0000040000".to_vec(),
            Act::Twice => [good.clone(), good].concat(),
            Act::Short => [&[0xD0, 0][..], route, &[3, 0, 0, 0, 7]].concat(),
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
    Tag { data_type, ..Tag::new(address, "capper", address) }
}

impl Plant {
    async fn start(act: Act, settings: serde_json::Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<u16>>> = Arc::default();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, act, log.clone()));
            }
        });
        let mut keys = settings.as_object().unwrap().clone();
        keys.insert("host".into(), json!("127.0.0.1"));
        keys.insert("port".into(), json!(port));
        let spec = EndpointSpec {
            name: "capper".into(),
            protocol: "mc",
            settings: keys,
            password: None,
            budget: Budget::default(),
            tags: Vec::new(),
            state_dir: std::path::PathBuf::new(),
        };
        let driver = (PROTOCOL.driver)(&spec).unwrap();
        let budget = Budget { requests_per_s: 1e6, burst: 1_000_000, ..Budget::default() };
        let toll = Toll::new(Meter::new(budget), Purpose::Scan);
        Self { driver, asked, toll }
    }

    async fn open(&mut self) -> Result<(), DriverError> {
        self.driver.open(Arc::new(Notify::new()), &self.toll, soon()).await.map(|_| ())
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

fn quiet() -> serde_json::Value {
    json!({"plctype": "Q", "timeout_ms": 200})
}

#[tokio::test]
async fn near_values_come_in_one_batch_and_far_ones_in_one_random_read() {
    let mut plant = Plant::start(Act::Serve, quiet()).await;
    plant.open().await.unwrap();
    let near = vec![tag("D1", ""), tag("D2", "uint32"), tag("D9.0", "bool")];
    let batch = plant.scan(near).await.unwrap();
    let values: Vec<&Value> = batch.readings.iter().map(|reading| &reading.value).collect();
    assert_eq!(values, [&Value::U64(1), &Value::U64(0x0003_0002), &Value::Bool(true)]);
    assert!(batch.readings.iter().all(|reading| reading.quality.is_good()));
    assert_eq!(batch.blocks.len(), 1);
    assert_eq!((batch.blocks[0].at.address, batch.blocks[0].data.count()), (1, 9));

    plant.asked.lock().clear();
    let far = vec![tag("D1", ""), tag("W1F", "uint32"), tag("M17", ""), tag("R7", "int16")];
    let batch = plant.scan(far).await.unwrap();
    let values: Vec<&Value> = batch.readings.iter().map(|reading| &reading.value).collect();
    // Word 16 of M holds its own number: bit 1 of 16 is off.
    let want = [Value::U64(1), Value::U64(0x0020_001F), Value::Bool(false), Value::I64(7)];
    assert_eq!(values, want.iter().collect::<Vec<_>>());
    assert_eq!(*plant.asked.lock(), [0x0403]);
    let bit = batch.blocks.iter().find(|block| block.at.area == "M").unwrap();
    assert_eq!((bit.at.address, &bit.data), (17, &BlockData::Bits([false].into())));
}

#[tokio::test]
async fn a_bad_address_fails_alone_and_is_left_out_of_later_scans() {
    let mut plant = Plant::start(Act::Serve, quiet()).await;
    plant.open().await.unwrap();
    let tags = || vec![tag("D990", ""), tag("D999", ""), tag("D1000", ""), tag("D5", "float32")];
    let batch = plant.scan(tags()).await.unwrap();
    let qualities: Vec<Quality> = batch.readings.iter().map(|reading| reading.quality).collect();
    let (good, bad) = (Quality::GOOD, Quality::BAD_CONFIGURATION_ERROR);
    assert_eq!(qualities, [good, good, bad, good]);
    assert_eq!(batch.readings[2].value, Value::Null);
    plant.asked.lock().clear();
    let again = plant.scan(tags()).await.unwrap();
    assert_eq!(again.readings[2].quality, bad);
    assert_eq!(plant.asked.lock().len(), 1, "what was learnt is remembered");
}

#[tokio::test]
async fn x_and_y_are_read_once_the_controller_has_told_its_series() {
    let mut plant = Plant::start(Act::Serve, json!({"timeout_ms": 200})).await;
    let tags = [Planned { id: TagId(0), tag: Arc::new(tag("X1F", "bool")) }];
    assert_eq!(plant.driver.plan(&tags).rejected.len(), 1);
    plant.open().await.unwrap();
    assert_eq!(*plant.asked.lock(), [0x0101]);
    assert!(plant.driver.plan(&tags).rejected.is_empty());
    let Ok(Reply::Identity(identity)) = plant.ask(Ask::Identify).await else { panic!() };
    assert_eq!((&*identity.product, &*identity.version), ("Q03UDVCPU", "0366"));
}

#[tokio::test]
async fn a_wrong_reference_of_a_call_is_an_item_with_its_error() {
    let mut plant = Plant::start(Act::Serve, quiet()).await;
    plant.open().await.unwrap();
    let refs = ["D7:int32", "D5000:int16", "nonsense", "D8:what"];
    let refs = refs.iter().map(|text| (*text).into()).collect();
    let Ok(Reply::Readings(readings)) = plant.ask(Ask::Read { refs, unit: None }).await else {
        panic!()
    };
    assert_eq!(readings[0].value, Value::I64(0x0008_0007));
    for reading in &readings[1..] {
        assert_eq!(reading.error.as_ref().unwrap().kind, ErrorKind::BadAddress, "{reading:?}");
        assert_eq!(reading.value, Value::Null);
    }
}

#[tokio::test]
async fn what_is_no_answer_drops_the_session_and_gives_no_value() {
    for (act, kind) in [
        (Act::Ignore, ErrorKind::Timeout),
        (Act::Cut, ErrorKind::LinkLost),
        (Act::Garbage, ErrorKind::Protocol),
        (Act::Ascii, ErrorKind::Protocol),
        (Act::Twice, ErrorKind::Protocol),
        (Act::Short, ErrorKind::Protocol),
    ] {
        let mut plant = Plant::start(act, quiet()).await;
        plant.open().await.unwrap();
        let error = plant.scan(vec![tag("D1", ""), tag("D2", "")]).await.unwrap_err();
        assert_eq!((error.kind, error.reaction()), (kind, Reaction::DropSession), "{error}");
        assert!(!error.hint.is_empty());
        let after = plant.ask(Ask::Connect).await.unwrap_err();
        assert_eq!(after.kind, ErrorKind::LinkLost, "the connection is not used again");
    }
}
