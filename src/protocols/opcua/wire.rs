//! The wire: TCP to the server, with every message counted as the server would count it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use opcua::client::ConnectionSource;
use opcua::client::transport::{
    Connector, OutgoingMessage, RequestRecv, SecureChannelState, StreamConnection, StreamConnector,
    StreamTransport, TransportConfiguration,
};
use opcua::core::comms::tcp_codec::TcpCodec;
use opcua::core::{RequestMessage, ResponseMessage};
use opcua::types::{
    ChannelSecurityToken, CloseSessionRequest, DecodingOptions, EndpointDescription, Error,
    RequestHeader, StatusCode,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::codec::FramedRead;

use super::values;
use crate::clock;
use crate::driver::{DriverError, Toll};

/// Requests between the session and the socket; the session itself waits where it is full.
const QUEUE: usize = 64;
/// How long a server may take to close a session whose login it refused.
const CLOSING: Duration = Duration::from_millis(500);

/// Counts what goes out, and what of it somebody paid for.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Messages sent: HEL, OPN, MSG and CLO alike.
    sent: AtomicU64,
    /// Those among them that an account knows of.
    accounted: AtomicU64,
}

impl Wire {
    /// Pays for one request that is about to go out.
    pub(super) async fn pay(&self, toll: &Toll, deadline: Instant) -> Result<(), DriverError> {
        toll.spend(deadline).await?;
        self.accounted.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Counts one request that must go out whatever the budget says: it tidies up after others.
    pub(super) fn record(&self, toll: &Toll) {
        toll.record(1);
        self.accounted.fetch_add(1, Relaxed);
    }

    /// Counts what went out since without being paid for: set-up, keep-alives, publishes.
    pub(super) fn settle(&self, toll: &Toll) {
        let sent = self.sent.load(Relaxed);
        let known = self.accounted.fetch_max(sent, Relaxed);
        let new = u32::try_from(sent.saturating_sub(known)).unwrap_or(u32::MAX);
        if new > 0 {
            toll.record(new);
        }
    }

    /// Gives how many messages went out.
    #[cfg(test)]
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

type Reader = ReadHalf<TcpStream>;
type Writer = WriteHalf<TcpStream>;

/// Connects to one host and port, whatever the server says its address is.
///
/// Servers behind address translation, or with a name that only they know, advertise what
/// can't be reached: the configured address is the one that a person vouched for.
pub(super) struct Dial {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) url: String,
    pub(super) wire: Arc<Wire>,
}

impl Dial {
    fn connection(
        &self,
        options: DecodingOptions,
    ) -> impl Future<Output = Result<StreamConnection<Reader, Writer>, Error>> + Send + Sync + use<>
    {
        let (host, port, url) = (self.host.clone(), self.port, self.url.clone());
        let wire = self.wire.clone();
        async move {
            let refused =
                |e: std::io::Error| Error::new(StatusCode::BadNotConnected, e.kind().to_string());
            let socket = TcpStream::connect((host.as_str(), port)).await.map_err(refused)?;
            socket.set_nodelay(true).map_err(refused)?;
            let (reader, writer) = tokio::io::split(socket);
            // The HEL follows at once.
            wire.sent.fetch_add(1, Relaxed);
            Ok(StreamConnection::new(FramedRead::new(reader, TcpCodec::new(options)), writer, url))
        }
    }
}

impl Connector for Dial {
    type Transport = StreamTransport<Reader, Writer>;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        mut outgoing: RequestRecv,
        config: TransportConfiguration,
    ) -> Result<Self::Transport, Error> {
        let connector =
            StreamConnector::new(|_, options| self.connection(options), self.url.clone());
        let (forward, counted) = mpsc::channel(QUEUE);
        let transport = connector.connect(channel.clone(), counted, config).await?;
        let wire = self.wire.clone();
        // Ends when the session drops its end, or the transport drops ours.
        tokio::spawn(async move {
            let mut is_open = true;
            while let Some(mut message) = outgoing.recv().await {
                attend(&mut message, &channel, &forward, &wire);
                // The transport sends nothing after a CLO.
                wire.sent.fetch_add(u64::from(is_open), Relaxed);
                is_open &= !matches!(message.request, RequestMessage::CloseSecureChannel(_));
                if forward.send(message).await.is_err() {
                    break;
                }
            }
        });
        Ok(transport)
    }

    fn default_endpoint(&self) -> EndpointDescription {
        EndpointDescription::from(self.url.as_str())
    }
}

