//! A document of 100 000 observations turned into readings of tags, against quick-xml alone walking
//! the events of the same text.
//!
//! Budget: half the speed of the bare walk, and less than three times the document in memory, the
//! document included. Rounds are interleaved, so that other load on the machine falls on both
//! alike; times are CPU time of the thread. It ends with 1 where a budget is missed. Without
//! `--bench` it runs one round and judges nothing.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use ot_aiops::driver::Planned;
use ot_aiops::model::{Tag, TagId};
use ot_aiops::protocols::mtconnect::readings;
use quick_xml::Reader;
use quick_xml::events::Event;
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 21;
const OBSERVATIONS: usize = 100_000;
/// Data items of ten machines, each a tag.
const ITEMS: usize = 1000;

fn document() -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<MTConnectStreams \
         xmlns=\"urn:mtconnect.org:MTConnectStreams:2.2\"><Header instanceId=\"1\" \
         nextSequence=\"100001\" firstSequence=\"1\" lastSequence=\"100000\"/><Streams>\
         <DeviceStream name=\"Mill\" uuid=\"u\">",
    );
    for item in 0..ITEMS {
        text.push_str("<ComponentStream component=\"Linear\" componentId=\"x\"><Samples>");
        for nth in 0..OBSERVATIONS / ITEMS {
            let (sequence, micros) = (nth * ITEMS + item + 1, nth * 1009);
            text.push_str(&format!(
                "<Position dataItemId=\"item{item}\" \
                 timestamp=\"2026-06-30T10:00:00.{micros:06}Z\" \
                 sequence=\"{sequence}\" subType=\"ACTUAL\">{}.{item}</Position>",
                nth % 200
            ));
        }
        text.push_str("</Samples></ComponentStream>");
    }
    text.push_str("</DeviceStream></Streams></MTConnectStreams>");
    text
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |n: i64| u64::try_from(n).unwrap_or_default();
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// Runs a piece of work and gives its CPU time in seconds.
fn timed(work: impl FnOnce()) -> f64 {
    let began = thread_cpu();
    work();
    thread_cpu().saturating_sub(began).as_secs_f64()
}

fn walk(text: &str) -> usize {
    let (mut reader, mut events) = (Reader::from_str(text), 0);
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Eof => return events,
            event => {
                black_box(&event);
                events += 1;
            }
        }
    }
}

/// Reads a figure of this process in bytes: `VmRSS` or its peak, `VmHWM`.
fn memory(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name));
    let digits = line.and_then(|line| line.split_ascii_whitespace().nth(1));
    Ok(digits.unwrap_or_default().parse::<f64>()? * 1024.0)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds.get(rounds.len() / 2).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> anyhow::Result<()> {
    let is_bench = std::env::args().any(|word| word == "--bench");
    let text = document();
    let tags: Vec<Planned> = (0..u32::try_from(ITEMS)?)
        .map(|n| {
            let address = format!("item{n}");
            Planned { id: TagId(n), tag: Arc::new(Tag::new(&address, "bench", &address)) }
        })
        .collect();
    // The peak begins anew at what is resident now: the document, and little else.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS")?;
    let found = readings(&text, &tags)?;
    let peak = memory("VmHWM")? - before + text.len() as f64;
    assert_eq!(found.len(), OBSERVATIONS);
    drop(found);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..if is_bench { ROUNDS } else { 1 } {
        bare.push(timed(|| {
            black_box(walk(&text));
        }));
        ours.push(timed(|| {
            black_box(readings(&text, &tags)).expect("a whole document");
        }));
    }
    let (ours, bare) = (median(ours), median(bare));
    let (share, times) = (bare / ours, peak / text.len() as f64);
    println!(
        "{:.1} MB, {OBSERVATIONS} observations: {:.0} ns a value, {:.0} MB/s; quick-xml alone \
         {:.0} ns: {:.0} % of its speed; memory {times:.2} times the document",
        text.len() as f64 / 1e6,
        1e9 * ours / OBSERVATIONS as f64,
        text.len() as f64 / 1e6 / ours,
        1e9 * bare / OBSERVATIONS as f64,
        100.0 * share,
    );
    if is_bench && (share < 0.5 || times > 3.0) {
        anyhow::bail!("over budget: at least 50 % and at most 3 times");
    }
    Ok(())
}
