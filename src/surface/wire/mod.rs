//! One session's wire: JSON-RPC lines over any stream, with a limit on everything.
//!
//! The library's own transport queues answers without bound, drops bad lines in silence and
//! never ends a session whose peer is gone; this one does none of that.

mod flight;
mod lines;
mod outbox;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ClientNotification, ClientRequest, JsonRpcMessage};
use rmcp::service::TxJsonRpcMessage;
use rmcp::transport::Transport;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use flight::{Admission, Flight};
pub(crate) use lines::{INVALID_REQUEST, LINE_BYTES_MAX, Line, Lines, refusal_of, rejection};
pub(crate) use outbox::Outbox;

/// Requests handed on and not yet answered before reading stops: above the 32 calls and the
/// standing subscriptions of a session, so that cancellations are still read.
const REQUESTS_IN_FLIGHT_MAX: usize = 128;

/// What one session may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Reading stops while this many bytes wait to be written.
    pub(crate) unsent_bytes_max: usize,
    /// A peer that takes nothing for this long is dropped.
    pub(crate) stall: Duration,
    /// A peer that sends no line for this long after it came is dropped.
    pub(crate) first_line: Option<Duration>,
}

impl Limits {
    /// The limits of a session over a socket, which costs nothing to open.
    pub(crate) const SOCKET: Self = Self {
        unsent_bytes_max: 2 << 20,
        stall: Duration::from_secs(5),
        first_line: Some(Duration::from_secs(5)),
    };
}

/// The wire, as the library wants a transport.
pub(crate) struct Wire<R> {
    lines: Lines<R>,
    outbox: Arc<Outbox>,
    flight: Flight,
    limits: Limits,
    first_line_until: Option<Instant>,
    /// Before a lifecycle has been chosen, a notification would end the session.
    opened: bool,
    dead: CancellationToken,
}

impl<R: AsyncRead + Unpin + Send> Wire<R> {
    /// Makes a wire; `dead` is cancelled when the peer is gone, and ends the session's handlers.
    pub(crate) fn new<W>(read: R, write: W, limits: Limits, dead: CancellationToken) -> Self
    where
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let outbox = Arc::new(Outbox::default());
        let (writing, gone) = (outbox.clone(), dead.clone());
        tokio::spawn(async move {
            if let Err(error) = writing.write_all(write, limits.stall).await {
                tracing::debug!(%error, "a session's peer is gone");
                gone.cancel();
            }
        });
        Self {
            lines: Lines::new(read, LINE_BYTES_MAX),
            outbox,
            flight: Flight::default(),
            limits,
            first_line_until: limits.first_line.map(|within| Instant::now() + within),
            opened: false,
            dead,
        }
    }

    async fn line(&mut self) -> Line {
        let until = self.first_line_until;
        let too_late = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = self.lines.next() => match read {
                Ok(line) => line,
                Err(error) => {
                    tracing::debug!(%error, "a session's peer is gone");
                    self.dead.cancel();
                    Line::End
                }
            },
            () = self.outbox.ended() => Line::End,
            () = too_late => {
                tracing::debug!("a session said nothing");
                self.dead.cancel();
                Line::End
            }
        }
    }

    /// Takes one message in, or answers it where it can't be handed on.
    fn admit(&mut self, line: &[u8]) -> Option<ClientJsonRpcMessage> {
        let message = match serde_json::from_slice::<ClientJsonRpcMessage>(line) {
            Ok(message) => message,
            Err(error) => {
                self.outbox.push(refusal_of(line, &error));
                return None;
            }
        };
        match &message {
            JsonRpcMessage::Request(request) => {
                if self.flight.admit(&request.id) == Admission::Duplicate {
                    let text = format!("the id {} is in use", request.id);
                    self.outbox.push(rejection(&Value::Null, INVALID_REQUEST, &text));
                    return None;
                }
                self.opened = self.opened || chooses_lifecycle(&request.request);
            }
            JsonRpcMessage::Notification(note) => {
                if let ClientNotification::CancelledNotification(cancelled) = &note.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.flight.cancelled(id);
                }
                return self.opened.then_some(message);
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {
                return self.opened.then_some(message);
            }
        }
        Some(message)
    }
}

fn chooses_lifecycle(request: &ClientRequest) -> bool {
    use rmcp::model::GetMeta;
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        other => other.get_meta().protocol_version().is_some(),
    }
}

impl<R: AsyncRead + Unpin + Send> Transport<RoleServer> for Wire<R> {
    type Error = Infallible;

    fn name() -> Cow<'static, str> {
        "wire".into()
    }

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Infallible>> + Send + 'static {
        match &item {
            JsonRpcMessage::Response(response) => self.flight.answered(&response.id),
            JsonRpcMessage::Error(error) => {
                if let Some(id) = &error.id {
                    self.flight.answered(id);
                }
            }
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => {}
        }
        match serde_json::to_vec(&item) {
            Ok(mut line) => {
                line.push(b'\n');
                self.outbox.push(line);
            }
            Err(error) => tracing::error!(%error, "a message can't be written"),
        }
        let (outbox, unsent_bytes_max) = (self.outbox.clone(), self.limits.unsent_bytes_max);
        // Whoever sends notifications waits here, so they can't pile up.
        async move {
            outbox.below(unsent_bytes_max).await;
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            self.outbox.below(self.limits.unsent_bytes_max).await;
            if self.flight.len() >= REQUESTS_IN_FLIGHT_MAX {
                // The next answer calls again; a peer that is gone ends it.
                self.outbox.ended().await;
            }
            if self.outbox.has_ended() {
                return None;
            }
            match self.line().await {
                Line::End => return None,
                Line::TooLong => {
                    self.first_line_until = None;
                    let text = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                    self.outbox.push(rejection(&Value::Null, INVALID_REQUEST, &text));
                }
                Line::Text(line) => {
                    self.first_line_until = None;
                    if let Some(message) = self.admit(&line) {
                        return Some(message);
                    }
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Infallible> {
        self.outbox.close();
        self.outbox.ended().await;
        Ok(())
    }
}

impl<R> Drop for Wire<R> {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// A socket whose peer closed it with answers unread: reading fails, it doesn't end.
    struct Reset;

    impl AsyncRead for Reset {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }

    #[tokio::test]
    async fn a_read_error_is_death_and_an_end_is_not() {
        let dead = CancellationToken::new();
        let mut wire = Wire::new(Reset, tokio::io::sink(), Limits::SOCKET, dead.clone());
        assert!(wire.receive().await.is_none());
        assert!(dead.is_cancelled());
        let dead = CancellationToken::new();
        let mut wire =
            Wire::new(tokio::io::empty(), tokio::io::sink(), Limits::SOCKET, dead.clone());
        assert!(wire.receive().await.is_none());
        assert!(!dead.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn reading_stops_at_the_bound_and_a_stalled_peer_is_dropped() {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (read, write) = tokio::io::split(ours);
        let dead = CancellationToken::new();
        let mut wire = Wire::new(read, write, Limits::SOCKET, dead.clone());
        wire.outbox.push(vec![b'x'; Limits::SOCKET.unsent_bytes_max + 1024]);
        let started = Instant::now();
        assert!(wire.receive().await.is_none());
        assert_eq!(started.elapsed(), Limits::SOCKET.stall);
        assert!(dead.is_cancelled());
        drop(theirs);
    }
}
