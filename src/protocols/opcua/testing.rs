//! What the tests of this room share: a certificate, a server, and a wire that counts.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tempfile::TempDir;

use super::certificates::{self, CertificateFacts};

/// Holds the certificate's folder for the life of the test binary.
struct Made {
    home: TempDir,
    facts: (CertificateFacts, Vec<u8>),
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let home = tempfile::tempdir().expect("a temporary directory");
        let facts = certificates::own(home.path()).expect("a certificate");
        Made { home, facts }
    })
}

/// Gives a certificate, made once per test binary: RSA keys take seconds.
pub(super) fn certificate() -> &'static (CertificateFacts, Vec<u8>) {
    &made().facts
}

/// Gives a state directory that has its own certificate already.
pub(super) fn home() -> TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    certificates::ensure_folders(home.path()).expect("folders");
    let (from, to) = (made().home.path().join("pki"), home.path().join("pki"));
    for file in [certificates::OWN_CERTIFICATE, certificates::OWN_KEY] {
        fs::copy(from.join(file), to.join(file)).expect("a copy");
    }
    home
}

/// Counts what a client sends to a server, message by message, as the server sees it.
#[derive(Debug, Default)]
pub(super) struct Tap {
    messages: AtomicU64,
    closes: AtomicU64,
}

impl Tap {
    /// Gives how many messages went by.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Waits until so many channels were closed: what was sent may still be on its way.
    pub(super) async fn closed(&self, channels: u64) {
        while self.closes.load(Relaxed) < channels {
            tokio::task::yield_now().await;
        }
    }

    /// Counts the chunks that end a message: HEL, OPN, MSG, CLO (Part 6, 7.1.2.2).
    fn count(&self, pending: &mut Vec<u8>) {
        while let Some(header) = pending.get(..8) {
            let size = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            let size = usize::try_from(size).expect("a small chunk");
            if pending.len() < size {
                return;
            }
            self.messages.fetch_add(u64::from(header[3] == b'F'), Relaxed);
            self.closes.fetch_add(u64::from(&header[..3] == b"CLO"), Relaxed);
            pending.drain(..size);
        }
    }
}

/// A port before a server, through which everything is counted.
pub(super) struct Proxy {
    pub(super) port: u16,
    pub(super) tap: Arc<Tap>,
    connections: tokio_util::sync::CancellationToken,
}

impl Proxy {
    pub(super) async fn before(server: u16) -> Self {
        use tokio::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tap = Arc::new(Tap::default());
        let connections = tokio_util::sync::CancellationToken::new();
        let (counted, cut) = (tap.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
                let (counted, cut) = (counted.clone(), cut.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = cut.cancelled() => {}
                        () = relay(client, server, counted) => {}
                    }
                });
            }
        });
        Self { port, tap, connections }
    }

    /// Cuts every connection for good.
    pub(super) fn cut(&self) {
        self.connections.cancel();
    }
}

async fn relay(client: tokio::net::TcpStream, server: tokio::net::TcpStream, tap: Arc<Tap>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let (mut buffer, mut pending) = (vec![0u8; 65536], Vec::new());
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            pending.extend_from_slice(&buffer[..length]);
            tap.count(&mut pending);
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let down = async {
        if tokio::io::copy(&mut from_server, &mut to_client).await.is_err() {
            // The other side is gone; that is how relays end.
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Trusts the one certificate of a state directory's rejected folder.
pub(super) fn trust_all(state_dir: &Path) {
    for facts in certificates::list(state_dir).unwrap() {
        if facts.state == certificates::CertificateState::Rejected {
            let print = &facts.fingerprint;
            certificates::trust(state_dir, print, &print[56..]).unwrap();
        }
    }
}
