//! S7 and Mitsubishi MC over loopback: one request's worth of tags through the driver, against the
//! same bytes through bare TCP to the same server.
//!
//! What the driver takes above the bare exchange, divided by the values in it, is the codec's cost:
//! request written, answer checked, values cut out, a batch filled. Budget: at most 1 us a value,
//! and at least half of the bare exchanges a second. Rounds are interleaved, so that other load on
//! the machine falls on both alike. Without `--bench` it runs a few exchanges and proves nothing.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ot_aiops::driver::{
    Batch, Driver, EndpointSpec, Meter, Planned, Protocol, Purpose, SliceId, Toll,
};
use ot_aiops::model::{Budget, DataType, Scalar, Tag, TagId};
use ot_aiops::protocols::{mc, s7};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const ROUNDS: usize = 11;
const EXCHANGES: u32 = 4000;

/// One protocol's exchange: the request that the driver writes, and how it is answered.
struct Case {
    protocol: Protocol,
    settings: serde_json::Value,
    /// REALs of one request.
    values: u32,
    address: fn(u32) -> String,
    /// Bytes of the first answers, while the session is set up, by the length of their request.
    set_up: fn(&[u8]) -> Option<Vec<u8>>,
    /// Answers a read.
    answer: fn(&[u8]) -> Vec<u8>,
    /// Bytes of a read.
    request_bytes: usize,
}

/// 235 REALs fill the 960 bytes that this controller grants.
const S7_VALUES: u16 = 235;
/// 480 REALs are the 960 words of a batch read.
const MC_VALUES: u16 = 480;

fn s7_answer(request: &[u8]) -> Vec<u8> {
    let bytes = S7_VALUES * 4;
    let [d0, d1] = (bytes + 4).to_be_bytes();
    let [n0, n1] = (bytes * 8).to_be_bytes();
    let [t0, t1] = (bytes + 4 + 14 + 7).to_be_bytes();
    let reference = request.get(11..13).unwrap_or(&[0, 0]);
    let mut out = vec![3, 0, t0, t1, 2, 0xF0, 0x80, 0x32, 3, 0, 0];
    out.extend(reference);
    out.extend([0, 2, d0, d1, 0, 0, 4, 1, 0xFF, 4, n0, n1]);
    out.extend((0..S7_VALUES).flat_map(|n| f32::from(n).to_be_bytes()));
    out
}

fn s7_set_up(request: &[u8]) -> Option<Vec<u8>> {
    match request.get(5)? {
        0xE0 => Some(vec![3, 0, 0, 11, 6, 0xD0, 0, 1, 0, 0, 0]),
        _ if request.get(17) == Some(&0xF0) => {
            let reference = [*request.get(11)?, *request.get(12)?];
            let mut out = vec![3, 0, 0, 27, 2, 0xF0, 0x80, 0x32, 3, 0, 0];
            out.extend(reference);
            out.extend([0, 8, 0, 0, 0, 0, 0xF0, 0, 0, 1, 0, 1, 3, 0xC0]);
            Some(out)
        }
        _ => None,
    }
}

fn mc_answer(_request: &[u8]) -> Vec<u8> {
    let [l0, l1] = (MC_VALUES * 4 + 2).to_le_bytes();
    let mut out = vec![0xD0, 0, 0, 0xFF, 0xFF, 3, 0, l0, l1, 0, 0];
    out.extend((0..MC_VALUES).flat_map(|n| f32::from(n).to_le_bytes()));
    out
}

fn cases() -> [Case; 2] {
    [
        Case {
            protocol: s7::PROTOCOL,
            settings: serde_json::json!({}),
            values: S7_VALUES.into(),
            address: |n| format!("DB1,REAL{}", n * 4),
            set_up: s7_set_up,
            answer: s7_answer,
            request_bytes: 31,
        },
        Case {
            protocol: mc::PROTOCOL,
            settings: serde_json::json!({"plctype": "Q"}),
            values: MC_VALUES.into(),
            address: |n| format!("D{}", n * 2),
            set_up: |_| None,
            answer: mc_answer,
            request_bytes: 21,
        },
    ]
}

