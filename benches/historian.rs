//! Budget: at most 4 bytes written to disk per sample at `commit_ms = 10000`.
//!
//! 10 000 tags in 10 scan groups, one scan a second, ten signals as a plant has them. Bytes are
//! counts of the kernel (`write_bytes` of /proc/self/io), so they don't depend on the load of
//! the machine; times do. The peer, in the same run, is a row per sample in the same database.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ot_aiops::model::{Column, Pages, Quality, ScanPage, TagId, Timestamp, Value};
use ot_aiops::store::SampleStore;

const GROUPS: u32 = 10;
const TAGS_PER_GROUP: u32 = 1000;
const START_MS: i64 = 1_790_000_000_000;
/// The budget of this bench.
const BYTES_PER_SAMPLE_MAX: f64 = 4.0;

/// A small generator of noise, the same in every run (splitmix64).
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1.
    fn uniform(&mut self) -> f64 {
        f64::from(u32::try_from(self.bits() >> 32).unwrap_or_default()) / 4_294_967_296.0
    }

    /// Mean 0, standard deviation 1: twelve uniforms less six.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// One tag of the plant; `level` and `ticks` are where it stands.
struct Signal {
    kind: u32,
    level: f64,
    ticks: i64,
    noise: Noise,
}

/// Rounds as a device with that resolution does.
fn to_resolution(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

/// Passes a value through a REAL of the device.
#[allow(clippy::cast_possible_truncation, reason = "a REAL has 32 bits")]
fn to_real(value: f64) -> f64 {
    f64::from(value as f32)
}

#[allow(clippy::cast_possible_truncation, reason = "an ADC gives whole counts")]
fn to_counts(value: f64) -> i64 {
    value.round() as i64
}

impl Signal {
    fn new(tag: u32) -> Self {
        let mut noise = Noise(u64::from(tag) << 20);
        let level = 20.0 + noise.uniform() * 60.0;
        let ticks = i64::try_from(noise.bits() % 200).unwrap_or_default();
        Self { kind: tag % 10, level, ticks, noise }
    }

    fn next(&mut self) -> Value {
        self.ticks += 1;
        let (level, noise) = (self.level, &mut self.noise);
        match self.kind {
            0 => Value::F64(to_resolution(level, 10.0)),
            1 => Value::Bool(self.ticks / 200 % 2 == 0),
            2 => {
                if self.ticks % 300 == 0 {
                    self.level = 20.0 + noise.uniform() * 60.0;
                }
                Value::F64(to_resolution(self.level, 2.0))
            }
            3 => {
                self.level += 2.0 + noise.normal().abs();
                Value::I64(100_000 + to_counts(self.level))
            }
            4 => Value::U64(to_counts(12_000.0 + 8.0 * noise.normal()).unsigned_abs()),
            5 => {
                self.level += 0.02 * noise.normal();
                Value::F64(to_resolution(self.level, 10.0))
            }
            6 => {
                self.level += 0.02 * noise.normal();
                Value::F64(to_real(self.level))
            }
            7 => Value::F64(to_resolution(level + 0.5 * noise.normal(), 100.0)),
            8 => Value::F64(to_real(level + 0.5 * noise.normal())),
            _ => Value::F64(level + 0.5 * noise.normal()),
        }
    }
}

struct Plant {
    groups: Vec<(Arc<[TagId]>, Vec<Signal>)>,
    second: i64,
    jitter: Noise,
}

impl Plant {
    fn new() -> Self {
        let group = |group: u32| {
            let tags = group * TAGS_PER_GROUP..(group + 1) * TAGS_PER_GROUP;
            (tags.clone().map(TagId).collect(), tags.map(Signal::new).collect())
        };
        Self { groups: (0..GROUPS).map(group).collect(), second: 0, jitter: Noise(7) }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START_MS + self.second * 1000)
    }

    /// Lets `rows` seconds pass; answers arrive within a millisecond, to the nanosecond.
    fn scan(&mut self, rows: usize) -> Pages {
        let mut scans = Vec::new();
        for (tags, signals) in &mut self.groups {
            let mut received = Vec::new();
            for (_, second) in (0..rows).zip(self.second..) {
                let late = i64::try_from(self.jitter.bits() % 1_000_000).unwrap_or_default();
                let due = Timestamp::from_millis(START_MS + second * 1000);
                received.push(Timestamp::from_nanos(due.nanos() + late));
            }
            let column = |signal: &mut Signal| Column {
                values: (0..rows).map(|_| signal.next()).collect(),
                qualities: vec![Quality::GOOD; rows],
            };
            let columns = signals.iter_mut().map(column).collect();
            scans.push(ScanPage { tags: Arc::clone(tags), received, columns });
        }
        self.second += i64::try_from(rows).unwrap_or_default();
        Pages { scans, ..Pages::default() }
    }
}

fn bytes_written() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.context("the kernel counts no write_bytes")?.parse()?)
}

/// What one way of writing has cost.
#[derive(Default)]
struct Cost {
    samples: u64,
    payload: u64,
    written: u64,
    spent: Duration,
    commits: Vec<Duration>,
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn per(amount: u64, samples: u64) -> f64 {
    amount as f64 / samples as f64
}

impl Cost {
    fn take(&mut self, samples: u64, work: impl FnOnce() -> Result<u64>) -> Result<()> {
        let (before, start) = (bytes_written()?, Instant::now());
        self.payload += work()?;
        let took = start.elapsed();
        self.written += bytes_written()? - before;
        self.samples += samples;
        self.spent += took;
        self.commits.push(took);
        Ok(())
    }

