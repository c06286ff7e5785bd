//! Writes: from an agent's request to the audit, against servers that others wrote.

mod brokers;
mod clock;
mod crash;
mod disk;
mod forty;
mod peers;
mod people;
mod refusals;
mod revert;
mod walk;
mod widening;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ed25519_dalek::{Signer, SigningKey};
use ot_aiops::govern::keys::statement;
use ot_aiops::model::{Ticket, hex};
use serde_json::{Value, json};

use crate::collector::Collector;
use crate::counter::Counter;
use crate::wire::{Answer, Client};

/// An approver of the tests, by the seed of the key.
pub(crate) struct Person(SigningKey);

impl Person {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    /// The public key, in hexadecimal.
    pub(crate) fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// Signs bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        hex(&self.0.sign(bytes).to_bytes())
    }

    /// Gives what `moc_approve` takes, for a ticket as the collector shows it.
    pub(crate) fn approval(&self, status: &Value) -> Value {
        let ticket: Ticket = serde_json::from_value(status["ticket"].clone()).unwrap();
        assert_eq!(ticket.digest(), status["digest"].as_str().unwrap());
        let signature = self.sign(&ticket.canonical());
        json!({"id": ticket.id, "key": self.public(), "signature": signature})
    }

    /// Signs what is no ticket, as the operator's client does.
    pub(crate) async fn stated(
        &self,
        operator: &Client,
        action: &str,
        subject: &str,
        mut arguments: Value,
    ) -> Value {
        let list = operator.call("approver_list", json!({})).await.good();
        let after = list["after"].as_u64().unwrap();
        let signature = self.sign(&statement(action, subject, after));
        arguments["signed"] = json!({"key": self.public(), "signature": signature, "after": after});
        arguments
    }
}

/// The approver whose key is kept on another machine: the tests run as one user.
pub(crate) const OFFLINE: u8 = 7;

/// Writes a policy with the offline approver and these rules.
pub(crate) fn policy(rules: &[&str]) -> String {
    let key = Person::new(OFFLINE).public();
    let mut text = format!(
        "version = 1\nepoch = 1\nmode = \"supervised\"\n\
         [[approver]]\nid = \"offline\"\nkey = \"ed25519:{key}\"\noffline = true\n"
    );
    for rule in rules {
        writeln!(text, "[[write]]\n{rule}\nreadback = {{ delay_ms = 100, tolerance = 0.0 }}")
            .unwrap();
    }
    text
}

/// Asks for a ticket.
pub(crate) async fn request(agent: &Client, tag: &str, value: &Value) -> Answer {
    let ask = json!({"tag": tag, "value": value, "reason": "the test asks"});
    agent.call("moc_request", ask).await
}

/// Gives a ticket as it stands, with what is signed.
pub(crate) async fn status(client: &Client, id: &str, wait_s: u64) -> Value {
    let ask = json!({"id": id, "wait_s": wait_s, "ticket": true});
    client.call("moc_status", ask).await.good()
}

/// Has the offline approver approve a ticket, and waits for its end.
pub(crate) async fn approved(operator: &Client, id: &str) -> Value {
    let approval = Person::new(OFFLINE).approval(&status(operator, id, 0).await);
    operator.call("moc_approve", approval).await.good();
    status(operator, id, 30).await
}

/// Opens a ticket that must be opened, and gives its id.
pub(crate) async fn opened(agent: &Client, tag: &str, value: &Value) -> String {
    let answer = request(agent, tag, value).await.good();
    assert_eq!(answer["status"], "approval_required", "{answer}");
    assert!(answer["tell_the_operator"].as_str().is_some_and(|text| text.contains("otctl moc")));
    answer["moc_id"].as_str().unwrap().to_owned()
}

/// Gives every record of a kind, oldest first.
pub(crate) async fn records(operator: &Client, what: &str) -> Vec<Value> {
    let (mut found, mut before) = (Vec::new(), Value::Null);
    loop {
        let ask = json!({"what": what, "limit": 200, "before": before});
        let page = operator.call("audit_tail", ask).await.good();
        found.splice(0..0, page["records"].as_array().unwrap().iter().cloned());
        before = page["before"].clone();
        if before.is_null() {
            return found;
        }
    }
}

/// Holds the audit against the device, whose door counts what comes.
pub(crate) async fn proved(collector: &Collector, counter: &Counter) {
    audited(collector, counter.writes()).await;
}

/// Holds the audit against so many messages that wrote something: it verifies, none of them lacks
/// its intent, and it counts as many.
pub(crate) async fn audited(collector: &Collector, writes_there: u64) {
    let verified = collector.otctl_json(&["audit", "verify"]).await;
    assert_eq!((&verified["ok"], &verified["first_bad"]), (&json!(true), &Value::Null));
    let operator = collector.operator().await;
    let intents = records(&operator, "write_intent").await;
    let mut sent = BTreeMap::<String, u64>::new();
    for what in ["write_outcome", "write_settled"] {
        for record in records(&operator, what).await {
            let ticket = record["ticket"].as_str().unwrap().to_owned();
            let writes = record["detail"]["writes"].as_u64().unwrap();
            let of = sent.entry(ticket).or_default();
            *of = writes.max(*of);
        }
    }
    for (ticket, writes) in &sent {
        let own = intents.iter().filter(|record| record["ticket"] == **ticket).count();
        assert!(*writes <= u64::try_from(own).unwrap(), "{ticket}: {writes} of {own} intents");
    }
    assert_eq!(sent.values().sum::<u64>(), writes_there, "{sent:?}");
}
