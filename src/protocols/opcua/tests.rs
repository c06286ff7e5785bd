//! The driver against a real server in this process: async-opcua's own.

mod plant;

use std::sync::Arc;
use std::time::Duration;

use opcua::types::{DataValue, StatusCode, Variant};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::testing::{self, Proxy};
use crate::driver::{
    Ask, Asking, Batch, Cadence, Driver, DriverError, EndpointSpec, ErrorKind, Meter, NodeReading,
    Planned, Purpose, Reading, Reply, Toll,
};
use crate::model::{Budget, Quality, ScanClass, Secret, Tag, TagId, Value};
use plant::Plant;

const NAMESPACE: &str = "urn:test:plant";
/// Variables `V0`..; more than any limit used here.
const VARIABLES: u32 = 300;

/// A driver with its meter, tags and state directory.
struct Rig {
    driver: Box<dyn Driver>,
    meter: Arc<Meter>,
    scan: Toll,
    wake: Arc<Notify>,
    tags: Vec<Planned>,
    home: TempDir,
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

impl Rig {
    fn new(port: u16, more: serde_json::Value, password: Option<&str>) -> Self {
        let mut settings = json!({"endpoint_url": format!("opc.tcp://127.0.0.1:{port}")});
        let map = settings.as_object_mut().unwrap();
        map.extend(more.as_object().unwrap().clone());
        let home = testing::home();
        let budget =
            Budget { requests_per_s: 1e5, burst: 10_000, connections: 1, on_demand_share: 1.0 };
        let spec = EndpointSpec {
            name: "plant".into(),
            protocol: "opcua",
            settings: map.clone(),
            password: password.map(|text| Secret::new(text.to_owned())),
            budget,
            tags: Vec::new(),
            state_dir: home.path().to_owned(),
        };
        let meter = Meter::new(budget);
        Self {
            driver: (super::PROTOCOL.driver)(&spec).unwrap(),
            scan: Toll::new(meter.clone(), Purpose::Scan),
            meter,
            wake: Arc::new(Notify::new()),
            tags: Vec::new(),
            home,
        }
    }

    fn tags(mut self, addresses: impl IntoIterator<Item = String>) -> Self {
        let planned = |(number, address): (u32, String)| {
            let mut tag = Tag::new(&address, "plant", &address);
            tag.scan = ScanClass { scan_ms: 100 };
            Planned { id: TagId(number), tag: Arc::new(tag) }
        };
        self.tags = (0..).zip(addresses).map(planned).collect();
        self
    }

    async fn open(&mut self) -> Result<(), DriverError> {
        self.driver.plan(&self.tags);
        let opened = self.driver.open(self.wake.clone(), &self.scan, soon()).await;
        self.driver.plan(&self.tags);
        opened.map(|_identity| ())
    }

    async fn ask(&mut self, ask: Ask) -> (Result<Reply, DriverError>, u32) {
        let toll = Toll::new(self.meter.clone(), Purpose::Demand);
        let reply = match self.driver.ask(ask, toll.clone(), soon()) {
            Asking::Beside(reply) => reply.await,
            Asking::Here(reply) => reply.await,
            Asking::InTurns(reply) => reply.await.map(Option::unwrap),
        };
        (reply, toll.spent())
    }

    async fn read(&mut self, refs: impl IntoIterator<Item = String>) -> (Vec<NodeReading>, u32) {
        let refs = refs.into_iter().map(Arc::from).collect();
        let (reply, spent) = self.ask(Ask::Read { refs, unit: None }).await;
        let Reply::Readings(readings) = reply.unwrap() else { panic!("readings") };
        (readings, spent)
    }

    /// Acquires until a reading satisfies, or the time is up.
    async fn until(&mut self, is_it: impl Fn(&Reading) -> bool) -> Vec<Reading> {
        let slices = self.driver.plan(&self.tags).slices;
        let mut all = Vec::new();
        let found = timeout(Duration::from_secs(10), async {
            loop {
                for slice in &slices {
                    let mut batch = Batch::default();
                    self.driver.acquire(slice.id, &mut batch, &self.scan, soon()).await.unwrap();
                    all.extend(batch.readings);
                }
                if all.iter().any(&is_it) {
                    break;
                }
                self.wake.notified().await;
            }
        });
        found.await.expect("the reading comes");
        all
    }
}

fn variables(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("nsu={NAMESPACE};s=V{number}"))
}

