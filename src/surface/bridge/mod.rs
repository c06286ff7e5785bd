//! `ot-aiops mcp`: a client's stdio, pumped to the collector that owns the state directory.
//!
//! It knows no tools. It remembers just enough to survive the collector's restart.

mod relay;
mod start;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::relay::{Passage, Relay};
use self::start::Collectors;
pub(crate) use self::start::Starting;
use super::mcp::Toolset;
use super::state::StateDir;
use super::wire::{INVALID_REQUEST, LINE_BYTES_MAX, Line, Lines, Outbox, rejection};

/// The longest line a collector may send: an answer at its limit stands twice in it, escaped.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Unsent bytes in either direction before the other side is no longer read.
const UNSENT_BYTES_MAX: usize = 2 << 20;
/// A collector that takes nothing for this long is as good as gone.
const COLLECTOR_STALL: Duration = Duration::from_secs(5);
/// A client may be suspended and come back.
const CLIENT_STALL: Duration = Duration::from_secs(3600);
/// How long the first connection may take, a collector's start included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// What a client says while there is no collector is kept this long, then answered.
const HOLD_MAX: Duration = Duration::from_secs(10);
/// Lines kept meanwhile.
const HELD_LINES_MAX: usize = 64;
/// After the client's last line, the answers under way get this long.
const DRAIN_MAX: Duration = Duration::from_secs(4);
/// The first and the longest pause between tries to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// What a bridge is run with.
#[derive(Debug, Clone)]
pub(crate) struct BridgeOptions {
    /// Whose collector.
    pub(crate) state: StateDir,
    /// What happens where there is none.
    pub(crate) starting: Starting,
    /// Which tools are listed.
    pub(crate) toolset: Toolset,
}

/// Why a bridge did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BridgeError {
    /// No collector, and none to be had.
    #[error("no collector answers at {path}: {why}")]
    Unreachable {
        /// The socket.
        path: String,
        /// What was tried.
        why: String,
    },
    /// There is a socket, and it is not for us.
    #[error("permission denied on {path}: its owner or members of its group may use it")]
    Denied {
        /// The socket.
        path: String,
    },
}

/// Pumps until the client ends.
///
/// # Errors
/// No collector could be reached at all.
pub(crate) async fn pump<R, W>(
    options: BridgeOptions,
    input: R,
    output: W,
) -> Result<(), BridgeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut collectors = Collectors::new(options.state.clone(), options.starting.clone());
    let stream = first_connection(&options, &mut collectors).await?;
    let mut client = Client {
        lines: Lines::new(input, LINE_BYTES_MAX),
        outbox: sending(output, CLIENT_STALL),
        ended_until: None,
    };
    let mut relay = Relay::new(options.toolset);
    let mut link = Some(Link::new(stream));
    while let Some(now) = link.take() {
        match session(&mut relay, &mut client, now).await {
            Ended::Client => break,
            Ended::Collector => {
                for answer in relay.lose_calls() {
                    client.outbox.push(answer);
                }
                link = reconnect(&mut relay, &mut client, &mut collectors).await;
            }
        }
    }
    client.outbox.close();
    if timeout(Duration::from_millis(500), client.outbox.ended()).await.is_err() {
        tracing::debug!("the client did not read its last answers");
    }
    Ok(())
}

struct Client<R> {
    lines: Lines<R>,
    outbox: Arc<Outbox>,
    /// Set once the client has said its last: when to end at the latest.
    ended_until: Option<Instant>,
}

struct Link {
    lines: Lines<OwnedReadHalf>,
    outbox: Arc<Outbox>,
}

