//! What a machine's agent holds while the line to it is down is neither lost nor taken twice.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::agent::{Agent, PROBE, Piece, answer, position, stream_head, streams, xml};
use crate::collector::{Collector, good_tags};
use crate::meddler::{Meddler, Mode};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// Gives every position that the agent itself holds, with its sequence number.
async fn held(peer: &Peer, from: u64) -> Vec<(u64, f64)> {
    let mut agent = TcpStream::connect(("127.0.0.1", peer.port)).await.unwrap();
    let request = format!("GET /sample?from={from}&count=60 HTTP/1.0\r\n\r\n");
    agent.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    agent.read_to_string(&mut text).await.unwrap();
    let read = |element: &str| {
        let (_, rest) = element.split_once("sequence=\"")?;
        let (sequence, rest) = rest.split_once('"')?;
        let (_, rest) = rest.split_once('>')?;
        Some((sequence.parse().ok()?, rest.split_once('<')?.0.parse().ok()?))
    };
    text.split("<Position ").skip(1).filter_map(read).collect()
}

/// Collects what the agent holds, before its buffer forgets it.
struct Truth {
    positions: Vec<(u64, f64)>,
}

impl Truth {
    async fn learn(&mut self, peer: &Peer) {
        let from = self.positions.last().map_or(5, |(sequence, _)| *sequence);
        let new = held(peer, from).await;
        let known = self.positions.last().map_or(0, |(sequence, _)| *sequence);
        self.positions.extend(new.into_iter().filter(|(sequence, _)| *sequence > known));
    }

