//! The MTConnect vectors through the real tools, from an agent that answers with their documents.

use serde_json::json;

use super::operators::matches;
use super::vectors;
use crate::agent::{Agent, xml};
use crate::collector::Collector;
use crate::plant::{Endpoint, plant};

#[tokio::test(flavor = "multi_thread")]
async fn every_document_is_answered_as_the_vectors_say() {
    for vector in vectors("mtconnect") {
        let document = vector["input"]["xml"].as_str().unwrap().to_owned();
        let agent = Agent::start(move |_| xml(&document)).await;
        let endpoint = Endpoint::mtconnect("vmc1", agent.port);
        let collector = Collector::start(&plant(&[endpoint])).await;
        let client = collector.agent().await;
        let mut arguments = json!({});
        if let Some(count) = vector["input"].get("count") {
            arguments["count"] = count.clone();
        }
        let tool = vector["function"].as_str().unwrap();
        let answer = client.call(tool, arguments).await;
        matches(&vector["expect"], &answer.value)
            .unwrap_or_else(|why| panic!("{} {tool}: {why}\n{}", vector["name"], answer.value));
        // One request opens the session, one answers.
        if vector["output"]["urls"].is_array() && answer.value["provenance"].is_object() {
            assert_eq!(answer.value["provenance"]["device_requests"], agent.requests().len());
        }
    }
}