/// Attends to the two answers that async-opcua does not take far enough.
fn attend(
    message: &mut OutgoingMessage,
    channel: &Arc<SecureChannelState>,
    forward: &mpsc::Sender<OutgoingMessage>,
    wire: &Arc<Wire>,
) {
    match &message.request {
        RequestMessage::OpenSecureChannel(_) => {
            let channel = channel.clone();
            on_answer(message, move |answer| {
                date_token(&channel, &answer);
                std::future::ready(answer)
            });
        }
        RequestMessage::ActivateSession(request) => {
            let request_header = RequestHeader {
                authentication_token: request.request_header.authentication_token.clone(),
                timestamp: values::date_time(clock::now()),
                ..Default::default()
            };
            let close = CloseSessionRequest { request_header, delete_subscriptions: true };
            // Weak, so that this does not keep the connection open.
            let (forward, wire) = (forward.downgrade(), wire.clone());
            on_answer(message, move |answer| close_if_refused(answer, close, forward, wire));
        }
        _ => {}
    }
}

type Answer = Result<ResponseMessage, Error>;

/// Lets `then` see the answer to a message before the one who asked does.
fn on_answer<F, Fut>(message: &mut OutgoingMessage, then: F)
where
    F: FnOnce(Answer) -> Fut + Send + 'static,
    Fut: Future<Output = Answer> + Send,
{
    let Some(callback) = message.callback.take() else { return };
    let (answered, answer) = oneshot::channel();
    message.callback = Some(answered);
    tokio::spawn(async move {
        if let Ok(answer) = answer.await {
            // Nobody listens any longer where the opening was given up.
            drop(callback.send(then(answer).await));
        }
    });
}

/// Takes a security token's age from our own clock.
///
/// async-opcua takes the server's word for when it was made: with a server whose clock is behind
/// it would renew the channel at each request, and never with one whose clock is ahead.
fn date_token(channel: &SecureChannelState, answer: &Answer) {
    if let Ok(ResponseMessage::OpenSecureChannel(answer)) = answer
        && answer.response_header.service_result.is_good()
    {
        let token = answer.security_token.clone();
        let token = ChannelSecurityToken { created_at: values::date_time(clock::now()), ..token };
        channel.secure_channel().write().set_security_token(token);
    }
}

/// Closes the session of a refused login.
///
/// async-opcua drops the channel alone, and a server with few sessions would keep each until its
/// timeout: a wrong password, retried, would lock everybody else out.
async fn close_if_refused(
    answer: Answer,
    close: CloseSessionRequest,
    forward: mpsc::WeakSender<OutgoingMessage>,
    wire: Arc<Wire>,
) -> Answer {
    if is_refusal(&answer)
        && let Some(forward) = forward.upgrade()
    {
        let (closed, confirmed) = oneshot::channel();
        let sent = forward.send(OutgoingMessage {
            request: close.into(),
            callback: Some(closed),
            deadline: std::time::Instant::now() + CLOSING,
            span: tracing::Span::none(),
        });
        if sent.await.is_ok() {
            wire.sent.fetch_add(1, Relaxed);
            // Whatever the server says, the login stays refused.
            drop(timeout(CLOSING, confirmed).await);
        }
    }
    answer
}

fn is_refusal(answer: &Answer) -> bool {
    match answer {
        Ok(ResponseMessage::ActivateSession(answer)) => {
            answer.response_header.service_result.is_bad()
        }
        Ok(ResponseMessage::ServiceFault(_)) => true,
        _ => false,
    }
}

impl ConnectionSource for Dial {
    type Builder = Self;

    fn get_connector(&self, _endpoint: &EndpointDescription) -> Result<Self, Error> {
        Ok(Self {
            host: self.host.clone(),
            port: self.port,
            url: self.url.clone(),
            wire: self.wire.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Meter, Purpose};
    use crate::model::Budget;

    #[tokio::test]
    async fn what_was_paid_for_is_not_counted_twice() {
        let wire = Wire::default();
        let meter = Meter::new(Budget::default());
        let (call, rest) =
            (Toll::new(meter.clone(), Purpose::Demand), Toll::new(meter.clone(), Purpose::Scan));
        wire.pay(&call, Instant::now() + Duration::from_secs(1)).await.unwrap();
        wire.settle(&rest);
        assert_eq!((call.spent(), rest.spent()), (1, 0));
        // The paid one and two others go out.
        wire.sent.fetch_add(3, Relaxed);
        wire.settle(&rest);
        wire.settle(&rest);
        assert_eq!((call.spent(), rest.spent()), (1, 2));
        assert_eq!(meter.report().sent, wire.sent());
    }
}
