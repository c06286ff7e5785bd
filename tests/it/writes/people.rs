//! Who may do what: users of their own for agent and approver, and an agent that tries to approve
//! for itself.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Person, policy, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer;
use crate::plant::{Endpoint, plant};
use crate::wait::eventually;
use crate::wire::Client;

/// Users that need no account: the kernel knows them by number alone.
const AGENT: u32 = 1601;
const APPROVER: u32 = 1502;
const RULE: &str = "tag = \"line/speed\"\ntier = \"one\"\nmin = 0\nmax = 1000";

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// A program, run as another user.
fn as_user(uid: u32, program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    command.args([&user, &group, "--clear-groups", "--", program]).kill_on_drop(true);
    command.env("HOME", "/nonexistent");
    command
}

async fn otctl(uid: u32, state: &Path, words: &[&str]) -> Output {
    let mut command = as_user(uid, env!("CARGO_BIN_EXE_otctl"));
    command.arg("--state").arg(state).args(["-o", "json"]).args(words);
    command.output().await.unwrap()
}

fn code(output: &Output) -> String {
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    answer["error"]["code"].as_str().unwrap_or_default().to_owned()
}

async fn agent_of(uid: u32, state: &Path) -> Client {
    let mut command = as_user(uid, env!("CARGO_BIN_EXE_ot-aiops"));
    command.args(["mcp", "--attach", "--toolset", "all", "--state"]).arg(state);
    Client::process(command).await
}

