//! What operators do with findings at their terminal.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::device::Device;
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
