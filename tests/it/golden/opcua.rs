//! The OPC UA vectors through the real tools, from a server whose nodes the vector says.

use serde_json::{Value, json};

use super::operators::matches;
use super::vectors;
use crate::collector::Collector;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wire::Client;

/// A collector before a server with these nodes.
async fn serving(nodes: &Value) -> (peer::Peer, Collector, Client) {
    serving_with(nodes, |endpoint| endpoint).await
}

async fn serving_with(
    nodes: &Value,
    more: impl FnOnce(Endpoint) -> Endpoint,
) -> (peer::Peer, Collector, Client) {
    let server = peer::opcua_tree(nodes);
    let endpoint = more(Endpoint::opcua("line1", server.port, "/tree"));
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    (server, collector, client)
}

/// Names of a vector that are no node ids, as node ids.
fn node_id(name: &str) -> String {
    if name.contains('=') { name.to_owned() } else { format!("ns=2;s={name}") }
}

/// Writes a vector's names as node ids wherever they stand as such.
fn with_node_ids(value: &Value, names: &[&str]) -> Value {
    match value {
        Value::String(text) if names.contains(&text.as_str()) => json!(node_id(text)),
        Value::Array(items) => items.iter().map(|item| with_node_ids(item, names)).collect(),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                let key = if names.contains(&key.as_str()) { node_id(key) } else { key.clone() };
                (key, with_node_ids(value, names))
            };
            Value::Object(map.iter().map(entry).collect())
        }
        other => other.clone(),
    }
}

/// Flattens a tree below a root of its own: the server's Objects folder holds more than ours.
fn flatten(node: &Value, parent: Option<&str>, nodes: &mut Vec<Value>) {
    let id = node_id(node["node_id"].as_str().unwrap()).replace("i=85", "ns=2;s=Root");
    let mut entry = json!({"id": id, "name": node["browse_name"]});
    if let Some(parent) = parent {
        entry["parent"] = json!(parent);
    }
    if !node["value"].is_null() {
        entry["value"] = node["value"].clone();
    }
    nodes.push(entry);
    for child in node["children"].as_array().unwrap() {
        flatten(child, Some(&id), nodes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alarms_are_those_of_the_vectors() {
    for vector in vectors("opcua_alarms") {
        let mut nodes = Vec::new();
        flatten(&vector["input"]["tree"], None, &mut nodes);
        let (_server, _collector, client) = serving(&json!(nodes)).await;
        let answer = client.call("opcua_read_alarms", json!({"node_id": "ns=2;s=Root"})).await;
        matches(&vector["expect"], &answer.value)
            .unwrap_or_else(|why| panic!("{}: {why}", vector["name"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_that_of_the_vectors() {
    for vector in vectors("health_classify") {
        let input = &vector["input"];
        let (nodes, arguments, expect, tags) = match vector["function"].as_str().unwrap() {
            "MonitorTag.classify" => (
                json!([{"id": "ns=2;s=a", "name": "a", "value": input["value"]}]),
                json!({"node_ids": ["a"], "thresholds": {"a": input["bounds"]}}),
                json!({"results": [{"status": vector["expect"]}]}),
                Vec::new(),
            ),
            "health_summary" => {
                let values = input["device_values"].as_object().unwrap();
                let nodes: Vec<Value> = values
                    .iter()
                    .filter(|(_, served)| served["error"].is_null())
                    .map(|(name, served)| {
                        json!({"id": node_id(name), "name": name, "value": served["value"]})
                    })
                    .collect();
                let mut arguments = json!({});
                for key in ["node_ids", "thresholds"] {
                    if !input[key].is_null() {
                        arguments[key] = input[key].clone();
                    }
                }
                let tags = input["tags"].as_array().unwrap().clone();
                (json!(nodes), arguments, vector["expect"].clone(), tags)
            }
            _ => continue,
        };
        let names = ["a", "b", "c", "d"];
        let (_server, _collector, client) = serving_with(&nodes, |mut endpoint| {
            for tag in &tags {
                let mut more = String::new();
                for (key, value) in tag.as_object().unwrap().iter().filter(|(k, _)| *k != "ref") {
                    more.push_str(&format!("{key} = {value}\n"));
                }
                let reference = tag["ref"].as_str().unwrap();
                endpoint = endpoint.tag(reference, &node_id(reference), &more);
            }
            endpoint
        })
        .await;
        let arguments = with_node_ids(&arguments, &names);
        let answer = client.call("health_summary", arguments).await;
        matches(&with_node_ids(&expect, &names), &answer.value)
            .unwrap_or_else(|why| panic!("{}: {why}", vector["name"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anomalies_are_those_of_the_vectors() {
    for vector in vectors("anomaly_scan") {
        let values = &vector["input"]["sampled_values"];
        let samples = values.as_array().unwrap().len();
        let nodes = json!([{"id": "ns=2;i=5", "name": "sampled", "sequence": values}]);
        let (_server, _collector, client) = serving(&nodes).await;
        let mut arguments = json!({"node_id": "ns=2;i=5", "samples": samples, "interval_ms": 50});
        if let Some(sigma) = vector["input"].get("sigma") {
            arguments["sigma"] = sigma.clone();
        }
        let answer = client.call("anomaly_scan", arguments).await;
        matches(&vector["expect"], &answer.value)
            .unwrap_or_else(|why| panic!("{}: {why}", vector["name"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn device_texts_are_sanitized_as_the_vectors_say() {
    let vectors: Vec<Value> = vectors("sanitize")
        .into_iter()
        .filter(|v| v["input"]["text"].as_str().is_some_and(|t| !t.is_empty() && t.len() < 100))
        .collect();
    assert!(vectors.len() >= 4);
    let mut nodes = vec![json!({"id": "ns=2;s=Root", "name": "Root"})];
    for (i, vector) in vectors.iter().enumerate() {
        let (id, name) = (format!("ns=2;i={}", 100 + i), &vector["input"]["text"]);
        nodes.push(json!({"id": id, "name": name, "parent": "ns=2;s=Root", "value": 1}));
    }
    let (_server, _collector, client) = serving(&json!(nodes)).await;
    let browse = client.call("opcua_browse", json!({"node_id": "ns=2;s=Root"})).await.good();
    for (i, vector) in vectors.iter().enumerate() {
        let id = format!("ns=2;i={}", 100 + i);
        let node = browse["nodes"].as_array().unwrap().iter().find(|n| n["node_id"] == *id);
        let node = node.unwrap_or_else(|| panic!("{id} is missing: {browse}"));
        assert_eq!(node["browse_name"], vector["expect"], "{}", vector["name"]);
    }
}