    fn row(&mut self, name: &str, disk: u64, stored: u64) -> f64 {
        self.commits.sort_unstable();
        let median = self.commits.get(self.commits.len() / 2).copied().unwrap_or_default();
        let max = self.commits.last().copied().unwrap_or_default();
        let nanos = u64::try_from(self.spent.as_nanos()).unwrap_or(u64::MAX);
        println!(
            "| {name} | {} | {:.2} | **{:.2}** | {:.2} | {:.0} | {:.1} / {:.1} |",
            self.samples,
            per(self.payload, self.samples),
            per(self.written, self.samples),
            per(disk, stored),
            per(nanos, self.samples),
            median.as_secs_f64() * 1e3,
            max.as_secs_f64() * 1e3,
        );
        per(self.written, self.samples)
    }
}

fn samples_of(rows: usize) -> u64 {
    u64::from(GROUPS * TAGS_PER_GROUP) * u64::try_from(rows).unwrap_or_default()
}

fn history(store: &SampleStore, plant: &mut Plant, rows: usize, commits: u32) -> Result<Cost> {
    let mut cost = Cost::default();
    for _ in 0..commits {
        let pages = plant.scan(rows);
        let now = plant.now();
        cost.take(samples_of(rows), || Ok(store.commit(&pages, &[], now)?.bytes))?;
    }
    Ok(cost)
}

/// The peer: what a first sketch would do.
fn row_per_sample(path: &Path, plant: &mut Plant, rows: usize, commits: u32) -> Result<Cost> {
    const ROWS: redb::TableDefinition<'_, (u32, i64), (u64, u32)> =
        redb::TableDefinition::new("samples");
    let db = redb::Database::create(path)?;
    let mut cost = Cost::default();
    for _ in 0..commits {
        let pages = plant.scan(rows);
        cost.take(samples_of(rows), || {
            let change = db.begin_write()?;
            {
                let mut table = change.open_table(ROWS)?;
                for page in &pages.scans {
                    for (tag, column) in page.tags.iter().zip(&page.columns) {
                        for (at, value) in page.received.iter().zip(&column.values) {
                            let bits = value.as_f64().unwrap_or(f64::NAN).to_bits();
                            table.insert((tag.0, at.nanos()), (bits, 0))?;
                        }
                    }
                }
            }
            change.commit()?;
            Ok(samples_of(rows) * 24)
        })?;
    }
    Ok(cost)
}

fn on_disk(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(path)?.blocks() * 512)
}

fn reading(path: &Path, plant: &Plant) -> Result<()> {
    let start = Instant::now();
    let opened = SampleStore::open(path, plant.now())?;
    let unclean = start.elapsed();
    ensure!(opened.report.bad_records == 0 && opened.report.quarantined.is_none());
    let store = opened.store;
    let ids: Vec<TagId> = (0..GROUPS * TAGS_PER_GROUP).map(TagId).collect();
    let start = Instant::now();
    let tails = store.tail(&ids, 64)?;
    let tail = start.elapsed();
    ensure!(tails.iter().all(|(_, window)| window.len() == 64));
    let start = Instant::now();
    let since = Timestamp::from_millis(START_MS);
    let found = store.window(TagId(4321), since, plant.now(), usize::MAX)?;
    let window = start.elapsed();
    store.close_clean(plant.now())?;
    drop(store);
    let start = Instant::now();
    drop(SampleStore::open(path, plant.now())?);
    let clean = start.elapsed();
    println!(
        "\n{} MiB file: open after a crash {:.0} ms, after a clean end {:.0} ms; \
         64 newest samples of 10 000 tags {:.0} ms; {} samples of one tag {:.1} ms",
        on_disk(path)? >> 20,
        unclean.as_secs_f64() * 1e3,
        clean.as_secs_f64() * 1e3,
        tail.as_secs_f64() * 1e3,
        found.window.len(),
        window.as_secs_f64() * 1e3,
    );
    Ok(())
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = |name: &str| dir.path().join(name);
    println!(
        "| way of writing | samples | payload B | written B | on disk B | ns \
         | commit ms, med / max |"
    );
    println!("|---|---|---|---|---|---|---|");

    let (file, mut plant) = (path("ten.redb"), Plant::new());
    let store = SampleStore::open(&file, plant.now())?.store;
    let mut cost = history(&store, &mut plant, 10, 60)?;
    let stored = cost.samples;
    let at_ten = cost.row("pages, commit_ms = 10000", on_disk(&file)?, stored);
    let grown = history(&store, &mut plant, 60, 25)?.samples;
    let mut cost = history(&store, &mut plant, 10, 30)?;
    let stored = stored + grown + cost.samples;
    let at_ten_grown = cost.row("the same, in a file of over 32 MiB", on_disk(&file)?, stored);
    drop(store);

    let (second, mut faster) = (path("one.redb"), Plant::new());
    let store = SampleStore::open(&second, faster.now())?.store;
    let mut cost = history(&store, &mut faster, 1, 240)?;
    let stored = cost.samples;
    cost.row("pages, commit_ms = 1000", on_disk(&second)?, stored);
    drop(store);

    let peer = path("rows.redb");
    let mut cost = row_per_sample(&peer, &mut Plant::new(), 10, 5)?;
    let stored = cost.samples;
    let rows = cost.row("peer: a row per sample, every 10 s", on_disk(&peer)?, stored);

    reading(&file, &plant)?;
    println!("a row per sample writes {:.0} times as much", rows / at_ten);
    for written in [at_ten, at_ten_grown] {
        ensure!(written <= BYTES_PER_SAMPLE_MAX, "{written:.2} B per sample is over the budget");
    }
    Ok(())
}
