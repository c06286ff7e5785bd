//! A canary in every credential: it must be in nothing that a collector writes or answers.

use std::path::Path;

use serde_json::json;

use crate::collector::Collector;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

const CANARY: &str = "CANARY-5f1d9c0e7a";

/// Lists the files below a folder that hold a text.
fn holding(folder: &Path, text: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, text, found);
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(text.len()).any(|part| part == text) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_in_anything_that_a_collector_produces() {
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("password");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    let server = peer::asyncua();
    let login = format!("username = \"operator\"\npassword = \"file:{}\"", file.display());
    let config = plant(&[Endpoint::opcua("srv", server.port, "/sim").with(&login)]);
    let collector = Collector::start(&config).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    // The server knows no such user, and says so, which is when a password gets into a message.
    eventually("the login is tried", async || {
        let status = operator.call("endpoint_status", json!({"endpoint": "srv"})).await;
        let asked = agent.call("opcua_server_info", json!({"max_age_s": 0})).await;
        (asked.value["error"].is_object() || status.value.to_string().contains("refused"))
            .then_some(())
    })
    .await;
    let mut said = String::new();
    for client in [&agent, &operator] {
        for tool in client.tools().await {
            said += &tool.to_string();
            let name = tool["name"].as_str().unwrap().to_owned();
            for arguments in [json!({}), json!({"endpoint": "srv"}), json!({"limit": 200})] {
                said += &client.call(&name, arguments).await.value.to_string();
            }
        }
        said += &client.request("resources/list", json!({})).await.to_string();
    }
    said += &String::from_utf8_lossy(&collector.otctl(&["status"]).await.stdout);
    said += &collector.log();
    let key = std::fs::read_to_string(collector.state().join("audit.key")).unwrap();
    assert!(said.len() > 10_000 && said.contains("srv"), "nothing was asked");
    for secret in [CANARY, key.trim()] {
        assert!(!said.contains(secret), "a secret was said");
    }
    let mut found = Vec::new();
    holding(&collector.state(), CANARY.as_bytes(), &mut found);
    assert_eq!(found, Vec::<String>::new());
    holding(&collector.state(), key.trim().as_bytes(), &mut found);
    assert_eq!(found, [collector.state().join("audit.key").display().to_string()]);
    let pid = std::fs::read_to_string(collector.state().join("run/collector.pid")).unwrap();
    let environment = std::fs::read(format!("/proc/{}/environ", pid.trim())).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(CANARY));
}
