//! A TCP relay that passes, holds back, spoils or cuts what a server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What happens to a server's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing.
    Pass,
    /// They arrive a few bytes at a time.
    Trickle,
    /// They are swallowed; the connection stays.
    Silence,
    /// Other bytes arrive in their place.
    Garbage,
    /// Half arrives, then the connection ends.
    Half,
    /// The connection ends before an answer.
    Drop,
}

/// A relay before one server, ended when this is dropped.
pub(crate) struct Meddler {
    pub(crate) port: u16,
    mode: watch::Sender<Mode>,
    /// Bytes the server answered.
    answered: Arc<AtomicU64>,
    _task: JoinSet<()>,
}

impl Meddler {
    /// Starts a relay to a port of 127.0.0.1.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, shown) = watch::channel(Mode::Pass);
        let answered = Arc::<AtomicU64>::default();
        let mut task = JoinSet::new();
        task.spawn(accept(listener, server, shown, answered.clone()));
        Self { port, mode, answered, _task: task }
    }

    /// Changes what happens, also on the connections that are open.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Gives how many bytes the server has answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    server: u16,
    mode: watch::Receiver<Mode>,
    answered: Arc<AtomicU64>,
) {
    let mut relays = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)).await else { continue };
        let (mode, answered) = (mode.clone(), answered.clone());
        relays.spawn(async move {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = upstream.into_split();
            tokio::select! {
                () = requests(from_client, to_server) => {}
                () = answers(from_server, to_client, &mode, &answered) => {}
            }
        });
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let _ended = tokio::io::copy(&mut from, &mut to).await;
}

/// Relays answers; returning ends both connections.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: &watch::Receiver<Mode>,
    answered: &AtomicU64,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        answered.fetch_add(count as u64, Ordering::Relaxed);
        let bytes = &mut buffer[..count];
        let mode = *mode.borrow();
        let sent = match mode {
            Mode::Pass => to.write_all(bytes).await,
            Mode::Silence => Ok(()),
            Mode::Garbage => {
                // The same every time, and no frame of any protocol begins with it.
                for (nth, byte) in bytes.iter_mut().enumerate() {
                    *byte = byte.rotate_left(3) ^ u8::try_from(nth % 251).unwrap() ^ 0xA5;
                }
                to.write_all(bytes).await
            }
            Mode::Trickle => trickle(&mut to, bytes).await,
            Mode::Half => {
                let _sent = to.write_all(&bytes[..count / 2]).await;
                return;
            }
            Mode::Drop => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn trickle(to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
    to.as_ref().set_nodelay(true)?;
    for piece in bytes.chunks(7) {
        to.write_all(piece).await?;
        sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}
