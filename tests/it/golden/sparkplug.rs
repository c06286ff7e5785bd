//! `sparkplug.json` through the real tools: from mosquitto, and from the demo's broker where
//! mosquitto lets no such topic pass.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{matches, vectors};
use crate::broker::Broker;
use crate::collector::Collector;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

fn bytes(payload: &Value) -> Vec<u8> {
    let hex = payload["$hex"].as_str().unwrap();
    let digits: Vec<char> = hex.chars().collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}

/// Starts a collector that listens to everything, and waits until it does.
async fn listening(endpoint: Endpoint) -> (Collector, Client) {
    let collector = Collector::start(&plant(&[endpoint.with("topic = \"#\"")])).await;
    let client = collector.agent().await;
    eventually("the endpoint is up", async || {
        let status = client.call("endpoint_status", json!({"endpoint": "uns"})).await.good();
        (status["endpoints"][0]["link"] == "up").then_some(())
    })
    .await;
    (collector, client)
}

/// Calls until the answer is the expected one; says what was wrong with the last.
async fn until(
    client: &Client,
    tool: &str,
    ask: &Value,
    name: &Value,
    check: impl Fn(&Value) -> Result<(), String>,
) {
    let mut last = String::new();
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while tokio::time::Instant::now() < end {
        match check(&client.call(tool, ask.clone()).await.value) {
            Ok(()) => return,
            Err(why) => last = why,
        }
    }
    panic!("{name}: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_and_topics_are_those_of_the_vectors() {
    let broker = Broker::start();
    let (_collector, client) = listening(broker.endpoint("uns")).await;
    let mut tried = 0;
    for vector in vectors("sparkplug") {
        let (input, name) = (&vector["input"], &vector["name"]);
        let expect = &vector["expect"];
        match vector["function"].as_str().unwrap() {
            "_decode_payload" => {
                let topic = format!("vector/{}", name.as_str().unwrap());
                broker.publish(&topic, &bytes(&input["payload"]), &[]).await;
                let ask = json!({"topic": topic, "count": 1, "timeout_s": 1});
                until(&client, "mqtt_read_topic", &ask, name, |answer| {
                    matches(expect, &answer["messages"][0]["payload"])
                })
                .await;
            }
            "_parse_sparkplug_topic" if name != "ctrl" => {
                let topic = input["topic"].as_str().unwrap();
                broker.publish(topic, b"", &[]).await;
                let ask = json!({"topic": topic, "count": 1, "timeout_s": 1});
                until(&client, "sparkplug_subscribe_sample", &ask, name, |answer| {
                    matches(&json!(1), &answer["message_count"])?;
                    matches(expect, &answer["samples"][0]["sparkplug"])
                })
                .await;
            }
            _ => continue,
        }
        tried += 1;
    }
    assert_eq!(tried, 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_trees_and_messages_are_those_of_the_vectors() {
    let mut tried = 0;
    for vector in vectors("sparkplug") {
        let tool = vector["function"].as_str().unwrap();
        if !["sparkplug_node_list", "uns_browse", "mqtt_read_topic"].contains(&tool) {
            continue;
        }
        tried += 1;
        let broker = Broker::start();
        let (_collector, client) = listening(broker.endpoint("uns")).await;
        for message in vector["input"]["messages"].as_array().unwrap() {
            let topic = message["topic"].as_str().unwrap();
            broker.publish(topic, &bytes(&message["payload"]), &[]).await;
        }
        let mut ask = json!({"timeout_s": 1});
        if let Some(topic) = vector["input"].get("topic") {
            ask["topic"] = topic.clone();
        }
        until(&client, tool, &ask, &vector["name"], |answer| matches(&vector["expect"], answer))
            .await;
    }
    assert_eq!(tried, 5);
}

/// Publishes over a socket, without a client that would refuse the topic.
async fn publish_raw(port: u16, topic: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01v").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    let mut packet = vec![0x30, topic.len() as u8 + 2, 0, topic.len() as u8];
    packet.extend(topic.as_bytes());
    stream.write_all(&packet).await.unwrap();
    stream.write_all(b"\xE0\x00").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_control_characters_is_shown_without_them() {
    let pki = tempfile::tempdir().unwrap();
    let demo = ot_aiops::demo::start(&[], 1, pki.path()).await.unwrap();
    let config: toml::Table = demo.config_toml().parse().unwrap();
    let endpoints = config["endpoints"].as_array().unwrap();
    let broker = endpoints.iter().find(|e| e["protocol"].as_str() == Some("mqtt")).unwrap();
    let port = u16::try_from(broker["port"].as_integer().unwrap()).unwrap();
    let (_collector, client) = listening(Endpoint::mqtt("uns", port)).await;
    let vector = vectors("sparkplug").into_iter().find(|v| v["name"] == "ctrl").unwrap();
    let topic = vector["input"]["topic"].as_str().unwrap();
    publish_raw(port, topic).await;
    let ask = json!({"topic": topic, "count": 1, "timeout_s": 1});
    until(&client, "sparkplug_subscribe_sample", &ask, &vector["name"], |answer| {
        matches(&vector["expect"], &answer["samples"][0]["sparkplug"])
    })
    .await;
    demo.stop().await;
}
