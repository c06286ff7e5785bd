//! The MQTT session, 3.1.1 and 5: one connection, its subscriptions, and what comes over it.
//!
//! It never reconnects by itself: a lost link ends it, and whoever owns it opens another.

mod both;
mod failure;
mod v3;
mod v5;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub use failure::MqttError;

use super::dial;

/// Requests that wait for the connection; whoever comes then waits, within its deadline.
const REQUESTS_MAX: usize = 64;
/// Packets read before anything else gets a turn.
const READ_BATCH: usize = 64;
/// Filters of one SUBSCRIBE: far below every broker's limit on the length of a packet.
const FILTERS_PER_PACKET: usize = 50;
/// A longer packet ends the session: what it announces is never buffered.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// The version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V3,
    /// MQTT 5.0, protocol level 5.
    V5,
}

/// What a session is opened with.
#[derive(Clone)]
pub struct Opening {
    /// The broker's name or address; a certificate must be its.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The version that is spoken.
    pub version: Version,
    /// Who we are: a broker ends the older of two sessions of one name.
    pub client_id: String,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// TLS, where the port speaks it.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// A broker that says nothing for twice as long is gone.
    pub keep_alive_s: u16,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it was published.
    pub topic: Bytes,
    /// What it holds.
    pub payload: Bytes,
    /// The quality of service it came with.
    pub qos: u8,
    /// The broker had kept it.
    pub retain: bool,
}

/// Whoever listens. Called on the connection's own task: the broker waits meanwhile.
pub trait Ear: Send + Sync + 'static {
    /// Takes a message.
    fn hear(&self, message: Heard);
    /// Learns why the session ended.
    fn ended(&self, why: MqttError);
}

/// What the connection's task sees.
enum Seen {
    /// The broker took us in.
    Accepted,
    Message(Heard),
    Other,
}

enum Line {
    V3(Box<rumqttc_v4::EventLoop>),
    V5(Box<rumqttc_v5::EventLoop>),
}

impl Line {
    async fn next(&mut self) -> Result<Seen, MqttError> {
        match self {
            Self::V3(events) => v3::next(events).await,
            Self::V5(events) => v5::next(events).await,
        }
    }
}

/// The sending half.
#[derive(Debug, Clone)]
enum Client {
    V3(rumqttc_v4::AsyncClient),
    V5(rumqttc_v5::AsyncClient),
}

/// A live session. It ends when this is dropped.
#[derive(Debug)]
pub struct Session {
    client: Client,
    task: JoinHandle<()>,
}

/// Sends over a session. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Sender(Client);

/// A message to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the broker keeps it for those who come later.
    pub retain: bool,
}

impl Session {
    /// Connects, logs in, and listens from then on.
    ///
    /// # Errors
    /// What kept the session from coming up; a refused login is said at once.
    pub async fn open(
        opening: &Opening,
        ear: Arc<dyn Ear>,
        deadline: Instant,
    ) -> Result<Self, MqttError> {
        let stream = dial::tcp(&opening.host, opening.port, deadline).await?;
        let (client, mut line) = match opening.version {
            Version::V3 => v3::make(opening, stream),
            Version::V5 => v5::make(opening, stream),
        };
        loop {
            match timeout_at(deadline, line.next()).await {
                Err(_) => return Err(MqttError::Silent),
                Ok(Err(why)) => return Err(why),
                Ok(Ok(Seen::Accepted)) => break,
                Ok(Ok(_)) => {}
            }
        }
        let task = tokio::spawn(async move {
            let why = loop {
                match line.next().await {
                    Ok(Seen::Message(message)) => ear.hear(message),
                    Ok(Seen::Accepted | Seen::Other) => {}
                    Err(why) => break why,
                }
            };
            ear.ended(why);
        });
        Ok(Self { client, task })
    }

