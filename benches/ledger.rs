//! What a record of the audit costs: the caller of a read, and whoever waits for the disk.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ot_aiops::clock;
use ot_aiops::ledger::{Event, Ledger, Outcome, Settings, What, repeat_key};
use rustix::time::{ClockId, clock_gettime};

const CALLS: u32 = 2_000;
const ROUNDS: usize = 15;
const DURABLE: usize = 200;

/// CPU time of this thread, which a busy machine does not stretch.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
        + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or_default())
}

fn event() -> Event {
    Event::new(What::ToolCall)
        .tool("tag_history")
        .ended(Outcome::Ok, "")
        .with("arguments", serde_json::json!({"tag": "site/line1/press/temp", "since": "-1h"}))
}

/// Gives the median CPU time of one call, in nanoseconds.
fn per_call(mut round: impl FnMut()) -> u128 {
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let began = cpu();
            round();
            (cpu() - began).as_nanos() / u128::from(CALLS)
        })
        .collect();
    times.sort_unstable();
    times.get(ROUNDS / 2).copied().unwrap_or_default()
}

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(".")?;
    let ledger = Arc::new(Ledger::open(dir.path(), Settings::default(), clock::now())?);
    let threads = [Ledger::keep, Ledger::send_out].map(|work: fn(&Ledger)| {
        let ledger = ledger.clone();
        std::thread::spawn(move || work(&ledger))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let key = repeat_key(1, "tag_history", "{}");
    ledger.append_counting(key, event());
    let repeat = per_call(|| {
        for _ in 0..CALLS {
            let key = repeat_key(1, black_box("tag_history"), "{}");
            black_box(ledger.again(key, 0));
        }
    });
    let soon = per_call(|| {
        (0..CALLS).for_each(|_| ledger.append_soon(event()));
        runtime.block_on(ledger.flush());
    });
    let mut durable = Vec::new();
    for _ in 0..DURABLE {
        let began = Instant::now();
        runtime.block_on(ledger.append_durable(event()))?;
        durable.push(began.elapsed());
    }
    durable.sort_unstable();
    let at = |part: usize| durable.get(DURABLE * part / 100).copied().unwrap_or_default();
    println!("a repeated cached read, CPU of the caller: {repeat} ns");
    println!("a record written soon, CPU of the caller: {soon} ns");
    println!("a durable record, wall time: median {:?}, p99 {:?}", at(50), at(99));
    let (records, bytes) = (ledger.report().newest, ledger.report().bytes);
    let file = std::os::unix::fs::MetadataExt::blocks(&dir.path().join("audit.redb").metadata()?);
    println!("{records} records of {bytes} bytes, {} on the disk", file * 512);
    let began = Instant::now();
    println!("verify: {:?} in {:?}", ledger.verify()?, began.elapsed());
    ledger.close();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a thread of the ledger panicked"))?;
    }
    Ok(())
}
