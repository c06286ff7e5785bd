//! The diagnostics: statistics of columns beside Welford's pass and the bandwidth of memory, the
//! Hampel identifier beside two sorts, one tag's diagnosis, and an alarm log.
//!
//! Budget (median of interleaved rounds, CPU time of the thread), 100 000 tags x 600 samples:
//!
//! | what | budget |
//! |---|---|
//! | mean, deviation, extremes and flatline | >= 5x Welford, >= 40 % of read bandwidth |
//! | Hampel, 15 samples wide | >= 3x two sorts |
//! | every detector on one tag, out of the cache | < 200 us |
//! | alarm analysis of 100 000 events | < 50 ms |
//! | `finding_list` and `tag_why` of a collector with 100 000 tags | < 1 ms, < 200 us |
//!
//! The columns are those of 10 000 tags, gone through ten times: 72 MB are far more than the
//! machine's caches hold, and ten times that would tell no more. The run fails where the budget
//! is missed.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use criterion::Criterion;
use ot_aiops::actors::{Collector, Deps, Plant, ServeDoors, Setup, Stay};
use ot_aiops::cache::{CacheLimits, Numbers, TagCache};
use ot_aiops::diagnose::alarms::{AlarmEvent, AlarmQuestion, Change, analyse};
use ot_aiops::diagnose::detect::{
    DETECTORS, HAMPEL_SIDE, LaterSignals, Neighbours, Signal, Subject, hampel,
};
use ot_aiops::diagnose::median;
use ot_aiops::model::{Door, Principal, Quality, Stats, TagId, Timestamp, Value};
use ot_aiops::protocols::PROTOCOLS;
use ot_aiops::tools::{Call, Progress};
use rustix::time::{ClockId, clock_gettime};

const TAGS: u32 = 10_000;
const SAMPLES: usize = 600;
const ROUNDS: usize = 21;
/// Tags whose medians are taken in one round.
const HAMPEL_TAGS: usize = 50;
const NEIGHBOURS: u32 = 8;
/// Endpoints of the collector that the tools ask, all but one of them dead, and tags of each.
const ENDPOINTS: usize = 1000;
const TAGS_OF_ONE: usize = 100;
/// Calls of a tool in one round.
const CALLS: usize = 50;

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

fn seconds(work: &mut dyn FnMut()) -> f64 {
    let before = thread_cpu();
    work();
    (thread_cpu() - before).as_secs_f64()
}

/// Takes turns, so that a neighbour on the machine slows all alike; gives each one's median.
fn interleaved<const N: usize>(mut works: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut taken: [Vec<f64>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (work, taken) in works.iter_mut().zip(&mut taken) {
            taken.push(seconds(*work));
        }
    }
    taken.map(|mut times| median(&mut times).unwrap_or(f64::NAN))
}

/// A cache with the newest samples of every tag: noise around a level, in hundredths.
fn filled() -> Arc<TagCache> {
    let limits = CacheLimits { rows_per_group: SAMPLES + 8, ..CacheLimits::default() };
    let cache = TagCache::new(limits);
    let ids: Vec<TagId> = (0..TAGS).map(TagId).collect();
    let mut writer = cache.scan_group(&ids);
    let mut dice = 1_u32;
    for second in 0..i64::try_from(SAMPLES + 8).unwrap_or_default() {
        let mut value = || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (Value::F64(50.0 + f64::from(dice >> 22) / 100.0), Quality::GOOD)
        };
        let row: Vec<_> = ids.iter().map(|_| value()).collect();
        writer.append(Timestamp::from_millis(second * 1000), &row);
    }
    cache
}

/// Mean, deviation and extremes as a textbook has them: Welford, one pass; flat by the extremes.
fn welford(values: &[f64], qualities: &[Quality]) -> (f64, f64, f64, f64) {
    let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for (value, quality) in values.iter().zip(qualities) {
        if quality.is_bad() || !value.is_finite() {
            continue;
        }
        n += 1.0;
        let delta = value - mean;
        mean += delta / n;
        square += delta * (value - mean);
        min = value.min(min);
        max = value.max(max);
    }
    (mean, (square / n).sqrt(), min, max)
}

