//! The MQTT half: a small broker, an edge node that speaks Sparkplug B, and plain topics.

mod broker;
mod node;
mod packet;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::frame::Frame;
use broker::Broker;
use node::Node;

pub(super) use node::{DEVICE, GROUP, NODE};

/// The node and the sensors publish this often.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);

/// Serves the newest frame until it is dropped.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    frames: watch::Receiver<Arc<Frame>>,
) -> io::Result<()> {
    let broker = Broker::default();
    tokio::select! {
        ended = broker.serve(listener) => ended,
        () = publish(&broker, frames) => Ok(()),
    }
}

async fn publish(broker: &Broker, frames: watch::Receiver<Arc<Frame>>) {
    let mut node = Node::default();
    let mut due = Instant::now();
    loop {
        sleep_until(due).await;
        // Behind a busy machine it slows down: it never sends to catch up.
        due = (due + PUBLISH_EVERY).max(Instant::now());
        let frame = frames.borrow().clone();
        if broker.take_rebirth() {
            node.want_birth();
        }
        for (topic, payload) in node.messages(&frame) {
            broker.publish(&topic, &payload);
        }
    }
}