impl Link {
    fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self { lines: Lines::new(read, ANSWER_BYTES_MAX), outbox: sending(write, COLLECTOR_STALL) }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

fn sending<W>(write: W, stall: Duration) -> Arc<Outbox>
where
    W: AsyncWrite + Unpin + Send + 'static,
{
    let outbox = Arc::new(Outbox::default());
    let writing = outbox.clone();
    tokio::spawn(async move {
        if let Err(error) = writing.write_all(write, stall).await {
            tracing::debug!(%error, "a peer is gone");
        }
    });
    outbox
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Client,
    Collector,
}

/// Pumps both ways until one side ends.
async fn session<R>(relay: &mut Relay, client: &mut Client<R>, mut link: Link) -> Ended
where
    R: AsyncRead + Unpin,
{
    loop {
        let latest = client.ended_until;
        let from_client = async {
            link.outbox.below(UNSENT_BYTES_MAX).await;
            client.lines.next().await
        };
        let from_collector = async {
            client.outbox.below(UNSENT_BYTES_MAX).await;
            link.lines.next().await
        };
        tokio::select! {
            line = from_client, if latest.is_none() && relay.has_room() => match line {
                Ok(Line::Text(line)) => match relay.take_from_client(line) {
                    Passage::Onward(line) => link.outbox.push(line),
                    Passage::Back(line) => client.outbox.push(line),
                },
                Ok(Line::TooLong) => client.outbox.push(too_long()),
                Ok(Line::End) | Err(_) => {
                    // Said before the socket is half closed: its end is then no loss.
                    client.ended_until = Some(Instant::now() + DRAIN_MAX);
                    link.outbox.close();
                }
            },
            line = from_collector => match line {
                Ok(Line::Text(line)) => {
                    if let Some(line) = relay.take_from_collector(line) {
                        client.outbox.push(line);
                    }
                }
                Ok(Line::TooLong) => tracing::warn!("the collector sent too long a line"),
                Ok(Line::End) | Err(_) if latest.is_some() => return Ended::Client,
                Ok(Line::End) | Err(_) => return Ended::Collector,
            },
            () = client.outbox.ended() => return Ended::Client,
            () = until(latest) => return Ended::Client,
        }
        if client.ended_until.is_some() && relay.is_idle() {
            return Ended::Client;
        }
    }
}

async fn until(latest: Option<Instant>) {
    match latest {
        Some(latest) => sleep_until(latest).await,
        None => std::future::pending().await,
    }
}

fn too_long() -> Vec<u8> {
    let message = format!("the line is longer than {LINE_BYTES_MAX} bytes");
    rejection(&serde_json::Value::Null, INVALID_REQUEST, &message)
}

async fn first_connection(
    options: &BridgeOptions,
    collectors: &mut Collectors,
) -> Result<UnixStream, BridgeError> {
    let path = options.state.agent_socket().display().to_string();
    let give_up = Instant::now() + CONNECT_MAX;
    let mut pause = PAUSES.0;
    loop {
        let error = match collectors.connect().await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(BridgeError::Denied { path });
            }
            Err(error) => error,
        };
        if options.starting == Starting::Attach {
            let why = format!("{error}; --attach starts none, so start it: ot-aiops run");
            return Err(BridgeError::Unreachable { path, why });
        }
        if Instant::now() >= give_up {
            let failure = collectors.failure();
            let why = failure.unwrap_or_else(|| format!("{error}; one was started"));
            return Err(BridgeError::Unreachable { path, why });
        }
        if pause == PAUSES.1
            && let Some(why) = collectors.failure()
        {
            return Err(BridgeError::Unreachable { path, why });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Waits for a collector to come back; `None` if the client ended first.
async fn reconnect<R>(
    relay: &mut Relay,
    client: &mut Client<R>,
    collectors: &mut Collectors,
) -> Option<Link>
where
    R: AsyncRead + Unpin,
{
    let answer_from = Instant::now() + HOLD_MAX;
    let mut held: VecDeque<Vec<u8>> = VecDeque::new();
    let (mut pause, mut next_try) = (PAUSES.0, Instant::now());
    loop {
        let is_holding = Instant::now() < answer_from;
        if !is_holding {
            for line in held.drain(..) {
                if let Some(answer) = relay.refuse(line, "the collector is gone") {
                    client.outbox.push(answer);
                }
            }
        }
        let has_room = held.len() < HELD_LINES_MAX;
        tokio::select! {
            () = sleep_until(next_try) => {
                if let Ok(stream) = collectors.connect().await {
                    let link = Link::new(stream);
                    for line in relay.replay() {
                        link.outbox.push(line);
                    }
                    for line in held {
                        match relay.take_from_client(line) {
                            Passage::Onward(line) => link.outbox.push(line),
                            Passage::Back(line) => client.outbox.push(line),
                        }
                    }
                    return Some(link);
                }
                next_try = Instant::now() + pause;
                pause = (pause * 2).min(PAUSES.1);
            }
            line = client.lines.next(), if has_room => match line {
                Ok(Line::Text(line)) => held.push_back(line),
                Ok(Line::TooLong) => client.outbox.push(too_long()),
                Ok(Line::End) | Err(_) => return None,
            },
            () = sleep_until(answer_from), if is_holding => {}
            () = client.outbox.ended() => return None,
        }
    }
}
