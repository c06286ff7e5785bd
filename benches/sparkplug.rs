//! Sparkplug metrics from the wire into the cache: MQTT session, payload, aliases, tags, rings.
//!
//! A feeder in a thread of this process plays the broker and sends one node's data, 100 metrics a
//! message, by alias. Budget: 10 000 metrics a second below 20 % of one core, feeder and all. Times
//! are CPU time of the whole process. Without `--bench` it runs a moment and proves nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ot_aiops::cache::{CacheLimits, StreamWriter, TagCache};
use ot_aiops::driver::{Batch, Driver, EndpointSpec, Meter, Planned, Purpose, SliceId, Toll};
use ot_aiops::model::{Budget, Sample, Tag, TagId};
use ot_aiops::protocols::mqtt;
use prost::Message as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// Metrics of the node, each with a tag.
const METRICS: u32 = 1000;
/// Metrics of one message.
const PER_MESSAGE: u32 = 100;
/// The budget's rate.
const PER_SECOND: u32 = 10_000;
/// The budget's share of a core.
const SHARE_MAX: f64 = 0.20;

#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(double, optional, tag = "13")]
    double: Option<f64>,
}

fn name(metric: u32) -> String {
    format!("Line/Station{}/Value{metric}", metric / 100)
}

/// Writes a PUBLISH of quality of service 0.
fn publish(topic: &str, payload: &Payload) -> Vec<u8> {
    let payload = payload.encode_to_vec();
    let mut length = 2 + topic.len() + payload.len();
    let mut out = vec![0x30];
    loop {
        let low = u8::try_from(length & 0x7F).unwrap_or_default();
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend(u16::try_from(topic.len()).unwrap_or_default().to_be_bytes());
    out.extend(topic.as_bytes());
    out.extend(payload);
    out
}

fn birth() -> Vec<u8> {
    let metrics = (0..METRICS).map(|metric| Metric {
        name: Some(name(metric)),
        alias: Some(metric.into()),
        datatype: Some(10),
        timestamp: Some(1_700_000_000_000),
        double: Some(0.0),
    });
    let payload = Payload { timestamp: Some(1), metrics: metrics.collect(), seq: Some(0) };
    publish("spBv1.0/G/NBIRTH/E", &payload)
}

fn data(nth: u32) -> Vec<u8> {
    let first = nth * PER_MESSAGE % METRICS;
    let metrics = (first..first + PER_MESSAGE).map(|metric| Metric {
        alias: Some(metric.into()),
        timestamp: Some(1_700_000_000_000 + u64::from(nth)),
        double: Some(f64::from(nth) + 0.5),
        ..Metric::default()
    });
    let seq = Some(u64::from(nth + 1) % 256);
    let payload = Payload { timestamp: Some(1), metrics: metrics.collect(), seq };
    publish("spBv1.0/G/NDATA/E", &payload)
}

/// Plays the broker: takes one client in, grants what it asks, then sends so many messages, at a
/// pace or as fast as the socket takes them.
fn feed(messages: u32, pace: Option<Duration>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Made before, so that the feeder itself costs next to nothing.
    let sent: Vec<Vec<u8>> = (0..messages).map(data).collect();
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        grant(&mut stream)?;
        stream.write_all(&birth())?;
        let start = Instant::now();
        for (nth, message) in (0_u32..).zip(sent) {
            if let Some(pace) = pace {
                let due = pace * nth;
                #[allow(clippy::disallowed_methods, reason = "a thread of its own keeps the pace")]
                std::thread::sleep(due.saturating_sub(start.elapsed()));
            }
            stream.write_all(&message)?;
        }
        // Whatever the client sends, until it goes.
        let mut rest = [0; 256];
        while stream.read(&mut rest)? > 0 {}
        Ok(())
    });
    Ok(address)
}

fn grant(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 1024];
    let _connect = stream.read(&mut bytes)?;
    stream.write_all(&[0x20, 2, 0, 0])?;
    let _subscribe = stream.read(&mut bytes)?;
    // The number of the SUBSCRIBE stands behind two bytes of head.
    let id = [bytes.get(2).copied().unwrap_or(0), bytes.get(3).copied().unwrap_or(0)];
    stream.write_all(&[0x90, 3, id[0], id[1], 1])
}

