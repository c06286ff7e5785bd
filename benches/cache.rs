//! The tag cache against what a program without one would write, in the same run.
//!
//! Budget, against `DashMap<Arc<str>, Mutex<VecDeque<Sample>>>` (median of interleaved rounds,
//! CPU time of the thread):
//!
//! | what | 1 000 tags | 100 000 tags |
//! |---|---|---|
//! | append a scan of all tags | - | >= 20x |
//! | latest by id, random tags | - | >= 5x |
//! | snapshot of all tags | - | >= 5x |
//! | window of 60 with statistics, random tags | >= 0.7x | >= 2x |
//!
//! and at most 24 bytes of hot memory per numeric sample, counted and as resident set.
//!
//! Criterion keeps the record (wall time); the table at the end, which is what counts, comes
//! from our own rounds, because a neighbour on the machine slows both sides alike only where
//! they take turns. The run fails where the budget is missed.

use std::collections::VecDeque;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use dashmap::DashMap;
use ot_aiops::cache::{CacheLimits, Numbers, ScanWriter, TagCache};
use ot_aiops::model::{Quality, TagId, Timestamp, Value};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// Enough that the median forgives the rounds a neighbour disturbed.
const ROUNDS: usize = 31;
const WINDOW: usize = 60;
const SCAN_NS: i64 = 1_000_000_000;

/// More than there are tags.
const DRAWS: usize = 1 << 18;

/// The plants: how many tags, and how many samples of each are kept.
const SMALL: (u32, usize) = (1_000, 256);
const LARGE: (u32, usize) = (100_000, 64);

/// What a naive program stores of a numeric sample.
#[derive(Clone, Copy)]
struct PeerSample {
    value: f64,
    quality: u32,
    source_ns: i64,
    received_ns: i64,
}

/// The naive program's cache.
struct Peer {
    tags: DashMap<Arc<str>, Mutex<VecDeque<PeerSample>>>,
    names: Vec<Arc<str>>,
    kept: usize,
}

impl Peer {
    fn new((tags, kept): (u32, usize)) -> Self {
        let names: Vec<Arc<str>> = (0..tags)
            .map(|n| format!("site/line{}/cell{}/tag{n}", n % 10, n % 100).into())
            .collect();
        let map = DashMap::new();
        for name in &names {
            map.insert(Arc::clone(name), Mutex::new(VecDeque::with_capacity(kept)));
        }
        Self { tags: map, names, kept }
    }

    fn append(&self, at_ns: i64, values: &[f64]) {
        for (name, value) in self.names.iter().zip(values) {
            let Some(samples) = self.tags.get(name) else { continue };
            let mut samples = samples.lock();
            if samples.len() == self.kept {
                samples.pop_front();
            }
            let (quality, source_ns) = (0, at_ns);
            let sample = PeerSample { value: *value, quality, source_ns, received_ns: at_ns };
            samples.push_back(sample);
        }
    }

    fn latest(&self, name: &str) -> Option<PeerSample> {
        self.tags.get(name)?.lock().back().copied()
    }

    fn snapshot(&self) -> f64 {
        let newest = |samples: &Mutex<VecDeque<PeerSample>>| samples.lock().back().copied();
        self.tags.iter().filter_map(|entry| newest(entry.value())).map(|s| weigh(&s)).sum()
    }

    fn window(&self, name: &str) -> Vec<PeerSample> {
        self.tags.get(name).map_or_else(Vec::new, |samples| {
            let samples = samples.lock();
            samples.iter().skip(samples.len().saturating_sub(WINDOW)).copied().collect()
        })
    }
}

fn weigh(sample: &PeerSample) -> f64 {
    black_box(sample.received_ns);
    black_box(sample.source_ns);
    if sample.quality >> 30 == 0 { sample.value } else { 0.0 }
}

/// Mean, deviation and bounds as a textbook has them: Welford, one pass.
fn textbook(window: &[PeerSample]) -> (f64, f64, f64, f64) {
    let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
    let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
    for sample in window.iter().filter(|sample| sample.quality >> 30 == 0) {
        n += 1.0;
        let delta = sample.value - mean;
        mean += delta / n;
        square += delta * (sample.value - mean);
        min = sample.value.min(min);
        max = sample.value.max(max);
    }
    (mean, (square / n).sqrt(), min, max)
}