    /// Gives what sends over it.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender(self.client.clone())
    }

    /// Says goodbye and ends.
    pub async fn close(mut self, deadline: Instant) {
        let said = match &self.client {
            Client::V3(client) => client.try_disconnect_now().is_ok(),
            Client::V5(client) => client.try_disconnect_now().is_ok(),
        };
        if said && timeout_at(deadline, &mut self.task).await.is_err() {
            tracing::debug!("an MQTT session did not end in time; dropped");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sender {
    /// Gives the packets that subscribing to so many filters takes.
    #[must_use]
    pub fn packets(filters: usize) -> u32 {
        u32::try_from(filters.div_ceil(FILTERS_PER_PACKET)).unwrap_or(u32::MAX)
    }

    /// Subscribes; tells for each filter whether the broker granted it.
    ///
    /// # Errors
    /// The session ended, or the broker did not answer before the deadline.
    pub async fn subscribe(
        &self,
        filters: &[Arc<str>],
        qos: u8,
        deadline: Instant,
    ) -> Result<Vec<bool>, MqttError> {
        let mut granted = Vec::with_capacity(filters.len());
        for some in filters.chunks(FILTERS_PER_PACKET) {
            let answer = async {
                match &self.0 {
                    Client::V3(client) => v3::subscribe(client, some, qos).await,
                    Client::V5(client) => v5::subscribe(client, some, qos).await,
                }
            };
            granted.extend(timeout_at(deadline, answer).await.map_err(|_| MqttError::Silent)??);
        }
        Ok(granted)
    }

    /// Gives a subscription back, without waiting for the answer.
    pub fn unsubscribe(&self, filter: &str) {
        let sent = match &self.0 {
            Client::V3(client) => client.try_unsubscribe(filter).is_ok(),
            Client::V5(client) => client.try_unsubscribe(filter).is_ok(),
        };
        if !sent {
            tracing::debug!("a subscription could not be given back; it ends with the session");
        }
    }

    /// Publishes once, and waits until the broker has it where the quality of service says so.
    ///
    /// # Errors
    /// The broker refused it, or nobody knows what became of it.
    pub async fn publish(&self, publish: Publish, deadline: Instant) -> Result<(), MqttError> {
        let answer = async {
            match &self.0 {
                Client::V3(client) => v3::publish(client, publish).await,
                Client::V5(client) => v5::publish(client, publish).await,
            }
        };
        timeout_at(deadline, answer).await.map_err(|_| MqttError::Silent)?
    }
}

/// Hands the stream over once: the library can't connect again behind our back.
type Once = Arc<parking_lot::Mutex<Option<TcpStream>>>;

fn once(stream: TcpStream) -> Once {
    Arc::new(parking_lot::Mutex::new(Some(stream)))
}

fn take(once: &Once) -> std::io::Result<TcpStream> {
    let taken = once.lock().take();
    taken
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotConnected, "the session is over"))
}

