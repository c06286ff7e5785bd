//! The audit: every call is in it, nothing acknowledged is lost, and no change goes unseen.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::collector::{Collector, good_tags};
use crate::device::Device;
use crate::peer::package;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

async fn small_plant(more: &str) -> (Device, Collector) {
    let device = Device::start().await.holding(0, &[1, 2, 3]);
    let endpoint = Endpoint::modbus("plc", device.port).tag("line1/one", "holding:0", "").tag(
        "line2/two",
        "holding:1",
        "",
    );
    let collector = Collector::start(&format!("{more}\n{}", plant(&[endpoint]))).await;
    good_tags(&collector.operator().await, &["line1/one", "line2/two"]).await;
    (device, collector)
}

/// Gives the records of a tool's calls, oldest first.
async fn calls(operator: &Client, tool: &str) -> Vec<Value> {
    let ask = json!({"tool": tool, "limit": 200});
    operator.call("audit_tail", ask).await.good()["records"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_recorded_and_identical_cached_reads_are_counted() {
    let (_device, collector) = small_plant("").await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    for _ in 0..7 {
        agent.call("tag_history", json!({"tag": "line1/one", "since": "-1h"})).await.good();
    }
    for _ in 0..3 {
        let now = json!({"address": 2, "max_age_s": 0});
        agent.call("modbus_read_holding", now).await.good();
    }
    let denied = agent.call("audit_tail", json!({})).await;
    assert_eq!(denied.code(), "denied");
    agent.call("modbus_read_holding", json!({"address": "\u{202e}x"})).await;
    let cached = calls(&operator, "tag_history").await;
    assert_eq!((cached.len(), &cached[0]["count"]), (1, &json!(7)), "{cached:?}");
    let asked = calls(&operator, "modbus_read_holding").await;
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(asked[0]["device_requests"], 1);
    assert_eq!(asked[3]["outcome"], "error");
    assert!(asked[3].to_string().contains("u{202e}"), "{}", asked[3]);
    let refused = calls(&operator, "audit_tail").await;
    assert_eq!(
        (&refused[0]["outcome"], &refused[0]["code"]),
        (&json!("refused"), &json!("denied"))
    );
    assert_eq!(refused[0]["who"]["door"], "agent");
    let found = operator.call("audit_verify", json!({})).await.good();
    assert_eq!((&found["ok"], &found["first_bad"]), (&json!(true), &Value::Null), "{found}");
    let by_command = collector.otctl_json(&["audit", "verify"]).await;
    assert!(by_command["records"].as_u64() > found["records"].as_u64(), "{by_command}");
    let exported = collector.otctl_json(&["audit", "export"]).await;
    let lines = std::fs::read_to_string(exported["file"].as_str().unwrap()).unwrap();
    assert!(lines.lines().count() as u64 == exported["records"].as_u64().unwrap() + 1);
    // Reads that are still being counted join the chain when their minute ends.
    assert!(lines.contains("\"tool\":\"modbus_read_holding\""), "{lines}");
    let wrong = operator.call("audit_export", json!({"release": "00"})).await;
    assert_eq!(wrong.code(), "bad_arguments");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let (_device, mut collector) = small_plant("").await;
    let mut denials = 0;
    for round in 0..5 {
        let agent = collector.agent().await;
        // A denial is durable before its answer; the kill comes at once.
        for _ in 0..=round {
            assert_eq!(agent.call("collector_reload", json!({})).await.code(), "denied");
            denials += 1;
        }
        collector.kill_and_restart().await;
        let operator = collector.operator().await;
        let kept = calls(&operator, "collector_reload").await;
        assert_eq!(kept.len(), denials, "after {round} restarts");
        let found = operator.call("audit_verify", json!({})).await.good();
        assert_eq!(found["ok"], true, "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_changed_by_hand_is_found_while_it_runs_and_after() {
    let (_device, mut collector) = small_plant("").await;
    let agent = collector.agent().await;
    for _ in 0..5 {
        assert_eq!(agent.call("collector_reload", json!({})).await.code(), "denied");
    }
    let path = collector.state().join("audit.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    let word = b"collector_reload";
    let places: Vec<usize> =
        (0..bytes.len() - word.len()).filter(|at| bytes[*at..].starts_with(word)).collect();
    // Pages that are no longer in use may hold copies.
    assert!(!places.is_empty());
    places.iter().for_each(|at| bytes[*at] = b'C');
    std::fs::write(&path, &bytes).unwrap();
    let operator = collector.operator().await;
    let found = operator.call("audit_verify", json!({})).await.good();
    assert_eq!(found["ok"], false, "{found}");
    collector.signal(Signal::TERM);
    collector.ended().await;
    collector.again().await;
    let operator = collector.operator().await;
    assert_eq!(operator.call("audit_verify", json!({})).await.good()["ok"], false);
    let tail = operator.call("audit_tail", json!({})).await.good();
    assert!(tail["frozen"].is_string(), "{tail}");
    good_tags(&operator, &["line1/one"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_set_in_the_configuration_sees_its_own_and_keeps_to_its_budget() {
    let user = rustix::process::getuid().as_raw();
    let agents = format!(
        "[[agents]]\nuser = {user}\ntags = [\"line1/**\"]\nfree_reads = false\ncalls_per_min = 20\n"
    );
    let (_device, collector) = small_plant("").await;
    let config = std::fs::read_to_string(collector.config()).unwrap();
    collector.reload(&format!("{config}\n{agents}"));
    let operator = collector.operator().await;
    eventually("the reload is recorded", async || {
        let ask = json!({"what": "configuration_changed"});
        let tail = operator.call("audit_tail", ask).await.good();
        (!tail["records"].as_array()?.is_empty()).then_some(())
    })
    .await;
    let agent = collector.agent().await;
    let found = agent.call("tag_find", json!({})).await.good();
    assert_eq!(found["total"], 1, "{found}");
    let hidden = agent.call("tag_history", json!({"tag": "line2/two", "since": "-1h"})).await;
    assert_eq!(hidden.code(), "unknown_tag");
    let raw = agent.call("modbus_read_holding", json!({"address": 1})).await;
    assert_eq!(raw.code(), "denied");
    assert!(raw.value["error"]["message"].as_str().unwrap().starts_with("free_reads"));
    let own = json!({"address": 0, "max_age_s": 0});
    assert_eq!(agent.call("modbus_read_holding", own).await.good()["raw_registers"], json!([1]));
    let beyond = agent.call("modbus_read_holding", json!({"address": 0, "count": 2})).await;
    assert_eq!(beyond.code(), "denied");
    let input = agent.call("modbus_read_input", json!({"address": 0})).await;
    assert_eq!(input.code(), "denied", "another table");
    let unit = agent.call("modbus_read_holding", json!({"address": 0, "unit_id": 2})).await;
    assert_eq!(unit.code(), "denied", "another device");
    let judged = agent.call("modbus_health_summary", json!({"addresses": [0]})).await.good();
    assert_eq!(judged["evaluated"], 1);
    let judged = agent.call("modbus_health_summary", json!({"addresses": [0, 1]})).await;
    assert_eq!(judged.code(), "denied");
    let judged = agent.call("modbus_health_summary", json!({})).await.good();
    assert_eq!(judged["evaluated"], 1, "no tag but its own is judged");
    assert_eq!(operator.call("tag_find", json!({})).await.good()["total"], 2);
    let mut last = String::new();
    for _ in 0..30 {
        // A reconnect clears nothing: the user counts, not the session.
        let agent = collector.agent().await;
        let answer = agent.call("tag_find", json!({})).await;
        last = answer.value["error"]["code"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!(last, "budget_exhausted");
}

/// Gives each file of the table in `config/README.md` with its modes.
fn documented() -> BTreeMap<String, Vec<u32>> {
    let page = std::fs::read_to_string(package("config/README.md")).unwrap();
    let files = page.split("## Files").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = files.lines().filter_map(|line| line.strip_prefix("| `"));
    let row = |line: &str| {
        let (path, rest) = line.split_once("` | ")?;
        let modes = rest.split(" | ").next()?.split(" or ");
        let modes = modes.map(|mode| u32::from_str_radix(mode, 8).unwrap());
        Some((path.to_owned(), modes.collect()))
    };
    rows.filter_map(row).collect()
}

/// Lists everything below a folder, by its path there.
fn below(root: &Path, folder: &Path, found: &mut BTreeMap<String, u32>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        assert_eq!(about.uid(), rustix::process::getuid().as_raw(), "{name}");
        found.insert(name, about.permissions().mode() & 0o777);
        if about.is_dir() {
            below(root, &path, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_files_and_listeners_agrees_with_a_running_collector() {
    let (_device, collector) = small_plant("").await;
    collector.otctl_json(&["audit", "export"]).await;
    let page = documented();
    assert!(page.len() >= 12, "{page:?}");
    eventually("a checkpoint is written", async || {
        collector.state().join("audit.checkpoints.jsonl").exists().then_some(())
    })
    .await;
    let mut found = BTreeMap::new();
    below(&collector.state(), &collector.state(), &mut found);
    for (name, mode) in &found {
        let top = name.split('/').next().unwrap();
        match page.get(name) {
            Some(modes) => assert!(modes.contains(mode), "{name} has {mode:o}"),
            // What lies in a private folder needs no line of its own.
            None => assert_eq!(page.get(top), Some(&vec![0o700]), "{name} is not on the page"),
        }
    }
    for name in ["audit.redb", "audit.key", "samples.redb", "run/agent.sock", "export"] {
        assert!(found.contains_key(name), "{name} is missing in {found:?}");
    }
    let pid = std::fs::read_to_string(collector.state().join("run/collector.pid")).unwrap();
    assert_eq!(listening(pid.trim()), Vec::<String>::new(), "no TCP or UDP port is open");
}

/// Lists the TCP sockets in state LISTEN (proc(5): 0A) and the UDP sockets of a process.
fn listening(pid: &str) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = links.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let own: Vec<String> = links
        .filter_map(|link| {
            let link = link.display().to_string();
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut open = Vec::new();
    for (table, listens) in
        [("tcp", Some("0A")), ("tcp6", Some("0A")), ("udp", None), ("udp6", None)]
    {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_own = fields.get(9).is_some_and(|inode| own.iter().any(|i| i == inode));
            if is_own && listens.is_none_or(|state| fields[3] == state) {
                open.push(format!("{table} {}", fields[1]));
            }
        }
    }
    open
}
