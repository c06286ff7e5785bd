//! Modbus over loopback: one block of 125 registers through the driver, against the same bytes
//! through bare TCP to the same server.
//!
//! Budget: the driver reaches at least 80 % of the bare round trip (12 bytes out, 259 back), and
//! 10 000 REALs in a row need exactly 162 requests. Rounds are interleaved, so that other load on
//! the machine falls on both alike. Without `--bench` it runs a few exchanges and proves nothing.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ot_aiops::driver::{
    Ask, Asking, Batch, BlockRef, Driver, EndpointSpec, Meter, Planned, Purpose, Reply, SliceId,
    Toll,
};
use ot_aiops::model::{Budget, DataType, Scalar, Tag, TagId, UnitId};
use ot_aiops::protocols::modbus::PROTOCOL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const REGISTERS: u16 = 125;
const REQUEST_BYTES: usize = 12;
const ANSWER_BYTES: usize = 259;
const ROUNDS: usize = 11;
const EXCHANGES: u32 = 4000;

/// Answers every request with 125 registers, in a thread of its own, for as long as we run.
fn serve() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || -> std::io::Result<()> {
                stream.set_nodelay(true)?;
                let mut request = [0; REQUEST_BYTES];
                let mut answer = [0; ANSWER_BYTES];
                answer[5] = 253;
                answer[8] = 250;
                loop {
                    stream.read_exact(&mut request)?;
                    answer[..2].copy_from_slice(&request[..2]);
                    answer[6..8].copy_from_slice(&request[6..8]);
                    stream.write_all(&answer)?;
                }
            });
        }
    });
    Ok(address)
}

fn spec(address: SocketAddr, tags: Vec<Tag>) -> EndpointSpec {
    let settings = serde_json::json!({"host": address.ip().to_string(), "port": address.port()});
    EndpointSpec {
        name: "bench".into(),
        protocol: PROTOCOL.name,
        settings: settings.as_object().cloned().unwrap_or_default(),
        password: None,
        budget: Budget::default(),
        tags: tags.into_iter().map(Arc::new).collect(),
        state_dir: std::path::PathBuf::new(),
    }
}

fn real(number: u32, stride: u32) -> Tag {
    let address = (number * stride).to_string();
    let data_type = DataType::One(Scalar::Float32);
    Tag { data_type, unit: UnitId(1), ..Tag::new(&address, "bench", &address) }
}

/// Asks for the same block through the driver, again and again.
async fn blocks(driver: &mut dyn Driver, toll: &Toll, exchanges: u32) {
    let at = BlockRef {
        unit: UnitId(1),
        area: "holding",
        section: 0,
        address: 0,
        count: REGISTERS.into(),
    };
    for _ in 0..exchanges {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        match driver.ask(Ask::Block(at.clone()), toll.clone(), deadline) {
            Asking::Here(answer) => match answer.await {
                Ok(Reply::Block(block)) => assert_eq!(block.at.count, 125),
                other => panic!("no block: {other:?}"),
            },
            Asking::InTurns(_) | Asking::Beside(_) => panic!("a Modbus answer needs the session"),
        }
    }
}

/// Scans the 63 tags of one request.
async fn scans(driver: &mut dyn Driver, toll: &Toll, exchanges: u32) {
    let mut batch = Batch::default();
    for _ in 0..exchanges {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        batch.clear();
        driver.acquire(SliceId(0), &mut batch, toll, deadline).await.expect("a whole scan");
        assert_eq!(batch.readings.len(), 63);
    }
}

async fn bare(stream: &mut TcpStream, exchanges: u32) {
    let request = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 125];
    let mut answer = [0; ANSWER_BYTES];
    for _ in 0..exchanges {
        stream.write_all(&request).await.expect("sent");
        stream.read_exact(&mut answer).await.expect("answered");
    }
}

/// Gives the least and the median, in microseconds an exchange.
fn figures(mut rounds: Vec<f64>) -> (f64, f64) {
    rounds.sort_by(f64::total_cmp);
    let at = |index: usize| rounds.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(rounds.len() / 2))
}

fn print_plans(address: SocketAddr) {
    for (what, stride) in [("in a row", 2), ("2 of every 6 registers", 6)] {
        let tags = (0..10_000).map(|number| real(number, stride)).collect();
        let started = Instant::now();
        let costs = (PROTOCOL.requests)(&spec(address, tags));
        let requests: u32 = costs.iter().map(|cost| cost.requests).sum();
        println!("10 000 REALs {what}: {requests} requests, planned in {:.1?}", started.elapsed());
    }
    let scattered =
        (0..10_000).map(|n| Tag { unit: UnitId(1 + (n % 20) as u8), ..real(n / 20, 125) });
    let costs = (PROTOCOL.requests)(&spec(address, scattered.collect()));
    let requests: u32 = costs.iter().map(|cost| cost.requests).sum();
    println!("10 000 REALs, each 125 registers from the next, 20 units: {requests} requests");
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, exchanges) = if is_bench { (ROUNDS, EXCHANGES) } else { (1, 10) };
    let address = serve().expect("a loopback port");
    print_plans(address);
    // 62 REALs and one single register fill the 125.
    let last = Tag { unit: UnitId(1), ..Tag::new("124", "bench", "124") };
    let spec = spec(address, (0..62).map(|n| real(n, 2)).chain([last]).collect());
    let mut driver = (PROTOCOL.driver)(&spec).expect("good settings");
    let tags = spec.tags.iter().zip(0..);
    let planned: Vec<Planned> =
        tags.map(|(tag, id)| Planned { id: TagId(id), tag: tag.clone() }).collect();
    let plan = driver.plan(&planned);
    assert!(plan.slices.iter().map(|slice| slice.requests).eq([1]));
    let budget = Budget { requests_per_s: 1e9, burst: u32::MAX, ..Budget::default() };
    let toll = Toll::new(Meter::new(budget), Purpose::Scan);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    driver.open(Arc::new(Notify::new()), &toll, deadline).await.expect("connected");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.set_nodelay(true).expect("a socket");

    let mut seen: [Vec<f64>; 3] = Default::default();
    // One round more than is counted: it warms up.
    for round in 0..=rounds {
        for (kind, times) in seen.iter_mut().enumerate() {
            let started = Instant::now();
            match kind {
                0 => bare(&mut stream, exchanges).await,
                1 => blocks(driver.as_mut(), &toll, exchanges).await,
                _ => scans(driver.as_mut(), &toll, exchanges).await,
            }
            let each_us = started.elapsed().as_secs_f64() * 1e6 / f64::from(exchanges);
            if round > 0 {
                times.push(each_us);
            }
        }
    }
    let [bare, block, scan] = seen.map(figures);
    println!("{rounds} interleaved rounds of {exchanges} exchanges, us each: min / median");
    println!("  bare TCP 12/259 B         {:6.1} / {:6.1}", bare.0, bare.1);
    println!("  driver, block of 125      {:6.1} / {:6.1}", block.0, block.1);
    println!("  driver, scan of 63 tags   {:6.1} / {:6.1}", scan.0, scan.1);
    println!(
        "block reaches {:.0} % / {:.0} % of bare TCP",
        share(bare.0, block.0),
        share(bare.1, block.1)
    );
    println!(
        "scan reaches  {:.0} % / {:.0} % of bare TCP",
        share(bare.0, scan.0),
        share(bare.1, scan.1)
    );
    driver.close(tokio::time::Instant::now() + Duration::from_secs(1)).await;
}

fn share(bare: f64, ours: f64) -> f64 {
    100.0 * bare / ours
}