/// Both caches of one plant, filled with the same samples.
struct Plant {
    tags: u32,
    peer: Peer,
    cache: Arc<TagCache>,
    writer: ScanWriter,
    now_ns: i64,
    values: Vec<f64>,
    row: Vec<(Value, Quality)>,
    draws: Vec<u32>,
    drawn: usize,
    /// Bytes that the rings take, and that the resident set grew by, per sample shown.
    counted: f64,
    resident: f64,
}

impl Plant {
    fn new(size: (u32, usize)) -> Self {
        let (tags, kept) = size;
        let values: Vec<f64> = (0..tags).map(|n| f64::from(n % 977) * 0.25).collect();
        let row = values.iter().map(|value| (Value::F64(*value), Quality::GOOD)).collect();
        let before = resident_bytes();
        let limits = CacheLimits { rows_per_group: kept, ..CacheLimits::default() };
        let cache = TagCache::new(limits);
        let ids: Vec<TagId> = (0..tags).map(TagId).collect();
        let writer = cache.scan_group(&ids);
        let mut plant = Self {
            tags,
            peer: Peer::new((0, kept)),
            cache,
            writer,
            now_ns: 1,
            values,
            row,
            draws: draws(tags),
            drawn: 0,
            counted: 0.0,
            resident: 0.0,
        };
        for _ in 0..kept + 8 {
            plant.append_ours();
        }
        let shown = f64::from(tags) * plant.cache.window_last(TagId(0), usize::MAX).len() as f64;
        plant.counted = plant.cache.bytes() as f64 / shown;
        plant.resident = resident_bytes().saturating_sub(before) as f64 / shown;
        plant.peer = Peer::new(size);
        for _ in 0..kept + 8 {
            plant.append_peer();
        }
        plant
    }

    fn append_ours(&mut self) {
        self.now_ns += SCAN_NS;
        self.writer.append(Timestamp::from_nanos(self.now_ns), &self.row);
    }

    fn append_peer(&mut self) {
        self.now_ns += SCAN_NS;
        self.peer.append(self.now_ns, &self.values);
    }

    /// Gives the next of the tags that were drawn beforehand.
    fn draw(&mut self) -> u32 {
        self.drawn = if self.drawn == 0 { self.draws.len() } else { self.drawn } - 1;
        self.draws.get(self.drawn).copied().unwrap_or_default()
    }

    fn draw_index(&mut self) -> usize {
        usize::try_from(self.draw()).unwrap_or_default()
    }

    fn snapshot_ours(&self) -> f64 {
        let mut sum = 0.0;
        self.cache.snapshot(&mut |id, latest| {
            black_box((id, latest.seen_uptime_ms, latest.sample.received_ts));
            if let (Value::F64(value), true) =
                (&latest.sample.value, latest.sample.quality.is_good())
            {
                sum += value;
            }
        });
        sum
    }

    fn assert_same(&mut self) {
        let (ours, peer) = (self.snapshot_ours(), self.peer.snapshot());
        assert!((ours - peer).abs() < 1e-6 * peer.abs(), "both hold the same: {ours}, {peer}");
        let id = TagId(self.draw());
        let mut numbers = Numbers::new();
        self.cache.numbers_last(id, WINDOW, &mut numbers);
        assert_eq!(numbers.stats().usable, 60);
    }
}

/// Draws tags by a multiplicative generator, so that the machine's caches can't guess the next.
fn draws(tags: u32) -> Vec<u32> {
    let mut dice = 1_u32;
    let mut draw = || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 8) % tags
    };
    (0..DRAWS).map(|_| draw()).collect()
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// What is measured, on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Append,
    Latest,
    Snapshot,
    WindowStats,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Peer,
}

impl Work {
    /// How many operations a round has, and how many samples each is about.
    fn size(self, tags: u32) -> (u32, u32) {
        match self {
            Self::Append | Self::Snapshot => ((200_000 / tags).max(1), tags),
            // Each tag about once: what fits into the machine's caches may be found there.
            Self::Latest => (100_000, 1),
            Self::WindowStats => (20_000, 1),
        }
    }

