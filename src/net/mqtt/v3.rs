//! MQTT 3.1.1 by rumqttc.

use std::sync::Arc;

use rumqttc_v4::{
    AsyncClient, ConnectReturnCode, ConnectionError, Error, Event, EventLoop, MqttOptions,
    NetworkOptions, Packet, PublishOptions, QoS, StateError, SubscribeFilter, SubscribeNoticeError,
    SubscribeReasonCode, TlsConfiguration, Transport,
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
    options.set_clean_session(true);
    let bytes_max = usize::try_from(PACKET_BYTES_MAX).unwrap_or(usize::MAX);
    options.set_max_packet_size(bytes_max, bytes_max);
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
    let (client, mut events) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(LATE.as_secs());
    events.set_network_options(network);
    (Client::V3(client), Line::V3(Box::new(events)))
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
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => MqttError::Silent,
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
        ConnectionError::MqttState(StateError::Deserialization(
            Error::PayloadSizeLimitExceeded(_),
        )) => MqttError::TooLong,
        other => MqttError::of_transport(other),
    }
}

/// The return codes of CONNACK (MQTT 3.1.1, 3.2.2.3).
fn refused(code: ConnectReturnCode) -> MqttError {
    match code {
        ConnectReturnCode::BadUserNamePassword => {
            MqttError::LoginRefused("bad user name or password")
        }
        ConnectReturnCode::NotAuthorized => MqttError::LoginRefused("not authorized"),
        ConnectReturnCode::BadClientId => MqttError::LoginRefused("the client id is not allowed"),
        ConnectReturnCode::RefusedProtocolVersion => {
            MqttError::Refused("it does not speak this version of MQTT")
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
        Err(SubscribeNoticeError::V4SubAckFailure(codes)) => {
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
    notice.wait_async().await.map(|_| ()).map_err(|_| GONE)
}
