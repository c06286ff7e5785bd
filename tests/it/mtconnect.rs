//! MTConnect through the built collector: an agent that others wrote, and one that misbehaves as
//! it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::{
    Agent, Answer, PROBE, Piece, answer, part, position, stream_head, streams, xml,
};
use crate::broker::{Broker, file, folder};
use crate::collector::{Collector, good_tags};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

const HEADER: &str = "instanceId='1' firstSequence='1' lastSequence='10' nextSequence='11'";
const UP: &str = "<Events><Availability dataItemId='av' sequence='1' \
                  timestamp='2026-06-30T10:00:00Z'>AVAILABLE</Availability></Events>";

async fn item(client: &Client, tag: &str) -> Value {
    let answer = client.call("tag_read", json!({"tags": [tag]})).await.good();
    answer["items"][0].clone()
}

async fn until_value(client: &Client, tag: &str, value: Value) -> Value {
    let what = format!("{tag} is {value}");
    eventually(&what, async || {
        let item = item(client, tag).await;
        (item["value"] == value && item["quality"] == "Good").then_some(item)
    })
    .await
}

/// Gives how many samples the endpoint has counted as lost.
async fn lost(client: &Client) -> u64 {
    let status = client.call("endpoint_status", json!({"endpoint": "mill"})).await.good();
    let text = status.to_string();
    let at = text.find("samples_lost").unwrap_or_else(|| panic!("no count of losses: {text}"));
    let digits = text[at..].chars().skip_while(|c| !c.is_ascii_digit());
    digits.take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

fn mill(port: u16) -> Endpoint {
    Endpoint::mtconnect("mill", port).tag("x", "Xact", "").tag("up", "av", "")
}

/// A model and a present state at 1.5 mm, and a stream as given.
fn steady(stream: impl Fn(usize) -> Answer + Send + Sync) -> impl Fn(&str) -> Answer + Send + Sync {
    let nth = AtomicUsize::new(0);
    move |path| match path {
        "/probe" => xml(PROBE),
        "/current" => xml(streams(HEADER, &(position(10, "1.5") + UP))),
        _ => stream(nth.fetch_add(1, Ordering::Relaxed)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_others_wrote_is_read_by_every_tool_it_has() {
    let peer = peer::mtconnect_agent();
    let endpoint = Endpoint::mtconnect("cnc", peer.port)
        .tag("x", "Xpos", "")
        .tag("exec", "CNC1:exec", "")
        .tag("sys", "sys", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let items = good_tags(&client, &["x", "exec"]).await;
    let x = items[0]["value"].as_f64().unwrap();
    assert!((-100.0..=100.0).contains(&x), "{items:?}");
    assert!(["ACTIVE", "READY"].contains(&items[1]["value"].as_str().unwrap()));
    let before = item(&client, "x").await["value"].clone();
    eventually("the position moves on", async || {
        (item(&client, "x").await["value"] != before).then_some(())
    })
    .await;
    let probe = client.call("mtconnect_probe", json!({})).await.good();
    assert_eq!(probe["devices"][0]["name"], "CNC1");
    let components = probe["devices"][0]["components"].as_array().unwrap();
    let linear = components.iter().find(|c| c["component"] == "Linear").unwrap();
    assert_eq!(linear["path"], "Axes[axes]/Linear[X]");
    assert_eq!(linear["data_items"][0]["sub_type"], "ACTUAL");
    assert_eq!(components[0]["component"], "Device", "the device's own data items count");
    let current = client.call("mtconnect_current", json!({"max_age_s": 0})).await.good();
    assert_eq!(current["provenance"]["source"], "device");
    let held = client.call("mtconnect_current", json!({})).await.good();
    assert_eq!(held["provenance"]["source"], "cache", "what is scanned is not asked again");
    let oee = client.call("mtconnect_oee_snapshot", json!({})).await.good();
    assert!(["running", "available_idle"].contains(&oee["verdict"].as_str().unwrap()), "{oee}");
    assert_eq!((&oee["device"], &oee["provenance"]["source"]), (&json!("CNC1"), &json!("cache")));
    assert_eq!(oee["provenance"]["device_requests"], 0, "{oee}");
    let sample = client.call("mtconnect_sample", json!({"count": 5})).await.good();
    assert!(sample["observation_count"].as_u64().unwrap() > 0, "{sample}");
    // This agent has no assets: it answers with something else, which is no list of them.
    assert!(!client.call("mtconnect_assets", json!({})).await.code().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_one_request_and_keeps_the_times_of_the_machine() {
    let agent = Agent::start(steady(|_| {
        let header = "instanceId='1' firstSequence='1' lastSequence='12' nextSequence='13'";
        let both = position(11, "2.5") + &position(12, "3.5");
        vec![stream_head(), part(&streams(header, &both)), Piece::Hold]
    }))
    .await;
    let collector = Collector::start(&plant(&[mill(agent.port)])).await;
    let client = collector.agent().await;
    let item = until_value(&client, "x", json!(3.5)).await;
    assert_eq!(item["source_ts"], "2026-06-30T10:00:00.1234567Z");
    let history = client.call("tag_history", json!({"tag": "x", "since": "-1h"})).await.good();
    let text = history.to_string();
    assert!(text.contains("2.5"), "a value between two reads is kept: {text}");
    for _ in 0..5 {
        let oee = client.call("mtconnect_oee_snapshot", json!({})).await.good();
        assert_eq!(oee["provenance"]["device_requests"], 0);
    }
    assert_eq!(agent.requests().len(), 3, "a model, a state, a stream: {:?}", agent.requests());
    assert!(agent.requests()[2].starts_with("/sample?from=11&interval=200"));
    assert_eq!(lost(&client).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unavailable_is_bad_and_a_set_keeps_the_keys_that_did_not_change() {
    let set = |sequence: u64, entries: &str| {
        format!(
            "<Events><VariableDataSet dataItemId='vars' sequence='{sequence}' \
             timestamp='2026-06-30T10:00:00Z'>{entries}</VariableDataSet></Events>"
        )
    };
    let current = position(9, "1") + &set(10, "<Entry key='a'>1</Entry><Entry key='b'>2</Entry>");
    let header = "instanceId='1' firstSequence='1' lastSequence='12' nextSequence='13'";
    let changes = set(11, "<Entry key='b'>7</Entry>") + &position(12, "UNAVAILABLE");
    let agent = Agent::start(move |path| match path {
        "/probe" => xml(PROBE),
        "/current" => xml(streams(HEADER, &current)),
        _ => vec![stream_head(), part(&streams(header, &changes)), Piece::Hold],
    })
    .await;
    let endpoint = mill(agent.port).tag("b", "vars", "path = \"b\"").tag("vars", "vars", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    until_value(&client, "b", json!(7)).await;
    until_value(&client, "vars", json!({"a": 1, "b": 7})).await;
    eventually("the position is Bad", async || {
        let item = item(&client, "x").await;
        (item["quality"] == "BadNoCommunication" && item["value"].is_null()).then_some(())
    })
    .await;
}

/// Streams once in a way that leaves a gap, then well.
async fn resynchronised(first: Answer, expected: u64) {
    let agent = Agent::start({
        let states = Arc::new(AtomicUsize::new(0));
        let nth = AtomicUsize::new(0);
        move |path: &str| match path {
            "/probe" => xml(PROBE),
            "/current" if states.fetch_add(1, Ordering::Relaxed) == 0 => {
                xml(streams(HEADER, &(position(10, "1.5") + UP)))
            }
            "/current" => {
                let header = "instanceId='1' firstSequence='50' nextSequence='61'";
                xml(streams(header, &(position(60, "9.5") + UP)))
            }
            _ if nth.fetch_add(1, Ordering::Relaxed) == 0 => first.clone(),
            _ => vec![stream_head(), Piece::Hold],
        }
    })
    .await;
    let collector = Collector::start(&plant(&[mill(agent.port)])).await;
    let client = collector.agent().await;
    until_value(&client, "x", json!(9.5)).await;
    assert_eq!(lost(&client).await, expected);
    assert_eq!(agent.count("/probe"), 1, "the session lives on");
    assert!(agent.requests().last().unwrap().starts_with("/sample?from=61&"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_in_the_sequence_is_counted_and_the_present_state_taken() {
    // 11 to 60 went by, and the present state makes one of them good.
    let header = "instanceId='1' firstSequence='1' nextSequence='41'";
    let gap = part(&streams(header, &position(40, "4.5")));
    resynchronised(vec![stream_head(), gap, Piece::Hold], 49).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overrun_buffer_is_counted_and_the_present_state_taken() {
    let overrun = "<MTConnectError><Errors><Error errorCode='OUT_OF_RANGE'>x</Error></Errors>\
                   </MTConnectError>";
    resynchronised(vec![stream_head(), part(overrun), Piece::Hold], 49).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_begins_anew_is_read_anew_and_the_loss_counted() {
    let current = AtomicUsize::new(0);
    let agent = Agent::start(move |path| match path {
        "/probe" => xml(PROBE),
        "/current" => {
            let is_first = current.fetch_add(1, Ordering::Relaxed) == 0;
            let (header, value) = if is_first {
                (HEADER, "1.5")
            } else {
                ("instanceId='2' firstSequence='1' nextSequence='4'", "7.5")
            };
            xml(streams(header, &(position(3, value) + UP)))
        }
        path if path.contains("from=11&") => {
            let header = "instanceId='2' firstSequence='1' nextSequence='12'";
            let wrong = part(&streams(header, &position(11, "99")));
            vec![stream_head(), wrong, Piece::Hold]
        }
        _ => vec![stream_head(), Piece::Hold],
    })
    .await;
    let collector = Collector::start(&plant(&[mill(agent.port)])).await;
    let client = collector.agent().await;
    until_value(&client, "x", json!(7.5)).await;
    assert_eq!(lost(&client).await, 1, "one at least, and nobody can know how many");
    assert_eq!(agent.count("/probe"), 2, "another life may have another model");
}

/// Calls a tool of an agent that answers everything so.
async fn refused(bad: impl Fn(&str) -> Answer + Send + Sync + 'static) -> (Value, Agent) {
    let agent = Agent::start(bad).await;
    let endpoint = Endpoint::mtconnect("mill", agent.port).with("timeout_ms = 2000");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let answer = client.call("mtconnect_current", json!({})).await;
    assert!(!answer.code().is_empty());
    (answer.value["error"].clone(), agent)
}

fn mentions(error: &Value, words: &str) {
    let text = error["message"].as_str().unwrap();
    assert!(text.contains(words), "{text} does not say: {words}");
    assert!(text.contains("http://127.0.0.1:"), "{text} does not name the address");
    assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_is_refused_and_one_on_the_same_is_followed() {
    let elsewhere = Agent::start(|_| xml(PROBE)).await;
    let port = elsewhere.port;
    let (error, _agent) = refused(move |_| {
        answer("302 Found", &format!("Location: http://localhost:{port}/current\r\n"), "")
    })
    .await;
    mentions(&error, "redirects to another host");
    assert!(elsewhere.requests().is_empty(), "nobody follows");
    let (error, agent) = refused(|_| answer("302 Found", "Location: /current\r\n", "")).await;
    mentions(&error, "redirects again and again");
    assert!(agent.requests().len() <= 12, "{:?}", agent.requests());
    let agent = Agent::start(|path| match path {
        "/moved" => xml(streams(HEADER, UP)),
        "/current" => answer("301 Moved Permanently", "Location: /moved\r\n", ""),
        _ => xml(PROBE),
    })
    .await;
    let collector = Collector::start(&plant(&[Endpoint::mtconnect("m", agent.port)])).await;
    let client = collector.agent().await;
    let current = client.call("mtconnect_current", json!({})).await.good();
    assert_eq!(current["observations"][0]["value"], "AVAILABLE");
    assert_eq!(current["provenance"]["device_requests"], 3, "each request is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_could_harm_are_refused_by_name() {
    let late = format!(
        "<!--{}--><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>{}",
        "x".repeat(10_000),
        streams(HEADER, &position(1, "&e;"))
    );
    mentions(&refused(move |_| xml(late.clone())).await.0, "DTD");
    let entity = streams(HEADER, &position(1, "&laugh;"));
    mentions(&refused(move |_| xml(entity.clone())).await.0, "entity");
    mentions(&refused(|_| xml("<a>".repeat(200_000))).await.0, "nests deeper");
    mentions(&refused(|_| xml([0xFF, 0xFE, b'<'])).await.0, "UTF-8");
    mentions(&refused(|_| xml("<html><body>Login</body></html>")).await.0, "no MTConnect");
    mentions(&refused(|_| answer("503 Busy", "", "")).await.0, "HTTP status 503");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_gzip_and_an_answer_without_end_are_cut_off() {
    let bomb = gzip_bomb();
    let (error, _agent) = refused(move |_| {
        answer("200 OK", "Content-Type: text/xml\r\nContent-Encoding: gzip\r\n", &bomb)
    })
    .await;
    mentions(&error, "larger than 48 MiB");
    let (error, _agent) = refused(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n<a>";
        let drop = Piece::Repeat(b"x".to_vec(), Duration::from_millis(20));
        vec![Piece::Bytes(head.to_vec()), drop]
    })
    .await;
    mentions(&error, "no whole answer in time");
}

/// 96 MiB of blanks in some hundred kilobytes, packed by the program of that name.
fn gzip_bomb() -> Vec<u8> {
    let script = "head -c 100663296 /dev/zero | tr '\\0' ' ' | gzip -c";
    let made = std::process::Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(made.status.success() && made.stdout.len() < 1_000_000);
    made.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_stream_costs_the_session_and_no_value_of_it_counts() {
    let long = || Piece::Bytes(b"--cut\r\nContent-length: 99999999999\r\n\r\n<a>".to_vec());
    let header = "instanceId='1' firstSequence='1' nextSequence='12'";
    let whole = streams(header, &position(11, "99"));
    let damaged = whole.replace("</Streams>", "");
    let agent = Agent::start(steady(move |nth| match nth {
        0 => vec![stream_head(), long(), Piece::Hold],
        1 => vec![stream_head(), part(&damaged), Piece::Hold],
        2 => vec![stream_head(), Piece::Bytes(b"<html>".to_vec()), Piece::Hold],
        _ => vec![stream_head(), part(&whole.replace("99", "5.5")), Piece::Hold],
    }))
    .await;
    let collector = Collector::start(&plant(&[mill(agent.port)])).await;
    let client = collector.agent().await;
    until_value(&client, "x", json!(5.5)).await;
    assert_eq!(agent.count("/sample"), 4, "each of them ended its session");
    let stats = client.call("tag_stats", json!({"tags": ["x"], "since": "-1h"})).await.good();
    assert_eq!(stats["items"][0]["max"], 5.5, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_in_the_model_fails_its_tag_alone() {
    let agent = Agent::start(steady(|_| vec![stream_head(), Piece::Hold])).await;
    let endpoint = mill(agent.port).tag("ghost", "nowhere", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    until_value(&client, "x", json!(1.5)).await;
    eventually("the other is Bad", async || {
        (item(&client, "ghost").await["quality"] == "BadConfigurationError").then_some(())
    })
    .await;
}

/// An agent behind a front with a certificate of the brokers' private authority.
async fn behind_tls(lines: &str) -> (Peer, Peer, Collector, Client) {
    let agent = peer::mtconnect_stream(16_384);
    // Whoever starts a broker first makes the authorities.
    drop(Broker::start());
    let [certificate, key] = ["server.crt", "server.key"].map(|name| folder().join(name));
    let front = peer::tls_front(agent.port, &certificate, &key);
    let url = format!("agent_url = \"https://localhost:{}\"\nscan_ms = 200\n{lines}", front.port);
    let endpoint = Endpoint::new("cnc", "mtconnect", &url).tag("x", "Xpos", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    (agent, front, collector, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_behind_tls_is_read_where_its_authority_is_trusted() {
    let (_agent, _front, _collector, client) = behind_tls(&file("ca_file", "ca.crt")).await;
    let before = good_tags(&client, &["x"]).await[0]["value"].clone();
    eventually("the stream goes on", async || {
        (item(&client, "x").await["value"] != before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_a_stranger_is_an_error_by_name() {
    for lines in [file("ca_file", "other.crt"), String::new()] {
        let (_agent, _front, _collector, client) = behind_tls(&lines).await;
        let refused = client.call("mtconnect_current", json!({})).await;
        assert_eq!(refused.code(), "certificate_rejected", "{lines}");
        let error = &refused.value["error"];
        let text = error["message"].as_str().unwrap();
        assert!(text.contains("signed by none of the trusted authorities"), "{text}");
        assert!(error["hint"].as_str().unwrap().contains("ca_file"), "{error}");
    }
}
