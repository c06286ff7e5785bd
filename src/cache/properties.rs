//! The cache against a model that keeps every sample: nothing is lost in silence, nothing is
//! invented.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{CacheLimits, LastValue, Positions, ScanWriter, StreamWriter, TagCache, TakenUpTo};
use crate::model::{Pages, Quality, Sample, TagId, Timestamp, Value, Window};

/// Rings hold 13 rows and 31 samples, so that short runs go round them.
const LIMITS: CacheLimits =
    CacheLimits { rows_per_group: 13, samples_per_stream: 31, bytes_max: 512 << 20 };

/// Tags 0 to 2 are scanned together, 3 and 4 too, 5 to 7 stream.
const IDS: [TagId; 8] =
    [TagId(0), TagId(1), TagId(2), TagId(3), TagId(4), TagId(5), TagId(6), TagId(7)];

/// Value, quality and the device's own time.
type Reading = (Value, Quality, Option<i64>);

#[derive(Debug, Clone)]
enum Step {
    Scan { first: bool, gap_ns: i64, readings: Vec<Reading> },
    Stream { tag: u32, gap_ns: i64, value: Value, quality: Quality, source: Option<i64> },
    Outage { way: u8, keep: LastValue },
    Regroup { turn: usize },
    Take,
    Read { limit: usize },
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => any::<i32>().prop_map(|n| Value::F64(f64::from(n) / 8.0)),
        1 => any::<i64>().prop_map(Value::I64),
        1 => any::<u64>().prop_map(Value::U64),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        1 => "[a-c]{0,3}".prop_map(|text| Value::text(&text)),
        1 => any::<i64>().prop_map(|n| Value::Time(Timestamp::from_nanos(n))),
    ]
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![3 => Just(0_u32), 1 => any::<u32>()].prop_map(Quality::from_status)
}

fn step() -> impl Strategy<Value = Step> {
    let source = proptest::option::of(any::<i64>());
    let readings = proptest::collection::vec((value(), quality(), source.clone()), 3);
    prop_oneof![
        8 => (any::<bool>(), -2..9_i64, readings)
            .prop_map(|(first, gap_ns, readings)| Step::Scan { first, gap_ns, readings }),
        12 => (5..8_u32, -2..9_i64, value(), quality(), source).prop_map(
            |(tag, gap_ns, value, quality, source)| {
                Step::Stream { tag, gap_ns, value, quality, source }
            }
        ),
        1 => (0..3_u8, prop_oneof![Just(LastValue::Kept), Just(LastValue::Dropped)])
            .prop_map(|(way, keep)| Step::Outage { way, keep }),
        2 => Just(Step::Take),
        3 => (0..40_usize).prop_map(|limit| Step::Read { limit }),
    ]
}

fn with_replans() -> impl Strategy<Value = Step> {
    prop_oneof![30 => step(), 1 => (0..3_usize).prop_map(|turn| Step::Regroup { turn })]
}

/// The cache, its writers and a reader beside a list of all samples.
struct Bench {
    cache: std::sync::Arc<TagCache>,
    writers: Option<(ScanWriter, ScanWriter, StreamWriter)>,
    now_ns: i64,
    all: BTreeMap<TagId, Vec<Sample>>,
    taken: TakenUpTo,
    pages: BTreeMap<TagId, Vec<Sample>>,
    pages_lost: u64,
    positions: Positions,
    read: BTreeMap<TagId, Vec<Sample>>,
    read_lost: u64,
}

fn same(a: &Sample, b: &Sample) -> bool {
    // Debug tells NaN from nothing else and is equal to itself.
    format!("{a:?}") == format!("{b:?}")
}

impl Bench {
    fn new() -> Self {
        let cache = TagCache::new(LIMITS);
        let positions = cache.positions(&IDS);
        let mut bench = Self {
            cache,
            writers: None,
            now_ns: 0,
            all: BTreeMap::new(),
            taken: TakenUpTo::default(),
            pages: BTreeMap::new(),
            pages_lost: 0,
            positions,
            read: BTreeMap::new(),
            read_lost: 0,
        };
        bench.regroup(0);
        // Where the first group's tags are moved, for the device's times: before it counts.
        bench.scan(true, &vec![(Value::Null, Quality::GOOD, Some(1)); 3]);
        bench.take();
        bench
    }

