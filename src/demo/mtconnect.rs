//! The MTConnect half: an agent with a buffer, sequence numbers and streams, for the wrapper.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::frame::Frame;
use super::mtconnect_xml as xml;
use super::points::{self, ItemKind, Place};
use crate::clock;
use crate::model::{Timestamp, Value};

/// Clients served at once.
const CONNECTIONS_MAX: usize = 16;
/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Observations the agent keeps.
pub(super) const BUFFER_SIZE: usize = 4096;
/// What a sample holds unless asked for more (MTConnect Part 1, 8.3).
const COUNT: u64 = 100;
const COUNT_MAX: u64 = BUFFER_SIZE as u64;
/// An idle stream says this often that it lives, unless asked otherwise.
const HEARTBEAT_MS: u64 = 10_000;

/// One observation.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) sequence: u64,
    pub(super) item: &'static ItemKind,
    pub(super) at: Timestamp,
    pub(super) text: String,
}

/// What the agent keeps.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) instance: u64,
    pub(super) kept: VecDeque<Made>,
    /// The newest of each item.
    pub(super) newest: Vec<Made>,
    pub(super) next: u64,
}

impl Buffer {
    /// Gives the oldest sequence number that is kept.
    pub(super) fn first(&self) -> u64 {
        self.kept.front().map_or(self.next, |made| made.sequence)
    }

    /// Takes a frame: what has changed is an observation.
    fn take(&mut self, frame: &Frame) {
        for (point, cell) in points::all().zip(&frame.cells) {
            let Place::Item(item) = point.place else { continue };
            let text = match &cell.value {
                Value::Text(text) => text.to_string(),
                other => serde_json::to_string(other).unwrap_or_default(),
            };
            let known = self.newest.iter().position(|made| made.item.id == item.id);
            if known.and_then(|at| self.newest.get(at)).is_some_and(|made| made.text == text) {
                continue;
            }
            let made = Made { sequence: self.next, item, at: cell.source_ts, text };
            self.next += 1;
            match known.and_then(|at| self.newest.get_mut(at)) {
                Some(newest) => *newest = made.clone(),
                None => self.newest.push(made.clone()),
            }
            self.kept.push_back(made);
            if self.kept.len() > BUFFER_SIZE {
                self.kept.pop_front();
            }
        }
    }

    /// Gives so many observations from a sequence number on, and the number that follows them.
    fn from(&self, from: u64, count: u64) -> (Vec<Made>, u64) {
        let kept = self.kept.iter().filter(|made| made.sequence >= from);
        let made: Vec<Made> =
            kept.take(usize::try_from(count).unwrap_or(BUFFER_SIZE)).cloned().collect();
        let next = made.last().map_or(from.max(self.first()), |made| made.sequence + 1);
        (made, next)
    }
}

/// The buffer, and who is to be told when it grows.
#[derive(Default)]
struct Agent {
    buffer: Mutex<Buffer>,
    grown: Notify,
}

/// Serves an agent that takes each frame, until it is dropped.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    mut frames: watch::Receiver<Arc<Frame>>,
) -> io::Result<()> {
    let agent = Arc::new(Agent::default());
    {
        let mut buffer = agent.buffer.lock();
        buffer.instance = u64::try_from(clock::now().millis()).unwrap_or(1);
        buffer.next = 1;
        buffer.take(&frames.borrow_and_update());
    }
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted?,
            changed = frames.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                agent.buffer.lock().take(&frames.borrow_and_update());
                agent.grown.notify_waiters();
                continue;
            }
        };
        // No place left: the connection is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let agent = agent.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(accepted.0, &agent).await {
                tracing::debug!(%error, "demo mtconnect connection ended");
            }
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, agent: &Agent) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(target) = request(&mut stream).await? {
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let asked = Asked::read(query);
        let kind = path.trim_matches('/').rsplit('/').next().unwrap_or_default();
        let document = match kind {
            "" | "probe" => Ok(xml::probe(&agent.buffer.lock())),
            "current" => Ok(xml::current(&agent.buffer.lock())),
            "assets" => Ok(xml::assets(&agent.buffer.lock())),
            "sample" if asked.interval_ms.is_some() => return send(stream, agent, asked).await,
            "sample" => sample(agent, &asked).map(|(document, _)| document),
            _ => Err(xml::error("INVALID_URI")),
        };
        let (status, body) = match document {
            Ok(body) => ("200 OK", body),
            Err(body) => ("404 Not Found", body),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
    }
    Ok(())
}

/// Reads the head of a request and gives its target; `None` where the client has gone.
async fn request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await? == 0 || head.len() >= HEAD_BYTES_MAX {
            return Ok(None);
        }
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split(' ');
    Ok((words.next() == Some("GET")).then(|| words.next().unwrap_or_default().to_owned()))
}

/// What a request for a sample asks.
#[derive(Debug, Clone, Copy)]
struct Asked {
    from: Option<u64>,
    count: u64,
    interval_ms: Option<u64>,
    heartbeat_ms: u64,
}

impl Asked {
    fn read(query: &str) -> Self {
        let number = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).and_then(|(_, value)| value.parse().ok())
        };
        Self {
            from: number("from"),
            count: number("count").unwrap_or(COUNT),
            interval_ms: number("interval"),
            heartbeat_ms: number("heartbeat").unwrap_or(HEARTBEAT_MS).max(10),
        }
    }
}

/// Makes a sample, and gives the number that follows it; an error document where it can't be had.
fn sample(agent: &Agent, asked: &Asked) -> Result<(String, u64), String> {
    let buffer = agent.buffer.lock();
    let from = asked.from.unwrap_or(buffer.first());
    let is_kept = (buffer.first()..=buffer.next).contains(&from);
    if !is_kept || !(1..=COUNT_MAX).contains(&asked.count) {
        return Err(xml::error("OUT_OF_RANGE"));
    }
    let (made, next) = buffer.from(from, asked.count);
    Ok((xml::streams(&buffer, &made, next), next))
}

/// Sends part after part for as long as the client listens (MTConnect Part 1, 8.3.4).
async fn send(mut stream: TcpStream, agent: &Agent, asked: Asked) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\
                Content-Type: multipart/x-mixed-replace;boundary=wrapper\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let mut asked = asked;
    loop {
        let (document, is_last) = match sample(agent, &asked) {
            Ok((document, next)) => {
                asked.from = Some(next);
                (document, false)
            }
            Err(document) => (document, true),
        };
        let part = format!(
            "--wrapper\r\nContent-type: text/xml\r\nContent-length: {}\r\n\r\n{document}\r\n",
            document.len()
        );
        stream.write_all(part.as_bytes()).await?;
        if is_last {
            return stream.write_all(b"--wrapper--\r\n").await;
        }
        let beat = Instant::now() + Duration::from_millis(asked.heartbeat_ms);
        sleep(Duration::from_millis(asked.interval_ms.unwrap_or_default().min(10_000))).await;
        loop {
            let grown = agent.grown.notified();
            let next = agent.buffer.lock().next;
            if asked.from.is_some_and(|from| from < next) || timeout_at(beat, grown).await.is_err()
            {
                break;
            }
        }
    }
}