/// The library's own limit on connecting: ours comes first.
const LATE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// An ear that passes on why the session ended.
    struct Last(mpsc::Sender<MqttError>);

    impl Ear for Last {
        fn hear(&self, _message: Heard) {}

        fn ended(&self, why: MqttError) {
            assert!(self.0.try_send(why).is_ok(), "a session ends once");
        }
    }

    /// Opens a session with a broker that answers CONNECT so, and says why it ended or did not
    /// come up.
    async fn end(version: Version, answer: &'static [u8]) -> MqttError {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut connect = [0; 512];
            assert!(stream.read(&mut connect).await.unwrap() > 0, "a CONNECT");
            stream.write_all(answer).await.unwrap();
            // Until the client goes.
            while stream.read(&mut connect).await.is_ok_and(|count| count > 0) {}
        });
        let opening = Opening {
            host: "127.0.0.1".to_owned(),
            port,
            version,
            client_id: "c".to_owned(),
            login: None,
            tls: None,
            keep_alive_s: 60,
        };
        let (why, mut ended) = mpsc::channel(1);
        let deadline = Instant::now() + Duration::from_secs(20);
        let why = match Session::open(&opening, Arc::new(Last(why)), deadline).await {
            Err(why) => why,
            Ok(_session) => ended.recv().await.unwrap(),
        };
        broker.abort();
        why
    }

    /// Opens a session of version 5 with a broker that answers one message of quality 2 so, packet
    /// by packet, and says what became of the message. The packets end with the message's number.
    async fn delivered(answers: &[&'static [u8]]) -> Result<(), MqttError> {
        let answers = [&[&b"\x20\x03\x00\x00\x00"[..]], answers].concat();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packet = [0; 512];
            for answer in answers {
                assert!(stream.read(&mut packet).await.unwrap() > 0, "a packet");
                stream.write_all(answer).await.unwrap();
            }
            while stream.read(&mut packet).await.is_ok_and(|count| count > 0) {}
        });
        let opening = Opening {
            host: "127.0.0.1".to_owned(),
            port,
            version: Version::V5,
            client_id: "c".to_owned(),
            login: None,
            tls: None,
            keep_alive_s: 60,
        };
        let (why, _ended) = mpsc::channel(1);
        let deadline = Instant::now() + Duration::from_secs(20);
        let session = Session::open(&opening, Arc::new(Last(why)), deadline).await.unwrap();
        let (topic, payload) = ("t".to_owned(), b"1".to_vec());
        let publish = Publish { topic, payload, qos: 2, retain: false };
        let published = session.sender().publish(publish, deadline).await;
        broker.abort();
        published
    }

    #[tokio::test]
    async fn a_message_of_quality_2_that_the_broker_refuses_or_loses_is_no_success() {
        // PUBREC, then PUBCOMP, each for message 1 with its reason code.
        let took = &b"\x50\x02\x00\x01"[..];
        let refused = delivered(&[b"\x50\x03\x00\x01\x87"]).await;
        assert_eq!(refused, Err(MqttError::Publish("not authorized")));
        let refused = delivered(&[b"\x50\x03\x00\x01\x99"]).await;
        assert!(matches!(refused, Err(MqttError::Publish(_))), "{refused:?}");
        let lost = delivered(&[took, b"\x70\x03\x00\x01\x92"]).await;
        assert!(matches!(lost, Err(MqttError::Unsure(_))), "{lost:?}");
        assert_eq!(delivered(&[took, b"\x70\x02\x00\x01"]).await, Ok(()));
        // Nobody has subscribed, which is no failure.
        let heard_by_nobody = &b"\x50\x03\x00\x01\x10"[..];
        assert_eq!(delivered(&[heard_by_nobody, b"\x70\x02\x00\x01"]).await, Ok(()));
    }

    #[tokio::test]
    async fn a_packet_that_announces_more_than_is_taken_ends_the_session_by_name() {
        let why = end(Version::V3, b"\x20\x02\x00\x00\x30\xFF\xFF\xFF\x7F").await;
        assert_eq!(why, MqttError::TooLong);
        let why = end(Version::V5, b"\x20\x03\x00\x00\x00\x30\xFF\xFF\xFF\x7F").await;
        assert_eq!(why, MqttError::TooLong);
    }

    #[tokio::test]
    async fn a_refused_login_is_said_at_once_and_other_bytes_are_no_broker() {
        let refused = end(Version::V3, b"\x20\x02\x00\x05").await;
        assert_eq!(refused, MqttError::LoginRefused("not authorized"));
        let refused = end(Version::V5, b"\x20\x03\x00\x86\x00").await;
        assert_eq!(refused, MqttError::LoginRefused("bad user name or password"));
        for version in [Version::V3, Version::V5] {
            // Long enough to be a whole packet of some kind.
            let why = end(version, &[b'H'; 200]).await;
            assert!(matches!(why, MqttError::Protocol(_) | MqttError::Lost(_)), "{why:?}");
        }
    }
}
