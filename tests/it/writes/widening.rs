//! What takes more than one person, and what widens authority: neither goes by itself.

use serde_json::{Value, json};

use super::walk::{Desk, PHRASE};
use super::{OFFLINE, Person, opened, policy, proved, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;

const RULE: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 1000";

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_two_people_is_not_written_for_one_of_them_twice() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let second = Person::new(8);
    let key = second.public();
    let other = format!("[[approver]]\nid = \"other\"\nkey = \"{key}\"\noffline = true\n[[write]]");
    let rules = policy(&[&RULE.replace("\"one\"", "\"two\"")]).replacen("[[write]]", &other, 1);
    let collector = Collector::with_policy(&plant(&[endpoint]), &rules).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let id = opened(&agent, "line/speed", &json!(120)).await;
    let shown = status(&operator, &id, 0).await;
    assert_eq!((&shown["approvals"], &shown["approvals_needed"]), (&json!(0), &json!(2)));
    let first = Person::new(OFFLINE).approval(&shown);
    let half = operator.call("moc_approve", first.clone()).await.good();
    assert_eq!((&half["state"], &half["approvals"]), (&json!("requested"), &json!(1)), "{half}");
    let mut shouted = first.clone();
    shouted["key"] = json!(first["key"].as_str().unwrap().to_uppercase());
    for again in [first, shouted] {
        let refused = operator.call("moc_approve", again).await;
        assert_eq!(refused.code(), "denied");
        let message = refused.value["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("same_person"), "{message}");
    }
    let now = status(&agent, &id, 0).await;
    assert_eq!((&now["state"], &now["approvals"]), (&json!("requested"), &json!(1)), "{now}");
    assert_eq!(counter.writes(), 0);
    operator.call("moc_approve", second.approval(&shown)).await.good();
    let done = status(&agent, &id, 30).await;
    assert_eq!(
        (&done["state"], &done["approved_by"]),
        (&json!("verified"), &json!(["offline", "other"]))
    );
    assert_eq!(counter.writes(), 1);
    proved(&collector, &counter).await;
}

/// The budget that an endpoint has.
async fn budget(client: &crate::wire::Client) -> (f64, u64) {
    let status = client.call("endpoint_status", json!({"endpoint": "plc"})).await.good();
    let budget = &status["endpoints"][0]["budget"];
    (budget["requests_per_s"].as_f64().unwrap(), budget["burst"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_raised_by_an_approver_and_lowered_by_anybody() {
    let server = peer::pymodbus();
    let config = |requests_per_s: u32, burst: u32| {
        let table = format!("{{ requests_per_s = {requests_per_s}, burst = {burst} }}");
        let endpoint = Endpoint::modbus("plc", server.port).tag("line/speed", "holding:100", "");
        plant(&[endpoint.budget(&table)])
    };
    let mut collector = Collector::with_policy(&config(20, 10), &policy(&[RULE])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let write = |text: String| std::fs::write(collector.config(), text).unwrap();
    write(config(40, 5));
    let unsigned = operator.call("collector_reload", json!({})).await.good();
    assert!(unsigned["problems"].to_string().contains("approver"), "{unsigned}");
    assert_eq!(budget(&agent).await, (20.0, 5), "the lower burst holds, the higher rate doesn't");
    let stranger = Person::new(9).stated(&operator, "reload", "budgets", json!({})).await;
    assert_eq!(operator.call("collector_reload", stranger).await.code(), "denied");
    let other = Person::new(OFFLINE).stated(&operator, "thaw", "writes", json!({})).await;
    assert_eq!(operator.call("collector_reload", other).await.code(), "denied");
    assert_eq!(budget(&agent).await, (20.0, 5));
    let signed = Person::new(OFFLINE).stated(&operator, "reload", "budgets", json!({})).await;
    let taken = operator.call("collector_reload", signed.clone()).await.good();
    assert_eq!(taken["problems"], json!([]), "{taken}");
    assert_eq!(budget(&agent).await, (40.0, 5));
    assert_eq!(operator.call("collector_reload", signed).await.code(), "denied", "used twice");
    write(config(10, 5));
    let narrower = operator.call("collector_reload", json!({})).await.good();
    assert_eq!(narrower["problems"], json!([]), "{narrower}");
    assert_eq!(budget(&agent).await, (10.0, 5));
    good_tags(&agent, &["line/speed"]).await;
    // Neither a signal nor a new start is a way around the signature.
    collector.reload(&config(1000, 1000));
    eventually("the reload by signal", async || {
        let ask = json!({"what": "configuration_changed", "limit": 200});
        let tail = operator.call("audit_tail", ask).await.good();
        (tail["records"].as_array().unwrap().len() >= 5).then_some(())
    })
    .await;
    assert_eq!(budget(&agent).await, (10.0, 5));
    collector.kill_and_restart().await;
    let agent = collector.agent().await;
    good_tags(&agent, &["line/speed"]).await;
    assert_eq!(budget(&agent).await, (10.0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_with_an_approvers_key_typed_at_a_terminal() {
    let (server, folder) = (peer::asyncua(), tempfile::tempdir().unwrap());
    let far = Desk { home: folder.path(), state: folder.path() };
    let public = far.new_key("far").await;
    let key = folder.path().join(".ot-aiops-approver.key");
    let key = key.to_str().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let endpoint = Endpoint::opcua("srv", server.port, "/sim")
        .with("security_mode = \"SignAndEncrypt\"")
        .with("security_policy = \"Basic256Sha256\"")
        .with("username = \"operator\"")
        .with(&format!("password = \"file:{}\"", password.display()))
        .tag("line/speed", "ns=2;s=Zoo.U16", "");
    let approver =
        format!("[[approver]]\nid = \"far\"\nkey = \"{public}\"\noffline = true\n[[write]]");
    let rules = policy(&[RULE]).replacen("[[write]]", &approver, 1);
    let collector = Collector::with_policy(&plant(&[endpoint]), &rules).await;
    let agent = collector.agent().await;
    let ask = json!({"node_id": "ns=2;s=Zoo.U16", "max_age_s": 0});
    let refused = agent.call("opcua_read_node", ask.clone()).await;
    assert_eq!(refused.code(), "certificate_rejected", "{}", refused.value);
    let list = collector.otctl_json(&["cert", "list"]).await;
    let mut all = list["certificates"].as_array().unwrap().iter();
    let shown = all.find(|c| c["state"] == "rejected").unwrap_or_else(|| panic!("{list}"));
    let fingerprint = shown["fingerprint"].as_str().unwrap();
    let last = &fingerprint[fingerprint.len() - 8..];
    let trust = ["cert", "trust", fingerprint, "--confirm", last];
    let unsigned = collector.otctl(&trust).await;
    assert_eq!(unsigned.status.code(), Some(4), "{unsigned:?}");
    let said = String::from_utf8_lossy(&unsigned.stderr).into_owned();
    assert!(said.contains("--approver") && said.contains("far"), "who may, and how: {said}");

    let state = collector.state();
    let desk = Desk { home: folder.path(), state: &state };
    let signed = [&trust[..], &["--approver", key]].concat();
    let (shown, code) = desk.typed(&signed, &[("Passphrase", "not it at all")]).await;
    assert_eq!(code, Some(4), "{shown}");
    assert_eq!(agent.call("opcua_read_node", ask.clone()).await.code(), "certificate_rejected");
    let (shown, code) = desk.typed(&signed, &[("Passphrase", PHRASE)]).await;
    assert_eq!(code, Some(0), "{shown}");
    eventually("the trusted server is read", async || {
        let answer = agent.call("opcua_read_node", ask.clone()).await;
        (!answer.is_error && answer.value["value"] == 65535).then_some(())
    })
    .await;
    let operator = collector.operator().await;
    let trusted = super::records(&operator, "certificate_changed").await;
    let named: Vec<&Value> = trusted.iter().map(|record| &record["detail"]["approver"]).collect();
    assert_eq!(named, [&json!("far")], "who signed is in the audit: {trusted:?}");
}
