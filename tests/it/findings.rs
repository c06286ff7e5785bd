//! What is wrong, why, and that nothing else is said to be: against the demo's faults and
//! against devices that others wrote.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// Waits until exactly so many findings are open, and gives them.
async fn open(client: &Client, count: usize) -> Vec<Value> {
    eventually(&format!("{count} findings are open"), async || {
        let list = client.call("finding_list", json!({})).await.good();
        let findings = list["findings"].as_array().unwrap().clone();
        (findings.len() == count).then_some(findings)
    })
    .await
}

/// Waits until something is found wrong with a tag or an endpoint.
pub(crate) async fn found(client: &Client, about: &str) -> Value {
    eventually(&format!("something is wrong with {about}"), async || {
        let list = client.call("finding_list", json!({"about": about})).await.good();
        list["findings"].get(0).cloned()
    })
    .await
}

async fn why(client: &Client, tag: &str) -> Value {
    let why = client.call("tag_why", json!({"tag": tag})).await.good();
    assert_eq!(why["provenance"]["device_requests"], 0, "{why}");
    assert_eq!(why["hops"].as_array().unwrap().len(), 12, "{why}");
    why
}

/// Waits until a tag has that verdict, and gives what else is said.
async fn becomes(client: &Client, tag: &str, verdict: &str) -> Value {
    eventually(&format!("{tag} is {verdict}"), async || {
        let why = why(client, tag).await;
        (why["verdict"] == verdict).then_some(why)
    })
    .await
}

/// `ot-aiops demo`, ended when this is dropped.
struct Demo {
    home: tempfile::TempDir,
    _child: Child,
}

