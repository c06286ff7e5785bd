//! Mosquitto with its four doors, its own client that publishes, and the Sparkplug edge node.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::peer::{self, Peer, free_port};
use crate::plant::Endpoint;

/// A broker in a process of its own.
pub(crate) struct Broker {
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    pub(crate) mutual: u16,
    pub(crate) password: u16,
    peer: Peer,
}

/// Where the authorities and certificates lie.
pub(crate) fn folder() -> PathBuf {
    peer::kept("mosquitto")
}

fn words(ports: [u16; 4]) -> Vec<String> {
    let script = peer::package("tests/peers/mosquitto.sh");
    let mut words = vec!["bash".to_owned(), script.to_str().unwrap().to_owned()];
    words.push(folder().to_str().unwrap().to_owned());
    words.extend(ports.map(|port| port.to_string()));
    words
}

impl Broker {
    /// Starts a broker.
    pub(crate) fn start() -> Self {
        let ports = Mutex::new([0; 4]);
        let peer = Peer::on_free_port("mosquitto", |plain| {
            let all = [plain, free_port(), free_port(), free_port()];
            *ports.lock().unwrap() = all;
            words(all)
        });
        let [plain, tls, mutual, password] = *ports.lock().unwrap();
        Self { plain, tls, mutual, password, peer }
    }

    /// Ends it and starts it again at the same ports, with nothing kept.
    pub(crate) fn again(self) -> Self {
        let Self { plain, tls, mutual, password, peer } = self;
        drop(peer);
        let peer = Peer::start("mosquitto", &words([plain, tls, mutual, password]), plain);
        let peer = peer.unwrap_or_else(|why| panic!("{why}"));
        Self { plain, tls, mutual, password, peer }
    }

    /// An endpoint at the plain door.
    pub(crate) fn endpoint(&self, name: &str) -> Endpoint {
        Endpoint::mqtt(name, self.plain)
    }

    /// Publishes with mosquitto's own client.
    pub(crate) async fn publish(&self, topic: &str, payload: &[u8], more: &[&str]) {
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &self.plain.to_string(), "-t", topic]).args(more);
        command.arg(if payload.is_empty() { "-n" } else { "-s" });
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that sends nothing need not read.
        if stdin.write_all(payload).await.is_err() {
            assert!(payload.is_empty(), "mosquitto_pub reads its input");
        }
        drop(stdin);
        assert!(child.wait().await.unwrap().success(), "mosquitto_pub {topic}");
    }
}

/// Gives a line that names one of the files beside the broker.
pub(crate) fn file(key: &str, name: &str) -> String {
    format!("{key} = {:?}", folder().join(name))
}

/// sparkplug-client: an edge node with one device, `D1`.
pub(crate) fn edge_node(broker: &Broker, group: &str, node: &str) -> Peer {
    let mut words = peer::node("spb_edge_node.js");
    words.push(format!("mqtt://127.0.0.1:{}", broker.plain));
    words.extend([group.to_owned(), node.to_owned()]);
    Peer::start("edge-node", &words, 0).unwrap_or_else(|why| panic!("{why}"))
}
