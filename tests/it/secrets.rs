//! A canary in every credential: it must be in nothing that a collector writes or answers.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::broker::Broker;
use crate::collector::Collector;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// What each way of giving a credential is given.
const IN_FILE: &str = "CANARY-5f1d9c0e7a-file";
const IN_STORE: &str = "CANARY-5f1d9c0e7a-store";
const IN_ENVIRONMENT: &str = "CANARY-5f1d9c0e7a-environment";
const MASTER: &str = "CANARY-5f1d9c0e7a-master";
/// The part that all of them have.
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

/// A collector whose three endpoints log in with what a file, the secret store and a variable
/// hold; none of it is what the servers want.
async fn site(kept: &Path, server: u16, broker: u16) -> Collector {
    let file = kept.join("password");
    std::fs::write(&file, format!("{IN_FILE}\n")).unwrap();
    let login = |source: &str| format!("username = \"operator\"\npassword = {source:?}");
    let endpoints = [
        Endpoint::opcua("filed", server, "/sim").with(&login(&format!("file:{}", file.display()))),
        Endpoint::mqtt("stored", broker).with("topic = \"#\"").with(&login("secret:broker")),
        Endpoint::opcua("exported", server, "/sim").with(&login("env:OT_TEST_PASSWORD")),
    ];
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("config.toml"), plant(&endpoints)).unwrap();
    let mut set = Command::new(env!("CARGO_BIN_EXE_ot-aiops"));
    set.args(["secret", "set", "broker", "--state"]).arg(home.path().join("state"));
    set.env("OT_AIOPS_MASTER_PASSWORD", MASTER).env("HOME", home.path());
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stdin = set.stdin.take().unwrap();
    stdin.write_all(format!("{IN_STORE}\n").as_bytes()).await.unwrap();
    drop(stdin);
    assert!(set.wait().await.unwrap().success(), "the secret is set");
    let exported = [
        ("OT_AIOPS_MASTER_PASSWORD", MASTER.to_owned()),
        ("OT_TEST_PASSWORD", IN_ENVIRONMENT.to_owned()),
    ];
    Collector::at(home, &exported).await
}

/// Calls every tool at a door, and gives all that was said.
async fn all_it_says(client: &Client) -> String {
    let mut said = String::new();
    for tool in client.tools().await {
        said += &tool.to_string();
        let name = tool["name"].as_str().unwrap().to_owned();
        let of = |endpoint: &str| json!({"endpoint": endpoint});
        let asked = [json!({}), of("filed"), of("stored"), of("exported"), json!({"limit": 200})];
        for arguments in asked {
            said += &client.call(&name, arguments).await.value.to_string();
        }
    }
    said + &client.request("resources/list", json!({})).await.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_credential_is_in_anything_that_a_collector_produces() {
    let kept = tempfile::tempdir().unwrap();
    let (server, broker) = (peer::asyncua(), Broker::start());
    let collector = site(kept.path(), server.port, broker.password).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    // The servers know no such user, and say so, which is when a password gets into a message.
    for (endpoint, tool, ask) in [
        ("filed", "opcua_server_info", json!({"endpoint": "filed", "max_age_s": 0})),
        ("exported", "opcua_server_info", json!({"endpoint": "exported", "max_age_s": 0})),
        ("stored", "mqtt_read_topic", json!({"endpoint": "stored", "topic": "a", "timeout_s": 1})),
    ] {
        eventually("the login is tried and refused", async || {
            agent.call(tool, ask.clone()).await;
            let status = operator.call("endpoint_status", json!({"endpoint": endpoint})).await;
            let fault = &status.value["endpoints"][0]["last_error"]["message"];
            fault.as_str().is_some_and(|text| !text.is_empty()).then_some(())
        })
        .await;
    }
    let mut said = all_it_says(&agent).await + &all_it_says(&operator).await;
    said += &String::from_utf8_lossy(&collector.otctl(&["status"]).await.stdout);
    for words in [&["config", "check"][..], &["doctor", "--skip-probe"]] {
        let mut command = collector.program(env!("CARGO_BIN_EXE_ot-aiops"));
        command.args(words).arg("--config").arg(collector.config());
        command.env("OT_TEST_PASSWORD", IN_ENVIRONMENT).env("OT_AIOPS_MASTER_PASSWORD", MASTER);
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        said += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    said += &collector.log();
    let key = std::fs::read_to_string(collector.state().join("audit.key")).unwrap();
    assert!(said.len() > 10_000 && said.contains("exported"), "nothing was asked");
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
    let environment = String::from_utf8_lossy(&environment);
    // What was exported to it stands there, and nothing else does.
    assert!(environment.contains(IN_ENVIRONMENT));
    for secret in [IN_FILE, IN_STORE] {
        assert!(!environment.contains(secret), "a secret is in the environment");
    }
}