/// Reads every byte and does no more than the machine must to have read it.
fn read_all(values: &[f64], qualities: &[Quality]) -> u64 {
    let mut sums = [0_u64; 8];
    let (chunks, _) = values.as_chunks::<8>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, value)| *sum ^= value.to_bits());
    }
    let status: u32 = qualities.iter().fold(0, |all, quality| all ^ quality.status());
    sums.iter().fold(u64::from(status), |all, sum| all ^ sum)
}

/// The Hampel identifier as it is usually written: two sorts for each sample.
fn hampel_by_sorts(numbers: &[f64], mut each: impl FnMut(f64, f64)) {
    let width = 2 * HAMPEL_SIDE + 1;
    let mut work = Vec::with_capacity(width);
    for window in numbers.windows(width) {
        work.clear();
        work.extend_from_slice(window);
        work.sort_unstable_by(f64::total_cmp);
        let middle = work.get(HAMPEL_SIDE).copied().unwrap_or_default();
        work.iter_mut().for_each(|x| *x = (*x - middle).abs());
        work.sort_unstable_by(f64::total_cmp);
        each(middle, work.get(HAMPEL_SIDE).copied().unwrap_or_default());
    }
}

/// One line of the table; tells whether the budget holds.
fn line(what: &str, figure: &str, ratio: f64, least: f64) -> bool {
    let holds = ratio >= least;
    let word = if holds { "ok" } else { "MISSED" };
    println!("{what:<44} {figure:<34} {ratio:>8.2} of {least:>5.2}  {word}");
    holds
}

fn columns(cache: &TagCache) -> bool {
    let mut numbers = Numbers::new();
    let (mut values, mut qualities) = (Vec::new(), Vec::new());
    for id in (0..TAGS).map(TagId) {
        cache.numbers_last(id, SAMPLES, &mut numbers);
        values.extend_from_slice(&numbers.values);
        qualities.extend_from_slice(&numbers.qualities);
    }
    assert_eq!(values.len(), SAMPLES * TAGS as usize, "every tag has all its samples");
    let tags = || values.chunks_exact(SAMPLES).zip(qualities.chunks_exact(SAMPLES));
    let [ours, peer, read, copy] = interleaved([
        &mut || {
            for (values, qualities) in tags() {
                let stats = Stats::of(values, qualities);
                black_box((stats, stats.min == stats.max));
            }
        },
        &mut || {
            tags().for_each(|(v, q)| {
                black_box(welford(v, q));
            });
        },
        &mut || {
            tags().for_each(|(v, q)| {
                black_box(read_all(v, q));
            });
        },
        &mut || {
            for id in (0..TAGS).map(TagId) {
                cache.numbers_last(id, SAMPLES, &mut numbers);
                black_box(numbers.values.len());
            }
        },
    ]);
    let per_100k = |s: f64| format!("{:.1} ms for 100 000 tags", s * 1e4);
    println!("{:<44} {}", "the copy out of the ring", per_100k(copy));
    println!("{:<44} {}", "Welford", per_100k(peer));
    println!("{:<44} {}", "reading alone", per_100k(read));
    let by_peer = line("mean, deviation, extremes, flatline", &per_100k(ours), peer / ours, 5.0);
    by_peer & line("the same, share of read bandwidth", &per_100k(ours), read / ours, 0.4)
}

fn medians(cache: &TagCache) -> bool {
    let column = |id: u32| {
        let mut numbers = Numbers::new();
        cache.numbers_last(TagId(id), SAMPLES, &mut numbers);
        numbers.values
    };
    let all: Vec<Vec<f64>> = (0_u32..).take(HAMPEL_TAGS).map(column).collect();
    let [ours, peer] = interleaved([
        &mut || {
            for column in &all {
                hampel(column, |_, local| {
                    black_box(local);
                });
            }
        },
        &mut || {
            for column in &all {
                hampel_by_sorts(column, |median, mad| {
                    black_box((median, mad));
                });
            }
        },
    ]);
    let samples = (HAMPEL_TAGS * SAMPLES) as f64;
    let figure = format!("{:.0} ns a sample, {:.0}", ours / samples * 1e9, peer / samples * 1e9);
    line("Hampel, beside two sorts", &figure, peer / ours, 3.0)
}