    fn regroup(&mut self, turn: usize) {
        self.writers = None;
        let mut scanned = IDS[..5].to_vec();
        scanned.rotate_left(turn);
        let mut streamed = IDS[5..].to_vec();
        streamed.rotate_left(turn);
        self.writers = Some((
            self.cache.scan_group(&scanned[..3]),
            self.cache.scan_group(&scanned[3..]),
            self.cache.stream_group(&streamed),
        ));
    }

    /// Notes what the cache made of an append: only the time may differ, and only upwards.
    fn note(&mut self, id: TagId, value: Value, quality: Quality, source_ts: Option<Timestamp>) {
        let received_ts = Timestamp::from_nanos(self.now_ns);
        let kept = self.cache.latest(id).unwrap();
        let expected = Sample { value, quality, source_ts, received_ts: kept.sample.received_ts };
        assert!(same(&kept.sample, &expected), "{:?} is not {expected:?}", kept.sample);
        assert!(kept.seen_uptime_ms.is_some());
        let before = self.all.entry(id).or_default();
        let floor = before.last().map(|sample| sample.received_ts);
        assert!(kept.sample.received_ts >= received_ts);
        assert!(floor.is_none_or(|floor| kept.sample.received_ts > floor));
        before.push(kept.sample);
    }

    /// The first group's device gives times of its own, the second's doesn't.
    fn scan(&mut self, first: bool, readings: &[Reading]) {
        let at = Timestamp::from_nanos(self.now_ns);
        let row: Vec<_> = readings.iter().map(|(value, q, _)| (value.clone(), *q)).collect();
        let given = |source: Option<i64>| {
            source.filter(|s| first && *s != i64::MIN).map(Timestamp::from_nanos)
        };
        let sources: Vec<_> = readings.iter().map(|(_, _, source)| given(*source)).collect();
        let (one, two, _) = self.writers.as_mut().unwrap();
        let writer = if first { one } else { two };
        writer.append_sourced(at, &row, &sources);
        let ids = writer.tags().to_vec();
        for ((id, (value, quality)), source) in ids.into_iter().zip(row).zip(sources) {
            self.note(id, value, quality, source);
        }
    }

    fn outage(&mut self, way: u8, keep: LastValue) {
        let at = Timestamp::from_nanos(self.now_ns);
        let quality = match keep {
            LastValue::Kept => Quality::UNCERTAIN_LAST_USABLE,
            LastValue::Dropped => Quality::BAD_NO_COMMUNICATION,
        };
        let (one, two, streams) = self.writers.as_mut().unwrap();
        for _ in 0..2 {
            match way {
                0 => one.append_outage(at, quality, keep),
                1 => two.append_outage(at, quality, keep),
                _ => streams.append_outage(at, quality, keep),
            }
            // The second time it changes nothing: what is new is noted once.
            for id in IDS {
                let Some(latest) = self.cache.latest(id) else { continue };
                let known = self.all.entry(id).or_default();
                if known.last().is_none_or(|last| last.received_ts < latest.sample.received_ts) {
                    let last = known.last().cloned();
                    if keep == LastValue::Kept {
                        let kept = last.map_or(Value::Null, |last| last.value);
                        assert_eq!(latest.sample.value, kept);
                    }
                    known.push(latest.sample);
                }
            }
        }
    }

    fn take(&mut self) {
        let Pages { scans, streams, lost } = self.cache.take_pages(&mut self.taken);
        self.pages_lost += lost;
        for page in scans {
            for (tag, column) in page.tags.iter().zip(&page.columns) {
                let window = Window {
                    received: page.received.clone(),
                    values: column.values.clone(),
                    qualities: column.qualities.clone(),
                    ..Window::default()
                };
                self.pages.entry(*tag).or_default().extend(window.iter());
            }
        }
        for page in streams {
            self.pages.entry(page.tag).or_default().extend(page.window.iter());
        }
        // A tag whose device got times of its own comes in both ways at once.
        self.pages.values_mut().for_each(|all| all.sort_by_key(|sample| sample.received_ts));
    }