/// A collector of root, with a group for agents and one for operators.
async fn site(counter: &Counter, policy: &str) -> Collector {
    let doors = format!("[doors]\nagent_group = \"{AGENT}\"\noperator_group = \"{APPROVER}\"\n");
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let config = format!("{doors}{}", plant(&[endpoint]));
    let collector = Collector::with_policy(&config, policy).await;
    std::fs::set_permissions(collector.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    good_tags(&collector.agent().await, &["line/speed"]).await;
    collector
}

fn policy_of_people() -> String {
    let here = Person::new(1).public();
    let rule =
        format!("[[approver]]\nid = \"m.kovacs\"\nkey = \"{here}\"\nuid = {APPROVER}\n[[write]]");
    policy(&[RULE]).replacen("[[write]]", &rule, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_and_another_user_approves() {
    if !is_root() {
        eprintln!("only root can be two users; the walk with an offline key is tried elsewhere");
        return;
    }
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let collector = site(&counter, &policy_of_people()).await;
    let agent = agent_of(AGENT, &collector.state()).await;
    let ask = json!({"tag": "line/speed", "value": 120, "reason": "warm up"});
    let answer = agent.call("moc_request", ask).await.good();
    assert_eq!(answer["approvers"], json!(["offline", "m.kovacs"]), "{answer}");
    let id = answer["moc_id"].as_str().unwrap();
    let shown = status(&agent, id, 0).await;
    assert_eq!(shown["requested_by_uid"], AGENT);
    assert_eq!(shown["untrusted_reason"], "warm up");
    let approval = Person::new(1).approval(&shown).to_string();
    let words = ["call", "moc_approve", "--json", &approval];
    // The key belongs to another user than root, who hands it in here.
    let by_root = collector.otctl(&words).await;
    assert!(!by_root.status.success());
    let approved = otctl(APPROVER, &collector.state(), &words).await;
    assert!(approved.status.success(), "{approved:?}");
    let done = status(&agent, id, 30).await;
    assert_eq!((&done["state"], &done["approved_by"]), (&json!("verified"), &json!(["m.kovacs"])));
    assert_eq!(counter.writes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_can_not_approve_for_itself_whatever_it_tries() {
    if !is_root() {
        eprintln!("only root can be two users; the gate's own table tries every signature");
        return;
    }
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let collector = site(&counter, &policy_of_people()).await;
    let state = collector.state();
    let agent = agent_of(AGENT, &state).await;
    let ask = json!({"tag": "line/speed", "value": 120});
    let answer = agent.call("moc_request", ask).await.good();
    let id = answer["moc_id"].as_str().unwrap().to_owned();
    let shown = status(&agent, &id, 0).await;
    let own = Person::new(3);
    let stolen = Person::new(1).approval(&shown);
    // Through its own door: operators' tools are not on offer, whatever is claimed.
    for (tool, arguments) in [
        ("moc_approve", own.approval(&shown)),
        ("moc_approve", stolen.clone()),
        ("moc_undo", json!({"id": id})),
        ("moc_reject", json!({"id": id})),
        ("approver_enrol", json!({"id": "me", "public_key": own.public(), "offline": true})),
        ("approver_revoke", json!({"id": "m.kovacs"})),
        ("writes_thaw", json!({})),
        ("policy_test", json!({"tag": "line/speed", "value": 1})),
        ("collector_reload", json!({})),
    ] {
        assert_eq!(agent.call(tool, arguments).await.code(), "denied", "{tool}");
    }
    // With fields that no request has.
    for (field, value) in [
        ("approved", json!(true)),
        ("approver", json!("m.kovacs")),
        ("approved_by", json!(["m.kovacs"])),
        ("role", json!("operator")),
        ("uid", json!(0)),
        ("signature", json!("00")),
        ("force", json!(true)),
        ("policy_disabled", json!(true)),
    ] {
        let ask = json!({"tag": "line/speed", "value": 121, field: value});
        assert_eq!(agent.call("moc_request", ask).await.code(), "bad_arguments", "{field}");
    }
    with_a_shell(&collector, &id, &own.approval(&shown), &stolen).await;
    let now = status(&agent, &id, 0).await;
    assert_eq!((&now["state"], &now["approvals"]), (&json!("requested"), &json!(0)));
    assert_eq!(counter.writes(), 0);
}

/// What an agent with a shell may try beyond its own door.
async fn with_a_shell(collector: &Collector, id: &str, own: &Value, stolen: &Value) {
    let state = collector.state();
    // Through the operators' door.
    let own_text = own.to_string();
    let stolen_text = stolen.to_string();
    for words in [
        vec!["call", "moc_approve", "--json", &own_text],
        vec!["call", "moc_approve", "--json", &stolen_text],
        vec!["moc", "reject", id],
        vec!["writes", "thaw"],
        vec!["approver", "enrol", "me", "00"],
    ] {
        let output = otctl(AGENT, &state, &words).await;
        assert_eq!(output.status.code(), Some(4), "{words:?}: {output:?}");
    }
    for name in ["REFERENCE", "OPCUA_AUDIT_APPROVED_BY", "OPCUA_POLICY_DISABLED"] {
        let mut command = as_user(AGENT, env!("CARGO_BIN_EXE_otctl"));
        command.env(name, "1").arg("--state").arg(&state).args(["-o", "json", "moc", "status", id]);
        let output = command.output().await.unwrap();
        let now: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(now["state"], "requested", "{name}");
    }
    // Files: neither the policy nor the audit can be touched.
    for path in [collector.home().join("policy.toml"), state.join("audit.redb")] {
        let mut command = as_user(AGENT, "sh");
        command.args(["-c", "echo x >> \"$1\"", "sh", path.to_str().unwrap()]);
        assert!(!command.output().await.unwrap().status.success(), "{}", path.display());
    }
    // Even where it is in the operators' group by mistake, it is the one who asked.
    let mut command = Command::new("setpriv");
    let (user, group) = (format!("--reuid={AGENT}"), format!("--regid={APPROVER}"));
    command.args([&user, &group, "--clear-groups", "--", env!("CARGO_BIN_EXE_otctl")]);
    command.arg("--state").arg(&state).args(["-o", "json", "call", "moc_approve", "--json"]);
    let output = command.arg(&stolen_text).output().await.unwrap();
    assert_eq!(code(&output), "denied", "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("self_approval"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_who_runs_everything_is_refused_and_told_why() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let here = Person::new(1).public();
    let own = rustix::process::getuid().as_raw();
    let alone = format!(
        "version = 1\nepoch = 1\nmode = \"supervised\"\n[[approver]]\nid = \"me\"\n\
         key = \"{here}\"\nuid = {own}\n[[write]]\n{RULE}\n"
    );
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let collector = Collector::with_policy(&plant(&[endpoint]), &alone).await;
    let agent = collector.agent().await;
    good_tags(&agent, &["line/speed"]).await;
    let refused = agent.call("moc_request", json!({"tag": "line/speed", "value": 120})).await;
    assert_eq!(refused.code(), "denied");
    let message = refused.value["error"]["message"].as_str().unwrap();
    assert!(message.contains("separation") && message.contains("user of their own"), "{message}");
    let list = collector.operator().await.call("approver_list", json!({})).await.good();
    assert!(list["separation_fault"].as_str().is_some_and(|why| why.contains("offline")), "{list}");
    assert_eq!(counter.writes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_are_enrolled_by_approvers_and_revoked_at_once() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let endpoint = Endpoint::modbus("plc", counter.port).tag("line/speed", "holding:100", "");
    let mut collector = Collector::with_policy(&plant(&[endpoint]), &policy(&[RULE])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let fresh = Person::new(11);
    let enrol = json!({"id": "second", "public_key": fresh.public(), "offline": true});
    assert_eq!(operator.call("approver_enrol", enrol.clone()).await.code(), "denied");
    let approver = ot_aiops::model::Approver {
        id: "second".into(),
        key: fresh.public(),
        uid: None,
        offline: true,
    };
    let subject = ot_aiops::govern::keys::enrolment(&approver);
    let by_itself = fresh.stated(&operator, "enrol", &subject, enrol.clone()).await;
    assert_eq!(operator.call("approver_enrol", by_itself).await.code(), "denied");
    let signed = Person::new(super::OFFLINE).stated(&operator, "enrol", &subject, enrol).await;
    operator.call("approver_enrol", signed).await.good();
    collector.kill_and_restart().await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/speed"]).await;
    let id = super::opened(&agent, "line/speed", &json!(120)).await;
    let approval = fresh.approval(&status(&operator, &id, 0).await);
    operator.call("approver_revoke", json!({"id": "second"})).await.good();
    assert_eq!(operator.call("moc_approve", approval).await.code(), "denied");
    let list = operator.call("approver_list", json!({})).await.good();
    assert_eq!(list["approvers"].as_array().unwrap().len(), 1, "{list}");
    let done = super::approved(&operator, &id).await;
    assert_eq!(done["state"], "verified");
    eventually("the tag shows it", async || {
        let read = agent.call("tag_read", json!({"tags": ["line/speed"]})).await.good();
        (read["items"][0]["value"] == 120).then_some(())
    })
    .await;
    assert_eq!(counter.writes(), 1);
}