/// Every detector on one tag, its window out of the cache, and those of its neighbours where a
/// detector asks for them. No connection exists, so nothing can be asked of a device.
fn diagnose(cache: &Arc<TagCache>, id: u32, neighbours: bool) {
    let own = Signal::of(&cache.window_last(TagId(id % TAGS), SAMPLES));
    let of = Arc::clone(cache);
    let beside = LaterSignals::new(Box::new(move || {
        let ids = (1..=NEIGHBOURS).map(|n| TagId((id + n) % TAGS));
        ids.map(|id| Signal::of(&of.window_last(id, SAMPLES))).collect()
    }));
    if neighbours {
        black_box(LaterSignals::force(&beside));
    }
    let now = Timestamp::from_millis(608_000);
    let neighbours = Neighbours::Later(&beside);
    let subject = Subject { signal: &own, tag: None, neighbours, seen: Some(now), from: None, now };
    for detector in DETECTORS {
        black_box(detector.judge(&subject));
    }
}

fn one_tag(cache: &Arc<TagCache>) -> bool {
    let mut id = 0;
    let mut hundred = |neighbours| {
        for _ in 0..100 {
            id = (id + 97) % TAGS;
            diagnose(cache, id, neighbours);
        }
    };
    let hundred = std::cell::RefCell::new(&mut hundred);
    let [usual, all] =
        interleaved([&mut || (hundred.borrow_mut())(false), &mut || (hundred.borrow_mut())(true)]);
    let figure = format!("{:.0} us", usual * 1e4);
    let usual =
        line("every detector on one tag, budget / time", &figure, 200e-6 / (usual / 100.0), 1.0);
    let figure = format!("{:.0} us", all * 1e4);
    let what = format!("the same, with all {NEIGHBOURS} neighbours asked for");
    usual & line(&what, &figure, 200e-6 / (all / 100.0), 1.0)
}

fn alarms() -> bool {
    let mut dice = 1_u32;
    let mut draw = |of: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 8) % of
    };
    let event = |n: i64| AlarmEvent {
        source: format!("area{}/alarm{}", n % 7, draw(500)).into(),
        priority: "high".into(),
        at: Some(Timestamp::from_millis(n * 700)),
        change: if draw(2) == 0 { Change::Active } else { Change::Returned },
        is_stated: true,
    };
    let events: Vec<AlarmEvent> = (0..100_000).map(event).collect();
    let question = AlarmQuestion {
        looked_minutes: None,
        window_minutes: None,
        chatter_window_s: 60.0,
        standing_s: 86_400.0,
        top_n: 10,
        now: Timestamp::from_millis(100_000 * 700),
    };
    let [ours] = interleaved([&mut || {
        black_box(analyse(&events, &question));
    }]);
    let figure = format!("{:.1} ms", ours * 1e3);
    line("alarm analysis of 100 000 events, budget / time", &figure, 0.05 / ours, 1.0)
}

/// A device that answers every read of holding registers, with numbers that move.
fn device() -> std::io::Result<u16> {
    let door = TcpListener::bind("127.0.0.1:0")?;
    let port = door.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in door.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(port)
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut dice = 1_u16;
    let mut request = [0; 12];
    loop {
        stream.read_exact(&mut request)?;
        let [t0, t1, _, _, _, _, unit, function, _, _, _, count] = request;
        let bytes = count.saturating_mul(2);
        let mut answer = vec![t0, t1, 0, 0, 0, bytes.saturating_add(3), unit, function, bytes];
        for _ in 0..count {
            dice = dice.wrapping_mul(25_173).wrapping_add(13_849);
            answer.extend((1000 + (dice >> 8)).to_be_bytes());
        }
        stream.write_all(&answer)?;
    }
}