    fn read(&mut self, limit: usize) -> usize {
        let text = self.positions.to_string();
        let since = self.cache.read_since(&IDS, &text.parse().unwrap(), limit);
        assert!(since.samples.len() <= limit && !since.other_run);
        assert!(since.samples.is_sorted_by_key(|(_, sample)| sample.received_ts));
        let delivered = since.samples.len();
        for (id, sample) in since.samples {
            self.read.entry(id).or_default().push(sample);
        }
        self.positions = since.next;
        self.read_lost += since.lost;
        delivered
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Scan { first, gap_ns, readings } => {
                self.now_ns += gap_ns;
                let readings = if first { readings } else { readings[..2].to_vec() };
                self.scan(first, &readings);
            }
            Step::Stream { tag, gap_ns, value, quality, source } => {
                self.now_ns += gap_ns;
                let received_ts = Timestamp::from_nanos(self.now_ns);
                let source_ts = source.filter(|s| *s != i64::MIN).map(Timestamp::from_nanos);
                let sample = Sample { value: value.clone(), quality, source_ts, received_ts };
                self.writers.as_mut().unwrap().2.append(TagId(tag), sample);
                self.note(TagId(tag), value, quality, source_ts);
            }
            Step::Outage { way, keep } => self.outage(way, keep),
            Step::Regroup { turn } => self.regroup(turn),
            Step::Take => self.take(),
            Step::Read { limit } => {
                self.read(limit);
            }
        }
    }

    /// Every window is the end of what there was, and as long as its ring.
    fn check_windows(&self) {
        let mut shown = BTreeMap::new();
        self.cache.snapshot(&mut |id, latest| {
            assert!(shown.insert(id, latest.clone()).is_none(), "tag {} comes twice", id.0);
        });
        for (id, all) in &self.all {
            assert!(same(&shown[id].sample, all.last().unwrap()));
            for n in [1, 5, 12, 100] {
                let window = self.cache.window_last(*id, n);
                assert!(window.len() >= n.min(13).min(all.len()), "{} of {n}", window.len());
                assert!(window.len() <= n && window.lost == 0);
                let end = &all[all.len() - window.len()..];
                let shown: Vec<_> = window.iter().collect();
                assert!(
                    shown.iter().zip(end).all(|(a, b)| same(a, b)),
                    "tag {}: {shown:#?} is not {end:#?}",
                    id.0
                );
            }
            let last = all.last().unwrap().received_ts.nanos();
            let (since, until) =
                (Timestamp::from_nanos(last - 30), Timestamp::from_nanos(last - 4));
            let inside: Vec<_> =
                all.iter().filter(|sample| (since..until).contains(&sample.received_ts)).collect();
            let window = self.cache.window(*id, since, until);
            let oldest = self.cache.window_last(*id, 1000).received[0];
            let kept: Vec<_> = inside.iter().filter(|s| s.received_ts >= oldest).collect();
            assert_eq!(window.len(), kept.len());
            assert!(window.iter().zip(kept).all(|(a, b)| same(&a, b)));
        }
    }

    fn ever(&self) -> u64 {
        self.all.values().map(|all| u64::try_from(all.len()).unwrap()).sum()
    }
}

fn count(got: &BTreeMap<TagId, Vec<Sample>>) -> u64 {
    got.values().map(|all| u64::try_from(all.len()).unwrap()).sum()
}

/// Whatever came is in the list, in its order, and once.
fn assert_part_of(got: &BTreeMap<TagId, Vec<Sample>>, all: &BTreeMap<TagId, Vec<Sample>>) {
    for (id, got) in got {
        let mut rest = all[id].iter();
        for sample in got {
            assert!(rest.any(|known| same(known, sample)), "tag {}: {sample:?}", id.0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn within_its_groups_every_sample_is_shown_delivered_and_taken_or_counted(
        steps in proptest::collection::vec(step(), 1..160),
    ) {
        let mut bench = Bench::new();
        for step in steps {
            bench.run(step);
        }
        bench.check_windows();
        bench.take();
        assert_part_of(&bench.pages, &bench.all);
        prop_assert_eq!(count(&bench.pages) + bench.pages_lost, bench.ever());
        while bench.read(17) > 0 {}
        assert_part_of(&bench.read, &bench.all);
        prop_assert_eq!(count(&bench.read) + bench.read_lost, bench.ever());
    }

    #[test]
    fn across_replans_nothing_is_invented_and_nothing_is_missed_in_silence(
        steps in proptest::collection::vec(with_replans(), 1..200),
    ) {
        let mut bench = Bench::new();
        for step in steps {
            bench.run(step);
        }
        bench.check_windows();
        bench.take();
        assert_part_of(&bench.pages, &bench.all);
        prop_assert_eq!(count(&bench.pages) + bench.pages_lost, bench.ever());
        while bench.read(17) > 0 {}
        assert_part_of(&bench.read, &bench.all);
        let (read, ever) = (count(&bench.read), bench.ever());
        prop_assert!(read == ever || bench.read_lost > 0, "{read} of {ever}: {:?}", bench.read);
    }
}