/// Answers every request, in a thread of its own, for as long as we run.
fn serve(case: &Case) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (set_up, answer) = (case.set_up, case.answer);
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || -> std::io::Result<()> {
                stream.set_nodelay(true)?;
                let mut request = [0; 256];
                loop {
                    let count = stream.read(&mut request)?;
                    let asked = request.get(..count).filter(|r| !r.is_empty());
                    let Some(asked) = asked else { return Ok(()) };
                    stream.write_all(&set_up(asked).unwrap_or_else(|| answer(asked)))?;
                }
            });
        }
    });
    Ok(address)
}

fn driver(case: &Case, address: SocketAddr) -> anyhow::Result<Box<dyn Driver>> {
    let mut settings = case.settings.as_object().cloned().unwrap_or_default();
    settings.insert("host".into(), address.ip().to_string().into());
    settings.insert("port".into(), address.port().into());
    let spec = EndpointSpec {
        name: "bench".into(),
        protocol: case.protocol.name,
        settings,
        password: None,
        budget: Budget::default(),
        tags: Vec::new(),
        state_dir: std::path::PathBuf::new(),
    };
    Ok((case.protocol.driver)(&spec)?)
}

/// Scans the tags of one request.
async fn scans(driver: &mut dyn Driver, toll: &Toll, values: u32, exchanges: u32) {
    let mut batch = Batch::default();
    for _ in 0..exchanges {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        batch.clear();
        driver.acquire(SliceId(0), &mut batch, toll, deadline).await.expect("a whole scan");
        assert_eq!(batch.readings.len(), values as usize);
    }
}

async fn bare(stream: &mut TcpStream, request: &[u8], answer: &mut [u8], exchanges: u32) {
    for _ in 0..exchanges {
        stream.write_all(request).await.expect("sent");
        stream.read_exact(answer).await.expect("answered");
    }
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn measure(case: &Case, rounds: usize, exchanges: u32) -> anyhow::Result<()> {
    let address = serve(case)?;
    let mut driver = driver(case, address)?;
    let budget = Budget { requests_per_s: 1e9, burst: u32::MAX, ..Budget::default() };
    let toll = Toll::new(Meter::new(budget), Purpose::Scan);
    let real = DataType::One(Scalar::Float32);
    let tags: Vec<Planned> = (0..case.values)
        .map(|n| {
            let address = (case.address)(n);
            let tag = Tag { data_type: real, ..Tag::new(&address, "bench", &address) };
            Planned { id: TagId(n), tag: Arc::new(tag) }
        })
        .collect();
    driver.plan(&tags);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    driver.open(Arc::new(Notify::new()), &toll, deadline).await?;
    let plan = driver.plan(&tags);
    assert_eq!(plan.slices.iter().map(|slice| slice.requests).sum::<u32>(), 1, "one request");
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // Not a set-up message of any kind: it is answered like a read.
    let request = vec![1; case.request_bytes];
    let mut answer = vec![0; (case.answer)(&request).len()];
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        scans(driver.as_mut(), &toll, case.values, exchanges).await;
        ours.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(exchanges));
        let start = Instant::now();
        bare(&mut stream, &request, &mut answer, exchanges).await;
        bares.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(exchanges));
    }
    let (ours, bare) = (median(ours), median(bares));
    println!(
        "{:<4} {} REALs in one request: driver {ours:.1} us, bare {bare:.1} us ({:.0} %), \
         {:.0} ns a value above it",
        case.protocol.name,
        case.values,
        100.0 * bare / ours,
        1e3 * (ours - bare) / f64::from(case.values),
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let is_bench = std::env::args().any(|word| word == "--bench");
    let (rounds, exchanges) = if is_bench { (ROUNDS, EXCHANGES) } else { (1, 10) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for case in cases() {
            measure(&case, rounds, exchanges).await?;
        }
        Ok(())
    })
}
