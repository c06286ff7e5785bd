//! Every interleaving of one writer and one reader of the rings, by loom.
//!
//! The rings are those the collector runs, on loom's atomics. Each mutant leaves out one of the
//! three orderings the protocol rests on, and must be caught.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::lines::{Clocks, ScanRing};
use super::protocol::{Memory, Word, count};
use super::raw::{NO_SOURCE, Raw, Span};
use super::stream::StreamRing;

impl Word for loom::sync::atomic::AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

macro_rules! modelled {
    (
        $(#[$doc:meta])* $name:ident, $publish:ident, release: $release:expr,
        acquire: $acquire:expr
    ) => {
        $(#[$doc])*
        enum $name {}

        impl Memory for $name {
            type Word = loom::sync::atomic::AtomicU64;

            const PUBLISH: Ordering = Ordering::$publish;

            fn before_stores() {
                if $release {
                    loom::sync::atomic::fence(Ordering::Release);
                }
            }

            fn after_loads() {
                if $acquire {
                    loom::sync::atomic::fence(Ordering::Acquire);
                }
            }
        }
    };
}

modelled!(
    /// The protocol as it stands.
    Whole, Release, release: true, acquire: true
);
modelled!(NoReleaseFence, Release, release: false, acquire: true);
modelled!(NoAcquireFence, Release, release: true, acquire: false);
modelled!(RelaxedPublish, Relaxed, release: true, acquire: true);

/// What row `row` holds: value, time and code all follow from the row.
fn content(row: u64) -> (i64, u64, u8) {
    let code = u8::try_from(row % 200).unwrap();
    (i64::try_from(row).unwrap() * 10, row * 1000, code + 1)
}

fn assert_whole(raw: &Raw) {
    assert_eq!((raw.bits.len(), raw.times.len()), (raw.codes.len(), raw.codes.len()));
    for (nth, ((time, bits), code)) in raw.times.iter().zip(&raw.bits).zip(&raw.codes).enumerate() {
        let row = raw.first + count(nth);
        assert_eq!((*time, *bits, *code), content(row), "torn row {row}");
        if let Some(source) = raw.source.get(nth).filter(|source| **source != NO_SOURCE) {
            assert_eq!(*source, time - 1, "torn row {row}");
        }
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // Two preemptions are enough for every mutant to fail; with three the model still takes
    // seconds.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The slots are full, so each further row overwrites one that the reader may be copying.
fn scan_ring<M: Memory>() {
    explore(|| {
        let ring = Arc::new(ScanRing::<M>::new(1, 3, Clocks::Both));
        let append = |ring: &ScanRing<M>, row| {
            let (time, bits, code) = content(row);
            ring.append(time, std::iter::once((bits, code)), std::iter::once(time - 1));
        };
        let slots = ring.head().slots();
        (0..slots).for_each(|row| append(&ring, row));
        let writer = Arc::clone(&ring);
        let thread = loom::thread::spawn(move || {
            (slots..slots + 2).for_each(|row| append(&writer, row));
        });
        let mut raw = Raw::default();
        raw.first = ring.read(0, Span::Rows { from: 1, before: u64::MAX, max: 1 }, &mut raw);
        assert_whole(&raw);
        if let Some(sample) = ring.latest(0) {
            assert_eq!((sample.time, sample.bits, sample.code), content(sample.row));
            assert_eq!(sample.source, sample.time - 1, "the device's time of another row");
        }
        thread.join().unwrap();
    });
}

fn stream_ring<M: Memory>() {
    explore(|| {
        let ring = Arc::new(StreamRing::<M>::new(3));
        let append = |ring: &StreamRing<M>, row| {
            let (time, bits, code) = content(row);
            ring.append(time, NO_SOURCE, bits, code);
        };
        let slots = ring.head().slots();
        (0..slots).for_each(|row| append(&ring, row));
        let writer = Arc::clone(&ring);
        let thread = loom::thread::spawn(move || {
            (slots..slots + 2).for_each(|row| append(&writer, row));
        });
        let mut raw = Raw::default();
        ring.read(Span::Rows { from: 1, before: u64::MAX, max: 1 }, &mut raw);
        assert_whole(&raw);
        if let Some(sample) = ring.latest() {
            assert_eq!((sample.time, sample.bits, sample.code), content(sample.row));
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_reader_of_a_scan_group_never_sees_a_torn_row() {
    scan_ring::<Whole>();
}

#[test]
fn a_reader_of_a_stream_never_sees_a_torn_sample() {
    stream_ring::<Whole>();
}

#[test]
#[should_panic(expected = "torn row")]
fn without_the_release_fence_a_scan_group_tears() {
    scan_ring::<NoReleaseFence>();
}

#[test]
#[should_panic(expected = "torn row")]
fn without_the_acquire_fence_a_scan_group_tears() {
    scan_ring::<NoAcquireFence>();
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn with_a_relaxed_head_a_scan_group_shows_rows_that_are_not_there_yet() {
    scan_ring::<RelaxedPublish>();
}

#[test]
#[should_panic(expected = "torn row")]
fn without_the_release_fence_a_stream_tears() {
    stream_ring::<NoReleaseFence>();
}

#[test]
#[should_panic(expected = "torn row")]
fn without_the_acquire_fence_a_stream_tears() {
    stream_ring::<NoAcquireFence>();
}

#[test]
#[should_panic(expected = "assertion `left == right` failed")]
fn with_a_relaxed_head_a_stream_shows_samples_that_are_not_there_yet() {
    stream_ring::<RelaxedPublish>();
}