/// The configuration: one endpoint that answers; the others are refused, each at an address of
/// its own, as what shares one shares a connection and its finding.
fn configuration(port: u16) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for n in 0..ENDPOINTS {
        let port = if n == 0 { port } else { 1 };
        let host = format!("127.0.{}.{}", n / 250, n % 250 + 1);
        write!(text, "[[endpoints]]\nname = \"e{n}\"\nprotocol = \"modbus\"\n")?;
        writeln!(text, "host = \"{host}\"\nport = {port}\nscan_ms = 100")?;
        for tag in 0..TAGS_OF_ONE {
            let name = format!("name = \"e{n}/t{tag}\"");
            writeln!(text, "[[endpoints.tags]]\n{name}\nref = \"holding:{tag}\"")?;
        }
    }
    Ok(text)
}

/// A collector with all of that, once it has its thousand findings and a window to judge.
async fn collector(dir: &Path) -> anyhow::Result<Collector> {
    let config = dir.join("config.toml");
    std::fs::write(&config, configuration(device()?)?)?;
    let setup = Setup {
        config: Some(config),
        state_dir: dir.to_owned(),
        plant: Plant::Real,
        protocols: PROTOCOLS,
        stay: Stay::Standing,
        env: |_| None,
        master: None,
    };
    let closed: ServeDoors = Arc::new(|cancel| {
        Box::pin(async move {
            cancel.cancelled().await;
            Ok(())
        })
    });
    let collector = Collector::start(setup, |_| closed).await?;
    let deps = collector.deps().clone();
    let live = deps.cache.resolve("e0/t7").context("the tag is there")?;
    let (mut window, mut open) = (0, 0);
    for _ in 0..240 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        window = deps.cache.window_last(live, 512).len();
        open = deps.findings.published().open.len();
        if open >= ENDPOINTS - 1 && window >= 200 {
            return Ok(collector);
        }
    }
    anyhow::bail!("after two minutes {open} findings and {window} samples")
}

/// What a tool costs the thread that asks.
fn tool(
    runtime: &tokio::runtime::Runtime,
    deps: &Deps,
    (name, budget): (&str, f64),
    arguments: &serde_json::Value,
) -> anyhow::Result<bool> {
    let tool = ot_aiops::tools::find(name).context("the tool is there")?;
    let principal = Principal { door: Door::Operator, uid: 0, gid: 0, pid: None, session: 1 };
    let call = Call {
        principal,
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
        progress: Progress::default(),
        spares_device: false,
    };
    let mut bytes = 0;
    let mut failed = None;
    let [ours] = interleaved([&mut || {
        for _ in 0..CALLS {
            match runtime.block_on((tool.run)(deps, call.clone(), arguments.clone())) {
                Ok(answer) => bytes = black_box(answer.to_string().len()),
                Err(error) => failed = Some(error.to_string()),
            }
        }
    }]);
    anyhow::ensure!(failed.is_none(), "{name}: {failed:?}");
    let each = ours / CALLS as f64;
    let figure = format!("{:.0} us for {bytes} B", each * 1e6);
    Ok(line(&format!("{name}, 100 000 tags, budget / time"), &figure, budget / each, 1.0))
}

fn tools() -> anyhow::Result<bool> {
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let collector = runtime.block_on(collector(dir.path()))?;
    let deps = collector.deps().clone();
    anyhow::ensure!(deps.cache.tags().len() == ENDPOINTS * TAGS_OF_ONE, "all tags are defined");
    println!("{:<44} {}", "open findings", deps.findings.published().open.len());
    let list = serde_json::json!({"limit": 80});
    let why = serde_json::json!({"tag": "e0/t7"});
    let lists = tool(&runtime, &deps, ("finding_list", 1e-3), &list)?;
    let whys = tool(&runtime, &deps, ("tag_why", 200e-6), &why)?;
    runtime.block_on(collector.stop());
    Ok(lists & whys)
}

fn main() -> anyhow::Result<ExitCode> {
    let cache = filled();
    let mut criterion = Criterion::default().configure_from_args();
    let mut id = 0;
    criterion.bench_function("diagnose one tag", |bench| {
        bench.iter(|| {
            id = (id + 97) % TAGS;
            diagnose(&cache, id, false);
        });
    });
    criterion.final_summary();
    // All of them, so that a run that misses one budget shows the others too.
    let holds = [columns(&cache), medians(&cache), one_tag(&cache), alarms(), tools()?];
    Ok(if holds.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
