//! What waits to be written, and the task that writes it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bytes gathered into one write: fewer calls of the kernel for many small answers.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Lines on their way out.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Fires at every change of the state.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes queued and bytes handed to the kernel but not yet taken.
    unsent_bytes: usize,
    phase: Phase,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// What is queued still goes out.
    Closing,
    /// Nothing goes out any more.
    Ended,
}

impl Outbox {
    /// Queues a line; what ended takes nothing.
    pub(crate) fn push(&self, line: Vec<u8>) {
        {
            let mut state = self.state.lock();
            if state.phase != Phase::Open {
                return;
            }
            state.unsent_bytes += line.len();
            state.lines.push_back(line);
        }
        self.moved.notify_waiters();
    }

    /// Lets nothing more in; what is queued still goes out.
    pub(crate) fn close(&self) {
        {
            let mut state = self.state.lock();
            if state.phase == Phase::Open {
                state.phase = Phase::Closing;
            }
        }
        self.moved.notify_waiters();
    }

    /// Waits until less than `bytes` are unsent, or nothing more goes out.
    pub(crate) async fn below(&self, bytes: usize) {
        self.until(|state| state.unsent_bytes < bytes || state.phase == Phase::Ended).await;
    }

    /// Waits until nothing more goes out.
    pub(crate) async fn ended(&self) {
        self.until(|state| state.phase == Phase::Ended).await;
    }

    /// Tells whether nothing more goes out.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.lock().phase == Phase::Ended
    }

    /// Writes until closed and empty.
    ///
    /// # Errors
    /// The peer is gone, or took nothing for `stall`.
    pub(crate) async fn write_all(
        &self,
        mut write: impl AsyncWrite + Unpin,
        stall: Duration,
    ) -> io::Result<()> {
        let written = self.pump(&mut write, stall).await;
        {
            let mut state = self.state.lock();
            state.phase = Phase::Ended;
            state.lines.clear();
            state.unsent_bytes = 0;
        }
        self.moved.notify_waiters();
        written
    }

    async fn pump(&self, write: &mut (impl AsyncWrite + Unpin), stall: Duration) -> io::Result<()> {
        loop {
            self.until(|state| !state.lines.is_empty() || state.phase != Phase::Open).await;
            let chunk = self.take();
            if chunk.is_empty() {
                return stalled(timeout(stall, write.shutdown()).await);
            }
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                let count = stalled(timeout(stall, write.write(rest)).await)?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                rest = rest.get(count..).unwrap_or_default();
                self.state.lock().unsent_bytes -= count;
                self.moved.notify_waiters();
            }
            stalled(timeout(stall, write.flush()).await)?;
        }
    }

    /// Takes lines up to the size of one write, at least one where there is one.
    fn take(&self) -> Vec<u8> {
        let mut state = self.state.lock();
        let mut chunk = state.lines.pop_front().unwrap_or_default();
        while let Some(line) = state.lines.front()
            && chunk.len() + line.len() <= WRITE_BYTES_MAX
        {
            chunk.extend_from_slice(line);
            state.lines.pop_front();
        }
        chunk
    }

    async fn until(&self, ready: impl Fn(&State) -> bool) {
        loop {
            // Made before the look, so that a change in between is not missed.
            let moved = self.moved.notified();
            if ready(&self.state.lock()) {
                return;
            }
            moved.await;
        }
    }
}

fn stalled<T>(done: Result<io::Result<T>, tokio::time::error::Elapsed>) -> io::Result<T> {
    done.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the peer reads nothing")))
}
