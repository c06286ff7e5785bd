//! Sign and encrypt: who is not trusted is refused, by name and with the command to run.

use serde_json::{Value, json};

use crate::collector::Collector;
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

/// An endpoint that asks for all there is, with a password in a file of the folder.
fn sealed(port: u16, path: &str, policy: &str, folder: &tempfile::TempDir) -> Endpoint {
    let file = folder.path().join("password");
    std::fs::write(&file, "secret").unwrap();
    Endpoint::opcua("srv", port, path)
        .with("security_mode = \"SignAndEncrypt\"")
        .with(&format!("security_policy = {policy:?}"))
        .with("username = \"operator\"")
        .with(&format!("password = \"file:{}\"", file.display()))
}

/// The server is refused, trusted by an operator who compared the fingerprint, and read.
async fn is_trusted_by_hand(endpoint: Endpoint, node: &str, value: Value) {
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let ask = json!({"node_id": node, "max_age_s": 0});
    let refused = client.call("opcua_read_node", ask.clone()).await;
    assert_eq!(refused.code(), "certificate_rejected", "{}", refused.value);
    assert!(refused.value.to_string().contains("otctl cert trust"), "{}", refused.value);

    let list = collector.otctl_json(&["cert", "list"]).await;
    let found = list["certificates"].as_array().unwrap().iter();
    let mut waiting = found.filter(|c| c["state"] != "own" && c["state"] != "trusted");
    let fingerprint = waiting.next().unwrap_or_else(|| panic!("{list}"))["fingerprint"].clone();
    let fingerprint = fingerprint.as_str().unwrap();
    let wrong = collector.otctl(&["cert", "trust", fingerprint, "--confirm", "00000000"]).await;
    assert!(!wrong.status.success(), "trust takes the last characters of the fingerprint");
    let last = &fingerprint[fingerprint.len() - 8..];
    let trusted = collector.otctl(&["cert", "trust", fingerprint, "--confirm", last]).await;
    assert!(trusted.status.success(), "{}", String::from_utf8_lossy(&trusted.stderr));
    eventually("the trusted server is read", async || {
        let answer = client.call("opcua_read_node", ask.clone()).await;
        (!answer.is_error && answer.value["value"] == value).then_some(())
    })
    .await;

    let rejected = collector.otctl(&["cert", "reject", fingerprint]).await;
    assert!(rejected.status.success(), "{}", String::from_utf8_lossy(&rejected.stderr));
    eventually("a withdrawn trust is refused again", async || {
        let answer = client.call("opcua_read_node", ask.clone()).await;
        (answer.is_error && answer.code() == "certificate_rejected").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncua_under_basic256sha256_is_refused_until_it_is_trusted() {
    let (server, folder) = (peer::asyncua(), tempfile::tempdir().unwrap());
    let endpoint = sealed(server.port, "/sim", "Basic256Sha256", &folder);
    is_trusted_by_hand(endpoint, "ns=2;s=Zoo.U16", json!(65535)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_opcua_under_aes256_is_refused_until_it_is_trusted() {
    let (server, folder) = (peer::node_opcua(), tempfile::tempdir().unwrap());
    let endpoint = sealed(server.port, "/UA/Sim", "Aes256_Sha256_RsaPss", &folder);
    is_trusted_by_hand(endpoint, "ns=1;s=Tank.Setpoint", json!(1.25)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn security_that_is_not_on_offer_is_never_weakened() {
    let (server, folder) = (peer::asyncua(), tempfile::tempdir().unwrap());
    let endpoint = sealed(server.port, "/sim", "Aes256_Sha256_RsaPss", &folder);
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    let answer = client.call("opcua_read_node", json!({"node_id": "ns=2;s=Zoo.U16"})).await;
    assert_eq!(answer.code(), "certificate_rejected", "{}", answer.value);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_certificate_is_exported_as_der() {
    let collector = Collector::start("").await;
    let output = collector.otctl(&["cert", "own", "--der"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A DER certificate is a SEQUENCE with a length of two bytes (X.690, 8.1.3.5).
    assert_eq!(output.stdout.get(..2), Some(&[0x30, 0x82][..]));
}
