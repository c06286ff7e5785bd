//! The demo as a whole: its servers and the task that moves the line.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::alarms::Alarms;
use super::config::{self, Addresses};
use super::faults::Fault;
use super::frame::{FRAME_S, Frame, Line};
use super::mc;
use super::modbus::{self, Memory};
use super::mqtt;
use super::mtconnect;
use super::opcua::{self, Nodes};
use super::s7;
use crate::clock;

/// The servers get this long to close their sessions.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Why the demo can't start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No loopback port could be had.
    #[error("no port on 127.0.0.1 for the simulated plant: {0}")]
    Socket(#[from] io::Error),
    /// The OPC UA server could not be made.
    #[error("the simulated OPC UA server can't start: {0}")]
    Server(String),
}

/// A running simulated plant. It ends with [`stop`](Self::stop), or when dropped.
pub struct DemoPlant {
    at: Addresses,
    faults: Vec<&'static Fault>,
    nodes: Arc<Nodes>,
    ending: CancellationToken,
    tasks: JoinSet<()>,
}

/// Starts the line and its servers on ephemeral loopback ports.
///
/// The OPC UA library keeps an (empty) certificate store; it is made in `pki_dir`. The same
/// `seed` and `faults` give the same line.
///
/// # Errors
/// There is no free port, or the OPC UA server can't be made.
pub async fn start(
    faults: &[&'static Fault],
    seed: u64,
    pki_dir: &Path,
) -> Result<DemoPlant, DemoError> {
    let modbus = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let opcua = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mc = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let s7 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mtconnect = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mqtt = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let opcua_port = opcua.local_addr()?.port();
    let at = Addresses {
        opcua_url: format!("opc.tcp://127.0.0.1:{opcua_port}/"),
        modbus: modbus.local_addr()?,
        mc: mc.local_addr()?,
        s7: s7.local_addr()?,
        mtconnect: mtconnect.local_addr()?,
        mqtt: mqtt.local_addr()?,
    };
    let (server, nodes) = opcua::build(opcua_port, pki_dir).map_err(DemoError::Server)?;

    let mut line = Line::new(faults, seed);
    let now = clock::now();
    let first = line.next(now);
    let (memory, images) = watch::channel(Arc::new(Memory::new(&first)));
    nodes.show(&first, now).map_err(|status| DemoError::Server(status.to_string()))?;
    let (frames, shown) = watch::channel(Arc::new(first));

    let (nodes, ending) = (Arc::new(nodes), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = server.run_with(opcua).await {
            tracing::error!(%error, "simulated OPC UA server ended");
        }
    });
    tasks.spawn(until(ending.clone(), async move {
        if let Err(error) = modbus::serve(modbus, images).await {
            tracing::error!(%error, "simulated Modbus server ended");
        }
    }));
    let wrapper = mtconnect::serve(mtconnect, shown.clone());
    tasks.spawn(until(ending.clone(), async move {
        if let Err(error) = wrapper.await {
            tracing::error!(%error, "simulated MTConnect agent ended");
        }
    }));
    let broker = mqtt::serve(mqtt, shown.clone());
    tasks.spawn(until(ending.clone(), async move {
        if let Err(error) = broker.await {
            tracing::error!(%error, "simulated MQTT broker ended");
        }
    }));
    let palletiser = s7::serve(s7, shown.clone());
    tasks.spawn(until(ending.clone(), async move {
        if let Err(error) = palletiser.await {
            tracing::error!(%error, "simulated Siemens controller ended");
        }
    }));
    tasks.spawn(until(ending.clone(), async move {
        if let Err(error) = mc::serve(mc, shown).await {
            tracing::error!(%error, "simulated Mitsubishi controller ended");
        }
    }));
    tasks.spawn(until(ending.clone(), run(line, memory, frames, Arc::clone(&nodes))));
    Ok(DemoPlant { at, faults: faults.to_vec(), nodes, ending, tasks })
}

async fn until(ending: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = ending.cancelled() => {}
        () = work => {}
    }
}

/// Moves the line on, frame by frame, at the pace of the clock.
async fn run(
    mut line: Line,
    memory: watch::Sender<Arc<Memory>>,
    frames: watch::Sender<Arc<Frame>>,
    nodes: Arc<Nodes>,
) {
    let pace = Duration::from_secs_f64(FRAME_S);
    let mut alarms = Alarms::default();
    let mut due = Instant::now() + pace;
    loop {
        sleep_until(due).await;
        // Behind a busy machine the line slows down: it never runs to catch up.
        due = (due + pace).max(Instant::now());
        let now = clock::now();
        let frame = line.next(now);
        memory.send_replace(Arc::new(Memory::new(&frame)));
        if let Err(status) = nodes.show(&frame, now) {
            tracing::error!(%status, "simulated OPC UA nodes are gone");
            return;
        }
        nodes.report(&alarms.changes(&frame), now);
        frames.send_replace(Arc::new(frame));
    }
}

impl DemoPlant {
    /// Gives each server's endpoint name, with its protocol and place.
    #[must_use]
    pub fn servers(&self) -> Vec<(&'static str, String)> {
        let Addresses { opcua_url, modbus, mc, s7, mtconnect, mqtt } = &self.at;
        vec![
            ("line1-opcua", format!("OPC UA at {opcua_url}")),
            ("filler", format!("Modbus TCP at {modbus}, units 1 to 3")),
            ("capper", format!("Mitsubishi MC 3E at {mc}")),
            ("palletiser", format!("S7 communication at {s7}, rack 0, slot 2")),
            ("wrapper", format!("MTConnect at http://{mtconnect}")),
            ("line1-broker", format!("MQTT with Sparkplug B at {mqtt}")),
        ]
    }

    /// Gives the faults that are at work, or will be.
    #[must_use]
    pub fn faults(&self) -> &[&'static Fault] {
        &self.faults
    }

    /// Writes the `config.toml` an ordinary collector reads this plant with.
    #[must_use]
    pub fn config_toml(&self) -> String {
        config::toml(&self.at, &self.faults)
    }

    /// Ends the servers and the line.
    pub async fn stop(mut self) {
        self.nodes.stop();
        self.ending.cancel();
        let ended = timeout(STOP_MAX, async { while self.tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!("simulated plant did not end in time; dropped");
            self.tasks.shutdown().await;
        }
    }
}

impl Drop for DemoPlant {
    fn drop(&mut self) {
        self.nodes.stop();
        self.ending.cancel();
    }
}

#[cfg(test)]
mod tests {
    use tokio_modbus::client::{Reader, tcp};
    use tokio_modbus::slave::Slave;

    use super::*;

    #[tokio::test]
    async fn the_line_moves_behind_its_sockets_and_ends_when_told() {
        let pki = tempfile::tempdir().unwrap();
        let plant = start(&[], 1, pki.path()).await.unwrap();
        let address = plant.at.modbus;
        let mut meter = tcp::connect_slave(address, Slave(2)).await.unwrap();
        let first = meter.read_input_registers(20, 8).await.unwrap().unwrap();
        // It comes to an end as soon as the meter has moved, however long that takes.
        while meter.read_input_registers(20, 8).await.unwrap().unwrap() == first {
            tokio::task::yield_now().await;
        }
        assert_eq!(plant.servers().len(), plant.config_toml().matches("[[endpoints]]").count());
        plant.stop().await;
        assert!(tcp::connect_slave(address, Slave(2)).await.is_err());
    }
}
