//! MQTT 3.1.1 by rumqttc.

use rumqttc_v4::{AsyncClient, ConnectReturnCode, ConnectionError, Error, MqttOptions, StateError};
use tokio::net::TcpStream;

use super::both::both;
use super::{
    Client, Heard, LATE, Line, MqttError, Opening, PACKET_BYTES_MAX, Publish, READ_BATCH,
    REQUESTS_MAX, Seen, once, take,
};

both!(rumqttc_v4, V4SubAckFailure);

pub(super) fn make(opening: &Opening, stream: TcpStream) -> (Client, Line) {
    let broker = (opening.host.as_str(), opening.port);
    let mut options = MqttOptions::new(opening.client_id.clone(), broker);
    options.set_clean_session(true);
    let bytes_max = usize::try_from(PACKET_BYTES_MAX).unwrap_or(usize::MAX);
    options.set_max_packet_size(bytes_max, bytes_max);
    introduce(&mut options, opening, stream);
    let (client, mut events) = AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
    events.set_network_options(network());
    (Client::V3(client), Line::V3(Box::new(events)))
}

fn failure(error: &ConnectionError) -> MqttError {
    match error {
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => MqttError::Silent,
        ConnectionError::MqttState(StateError::Deserialization(
            Error::PayloadSizeLimitExceeded(_),
        )) => MqttError::TooLong,
        other => failure_alike(other),
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

/// A broker of this version has no way to refuse a message (MQTT 3.1.1, 3.3.5).
pub(super) async fn publish(client: &AsyncClient, publish: Publish) -> Result<(), MqttError> {
    answered(client, publish).await.map(|_| ())
}
