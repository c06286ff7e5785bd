//! One walk against each server that others wrote: request, approval, verified write, undo.

use serde_json::{Value, json};

use super::{approved, opened, policy, proved, request, status};
use crate::collector::{Collector, good_tags};
use crate::counter::{Counter, Framing};
use crate::peer::{self, Peer};
use crate::plant::{Endpoint, plant};

/// A tag, the value it has and two values to write, and its rule besides the tag.
struct Write {
    tag: &'static str,
    was: Value,
    will: Value,
    rule: &'static str,
}

/// Walks through one write: dry, asked for, approved, read back, undone. Counts every message that
/// writes at the server's door.
async fn walk(collector: &Collector, counter: &Counter, write: &Write) {
    let Write { tag, was, will, .. } = write;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &[tag]).await;
    let before = counter.writes();

    let ask = json!({"tag": tag, "value": will, "dry_run": true});
    let dry = agent.call("moc_request", ask).await.good();
    assert_eq!(dry["verdict"], "allowed", "{dry}");
    assert_eq!((&dry["before"], &dry["would_write"]), (was, will), "{dry}");
    assert_eq!(dry["approvers"], json!(["offline"]));
    assert_eq!(dry["provenance"]["source"], "device");
    assert!(dry.get("moc_id").is_none());

    let id = opened(&agent, tag, will).await;
    assert_eq!(status(&agent, &id, 0).await["state"], "requested");
    assert_eq!(counter.writes(), before, "nothing is written before somebody approves");
    let done = approved(&operator, &id).await;
    assert_eq!(done["state"], "verified", "{done}");
    assert_eq!((&done["written"], &done["applied"]), (will, &json!(true)));
    assert_eq!((&done["_undo_id"], &done["found"]), (&json!(id), was), "{done}");
    assert_eq!(done["readbacks"], json!([will, will]));
    assert_eq!((counter.writes(), done["device_writes"].as_u64()), (before + 1, Some(1)));

    let again = ask_again(&operator, &done).await;
    assert_eq!(again, "denied", "a ticket is used once");
    assert_eq!(counter.writes(), before + 1);

    let undo = operator.call("moc_undo", json!({"id": id})).await.good();
    assert_eq!((&undo["before"], &undo["would_write"]), (will, was), "{undo}");
    let undone = approved(&operator, undo["moc_id"].as_str().unwrap()).await;
    assert_eq!(undone["state"], "verified", "{undone}");
    assert_eq!(status(&agent, &id, 0).await["state"], "undone");
    assert_eq!(counter.writes(), before + 2);
    let now = json!({"tag": tag, "value": will, "dry_run": true});
    assert_eq!(&agent.call("moc_request", now).await.good()["before"], was);
}

/// Hands the same approval in again.
async fn ask_again(operator: &crate::wire::Client, done: &Value) -> String {
    let approval = super::Person::new(super::OFFLINE).approval(done);
    operator.call("moc_approve", approval).await.code().to_owned()
}

async fn walk_all(endpoint: Endpoint, counter: &Counter, writes: &[Write]) -> Collector {
    let rules: Vec<String> =
        writes.iter().map(|w| format!("tag = {:?}\n{}", w.tag, w.rule)).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let collector = Collector::with_policy(&plant(&[endpoint]), &policy(&rules)).await;
    for write in writes {
        walk(&collector, counter, write).await;
    }
    proved(&collector, counter).await;
    collector
}

const TO_100: &str = "tier = \"one\"\nmin = 0\nmax = 1000";
const SWITCH: &str = "tier = \"one\"";

fn modbus(port: u16) -> Endpoint {
    Endpoint::modbus("plc", port)
        .tag("line/speed", "holding:100", "")
        .tag("line/wide", "holding:200", "type = \"float32\"\norder = \"CDAB\"")
        .tag("line/open", "coil:5", "type = \"bool\"")
        .tag("line/gates", "coil:20", "type = \"bool[3]\"")
        .tag(
            "line/level",
            "holding:500",
            "scale = { raw = [0, 1000], eu = [0.0, 10.0] }\nunit = \"m\"",
        )
}