fn tags() -> Vec<Planned> {
    let tag = |metric| {
        let address = format!("spBv1.0/G/E:{}", name(metric));
        Planned { id: TagId(metric), tag: Arc::new(Tag::new(&address, "bench", &address)) }
    };
    (0..METRICS).map(tag).collect()
}

fn driver(address: SocketAddr) -> anyhow::Result<Box<dyn Driver>> {
    let settings = serde_json::json!({"host": "127.0.0.1", "port": address.port()});
    let spec = EndpointSpec {
        name: "bench".into(),
        protocol: mqtt::PROTOCOL.name,
        settings: settings.as_object().cloned().unwrap_or_default(),
        password: None,
        budget: Budget::default(),
        tags: Vec::new(),
        state_dir: std::path::PathBuf::new(),
    };
    Ok((mqtt::PROTOCOL.driver)(&spec)?)
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// What a run has taken.
struct Taken {
    metrics: u32,
    /// Counted as lost: what comes faster than it is taken is not kept without bound.
    lost: u64,
    wall: Duration,
    cpu: Duration,
}

/// Takes so many messages into the cache, as the poller does.
async fn take(messages: u32, pace: Option<Duration>) -> anyhow::Result<Taken> {
    let mut driver = driver(feed(messages, pace)?)?;
    let toll = Toll::new(Meter::new(Budget::default()), Purpose::Scan);
    let wake = Arc::new(Notify::new());
    driver.plan(&tags());
    let soon = || tokio::time::Instant::now() + Duration::from_secs(10);
    driver.open(wake.clone(), &toll, soon()).await?;
    let cache = TagCache::new(CacheLimits::default());
    let ids: Vec<TagId> = (0..METRICS).map(TagId).collect();
    let mut writer: StreamWriter = cache.stream_group(&ids);
    let sent = messages * PER_MESSAGE + METRICS;
    let (mut batch, mut metrics, mut lost) = (Batch::default(), 0, 0);
    let (start, before) = (Instant::now(), cpu());
    while u64::from(metrics) + lost < u64::from(sent) {
        wake.notified().await;
        batch.clear();
        driver.acquire(SliceId(0), &mut batch, &toll, soon()).await?;
        lost += batch.lost;
        for reading in batch.readings.drain(..) {
            anyhow::ensure!(reading.quality.is_good(), "a metric is not Good");
            metrics += 1;
            let sample = Sample {
                value: reading.value,
                quality: reading.quality,
                source_ts: reading.source_ts,
                received_ts: reading.received_ts,
            };
            writer.append(reading.tag, sample);
        }
    }
    let taken = Taken { metrics, lost, wall: start.elapsed(), cpu: cpu() - before };
    driver.close(soon()).await;
    Ok(taken)
}

fn main() -> anyhow::Result<()> {
    let is_bench = std::env::args().any(|word| word == "--bench");
    let (seconds, flood) = if is_bench { (15, 20_000) } else { (1, 20) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let Taken { metrics, lost, cpu, .. } = take(flood, None).await?;
        println!(
            "as fast as they come: {:.0} ns of CPU a metric that was taken; {metrics} were, {lost} \
             were counted as lost",
            cpu.as_secs_f64() * 1e9 / f64::from(metrics)
        );
        let per_second = PER_SECOND / PER_MESSAGE;
        let pace = Duration::from_secs(1) / per_second;
        let Taken { lost, wall, cpu, .. } = take(per_second * seconds, Some(pace)).await?;
        let share = cpu.as_secs_f64() / wall.as_secs_f64();
        println!(
            "{PER_SECOND} metrics a second for {:.1} s: {:.1} % of a core, {lost} lost",
            wall.as_secs_f64(),
            100.0 * share
        );
        anyhow::ensure!(lost == 0, "{lost} were lost at {PER_SECOND} a second");
        anyhow::ensure!(!is_bench || share < SHARE_MAX, "the budget is {:.0} %", 100.0 * SHARE_MAX);
        Ok(())
    })
}
