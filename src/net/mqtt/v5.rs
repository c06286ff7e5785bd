//! MQTT 5 by rumqttc.

use rumqttc_v5::{
    AsyncClient, ConnectReturnCode, ConnectionError, Error, IncomingPacketSizeLimit, MqttOptions,
    PubAckReason, PubCompReason, PubRecReason, PublishResult, StateError,
};
use tokio::net::TcpStream;

use super::both::both;
use super::{
    Client, Heard, LATE, Line, MqttError, Opening, PACKET_BYTES_MAX, Publish, READ_BATCH,
    REQUESTS_MAX, Seen, once, take,
};

both!(rumqttc_v5, V5SubAckFailure);

pub(super) fn make(opening: &Opening, stream: TcpStream) -> (Client, Line) {
    let broker = (opening.host.as_str(), opening.port);
    let mut options = MqttOptions::new(opening.client_id.clone(), broker);
    options.set_clean_start(true);
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    options.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(PACKET_BYTES_MAX));
    options.set_connect_timeout(LATE);
    introduce(&mut options, opening, stream);
    options.set_network_options(network());
    let (client, events) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
    (Client::V5(client), Line::V5(Box::new(events)))
}

fn failure(error: &ConnectionError) -> MqttError {
    match error {
        ConnectionError::MqttState(StateError::ConnFail { reason }) => refused(*reason),
        ConnectionError::MqttState(StateError::ServerDisconnect { .. }) => {
            MqttError::Lost("the broker ended the session")
        }
        ConnectionError::Timeout(_) => MqttError::Silent,
        ConnectionError::MqttState(
            StateError::IncomingPacketTooLarge { .. }
            | StateError::Deserialization(Error::PayloadSizeLimitExceeded { .. }),
        ) => MqttError::TooLong,
        // The library tells its source only here.
        ConnectionError::MqttState(StateError::Deserialization(inner)) => {
            MqttError::of_transport(inner)
        }
        other => failure_alike(other),
    }
}

/// The reason codes of CONNACK (MQTT 5.0, 3.2.2.2).
fn refused(code: ConnectReturnCode) -> MqttError {
    use ConnectReturnCode as Code;
    match code {
        Code::BadUserNamePassword => MqttError::LoginRefused("bad user name or password"),
        Code::NotAuthorized => MqttError::LoginRefused("not authorized"),
        Code::Banned => MqttError::LoginRefused("this client is banned"),
        Code::BadAuthenticationMethod => MqttError::LoginRefused("bad authentication method"),
        Code::BadClientId | Code::ClientIdentifierNotValid => {
            MqttError::LoginRefused("the client id is not allowed")
        }
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => {
            MqttError::Refused("it does not speak this version of MQTT")
        }
        Code::UseAnotherServer | Code::ServerMoved => MqttError::Refused("it has moved"),
        Code::QuotaExceeded | Code::ConnectionRateExceeded => {
            MqttError::Refused("too many connections")
        }
        _ => MqttError::Refused("it is unavailable"),
    }
}

/// Publishes; a reason code of 0x80 and above is a failure (MQTT 5.0, 3.4.2.1, 3.5.2.1, 3.7.2.1).
/// A message that nobody has subscribed to is delivered all the same.
pub(super) async fn publish(client: &AsyncClient, publish: Publish) -> Result<(), MqttError> {
    use {PubAckReason as Ack, PubRecReason as Rec};
    match answered(client, publish).await? {
        PublishResult::Qos0Flushed => Ok(()),
        PublishResult::Qos1(ack) => match ack.reason {
            Ack::Success | Ack::NoMatchingSubscribers => Ok(()),
            Ack::NotAuthorized => Err(MqttError::Publish("not authorized")),
            Ack::QuotaExceeded => Err(MqttError::Publish("quota exceeded")),
            _ => Err(MqttError::Publish("it gives a reason code")),
        },
        PublishResult::Qos2PubRecRejected(rec) => Err(MqttError::Publish(match rec.reason {
            Rec::NotAuthorized => "not authorized",
            Rec::QuotaExceeded => "quota exceeded",
            _ => "it gives a reason code",
        })),
        PublishResult::Qos2Completed(comp) => match comp.reason {
            PubCompReason::Success => Ok(()),
            // The only other one: it took the message, and knows nothing of it when released.
            PubCompReason::PacketIdentifierNotFound => Err(MqttError::Unsure(
                "it took the message and no longer knows of it; it may have been delivered or not",
            )),
        },
    }
}