    fn run(self, side: Side, plant: &mut Plant, numbers: &mut Numbers) {
        match (self, side) {
            (Self::Append, Side::Ours) => plant.append_ours(),
            (Self::Append, Side::Peer) => plant.append_peer(),
            (Self::Latest, Side::Ours) => {
                let id = TagId(plant.draw());
                black_box(plant.cache.latest(id));
            }
            (Self::Latest, Side::Peer) => {
                let at = plant.draw_index();
                black_box(plant.peer.names.get(at).and_then(|name| plant.peer.latest(name)));
            }
            (Self::Snapshot, Side::Ours) => {
                black_box(plant.snapshot_ours());
            }
            (Self::Snapshot, Side::Peer) => {
                black_box(plant.peer.snapshot());
            }
            (Self::WindowStats, Side::Ours) => {
                let id = TagId(plant.draw());
                plant.cache.numbers_last(id, WINDOW, numbers);
                black_box(numbers.stats());
            }
            (Self::WindowStats, Side::Peer) => {
                let at = plant.draw_index();
                if let Some(name) = plant.peer.names.get(at) {
                    black_box(textbook(&plant.peer.window(name)));
                }
            }
        }
    }

    /// Gives the CPU time of one round, in nanoseconds per sample or read.
    fn round(self, side: Side, plant: &mut Plant, numbers: &mut Numbers) -> f64 {
        let (operations, samples) = self.size(plant.tags);
        let began = thread_cpu();
        for _ in 0..operations {
            self.run(side, plant, numbers);
        }
        let spent = thread_cpu().saturating_sub(began);
        spent.as_secs_f64() * 1e9 / (f64::from(operations) * f64::from(samples))
    }
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs both sides in turns; prints a row and tells whether the goal is met.
fn compare(work: Work, plant: &mut Plant, goal: Option<f64>) -> bool {
    let mut numbers = Numbers::new();
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(work.round(Side::Ours, plant, &mut numbers));
        peer.push(work.round(Side::Peer, plant, &mut numbers));
    }
    let (ours, peer) = (median(ours), median(peer));
    let ratio = peer / ours;
    let met = goal.is_none_or(|goal| ratio >= goal);
    let goal = goal.map_or_else(|| "-".to_owned(), |goal| format!("{goal:.1}x"));
    println!(
        "| {:<12} | {:>7} | {ours:>9.2} | {peer:>9.2} | {ratio:>6.1}x | {goal:>6} | {} |",
        format!("{work:?}"),
        plant.tags,
        if met { "met" } else { "MISSED" },
    );
    met
}

fn record(criterion: &mut Criterion, work: Work, plant: &mut Plant) {
    let mut numbers = Numbers::new();
    let mut group = criterion.benchmark_group(format!("cache/{work:?}"));
    for side in [Side::Ours, Side::Peer] {
        let id = BenchmarkId::new(format!("{side:?}"), plant.tags);
        group.bench_function(id, |bench| bench.iter(|| work.run(side, plant, &mut numbers)));
    }
    group.finish();
}

fn main() -> ExitCode {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    let (mut small, mut large) = (Plant::new(SMALL), Plant::new(LARGE));
    small.assert_same();
    large.assert_same();
    for work in [Work::Append, Work::Latest, Work::Snapshot, Work::WindowStats] {
        record(&mut criterion, work, &mut small);
        record(&mut criterion, work, &mut large);
    }
    criterion.final_summary();

    println!("\n| what, ns of CPU | tags | ours | peer | ratio | goal | |");
    println!("|---|---|---|---|---|---|---|");
    let mut met = true;
    for (work, goal_small, goal_large) in [
        (Work::Append, None, Some(20.0)),
        (Work::Latest, None, Some(5.0)),
        (Work::Snapshot, None, Some(5.0)),
        (Work::WindowStats, Some(0.7), Some(2.0)),
    ] {
        met &= compare(work, &mut small, goal_small);
        met &= compare(work, &mut large, goal_large);
    }
    for plant in [&small, &large] {
        let Plant { tags, counted, resident, .. } = plant;
        println!(
            "bytes per numeric sample, {tags} tags: counted {counted:.1}, resident {resident:.1}"
        );
        met &= *counted <= 24.0;
    }
    met &= large.resident <= 24.0;
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
