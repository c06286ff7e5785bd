//! Writes through a broker: a command to a Sparkplug device, and a plain message.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{approved, audited, opened, policy};
use crate::broker::{Broker, edge_node};
use crate::collector::{Collector, good_tags};
use crate::plant::plant;
use crate::wait::eventually;

/// mosquitto_sub: what was published to a filter, by topic, ended when this is dropped.
struct Witness {
    heard: Arc<Mutex<Vec<String>>>,
    _child: Child,
}

impl Witness {
    async fn of(broker: &Broker, filter: &str) -> Self {
        let port = broker.plain.to_string();
        let mut child = Command::new("mosquitto_sub")
            .args(["-h", "127.0.0.1", "-p", &port, "-t", filter, "-t", "witness", "-F", "%t"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let copy = heard.clone();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                copy.lock().unwrap().push(line);
            }
        });
        let witness = Self { heard, _child: child };
        eventually("the witness hears", async || {
            broker.publish("witness", b"x", &[]).await;
            let hears = witness.heard.lock().unwrap().iter().any(|topic| topic == "witness");
            hears.then_some(())
        })
        .await;
        witness
    }

    fn messages(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|topic| *topic != "witness").cloned().collect()
    }
}

const RULE: &str = "tier = \"one\"\nmin = 0\nmax = 10";

#[tokio::test(flavor = "multi_thread")]
async fn a_sparkplug_device_is_commanded_once_and_its_own_data_verifies_it() {
    let broker = Broker::start();
    let _node = edge_node(&broker, "G1", "EdgeJS");
    let witness = Witness::of(&broker, "spBv1.0/+/DCMD/#").await;
    let endpoint = broker.endpoint("uns").with("topic = \"spBv1.0/#\"\nrebirth = true").tag(
        "cell/setpoint",
        "spBv1.0/G1/EdgeJS/D1:Outputs/SP",
        "",
    );
    let rule = format!("tag = \"cell/setpoint\"\n{RULE}");
    let collector = Collector::with_policy(&plant(&[endpoint]), &policy(&[&rule])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["cell/setpoint"]).await;
    let id = opened(&agent, "cell/setpoint", &json!(2.5)).await;
    assert!(witness.messages().is_empty());
    let done = approved(&operator, &id).await;
    assert_eq!((&done["state"], &done["found"]), (&json!("verified"), &json!(1.5)), "{done}");
    assert_eq!(witness.messages(), ["spBv1.0/G1/DCMD/EdgeJS/D1"]);
    let undo = operator.call("moc_undo", json!({"id": id})).await.good();
    let undone = approved(&operator, undo["moc_id"].as_str().unwrap()).await;
    assert_eq!(undone["state"], "verified", "{undone}");
    assert_eq!(witness.messages().len(), 2);
    audited(&collector, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_message_is_published_once_and_heard_back() {
    let broker = Broker::start();
    broker.publish("line/recipe", b"A", &["-r"]).await;
    let endpoint = broker.endpoint("uns").with("topic = \"line/#\"").tag(
        "line/recipe",
        "line/recipe#publish(qos=1,retain=true)",
        "",
    );
    let rule = "tag = \"line/recipe\"\ntier = \"one\"\nenum = [\"A\", \"B\"]";
    let collector = Collector::with_policy(&plant(&[endpoint]), &policy(&[rule])).await;
    let (agent, operator) = (collector.agent().await, collector.operator().await);
    good_tags(&agent, &["line/recipe"]).await;
    let witness = Witness::of(&broker, "line/recipe").await;
    let kept = witness.messages().len();
    let ask = json!({"topic": "line/recipe", "payload": "B", "qos": 1, "retain": true});
    let dry = agent.call("mqtt_publish", ask.clone()).await.good();
    assert_eq!((&dry["verdict"], &dry["before"]), (&json!("allowed"), &json!("A")), "{dry}");
    assert_eq!((&dry["would_publish_bytes"], &dry["qos"]), (&json!(1), &json!(1)));
    let other = json!({"topic": "line/recipe", "payload": "C", "qos": 1, "retain": true});
    assert_eq!(agent.call("mqtt_publish", other).await.good()["verdict"], "denied");
    let unheard = json!({"topic": "line/nobody", "payload": "1"});
    let unheard = agent.call("mqtt_publish", unheard).await.good();
    assert_eq!((&unheard["verdict"], &unheard["before"]), (&json!("denied"), &Value::Null));
    let mut ask = ask;
    ask["dry_run"] = json!(false);
    let asked = agent.call("mqtt_publish", ask).await.good();
    assert_eq!(asked["status"], "approval_required", "{asked}");
    assert_eq!(witness.messages().len(), kept);
    let done = approved(&operator, asked["moc_id"].as_str().unwrap()).await;
    assert_eq!(done["state"], "verified", "{done}");
    eventually("the witness heard it", async || {
        (witness.messages().len() == kept + 1).then_some(())
    })
    .await;
    audited(&collector, 1).await;
}