impl Demo {
    fn start(faults: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ot-aiops"));
        command.arg("demo").arg("--state").arg(home.path().join("state"));
        for fault in faults {
            command.args(["--fault", fault]);
        }
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.env("HOME", home.path()).kill_on_drop(true).spawn().unwrap();
        Self { home, _child: child }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    async fn agent(&self) -> Client {
        eventually("the demo is ready", async || {
            self.log().lines().any(|line| line.starts_with("ready")).then_some(())
        })
        .await;
        Client::socket(&self.home.path().join("state/run/agent.sock")).await
    }
}

/// What a finding is about, and what is wrong with it.
fn essence(findings: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = |one: &Value| match one["tag"].is_null() {
        true => text(&one["endpoint"]),
        false => text(&one["tag"]),
    };
    findings.iter().map(|one| (text(&one["verdict"]), about(one))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_faults_are_found_and_nothing_else_and_why_names_each() {
    let faults = ["bad-address", "stuck-sensor", "dead-unit", "stale-good", "dead-endpoint"];
    let demo = Demo::start(&faults);
    let client = demo.agent().await;
    becomes(&client, "demo/line1/filler/speed", "ok").await;
    let refused = becomes(&client, "demo/line1/capper/hopper_level", "bad_address").await;
    assert_eq!(
        (&refused["broken"], &refused["next"]),
        (&json!("item"), &json!("ot-aiops config check"))
    );
    let down = becomes(&client, "demo/line1/palletiser/speed", "endpoint_down").await;
    assert_eq!(down["broken"], "connection", "{down}");
    assert_eq!(down["next"], "otctl endpoint status palletiser");
    // Three findings come before the unit dies after half a minute.
    open(&client, 3).await;
    let dead = becomes(&client, "demo/line1/packer/cases", "unit_dead").await;
    assert!(dead["hops"][5]["last_good"].is_string(), "{dead}");
    let stopped = becomes(&client, "demo/line1/mixer/level", "source_stopped").await;
    assert_eq!(stopped["broken"], "answer", "{stopped}");
    let found = essence(&open(&client, 5).await);
    let about = |verdict: &str, about: &str| (verdict.to_owned(), about.to_owned());
    let want = [
        about("bad_address", "demo/line1/capper/hopper_level"),
        about("flatline", "demo/line1/filler/bowl_level"),
        about("unit_dead", "filler"),
        about("good_but_stale", "demo/line1/mixer/level"),
        about("endpoint_down", "palletiser"),
    ];
    assert_eq!(found, BTreeSet::from(want));
    // Each opening is one line, and the window of one gives the same again.
    let log = demo.log();
    for (verdict, _) in &found {
        let lines = log.lines().filter(|line| line.contains(&format!("CODE={verdict} ")));
        let opened =
            lines.filter(|line| line.contains("STATE=open") && line.contains("FINDING=F-"));
        assert_eq!(opened.count(), 1, "{verdict}: {log}");
    }
    let shown = client.call("finding_show", json!({"id": "demo/line1/filler/bowl_level"})).await;
    let shown = shown.good();
    assert_eq!(shown["replay"]["same"], true, "{shown}");
    assert!(!shown["points"].as_array().unwrap().is_empty(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_clocks_queues_security_and_what_was_never_read() {
    for (fault, verdict, broken) in [
        ("wrong-zone", "clock_wrong", "decode"),
        ("queue-overflow", "queue_full", "cache"),
        ("never-written", "never_read", "cache"),
        ("no-security", "certificate_rejected", "login"),
    ] {
        let demo = Demo::start(&[fault]);
        let client = demo.agent().await;
        let why = becomes(&client, "demo/line1/mixer/level", verdict).await;
        assert_eq!(why["broken"], broken, "{fault}: {why}");
        if fault == "wrong-zone" {
            let evidence = why["evidence"].as_str().unwrap();
            assert!(evidence.contains("2 h ahead of ours: a time-zone mistake"), "{evidence}");
            eventually("the endpoint's status names the time zone", async || {
                let status = json!({"endpoint": "line1-opcua"});
                let status = client.call("endpoint_status", status).await.good();
                (status["endpoints"][0]["clock"]["verdict"] == "time_zone").then_some(())
            })
            .await;
        }
        if fault != "never-written" {
            eventually(&format!("{verdict} is a finding of the endpoint"), async || {
                let list = client.call("finding_list", json!({})).await.good();
                let findings = list["findings"].as_array().unwrap().clone();
                // The plant has one clock: with a wrong zone, each endpoint that tells times does.
                assert!(findings.iter().all(|f| f["verdict"] == verdict), "{list}");
                findings.iter().any(|f| f["endpoint"] == "line1-opcua").then_some(())
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_one_finding_that_ends_with_it_and_its_subscribers_hear() {
    let server = peer::pymodbus();
    let line = Counter::before(server.port, Framing::Modbus).await;
    let mut endpoint = Endpoint::modbus("plc", line.port);
    for n in 0..20 {
        endpoint = endpoint.tag(&format!("t{n}"), &format!("holding:{n}"), "");
    }
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["t0", "t19"]).await;
    assert_eq!(why(&client, "t7").await["verdict"], "ok");
    open(&client, 0).await;
    client.request("resources/subscribe", json!({"uri": "ot://findings"})).await;
    line.cut();
    let found = open(&client, 1).await;
    assert_eq!(found[0]["verdict"], "endpoint_down", "{found:?}");
    assert_eq!((&found[0]["endpoint"], &found[0]["suppresses"]), (&json!("plc"), &json!(20)));
    let why = becomes(&client, "t7", "endpoint_down").await;
    assert!(why["hops"][2]["last_good"].is_string(), "{why}");
    eventually("the subscriber hears of it", async || {
        let heard = client.other.lock().unwrap();
        let is_it = |note: &Value| note["params"]["uri"] == "ot://findings";
        heard.iter().any(is_it).then_some(())
    })
    .await;

    let id = found[0]["id"].as_str().unwrap();
    let operator = collector.operator().await;
    let ask = json!({"id": id, "for": "8h", "reason": "the line is being moved"});
    let denied = client.call("finding_shelve", ask.clone()).await;
    assert_eq!(denied.code(), "denied");
    operator.call("finding_shelve", ask).await.good();
    open(&client, 0).await;
    let shelved = client.call("finding_list", json!({"state": "shelved"})).await.good();
    assert_eq!((&shelved["total"], &shelved["shelved"]), (&json!(1), &json!(1)), "{shelved}");

    line.mend();
    eventually("the finding is closed", async || {
        let list = client.call("finding_list", json!({"state": "shelved"})).await.good();
        (list["total"] == 0).then_some(())
    })
    .await;
    becomes(&client, "t7", "ok").await;
    let log = collector.log();
    for state in ["open", "closed"] {
        let line = format!("FINDING={id} STATE={state} CODE=endpoint_down TAG= ENDPOINT=plc");
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shelf_and_the_beginning_of_what_lasts_outlive_a_kill() {
    let server = peer::pymodbus();
    let line = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", line.port).tag("t", "holding:9", "");
    let mut collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["t"]).await;
    eventually("history is on the disk", async || {
        let why = why(&client, "t").await;
        (why["hops"][10]["state"] == "ok").then_some(())
    })
    .await;
    line.cut();
    let before = open(&client, 1).await[0].clone();
    let reason = "the line is being moved";
    let ask = json!({"id": before["id"], "for": "8h", "reason": reason});
    collector.operator().await.call("finding_shelve", ask).await.good();

    collector.kill_and_restart().await;
    let client = collector.agent().await;
    let after = eventually("the finding is open again, and shelved", async || {
        let list = client.call("finding_list", json!({"state": "shelved"})).await.good();
        list["findings"].get(0).cloned()
    })
    .await;
    assert_eq!((&after["verdict"], &after["endpoint"]), (&before["verdict"], &before["endpoint"]));
    let since = |finding: &Value| -> jiff::Timestamp {
        finding["since"].as_str().unwrap().parse().unwrap()
    };
    let apart = since(&after).duration_since(since(&before));
    assert!(apart.abs() <= jiff::SignedDuration::from_secs(2), "{before}, then {after}");
    assert_eq!(open(&client, 0).await, Vec::<Value>::new());
    let shown = client.call("finding_show", json!({"id": "plc"})).await.good();
    assert_eq!(shown["shelved_because"], reason, "{shown}");
    let operator = collector.operator().await;
    let records = operator.call("audit_tail", json!({})).await.good();
    let is_it = |record: &&Value| record["what"] == "finding_shelved";
    let record = records["records"].as_array().unwrap().iter().find(is_it);
    assert_eq!(record.unwrap()["detail"]["reason"], reason, "{records}");

    line.mend();
    eventually("the finding is closed", async || {
        let list = client.call("finding_list", json!({"state": "shelved"})).await.good();
        (list["total"] == 0).then_some(())
    })
    .await;
    good_tags(&client, &["t"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_units_addresses_and_certificates_of_real_servers_apart() {
    let (modbus, opcua) = (peer::pymodbus(), peer::asyncua());
    let slow = peer::modbus_serial();
    let config = plant(&[
        Endpoint::modbus("plc", modbus.port).tag("well", "holding:9", "").tag(
            "ghost",
            "holding:9999",
            "",
        ),
        // That server answers there after three seconds: too late for anyone.
        Endpoint::modbus("slow", slow.port).tag("dead", "holding:4000", ""),
        Endpoint::opcua("srv", opcua.port, "/sim").tag("ramp", "ns=2;s=Ramp", "").tag(
            "missing",
            "ns=2;s=Nowhere",
            "",
        ),
        Endpoint::opcua("sealed", opcua.port, "/sim")
            .with("security_mode = \"SignAndEncrypt\"\nsecurity_policy = \"Basic256Sha256\"")
            .tag("secret", "ns=2;s=Ramp", ""),
        Endpoint::modbus("nowhere", peer::free_port()).tag("gone", "holding:9", ""),
    ]);
    let collector = Collector::start(&config).await;
    let client = collector.agent().await;
    for (tag, verdict, broken) in [
        ("well", "ok", Value::Null),
        ("ramp", "ok", Value::Null),
        ("dead", "unit_dead", json!("answer")),
        ("ghost", "bad_address", json!("item")),
        ("missing", "bad_address", json!("item")),
        ("secret", "certificate_rejected", json!("login")),
        ("gone", "endpoint_down", json!("connection")),
    ] {
        let why = becomes(&client, tag, verdict).await;
        assert_eq!(why["broken"], broken, "{tag}: {why}");
        let words = [why["evidence"].as_str(), why["next"].as_str()];
        assert!(words.iter().all(|text| text.is_some_and(|t| !t.is_empty())), "{tag}: {why}");
    }
    let secret = becomes(&client, "secret", "certificate_rejected").await;
    assert_eq!(secret["next"], "otctl cert list");
    let shown = collector.otctl(&["why", "ghost"]).await;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.status.success() && text.contains("bad_address"), "{text}");
    let fails = collector.otctl(&["why", "ghost", "--fail-on", "bad_address"]).await;
    assert_eq!(fails.status.code(), Some(1));
    let plot = collector.otctl(&["plot", "ramp", "--since", "5m"]).await;
    let text = String::from_utf8_lossy(&plot.stdout).into_owned();
    assert!(
        plot.status.success() && text.starts_with("ramp\n") && text.contains('\u{2502}'),
        "{text}"
    );
}
