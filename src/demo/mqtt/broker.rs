//! A broker of MQTT 3.1.1: subscriptions, retained messages, wills; deliveries at most once.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::node::{GROUP, NODE};
use super::packet::{Packet, framed, published, read};
use crate::protocols::mqtt::matches;

/// Clients served at once.
const CLIENTS_MAX: usize = 16;
/// Filters of one client.
const FILTERS_MAX: usize = 100;
/// Messages that are kept.
const RETAINED_MAX: usize = 1000;
/// Packets that wait for a client; one that takes them too slowly is dropped.
const QUEUE_MAX: usize = 256;
/// A client that does not say CONNECT within this is none.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A client's subscriptions, and the way to it.
struct Client {
    filters: Vec<String>,
    out: mpsc::Sender<Arc<[u8]>>,
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, Client>,
    retained: BTreeMap<String, Vec<u8>>,
    next: u64,
}

/// The broker. Cloning it is cheap.
#[derive(Clone, Default)]
pub(super) struct Broker {
    state: Arc<Mutex<State>>,
    rebirth: Arc<AtomicBool>,
}

impl Broker {
    /// Serves clients until it is dropped.
    ///
    /// # Errors
    /// The listener failed.
    pub(super) async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let mut clients = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            while clients.try_join_next().is_some() {}
            // No place left: the connection is closed at once.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let broker = self.clone();
            clients.spawn(async move {
                if let Err(error) = broker.converse(stream).await {
                    tracing::debug!(%error, "demo MQTT connection ended");
                }
                drop(place);
            });
        }
    }

    /// Delivers a message to everyone who has asked for it.
    pub(super) fn publish(&self, topic: &str, payload: &[u8]) {
        let packet: Arc<[u8]> = published(topic, payload, false).into();
        let mut state = self.state.lock();
        state.clients.retain(|_, client| {
            let is_wanted = client.filters.iter().any(|filter| matches(filter, topic));
            // Dropping its queue ends a client that does not keep up.
            !is_wanted || client.out.try_send(packet.clone()).is_ok()
        });
    }

    /// Tells whether the node was asked for its birth since the last time.
    pub(super) fn take_rebirth(&self) -> bool {
        self.rebirth.swap(false, Relaxed)
    }

    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut from, mut to) = stream.into_split();
        let hello = timeout(CONNECT_WITHIN, read(&mut from)).await??;
        let Packet::Connect { level, keep_alive_s, will } = hello else { return Ok(()) };
        if level != 4 {
            // Unacceptable protocol version (3.2.2.3).
            return to.write_all(&[0x20, 2, 0, 1]).await;
        }
        to.write_all(&[0x20, 2, 0, 0]).await?;
        let (out, mut queue) = mpsc::channel::<Arc<[u8]>>(QUEUE_MAX);
        let id = self.enter(out.clone());
        let writing = async {
            while let Some(packet) = queue.recv().await {
                to.write_all(&packet).await?;
            }
            Ok(())
        };
        let reading = async {
            loop {
                // One and a half times the keep-alive is what a broker waits (3.1.2.10).
                let silence = match keep_alive_s {
                    0 => Duration::from_secs(3600),
                    s => Duration::from_secs(u64::from(s)) * 3 / 2,
                };
                let packet = timeout(silence, read(&mut from)).await??;
                if packet == Packet::Disconnect {
                    return Ok(true);
                }
                let Some(answer) = self.answer(id, packet) else { return Ok(false) };
                if !answer.is_empty() && out.send(answer.into()).await.is_err() {
                    return Ok(false);
                }
            }
        };
        let ended: io::Result<bool> = tokio::select! {
            written = writing => written.map(|()| false),
            read = reading => read,
        };
        self.state.lock().clients.remove(&id);
        if let (Some((topic, payload)), Ok(false) | Err(_)) = (will, &ended) {
            self.publish(&topic, &payload);
        }
        ended.map(|_| ())
    }

    fn enter(&self, out: mpsc::Sender<Arc<[u8]>>) -> u64 {
        let mut state = self.state.lock();
        state.next += 1;
        let id = state.next;
        state.clients.insert(id, Client { filters: Vec::new(), out });
        id
    }

    /// Does what a packet asks for and gives the answer; `None` ends the connection.
    fn answer(&self, id: u64, packet: Packet) -> Option<Vec<u8>> {
        match packet {
            Packet::Subscribe { id: number, filters } => self.subscribe(id, number, filters),
            Packet::Unsubscribe { id: number, filters } => {
                let mut state = self.state.lock();
                let client = state.clients.get_mut(&id)?;
                client.filters.retain(|filter| !filters.contains(filter));
                Some(framed(0xB0, &number.to_be_bytes()))
            }
            Packet::Publish { topic, payload, retain, id: number } => {
                if topic == format!("spBv1.0/{GROUP}/NCMD/{NODE}") {
                    // The one command it knows: everything else it says changes nothing.
                    self.rebirth.store(true, Relaxed);
                }
                self.publish(&topic, &payload);
                if retain {
                    self.keep(topic, payload);
                }
                Some(number.map_or_else(Vec::new, |id| framed(0x40, &id.to_be_bytes())))
            }
            Packet::Ping => Some(framed(0xD0, &[])),
            Packet::Other => Some(Vec::new()),
            Packet::Connect { .. } | Packet::Disconnect => None,
        }
    }

    fn keep(&self, topic: String, payload: Vec<u8>) {
        let mut state = self.state.lock();
        if payload.is_empty() {
            state.retained.remove(&topic);
        } else if state.retained.len() < RETAINED_MAX || state.retained.contains_key(&topic) {
            state.retained.insert(topic, payload);
        }
    }

    fn subscribe(&self, id: u64, number: u16, filters: Vec<String>) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let State { clients, retained, .. } = &mut *state;
        let client = clients.get_mut(&id)?;
        let mut body = number.to_be_bytes().to_vec();
        let mut kept = Vec::new();
        for filter in filters {
            if client.filters.len() >= FILTERS_MAX {
                body.push(0x80);
                continue;
            }
            body.push(0);
            kept.extend(retained.iter().filter(|(topic, _)| matches(&filter, topic)));
            client.filters.push(filter);
        }
        for (topic, payload) in kept {
            client.out.try_send(published(topic, payload, true).into()).ok()?;
        }
        Some(framed(0x90, &body))
    }
}
