//! A TCP proxy that counts the protocol messages that go to a device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// How to find where a message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// MBAP: six bytes, of which the last two say how many follow.
    Modbus,
    /// OPC UA TCP: eight bytes, of which the last four say the length of all (Part 6, 7.1.2.2).
    OpcUa,
    /// TPKT: four bytes, of which the last two say the length of all (RFC 1006, 6).
    S7,
    /// MC 3E: nine bytes, of which the last two say how many follow (SLMP, 5.1).
    Mc,
}

impl Framing {
    const fn header(self) -> usize {
        match self {
            Self::Modbus => 6,
            Self::OpcUa => 8,
            Self::S7 => 4,
            Self::Mc => 9,
        }
    }

    fn length(self, header: &[u8]) -> usize {
        match self {
            Self::Modbus => 6 + usize::from(u16::from_be_bytes([header[4], header[5]])),
            Self::OpcUa => {
                let bytes = [header[4], header[5], header[6], header[7]];
                usize::try_from(u32::from_le_bytes(bytes)).unwrap()
            }
            Self::S7 => usize::from(u16::from_be_bytes([header[2], header[3]])),
            Self::Mc => 9 + usize::from(u16::from_le_bytes([header[7], header[8]])),
        }
    }

    /// Tells a message that only says "send me what changes": a PublishRequest (Part 4, 5.13.5;
    /// its encoding is i=826), without which a subscription ends. Only a channel without security
    /// shows it.
    fn is_publish(self, message: &[u8]) -> bool {
        self == Self::OpcUa
            && message.starts_with(b"MSG")
            && message.get(24..28) == Some(&[1, 0, 0x3a, 0x03])
    }

    /// Tells whether a chunk ends its message.
    fn is_final(self, header: &[u8]) -> bool {
        self != Self::OpcUa || header[3] != b'C'
    }

    /// Tells whether a whole message writes something.
    fn is_write(self, frame: &[u8]) -> bool {
        match self {
            // Function codes 5, 6, 15, 16, 22 and 23 (Modbus V1.1b3, 6).
            Self::Modbus => [5, 6, 15, 16, 22, 23].contains(&frame[7]),
            // WriteRequest, numeric id 673, behind the security and sequence headers (Part 6).
            Self::OpcUa => frame.starts_with(b"MSG") && frame.get(24..28) == Some(&[1, 0, 0xA1, 2]),
            // Function 5 of a job, behind TPKT, COTP and the job's header.
            Self::S7 => frame.get(8) == Some(&1) && frame.get(17) == Some(&5),
            // Commands 1401 and 1402.
            Self::Mc => matches!(frame.get(11..13), Some([1 | 2, 0x14])),
        }
    }
}

struct Shared {
    framing: Framing,
    target: u16,
    messages: AtomicU64,
    writes: AtomicU64,
    publishes: AtomicU64,
    connections: AtomicU64,
    /// Whether the line stands: while it does not, nobody listens.
    whole: watch::Sender<bool>,
}

/// The proxy, gone when this is dropped.
pub(crate) struct Counter {
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    shared: Arc<Shared>,
    accept: AbortHandle,
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Counter {
    /// Starts a proxy before a port of 127.0.0.1.
    pub(crate) async fn before(target: u16, framing: Framing) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            framing,
            target,
            messages: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            publishes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            whole: watch::channel(true).0,
        });
        let accepting = shared.clone();
        let accept = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut whole = accepting.whole.subscribe();
            let mut listener = Some(listener);
            loop {
                let Some(open) = &listener else {
                    whole.wait_for(|whole| *whole).await.unwrap();
                    listener = Some(TcpListener::bind(("127.0.0.1", port)).await.unwrap());
                    continue;
                };
                tokio::select! {
                    accepted = open.accept() => match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(pump(stream, accepting.clone()));
                        }
                        Err(_) => return,
                    },
                    _ = whole.wait_for(|whole| !*whole) => listener = None,
                }
            }
        });
        Self { port, shared, accept: accept.abort_handle() }
    }

    /// Gives how many messages went to the device so far.
    pub(crate) fn messages(&self) -> u64 {
        self.shared.messages.load(SeqCst)
    }

    /// Gives how many messages that write something went to the device so far.
    pub(crate) fn writes(&self) -> u64 {
        self.shared.writes.load(SeqCst)
    }

    /// Gives how many of them did more than keep a subscription going.
    pub(crate) fn questions(&self) -> u64 {
        // In this order: one that comes in between is a question for a moment, never less than 0.
        let publishes = self.shared.publishes.load(SeqCst);
        self.messages() - publishes
    }

    /// Gives how many connections reached the device so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Ends every connection and refuses others, until [`Self::mend`].
    pub(crate) fn cut(&self) {
        self.shared.whole.send_replace(false);
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.shared.whole.send_replace(true);
    }
}

async fn pump(near: TcpStream, shared: Arc<Shared>) {
    let Ok(far) = TcpStream::connect(("127.0.0.1", shared.target)).await else { return };
    shared.connections.fetch_add(1, SeqCst);
    let mut whole = shared.whole.subscribe();
    let (near_read, mut near_write) = near.into_split();
    let (mut far_read, far_write) = far.into_split();
    tokio::select! {
        () = count(near_read, far_write, &shared) => {}
        _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
        _ = whole.wait_for(|whole| !*whole) => {}
    }
}

/// Carries messages to the device one by one, counting each before it goes.
async fn count(mut near: OwnedReadHalf, mut far: OwnedWriteHalf, shared: &Shared) {
    loop {
        let mut frame = vec![0; shared.framing.header()];
        if near.read_exact(&mut frame).await.is_err() {
            return;
        }
        let (length, ends) = (shared.framing.length(&frame), shared.framing.is_final(&frame));
        let head = frame.len();
        frame.resize(length.max(head), 0);
        if near.read_exact(&mut frame[head..]).await.is_err() {
            return;
        }
        if ends {
            shared.messages.fetch_add(1, SeqCst);
            if shared.framing.is_publish(&frame) {
                shared.publishes.fetch_add(1, SeqCst);
            }
        }
        if shared.framing.is_write(&frame) {
            shared.writes.fetch_add(1, SeqCst);
        }
        if far.write_all(&frame).await.is_err() {
            return;
        }
    }
}
