//! What operators do with findings at their terminal.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::{sleep, timeout};

use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::device::Device;
use crate::findings::found;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::{PATIENCE, eventually};

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line comes").unwrap();
    serde_json::from_str(&line.expect("it goes on")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_followed_and_what_is_laid_aside_is_not_said_to_be_over() {
    let server = peer::pymodbus();
    let line = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", line.port).tag("t", "holding:9", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    good_tags(&collector.agent().await, &["t"]).await;
    let mut command = collector.program(env!("CARGO_BIN_EXE_otctl"));
    command.arg("--state").arg(collector.state());
    command.args(["finding", "list", "--watch", "-o", "jsonl"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();

    line.cut();
    let opened = next(&mut lines).await;
    assert_eq!((&opened["verdict"], &opened["state"]), (&json!("endpoint_down"), &json!("open")));
    let id = opened["id"].as_str().unwrap();
    let words = ["finding", "shelve", id, "--for", "8h", "--reason", "the line is being moved"];
    let shelved = collector.otctl_json(&words).await;
    assert_eq!(shelved["shelved"]["state"], "shelved", "{shelved}");
    let aside = next(&mut lines).await;
    assert_eq!((&aside["id"], &aside["state"]), (&opened["id"], &json!("shelved")), "{aside}");
    let listed = collector.otctl_json(&["finding", "list", "--in", "shelved"]).await;
    assert_eq!(listed["total"], 1, "{listed}");

    let unexplained = collector.otctl(&["finding", "shelve", id, "--for", "8h"]).await;
    assert!(!unexplained.status.success(), "a reason is needed");
    line.mend();
    eventually("it is closed", async || {
        let listed = collector.otctl_json(&["finding", "list", "--in", "shelved"]).await;
        (listed["total"] == 0).then_some(())
    })
    .await;
    line.cut();
    // The shelf holds for what comes back, too: nothing is told.
    eventually("it is back on its shelf", async || {
        let listed = collector.otctl_json(&["finding", "list", "--in", "shelved"]).await;
        (listed["total"] == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_course_is_drawn_and_a_setting_is_tried_on_history() {
    let device = Device::start().await.holding(0, &[100]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("t", "holding:0", "alarm_high = 900");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    for step in 0..40_u16 {
        device.set(3, 0, &[100 + 20 * step]);
        eventually("the step is read", async || {
            let item = client.call("tag_read", json!({"tags": ["t"]})).await.good();
            (item["items"][0]["value"] == 100 + 20 * step).then_some(())
        })
        .await;
    }
    let wide = collector.otctl(&["tag", "read", "t", "-o", "wide"]).await;
    let wide = String::from_utf8_lossy(&wide.stdout).into_owned();
    let bars = wide.chars().filter(|c| ('\u{2581}'..='\u{2588}').contains(c)).count();
    assert!(bars > 3, "a course of ten minutes: {wide}");

    let tried = ["diagnose", "backtest", "flatline", "--since", "7d"];
    let tried = collector.otctl_json(&tried).await;
    let tag = &tried["tags"][0];
    assert_eq!((&tried["detector"], &tag["tag"]), (&json!("flatline"), &json!("t")), "{tried}");
    assert!(tag["samples"].as_u64().unwrap() >= 40, "{tried}");
    let is_judged = tag["evaluated"] == true;
    let why = tag["not_evaluated"][0]["reason"].as_str();
    assert!(is_judged || why.is_some_and(|why| !why.is_empty()), "{tried}");
    let unknown = collector.otctl(&["diagnose", "backtest", "magic"]).await;
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && text.contains("flatline"), "{text}");
}

/// What the meters of a pipe show at a moment: two at its head, one at its end.
fn flows(n: u16, leak: u16) -> [u16; 3] {
    let swing = 40.0 * (f64::from(n) / 15.0).sin();
    let noise = |seed: u16| f64::from(n.wrapping_mul(seed).wrapping_add(seed) % 7);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds")]
    let whole = |x: f64| x.round() as u16;
    let end = whole(300.0 + 0.6 * swing + noise(1471)) - leak;
    [whole(500.0 + swing + noise(2659)), whole(700.0 + swing + noise(3643)), end]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_learnt_while_sound_and_told_once_it_leaks() {
    let device = Arc::new(Device::start().await.holding(0, &flows(0, 0)));
    let leak = Arc::new(AtomicU16::new(0));
    let process = tokio::spawn({
        let (device, leak) = (Arc::clone(&device), Arc::clone(&leak));
        async move {
            for n in 0_u16.. {
                device.set(3, 0, &flows(n, leak.load(Ordering::Relaxed)));
                sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let mut endpoint = Endpoint::modbus("plc", device.port);
    for (name, at) in [("pipe/head", 0), ("pipe/head2", 1), ("pipe/end", 2)] {
        endpoint = endpoint.tag(name, &format!("holding:{at}"), "scan_ms = 50");
    }
    let mut collector = Collector::start(&plant(&[endpoint])).await;
    let learn = ["asset", "learn", "pipe", "--pattern", "pipe/**", "--since", "1h"];
    let early = collector.otctl(&learn).await;
    let text = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(!early.status.success() && text.contains("nothing can be learnt"), "{text}");
    let stats = async |collector: &Collector| {
        let stats = collector.otctl_json(&["tag", "stats", "pipe/end", "--since", "1h"]).await;
        stats["items"][0]["count"].as_u64().unwrap_or(0)
    };
    eventually("there is enough to learn from", async || {
        (stats(&collector).await >= 300).then_some(())
    })
    .await;
    let learnt = collector.otctl_json(&learn).await;
    let tags = learnt["tags"].as_array().unwrap();
    let tells = |tag: &Value| tag["told_from"].as_f64() > Some(0.0);
    assert!(tags.len() == 3 && tags.iter().all(tells), "{learnt}");
    let state = async |collector: &Collector| {
        let listed = collector.otctl_json(&["asset", "list"]).await;
        listed["assets"][0].clone()
    };
    eventually("it is judged and sound", async || {
        let asset = state(&collector).await;
        (asset["evaluated"] == true && asset["limits"].as_f64() < Some(1.0)).then_some(())
    })
    .await;

    leak.store(40, Ordering::Relaxed);
    let agent = collector.agent().await;
    let told = found(&agent, "pipe/end").await;
    assert_eq!(told["verdict"], "asset_deviation", "{told}");
    leak.store(0, Ordering::Relaxed);
    eventually("it is over", async || {
        let list = agent.call("finding_list", json!({})).await.good();
        list["findings"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;

    // What was learnt outlives the run; agents neither teach nor forget.
    collector.kill_and_restart().await;
    eventually("it is judged again", async || {
        (state(&collector).await["evaluated"] == true).then_some(())
    })
    .await;
    let agent = collector.agent().await;
    let refused = agent.call("asset_forget", json!({"name": "pipe"})).await;
    assert!(refused.is_error, "an agent forgets nothing");
    assert!(collector.otctl(&["asset", "forget", "pipe"]).await.status.success());
    assert!(!collector.otctl(&["asset", "forget", "pipe"]).await.status.success());
    process.abort();
}
