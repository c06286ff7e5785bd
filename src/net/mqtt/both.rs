//! What the libraries of both versions have alike: the same names, of types that differ.

/// Writes what is alike for one library; `$refused_filters` is its name for a SUBACK that grants
/// not every filter.
macro_rules! both {
    ($library:ident, $refused_filters:ident) => {
        const GONE: MqttError = MqttError::Lost("the session ended before the broker answered");

        /// Says who we are, and hands over the stream.
        fn introduce(
            options: &mut $library::MqttOptions,
            opening: &Opening,
            stream: tokio::net::TcpStream,
        ) {
            options.set_keep_alive(opening.keep_alive_s);
            options.set_read_batch_size(READ_BATCH);
            if let Some((user, password)) = &opening.login {
                options.set_credentials(user.clone(), password.clone());
            }
            if let Some(tls) = &opening.tls {
                let tls = $library::TlsConfiguration::Rustls(tls.clone());
                options.set_transport($library::Transport::tls_with_config(tls));
            }
            let stream = once(stream);
            options.set_socket_connector(move |_, _| std::future::ready(take(&stream)));
        }

        fn network() -> $library::NetworkOptions {
            let mut network = $library::NetworkOptions::new();
            network.set_connection_timeout(LATE.as_secs());
            network
        }

        pub(super) async fn next(events: &mut $library::EventLoop) -> Result<Seen, MqttError> {
            use $library::{Event, Packet};
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

        /// Judges the failures that both versions have.
        fn failure_alike(error: &$library::ConnectionError) -> MqttError {
            use $library::{ConnectionError, StateError};
            match error {
                ConnectionError::ConnectionRefused(code) => refused(*code),
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
                other => MqttError::of_transport(other),
            }
        }

        fn quality(qos: u8) -> $library::QoS {
            match qos {
                0 => $library::QoS::AtMostOnce,
                1 => $library::QoS::AtLeastOnce,
                _ => $library::QoS::ExactlyOnce,
            }
        }

        pub(super) async fn subscribe(
            client: &$library::AsyncClient,
            filters: &[std::sync::Arc<str>],
            qos: u8,
        ) -> Result<Vec<bool>, MqttError> {
            use $library::{SubscribeFilter, SubscribeNoticeError, SubscribeReasonCode};
            let wanted = filters.iter().map(|f| SubscribeFilter::new(f.to_string(), quality(qos)));
            let notice = client.subscribe_many_tracked(wanted).await.map_err(|_| {
                MqttError::Protocol("a topic filter is not valid, or the session is over")
            })?;
            let is_granted =
                |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
            match notice.wait_async().await {
                Ok(ack) => Ok(ack.return_codes.iter().map(is_granted).collect()),
                Err(SubscribeNoticeError::$refused_filters(codes)) => {
                    Ok(codes.iter().map(is_granted).collect())
                }
                Err(_) => Err(GONE),
            }
        }

        /// Publishes, and waits for the broker's answer.
        async fn answered(
            client: &$library::AsyncClient,
            publish: Publish,
        ) -> Result<$library::PublishResult, MqttError> {
            let options =
                $library::PublishOptions::new(quality(publish.qos)).retain(publish.retain);
            let notice =
                client.publish_tracked(publish.topic, publish.payload, options).await.map_err(
                    |_| MqttError::Protocol("the topic is not valid, or the session is over"),
                )?;
            notice.wait_async().await.map_err(|_| GONE)
        }
    };
}

pub(super) use both;