#[tokio::test]
async fn a_read_is_cut_to_the_servers_limits() {
    let plant = Plant::start(|limits| limits.operational.max_nodes_per_read = 100).await;
    let mut rig = Rig::new(plant.port, json!({}), None);
    rig.open().await.unwrap();
    let (readings, spent) = rig.read(variables(0..250)).await;
    assert_eq!((spent, readings[0].data_type.as_ref()), (3, "Double"));
    let values: Vec<Value> = readings.iter().map(|reading| reading.value.clone()).collect();
    let expected: Vec<Value> = (0..250).map(|number| Value::F64(f64::from(number))).collect();
    assert_eq!(values, expected);
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn a_server_that_lies_about_its_limits_is_still_read() {
    // It promises 1000 nodes and can decode arrays of 64.
    let plant = Plant::start(|limits| {
        limits.operational.max_nodes_per_read = 1000;
        limits.max_array_length = 64;
    })
    .await;
    let mut rig = Rig::new(plant.port, json!({}), None);
    rig.open().await.unwrap();
    let (readings, _) = rig.read(variables(0..200)).await;
    assert!(readings.iter().all(|reading| reading.quality.is_good()));
    // What was learnt survives a new session.
    rig.open().await.unwrap();
    let (readings, spent) = rig.read(variables(0..50)).await;
    assert_eq!((readings.len(), spent), (50, 1));
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn each_node_answers_for_itself() {
    let plant = Plant::start(|_| {}).await;
    let bad = DataValue {
        value: Some(Variant::Double(4.5)),
        status: Some(StatusCode::BadSensorFailure),
        ..DataValue::new_now(0.0)
    };
    plant.set(1, bad);
    let mut rig = Rig::new(plant.port, json!({}), None);
    rig.open().await.unwrap();
    let asked = ["V0", "V1", "Nope"].map(|name| format!("nsu={NAMESPACE};s={name}"));
    let more = ["oops".to_owned(), "nsu=urn:none;i=1".to_owned(), "i=85".to_owned()];
    let (readings, spent) = rig.read(asked.into_iter().chain(more)).await;
    assert_eq!(spent, 1);
    assert_eq!(
        (readings[0].value.clone(), readings[0].data_type.as_ref()),
        (Value::F64(0.0), "Double")
    );
    assert!(readings[0].source_ts.is_some());
    // A bad quality is no failure: what came is kept.
    assert_eq!(readings[1].quality.status(), StatusCode::BadSensorFailure.bits());
    assert_eq!((readings[1].value.clone(), &readings[1].error), (Value::F64(4.5), &None));
    let kind = |index: usize| readings[index].error.as_ref().map(|error| error.kind);
    assert!((2..6).all(|index| kind(index) == Some(ErrorKind::BadAddress)));
    assert_eq!(readings[2].item.as_ref(), format!("nsu={NAMESPACE};s=Nope"));
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn a_refused_login_fails_at_once_and_says_so() {
    let plant = Plant::start(|_| {}).await;
    let user = json!({"username": "operator"});
    let mut wrong = Rig::new(plant.port, user.clone(), Some("guess"));
    let error = timeout(Duration::from_secs(3), wrong.open()).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::LoginRefused, "{error:?}");
    let mut right = Rig::new(plant.port, user, Some("secret"));
    right.open().await.unwrap();
    right.driver.close(soon()).await;
}

#[tokio::test]
async fn an_untrusted_server_is_refused_until_somebody_trusts_it() {
    let plant = Plant::start(|_| {}).await;
    let policy = "Basic256Sha256";
    let sealed = json!({"security_mode": "SignAndEncrypt", "security_policy": policy,
        "username": "operator"});
    let mut rig = Rig::new(plant.port, sealed, Some("secret"));
    let error = rig.open().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CertificateRejected);
    assert!(error.hint.contains("otctl cert trust"), "{}", error.hint);
    testing::trust_all(rig.home.path());
    rig.open().await.unwrap();
    assert_eq!(rig.read(variables(7..8)).await.0[0].value, Value::F64(7.0));
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn what_is_not_on_offer_is_not_replaced_by_less() {
    let plant = Plant::start(|_| {}).await;
    let sign = json!({"security_mode": "Sign", "security_policy": "Basic256Sha256"});
    let error = Rig::new(plant.port, sign, None).open().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::CertificateRejected);
    assert!(error.message.contains("SignAndEncrypt with Basic256Sha256"), "{}", error.message);
}

#[tokio::test]
async fn changes_are_pushed_and_a_bad_node_leaves_its_neighbours_good() {
    let plant = Plant::start(|limits| limits.operational.max_monitored_items_per_call = 20).await;
    let mut rig = Rig::new(plant.port, json!({}), None)
        .tags(variables(0..50).chain([format!("nsu={NAMESPACE};s=Nope")]));
    rig.open().await.unwrap();
    let slices = rig.driver.plan(&rig.tags).slices;
    assert_eq!((slices.len(), slices[0].cadence), (1, Cadence::Pushed));
    let first = rig.until(|reading| reading.tag == TagId(49)).await;
    let bad = first.iter().find(|reading| reading.tag == TagId(50)).unwrap();
    assert_eq!(bad.quality.status(), StatusCode::BadNodeIdUnknown.bits());
    let good = first.iter().filter(|reading| reading.tag.0 < 50);
    assert!(good.clone().count() >= 50 && good.clone().all(|r| r.quality == Quality::GOOD));
    plant.set(3, DataValue::new_now(333.0));
    rig.until(|reading| reading.tag == TagId(3) && reading.value == Value::F64(333.0)).await;
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn a_server_that_does_not_subscribe_is_polled() {
    let plant = Plant::start(|limits| limits.subscriptions.max_subscriptions_per_session = 0).await;
    let mut rig = Rig::new(plant.port, json!({}), None).tags(variables(0..5));
    rig.open().await.unwrap();
    let slices = rig.driver.plan(&rig.tags).slices;
    assert_eq!(slices[0].cadence, Cadence::Polled { scan_ms: 100 });
    let mut batch = Batch::default();
    rig.driver.acquire(slices[0].id, &mut batch, &rig.scan, soon()).await.unwrap();
    assert_eq!(batch.readings.len(), 5);
    assert_eq!(batch.readings[4].value, Value::F64(4.0));
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn every_message_is_counted_as_the_server_counts_it() {
    let plant = Plant::start(|_| {}).await;
    // The proxy has a port of its own, which the server knows nothing of.
    let proxy = Proxy::before(plant.port).await;
    let mut rig = Rig::new(proxy.port, json!({}), None).tags(variables(0..5));
    rig.open().await.unwrap();
    rig.until(|reading| reading.tag == TagId(4)).await;
    let (_, read) = rig.read(variables(0..5)).await;
    let (_, identified) = rig.ask(Ask::Identify).await;
    let browse = Ask::Browse { root: "i=85".into(), depth: 2, nodes_max: 500, values: true };
    let (_, browsed) = rig.ask(browse).await;
    let listen = Ask::Listen { item: "i=2258".into(), samples: 1, interval_ms: 100 };
    let (_, listened) = rig.ask(listen).await;
    rig.driver.close(soon()).await;
    // Discovery and the session each close their channel.
    timeout(Duration::from_secs(5), proxy.tap.closed(2)).await.expect("both are closed");
    let report = rig.meter.report();
    assert_eq!(report.sent, proxy.tap.messages());
    assert_eq!(report.sent_on_demand, u64::from(read + identified + browsed + listened));
    assert_eq!((read, identified, listened), (1, 1, 1));
}

#[tokio::test]
async fn a_walk_is_depth_first_and_its_root_comes_first() {
    let plant = Plant::start(|limits| limits.operational.max_references_per_browse_node = 7).await;
    let mut rig = Rig::new(plant.port, json!({}), None);
    rig.open().await.unwrap();
    let browse =
        |depth, nodes_max| Ask::Browse { root: "i=85".into(), depth, nodes_max, values: true };
    let (reply, _) = rig.ask(browse(1, 1000)).await;
    let Reply::Browse { nodes, truncated } = reply.unwrap() else { panic!("nodes") };
    assert!(!truncated);
    assert_eq!((nodes[0].node_id.as_ref(), nodes[0].browse_name.as_ref()), ("i=85", "Objects"));
    assert_eq!((nodes[0].parent.as_ref(), nodes[0].depth), ("", 0));
    let ours = nodes.iter().filter(|node| node.browse_name.starts_with('V')).count();
    assert_eq!(ours, 300);
    let v9 = nodes.iter().find(|node| node.browse_name.as_ref() == "V9").unwrap();
    assert_eq!((v9.value.clone(), v9.parent.as_ref()), (Some(Value::F64(9.0)), "i=85"));
    // Every node stands behind its parent, and one level below it.
    let (reply, _) = rig.ask(browse(3, 120)).await;
    let Reply::Browse { nodes, truncated } = reply.unwrap() else { panic!("nodes") };
    assert!(truncated);
    assert_eq!(nodes.len(), 120);
    for pair in nodes.windows(2) {
        assert!(pair[1].depth <= pair[0].depth + 1);
        assert!(pair[1].depth != pair[0].depth + 1 || pair[1].parent == pair[0].node_id);
    }
    let (error, _) = rig
        .ask(Ask::Browse { root: "ns=9;s=No".into(), depth: 1, nodes_max: 5, values: false })
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::BadAddress);
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn a_condition_is_heard_though_the_server_drops_a_column() {
    let plant = Plant::start(|_| {}).await;
    let mut rig = Rig::new(plant.port, json!({"events": true}), None);
    rig.open().await.unwrap();
    let slices = rig.driver.plan(&rig.tags).slices;
    assert_eq!((slices.len(), slices[0].tags.len()), (1, 0));
    plant.alarm("LevelAlarm", 700);
    let heard = timeout(Duration::from_secs(10), async {
        loop {
            let mut batch = Batch::default();
            rig.driver.acquire(slices[0].id, &mut batch, &rig.scan, soon()).await.unwrap();
            assert_eq!(batch.lost, 0);
            if let Some(event) = batch.conditions.pop() {
                break event;
            }
            rig.wake.notified().await;
        }
    });
    let event = heard.await.expect("the event comes");
    // This server refuses the condition's own id and leaves its column out.
    assert_eq!(event.id.condition.as_ref(), "Tank/LevelAlarm");
    assert_eq!((event.name.as_ref(), event.source.as_ref()), ("LevelAlarm", "Tank"));
    assert_eq!((event.active, event.acknowledged, event.retain), (Some(true), Some(false), true));
    assert_eq!((event.severity, event.message.as_ref()), (700, "too high"));
    assert!(event.source_ts.is_some());
    // It has no ConditionRefresh either: what was heard is the answer.
    let (reply, _) = rig.ask(Ask::Conditions).await;
    let Reply::Conditions(conditions) = reply.unwrap() else { panic!("conditions") };
    assert_eq!(conditions, vec![event]);
    rig.driver.close(soon()).await;
}

#[tokio::test]
async fn a_server_that_dies_wakes_the_poller_and_comes_back() {
    let plant = Plant::start(|_| {}).await;
    let proxy = Proxy::before(plant.port).await;
    let mut rig = Rig::new(proxy.port, json!({}), None).tags(variables(0..2));
    rig.open().await.unwrap();
    rig.until(|reading| reading.tag == TagId(1)).await;
    proxy.cut();
    let slice = rig.driver.plan(&rig.tags).slices[0].id;
    let failed = timeout(Duration::from_secs(5), async {
        loop {
            let mut batch = Batch::default();
            if let Err(error) = rig.driver.acquire(slice, &mut batch, &rig.scan, soon()).await {
                break error;
            }
            rig.wake.notified().await;
        }
    });
    assert_eq!(failed.await.expect("the end is noticed").kind, ErrorKind::LinkLost);
    let (reply, spent) = rig.ask(Ask::Identify).await;
    assert_eq!((reply.unwrap_err().kind, spent), (ErrorKind::LinkLost, 0));
    rig.driver.close(soon()).await;
    assert_eq!(rig.ask(Ask::Connect).await.0.unwrap_err().kind, ErrorKind::Closed);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_leaves_no_subscription_behind() {
    let plant = Plant::start(|_| {}).await;
    let proxy = Proxy::before(plant.port).await;
    let mut rig = Rig::new(proxy.port, json!({}), None);
    rig.open().await.unwrap();
    let before = proxy.tap.messages();
    let toll = Toll::new(rig.meter.clone(), Purpose::Demand);
    let Asking::Beside(listening) = rig.driver.ask(Ask::Conditions, toll.clone(), soon()) else {
        panic!()
    };
    let listening = tokio::spawn(listening);
    let tidied = timeout(Duration::from_secs(5), async {
        while toll.spent() < 2 {
            tokio::task::yield_now().await;
        }
        listening.abort();
        // Subscribe, monitor, and the deletion that follows the abort.
        while toll.spent() < 3 {
            tokio::task::yield_now().await;
        }
    });
    tidied.await.expect("the subscription is deleted");
    rig.driver.close(soon()).await;
    timeout(Duration::from_secs(5), proxy.tap.closed(2)).await.expect("both are closed");
    assert!(proxy.tap.messages() >= before + 3);
    // What was paid for as the call was cut off may never have been sent.
    assert!(rig.meter.report().sent - proxy.tap.messages() <= 1);
}
