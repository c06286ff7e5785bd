//! MQTT 5 by rumqttc.

use std::sync::Arc;

use rumqttc_v5::{
    AsyncClient, ConnectReturnCode, ConnectionError, Error, Event, EventLoop,
    IncomingPacketSizeLimit, MqttOptions, NetworkOptions, Packet, PubAckReason, PublishOptions,
    PublishResult, QoS, StateError, SubscribeFilter, SubscribeNoticeError, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use tokio::net::TcpStream;

use super::{
    Client, Heard, LATE, Line, MqttError, Opening, PACKET_BYTES_MAX, Publish, READ_BATCH,
    REQUESTS_MAX, Seen, once, take,
};

pub(super) fn make(opening: &Opening, stream: TcpStream) -> (Client, Line) {
    let broker = (opening.host.as_str(), opening.port);
    let mut options = MqttOptions::new(opening.client_id.clone(), broker);
    options.set_keep_alive(opening.keep_alive_s);
    options.set_clean_start(true);
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    options.set_incoming_packet_size_limit(IncomingPacketSizeLimit::Bytes(PACKET_BYTES_MAX));
    options.set_connect_timeout(LATE);
    options.set_read_batch_size(READ_BATCH);
    if let Some((user, password)) = &opening.login {
        options.set_credentials(user.clone(), password.clone());
    }
    if let Some(tls) = &opening.tls {
        let tls = TlsConfiguration::Rustls(tls.clone());
        options.set_transport(Transport::tls_with_config(tls));
    }
    let stream = once(stream);
    options.set_socket_connector(move |_, _| std::future::ready(take(&stream)));
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(LATE.as_secs());
    options.set_network_options(network);
    let (client, events) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
    (Client::V5(client), Line::V5(Box::new(events)))
}

pub(super) async fn next(events: &mut EventLoop) -> Result<Seen, MqttError> {
    match events.poll().await {
        Ok(Event::Incoming(Packet::Publish(publish))) => Ok(Seen::Message(Heard {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos as u8,
            retain: publish.retain,
        })),
        Ok(Event::Incoming(Packet::ConnAck(_))) => Ok(Seen::Accepted),
        Ok(_) => Ok(Seen::Other),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &ConnectionError) -> MqttError {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::MqttState(StateError::ConnFail { reason }) => refused(*reason),
        ConnectionError::MqttState(StateError::ServerDisconnect { .. }) => {
            MqttError::Lost("the broker ended the session")
        }
        ConnectionError::Timeout(_) => MqttError::Silent,
        ConnectionError::RequestsDone => MqttError::Lost("the session was closed"),
        ConnectionError::NotConnAck(_) => {
            MqttError::Protocol("the broker answers with something else than CONNACK")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => {
            MqttError::Lost("the broker ended the connection")
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            MqttError::Lost("the broker does not answer keep-alives")
        }
        ConnectionError::MqttState(
            StateError::IncomingPacketTooLarge { .. }
            | StateError::Deserialization(Error::PayloadSizeLimitExceeded { .. }),
        ) => MqttError::TooLong,
        // The library tells its source only here.
        ConnectionError::MqttState(StateError::Deserialization(inner)) => {
            MqttError::of_transport(inner)
        }
        other => MqttError::of_transport(other),
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

fn quality(qos: u8) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

const GONE: MqttError = MqttError::Lost("the session ended before the broker answered");

pub(super) async fn subscribe(
    client: &AsyncClient,
    filters: &[Arc<str>],
    qos: u8,
) -> Result<Vec<bool>, MqttError> {
    let wanted = filters.iter().map(|f| SubscribeFilter::new(f.to_string(), quality(qos)));
    let notice = client
        .subscribe_many_tracked(wanted)
        .await
        .map_err(|_| MqttError::Protocol("a topic filter is not valid, or the session is over"))?;
    let is_granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
    match notice.wait_async().await {
        Ok(ack) => Ok(ack.return_codes.iter().map(is_granted).collect()),
        Err(SubscribeNoticeError::V5SubAckFailure(codes)) => {
            Ok(codes.iter().map(is_granted).collect())
        }
        Err(_) => Err(GONE),
    }
}

pub(super) async fn publish(client: &AsyncClient, publish: Publish) -> Result<(), MqttError> {
    let options = PublishOptions::new(quality(publish.qos)).retain(publish.retain);
    let notice = client
        .publish_tracked(publish.topic, publish.payload, options)
        .await
        .map_err(|_| MqttError::Protocol("the topic is not valid, or the session is over"))?;
    match notice.wait_async().await {
        // A message that nobody has subscribed to is delivered all the same (MQTT 5.0, 3.4.2.1).
        Ok(PublishResult::Qos1(ack)) => match ack.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            PubAckReason::NotAuthorized => Err(MqttError::Publish("not authorized")),
            PubAckReason::QuotaExceeded => Err(MqttError::Publish("quota exceeded")),
            _ => Err(MqttError::Publish("it gives a reason code")),
        },
        Ok(PublishResult::Qos2PubRecRejected(_)) => {
            Err(MqttError::Publish("it gives a reason code"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(GONE),
    }
}