fn modbus_writes() -> Vec<Write> {
    let gates = |a: bool, b: bool| json!([a, b, false]);
    vec![
        Write { tag: "line/speed", was: json!(100), will: json!(120), rule: TO_100 },
        Write { tag: "line/level", was: json!(5.0), will: json!(2.37), rule: TO_100 },
        Write { tag: "line/open", was: json!(false), will: json!(true), rule: SWITCH },
        Write {
            tag: "line/gates",
            was: gates(false, false),
            will: gates(true, true),
            rule: SWITCH,
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn pymodbus_is_written_once_for_each_ticket() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let mut writes = modbus_writes();
    // FC16: two registers of one value in one message. 200 and 201 as they come make a denormal.
    let was = f64::from(f32::from_bits(201 << 16 | 200));
    let rule = "tier = \"one\"\nmin = 0.0\nmax = 100.0";
    writes.push(Write { tag: "line/wide", was: json!(was), will: json!(2.5), rule });
    let collector = walk_all(modbus(counter.port), &counter, &writes).await;
    let seen = collector.agent().await.call("moc_list", json!({"limit": 100})).await.good();
    let total: usize = seen["tickets"].as_array().unwrap().len();
    assert_eq!(u64::try_from(total).unwrap(), counter.writes(), "as many writes as tickets");
}

#[tokio::test(flavor = "multi_thread")]
async fn modbus_serial_is_written_once_for_each_ticket() {
    let server = peer::modbus_serial();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    walk_all(modbus(counter.port), &counter, &modbus_writes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snap7_is_written_once_for_each_ticket() {
    let server = peer::snap7();
    let counter = Counter::before(server.port, Framing::S7).await;
    let endpoint = Endpoint::s7("press", counter.port)
        .tag("press/offset", "DB1,INT4", "")
        .tag("press/count", "DB1.DBD6:DINT", "")
        .tag("press/runs", "DB1,X60.0", "")
        .tag("press/third", "DB1,X10.3", "")
        .tag("press/flag", "MD10:REAL", "");
    let rule = "tier = \"one\"\nmin = -200000\nmax = 200000";
    let writes = [
        Write { tag: "press/offset", was: json!(-7), will: json!(12), rule },
        Write { tag: "press/count", was: json!(100_000), will: json!(-3), rule },
        Write { tag: "press/runs", was: json!(false), will: json!(true), rule: SWITCH },
        Write { tag: "press/flag", was: json!(2.5), will: json!(0.25), rule },
    ];
    let collector = walk_all(endpoint, &counter, &writes).await;
    let agent = collector.agent().await;
    // Without a rule of its own, the third bit is not written.
    let third = json!({"db": 1, "dtype": "BIT", "start": 10, "bit": 3, "value": "false"});
    let third = agent.call("s7_write_db", third).await.good();
    assert_eq!((&third["tag"], &third["verdict"]), (&json!("press/third"), &json!("denied")));
    assert_eq!((&third["before"], &third["would_write"]), (&json!(true), &json!(false)));
    // The reference's tool finds the tag's rule by its address.
    let ask = json!({"db": 1, "dtype": "INT", "start": 4, "value": "13"});
    let dry = agent.call("s7_write_db", ask.clone()).await.good();
    assert_eq!((&dry["tag"], &dry["verdict"]), (&json!("press/offset"), &json!("allowed")));
    assert_eq!((&dry["before"], &dry["would_write"]), (&json!(-7), &json!(13)));
    assert_eq!((&dry["address"], &dry["dry_run"]), (&json!("DB1,INT4"), &json!(true)));
    let elsewhere = json!({"db": 2, "dtype": "INT", "start": 100, "value": 1});
    let denied = agent.call("s7_write_db", elsewhere).await.good();
    assert_eq!((&denied["verdict"], &denied["before"]), (&json!("denied"), &json!(0)));
    let mut asked = ask;
    asked["dry_run"] = json!(false);
    let answer = agent.call("s7_write_db", asked).await.good();
    assert_eq!(answer["status"], "approval_required");
    let before = counter.writes();
    let done = approved(&collector.operator().await, answer["moc_id"].as_str().unwrap()).await;
    assert_eq!((&done["state"], &done["written"]), (&json!("verified"), &json!(13)), "{done}");
    assert_eq!(counter.writes(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mc_controller_is_written_once_for_each_ticket() {
    let server = peer::mc_sim("none");
    let counter = Counter::before(server.port, Framing::Mc).await;
    let endpoint = Endpoint::mc("capper", counter.port)
        .tag("capper/torque", "D100", "")
        .tag("capper/offset", "D101", "type = \"int16\"")
        .tag("capper/wide", "D200", "type = \"float32\"");
    let rule = "tier = \"one\"\nmin = -2000\nmax = 2000";
    let writes = [
        Write { tag: "capper/torque", was: json!(1234), will: json!(1200), rule },
        Write { tag: "capper/offset", was: json!(-5), will: json!(-6), rule },
        Write { tag: "capper/wide", was: json!(0.0), will: json!(2.5), rule },
    ];
    let collector = walk_all(endpoint, &counter, &writes).await;
    let agent = collector.agent().await;
    let ask = json!({"headdevice": "D100", "values": [1201]});
    let dry = agent.call("mc_write_words", ask).await.good();
    assert_eq!((&dry["tag"], &dry["verdict"]), (&json!("capper/torque"), &json!("allowed")));
    assert_eq!((&dry["before"], &dry["would_write"]), (&json!([1234]), &json!([1201])));
    let row = json!({"headdevice": "D100", "values": [1, 2, 3]});
    let denied = agent.call("mc_write_words", row).await.good();
    assert_eq!(denied["verdict"], "denied");
    assert_eq!(denied["before"], json!([1234, -5, 77]));
}

async fn opcua(server: &Peer, path: &str, tags: &[(&'static str, &str)], writes: &[Write]) {
    let counter = Counter::before(server.port, Framing::OpcUa).await;
    let mut endpoint = Endpoint::opcua("srv", counter.port, path);
    for (name, node) in tags {
        endpoint = endpoint.tag(name, node, "");
    }
    walk_all(endpoint, &counter, writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asyncua_is_written_once_for_each_ticket() {
    let server = peer::asyncua();
    let tags = [
        ("zoo/speed", "ns=2;s=Zoo.F32"),
        ("zoo/count", "ns=2;s=Zoo.I16"),
        ("zoo/on", "ns=2;s=Zoo.Bool"),
        ("zoo/name", "ns=2;s=Zoo.Str"),
        ("zoo/row", "ns=2;s=Zoo.Arr"),
    ];
    let rule = "tier = \"one\"\nmin = -2000\nmax = 2000";
    let named = "tier = \"one\"\nenum = [\"batch 7\", \"Gr\u{fc}\u{df}e \u{6f22}\u{5b57}\"]";
    let old = json!("Gr\u{fc}\u{df}e \u{6f22}\u{5b57}");
    let writes = [
        Write { tag: "zoo/speed", was: json!(1.5), will: json!(2.25), rule },
        Write { tag: "zoo/count", was: json!(-1234), will: json!(7), rule },
        Write { tag: "zoo/on", was: json!(true), will: json!(false), rule: SWITCH },
        Write { tag: "zoo/name", was: old, will: json!("batch 7"), rule: named },
        Write { tag: "zoo/row", was: json!([1.0, 2.0, 3.0]), will: json!([3.0, 2.0, 1.0]), rule },
    ];
    opcua(&server, "/sim", &tags, &writes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_opcua_is_written_once_for_each_ticket() {
    let server = peer::node_opcua();
    let tags = [("tank/setpoint", "ns=1;s=Tank.Setpoint"), ("tank/door", "ns=1;s=Tank.Door")];
    let rule = "tier = \"one\"\nmin = 0\nmax = 10";
    let writes = [
        Write { tag: "tank/setpoint", was: json!(1.25), will: json!(2.5), rule },
        Write { tag: "tank/door", was: json!(false), will: json!(true), rule: SWITCH },
    ];
    opcua(&server, "/UA/Sim", &tags, &writes).await;
}

/// python-snap7 3.3.0 writes a bit as the whole byte around it: the value is not the one that was
/// asked for, and reading back says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_puts_the_value_elsewhere_is_found_by_reading_back() {
    let server = peer::snap7();
    let counter = Counter::before(server.port, Framing::S7).await;
    let endpoint = Endpoint::s7("press", counter.port).tag("press/third", "DB1,X60.3", "");
    let rule = format!("tag = \"press/third\"\n{SWITCH}");
    let collector = Collector::with_policy(&plant(&[endpoint]), &policy(&[&rule])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["press/third"]).await;
    let id = opened(&agent, "press/third", &json!(true)).await;
    let done = approved(&operator, &id).await;
    assert_eq!((&done["state"], &done["applied"]), (&json!("verify_failed"), &json!(false)));
    assert_eq!((counter.writes(), &done["readbacks"]), (1, &json!([false, false])));
    proved(&collector, &counter).await;
}

/// A server that refuses a write: the ticket says so, and one message went out.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_leaves_the_value_and_the_ticket_says_so() {
    let server = peer::asyncua();
    let counter = Counter::before(server.port, Framing::OpcUa).await;
    let endpoint =
        Endpoint::opcua("srv", counter.port, "/sim").tag("fault", "ns=2;s=PumpFault", "");
    let rule = format!("tag = \"fault\"\n{SWITCH}");
    let collector = Collector::with_policy(&plant(&[endpoint]), &policy(&[&rule])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["fault"]).await;
    let id = opened(&agent, "fault", &json!(false)).await;
    let done = approved(&operator, &id).await;
    assert_eq!(
        (&done["state"], &done["applied"]),
        (&json!("not_applied"), &json!(false)),
        "{done}"
    );
    assert_eq!(counter.writes(), 1);
    assert_eq!(done["readbacks"], json!([true, true]));
    let undo = operator.call("moc_undo", json!({"id": id})).await;
    assert_eq!(undo.code(), "denied", "what was not written can't be undone");
    let _second = request(&agent, "fault", &json!(false)).await.good();
    proved(&collector, &counter).await;
}