    /// Learns until the agent has gone on by so many positions.
    async fn go_on(&mut self, peer: &Peer, positions: usize) {
        let until = self.positions.len() + positions;
        while self.positions.len() < until {
            self.learn(peer).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Gives the Good values of a tag's history, each with the time the agent gave it.
async fn history(client: &Client, tag: &str) -> Vec<(f64, String)> {
    let asked = json!({"tag": tag, "since": "-1h", "max_points": 400});
    let answer = client.call("tag_history", asked).await.good();
    let points = answer["points"].as_array().unwrap();
    let good = points.iter().filter(|point| point["quality"] == "Good");
    good.map(|point| {
        let source = point["source_ts"].as_str().unwrap_or_default();
        (point["value"].as_f64().unwrap(), source.to_owned())
    })
    .collect()
}

async fn lost(client: &Client) -> u64 {
    let status = client.call("endpoint_status", json!({"endpoint": "cnc"})).await.good();
    status["endpoints"][0]["samples_lost"].as_u64().unwrap_or_else(|| panic!("{status}"))
}

async fn until_quality(client: &Client, quality: &str) {
    eventually(&format!("x is {quality}"), async || {
        let answer = client.call("tag_read", json!({"tags": ["x"]})).await.good();
        (answer["items"][0]["quality"] == quality).then_some(())
    })
    .await;
}

/// Cuts the line twice while the agent goes on, and compares what came with what it holds.
async fn nothing_is_lost_over(peer: Peer, keys: &str) {
    let line = Meddler::before(peer.port).await;
    let endpoint = Endpoint::mtconnect("cnc", line.port).with(keys).tag("x", "Xpos", "").tag(
        "exec",
        "CNC1:exec",
        "",
    );
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["x", "exec"]).await;
    let mut truth = Truth { positions: Vec::new() };
    for _ in 0..2 {
        line.set(Mode::Drop);
        until_quality(&client, "UncertainLastUsableValue").await;
        truth.go_on(&peer, 20).await;
        line.set(Mode::Pass);
        good_tags(&client, &["x", "exec"]).await;
        truth.go_on(&peer, 5).await;
    }
    truth.go_on(&peer, 5).await;
    let last = truth.positions.last().unwrap().1;
    let came = eventually("the newest position comes", async || {
        let came = history(&client, "x").await;
        came.iter().any(|(value, _)| *value == last).then_some(came)
    })
    .await;
    let values: Vec<f64> = came.iter().map(|(value, _)| *value).collect();
    let truth: Vec<f64> = truth.positions.iter().map(|(_, value)| *value).collect();
    let first = truth.iter().position(|value| *value == values[0]).unwrap();
    let end = values.iter().position(|value| *value == last).unwrap() + 1;
    assert_eq!(&values[..end], &truth[first..], "each once, in their order");
    assert!(end > 45, "{end} positions in two breaks and between them");
    assert!(came.iter().all(|(_, source)| source.ends_with('Z')), "the agent's own times");
    assert_eq!(lost(&client).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_stream_is_followed_over_a_break() {
    nothing_is_lost_over(peer::mtconnect_agent(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_broke_off() {
    nothing_is_lost_over(peer::mtconnect_stream(16_384), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bounded_samples_go_on_where_they_broke_off() {
    nothing_is_lost_over(peer::mtconnect_stream(16_384), "stream = \"never\"").await;
}

/// Cuts the line for longer than the agent's buffer reaches.
async fn a_gap_is_counted_over(keys: &str) {
    let peer = peer::mtconnect_stream(60);
    let line = Meddler::before(peer.port).await;
    let endpoint = Endpoint::mtconnect("cnc", line.port).with(keys).tag("x", "Xpos", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["x"]).await;
    let mut truth = Truth { positions: Vec::new() };
    truth.go_on(&peer, 3).await;
    line.set(Mode::Drop);
    until_quality(&client, "UncertainLastUsableValue").await;
    truth.go_on(&peer, 25).await;
    line.set(Mode::Pass);
    good_tags(&client, &["x"]).await;
    truth.go_on(&peer, 3).await;
    let last = truth.positions.last().unwrap().1;
    let came = eventually("the newest position comes", async || {
        let came = history(&client, "x").await;
        came.iter().any(|(value, _)| *value == last).then_some(came)
    })
    .await;
    let (first, newest) = (came[0].0, came.last().unwrap().0);
    truth.go_on(&peer, 3).await;
    let at = |value| truth.positions.iter().position(|(_, held)| *held == value).unwrap();
    let missing = at(newest) + 1 - at(first) - came.len();
    assert!(missing >= 5, "{missing} positions are gone");
    // A round of this agent is three observations.
    assert_eq!(lost(&client).await, 3 * missing as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_can_not_make_good_is_counted_exactly() {
    a_gap_is_counted_over("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bounded_samples_can_not_make_good_is_counted_exactly() {
    a_gap_is_counted_over("stream = \"never\"").await;
}

/// An agent of which 11 to 13 are to be had by bounded samples, and streams as given.
async fn asked_instead(stream: Vec<Piece>) -> Agent {
    let agent = Agent::start(move |path| match path {
        "/probe" => xml(PROBE),
        "/current" => {
            let header = "instanceId='1' firstSequence='1' nextSequence='11'";
            xml(streams(header, &position(10, "1.5")))
        }
        path if path.contains("interval=") => stream.clone(),
        _ => {
            let header = "instanceId='1' firstSequence='1' nextSequence='14'";
            let new = (10..14).map(|n| position(n, &format!("{n}.5")));
            xml(streams(header, &new.collect::<String>()))
        }
    })
    .await;
    let endpoint = Endpoint::mtconnect("cnc", agent.port).tag("x", "Xact", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let came = eventually("all of it comes", async || {
        let came = history(&client, "x").await;
        came.iter().any(|(value, _)| *value == 13.5).then_some(came)
    })
    .await;
    // A break between tells again what has not changed.
    let mut values: Vec<f64> = came.iter().map(|(value, _)| *value).collect();
    values.dedup();
    assert_eq!(values, [1.5, 11.5, 12.5, 13.5]);
    assert_eq!(lost(&client).await, 0);
    let status = client.call("endpoint_status", json!({"endpoint": "cnc"})).await.good();
    let slice: &Value = &status["endpoints"][0]["plan"][0];
    assert_eq!((slice["scan_ms"].as_u64(), slice["requests"].as_u64()), (Some(200), Some(1)));
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_stream_comes_through_what_has_changed_is_asked_for() {
    let agent = asked_instead(answer("502 Bad Gateway", "", "")).await;
    assert_eq!(agent.count("/probe"), 1);
    // A front that takes the stream and ends it before anything came.
    let agent = asked_instead(vec![stream_head()]).await;
    assert_eq!(agent.count("/probe"), 2, "the next session asks");
    // A whole answer in place of a stream.
    asked_instead(xml(streams("instanceId='1' nextSequence='11'", ""))).await;
}
