//! Asks a server what it offers, and takes exactly what is configured or nothing.

use std::sync::Arc;
use std::time::Duration;

use opcua::client::transport::{SecureChannelEventLoop, Transport, TransportPollResult};
use opcua::client::{AsyncSecureChannel, ClientConfig, SessionBuilder};
use opcua::core::ResponseMessage;
use opcua::crypto::{CertificateStore, SecurityPolicy};
use opcua::sync::RwLock;
use opcua::types::{
    EndpointDescription, Error, GetEndpointsRequest, MessageSecurityMode, RequestHeader,
    StatusCode, UserTokenPolicy, UserTokenType,
};
use tokio::time::{Instant, timeout, timeout_at};

use super::errors;
use super::settings::{OpcuaSettings, join_url};
use super::values;
use super::wire::Dial;
use crate::clock;
use crate::driver::{DriverError, ErrorKind};

/// Offers listed in an error; a server has a handful.
const LISTED_MAX: usize = 12;
/// How long a server may take to close a channel that has served its purpose.
const CLOSING: Duration = Duration::from_millis(500);

/// Asks for the endpoints on a connection of its own, as Part 4, 5.5.4 has it.
pub(super) async fn ask(
    config: &ClientConfig,
    store: Arc<RwLock<CertificateStore>>,
    dial: &Dial,
    deadline: Instant,
) -> Result<Vec<EndpointDescription>, DriverError> {
    let doing = "asking the server for its endpoints";
    let channel = SessionBuilder::new(config)
        .connect_to_endpoint_directly(EndpointDescription::from(dial.url.as_str()))
        .and_then(|builder| builder.build_channel(store))
        .map_err(|error| connecting(&error))?;
    let connecting_until = timeout_at(deadline, channel.connect_no_retry(dial));
    let mut events = match connecting_until.await {
        Err(_elapsed) => return Err(unreachable("no answer in time")),
        Ok(Err(error)) => return Err(connecting(&error)),
        Ok(Ok(events)) => events,
    };
    let asked = timeout_at(deadline, exchange(&channel, &mut events, dial)).await;
    channel.close_channel().await;
    let closed = async { while !is_closed(&events.poll().await) {} };
    if timeout(CLOSING, closed).await.is_err() {
        tracing::debug!("the server did not close the channel in time");
    }
    match asked {
        Err(_elapsed) => Err(errors::timeout(doing)),
        Ok(Err(error)) => Err(errors::from_status(doing, error.status())),
        Ok(Ok(endpoints)) => Ok(endpoints),
    }
}

fn is_closed(result: &TransportPollResult) -> bool {
    matches!(result, TransportPollResult::Closed(_))
}

async fn exchange<T: Transport>(
    channel: &AsyncSecureChannel,
    events: &mut SecureChannelEventLoop<T>,
    dial: &Dial,
) -> Result<Vec<EndpointDescription>, Error> {
    let request = GetEndpointsRequest {
        request_header: RequestHeader {
            timestamp: values::date_time(clock::now()),
            request_handle: channel.request_handle(),
            ..Default::default()
        },
        endpoint_url: dial.url.as_str().into(),
        locale_ids: None,
        profile_uris: None,
    };
    // The caller's deadline counts; this one only has to be later.
    let sent = channel.send(request, Duration::from_secs(600));
    tokio::pin!(sent);
    let answer = loop {
        tokio::select! {
            answer = &mut sent => break answer?,
            event = events.poll() => if let TransportPollResult::Closed(status) = event {
                return Err(Error::new(status, "closed"));
            }
        }
    };
    match answer {
        ResponseMessage::GetEndpoints(answer) => Ok(answer.endpoints.unwrap_or_default()),
        ResponseMessage::ServiceFault(fault) => {
            Err(Error::new(fault.response_header.service_result, "fault"))
        }
        _ => Err(Error::new(StatusCode::BadUnknownResponse, "another message")),
    }
}

fn unreachable(why: &str) -> DriverError {
    DriverError::new(ErrorKind::Unreachable, format!("the server can't be reached: {why}"))
        .hint("check host, port and cable; is the server running, and no firewall between?")
}

/// Makes the error of a connection that did not come about.
pub(super) fn connecting(error: &Error) -> DriverError {
    match error.status() {
        StatusCode::BadNotConnected => unreachable("the connection was refused or timed out"),
        StatusCode::BadConnectionClosed | StatusCode::BadCommunicationError => {
            unreachable("it accepts the connection and speaks no OPC UA")
        }
        other => errors::from_status("connecting", other),
    }
}

/// Picks the endpoint with the configured mode, policy and kind of login.
pub(super) fn choose(
    endpoints: Vec<EndpointDescription>,
    settings: &OpcuaSettings,
) -> Result<EndpointDescription, DriverError> {
    let binary = |e: &EndpointDescription| {
        e.endpoint_url.as_ref().to_ascii_lowercase().starts_with("opc.tcp")
    };
    let endpoints: Vec<_> = endpoints.into_iter().filter(binary).collect();
    let is_match = |e: &&EndpointDescription| {
        e.security_mode == settings.mode
            && SecurityPolicy::from_uri(e.security_policy_uri.as_ref()) == settings.policy
    };
    let matching: Vec<_> = endpoints.iter().filter(is_match).collect();
    let same_path = |e: &&&EndpointDescription| path(e.endpoint_url.as_ref()) == settings.path;
    let Some(found) = matching.iter().find(same_path).or_else(|| matching.first()) else {
        return Err(DriverError::new(
            ErrorKind::CertificateRejected,
            format!(
                "the server does not offer {}; it offers {}",
                offer(settings.mode, settings.policy),
                list(&endpoints)
            ),
        )
        .hint(
            "set security_mode and security_policy to one on offer, or enable it on the server",
        ));
    };
    let mut chosen = (*found).clone();
    chosen.user_identity_tokens = Some(vec![token(&chosen, settings)?]);
    let advertised = path(chosen.endpoint_url.as_ref());
    let path = if settings.path.is_empty() { &advertised } else { &settings.path };
    chosen.endpoint_url = join_url(&settings.host, settings.port, path).into();
    Ok(chosen)
}

fn path(url: &str) -> String {
    let rest = url.splitn(4, '/').nth(3).unwrap_or_default();
    if rest.is_empty() { String::new() } else { format!("/{rest}") }
}

fn offer(mode: MessageSecurityMode, policy: SecurityPolicy) -> String {
    let mode_name = OpcuaSettings::mode_name(mode).unwrap_or("another mode");
    match (mode, OpcuaSettings::policy_name(policy)) {
        (MessageSecurityMode::None, _) => "None".to_owned(),
        (_, Some(policy)) => format!("{mode_name} with {policy}"),
        (_, None) => format!("{mode_name} with a policy that this collector does not speak"),
    }
}

fn list(endpoints: &[EndpointDescription]) -> String {
    let mut offers: Vec<String> = endpoints
        .iter()
        .map(|e| offer(e.security_mode, SecurityPolicy::from_uri(e.security_policy_uri.as_ref())))
        .collect();
    offers.sort();
    offers.dedup();
    offers.truncate(LISTED_MAX);
    if offers.is_empty() { "nothing over opc.tcp".to_owned() } else { offers.join("; ") }
}

/// Picks the login; among several for a password the one that protects it best.
fn token(
    endpoint: &EndpointDescription,
    settings: &OpcuaSettings,
) -> Result<UserTokenPolicy, DriverError> {
    let offered = endpoint.user_identity_tokens.as_deref().unwrap_or_default();
    let wanted = match settings.username {
        Some(_) => UserTokenType::UserName,
        None => UserTokenType::Anonymous,
    };
    let has_certificate = !endpoint.server_certificate.is_null_or_empty();
    let mut of_kind = offered.iter().filter(|token| token.token_type == wanted);
    let best = match settings.username {
        None => of_kind.next(),
        Some(_) => of_kind
            .filter_map(|token| Some((protection(token, settings, has_certificate)?, token)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, token)| token),
    };
    best.cloned().ok_or_else(|| {
        let kinds = offered.iter().map(|token| match token.token_type {
            UserTokenType::Anonymous => "anonymous",
            UserTokenType::UserName => "user name and password",
            UserTokenType::Certificate => "user certificate",
            UserTokenType::IssuedToken => "issued token",
        });
        let mut kinds: Vec<&str> = kinds.collect();
        kinds.sort_unstable();
        kinds.dedup();
        let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") };
        let wish = match settings.username {
            Some(_) => "a user name and password that this collector can protect",
            None => "anonymous sessions",
        };
        DriverError::new(
            ErrorKind::LoginRefused,
            format!("this endpoint of the server does not take {wish}; logins on offer: {kinds}"),
        )
        .hint("set or remove username, or allow the login on the server")
    })
}

/// Ranks how a password travels; `None` where it can't (Part 4, table 193).
fn protection(
    token: &UserTokenPolicy,
    settings: &OpcuaSettings,
    has_certificate: bool,
) -> Option<u8> {
    let secure = settings.mode != MessageSecurityMode::None;
    let policy = match token.security_policy_uri.is_empty() {
        true => settings.policy,
        false => SecurityPolicy::from_uri(token.security_policy_uri.as_ref()),
    };
    match policy {
        SecurityPolicy::None if settings.mode == MessageSecurityMode::Sign => None,
        SecurityPolicy::None => Some(if secure { 1 } else { 0 }),
        _ if !has_certificate => None,
        SecurityPolicy::Aes256Sha256RsaPss => Some(4),
        SecurityPolicy::Basic256Sha256 | SecurityPolicy::Aes128Sha256RsaOaep => Some(3),
        SecurityPolicy::Unknown => None,
        // Deprecated padding still hides the password from a passer-by.
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: serde_json::Value) -> OpcuaSettings {
        let serde_json::Value::Object(map) = json else { panic!("an object") };
        OpcuaSettings::read(&map).unwrap()
    }

    fn endpoint(mode: MessageSecurityMode, policy: SecurityPolicy) -> EndpointDescription {
        EndpointDescription {
            endpoint_url: "opc.tcp://unreachable.example:4840/UA/Sim".into(),
            security_mode: mode,
            security_policy_uri: policy.to_uri().into(),
            user_identity_tokens: Some(vec![
                UserTokenPolicy { policy_id: "a".into(), ..Default::default() },
                password("plain", SecurityPolicy::None),
                password("sealed", SecurityPolicy::Basic256Sha256),
            ]),
            server_certificate: opcua::types::ByteString::from(vec![1u8]),
            ..Default::default()
        }
    }

    fn password(id: &str, policy: SecurityPolicy) -> UserTokenPolicy {
        UserTokenPolicy {
            policy_id: id.into(),
            token_type: UserTokenType::UserName,
            security_policy_uri: policy.to_uri().into(),
            ..Default::default()
        }
    }

    fn both() -> Vec<EndpointDescription> {
        vec![
            endpoint(MessageSecurityMode::None, SecurityPolicy::None),
            endpoint(MessageSecurityMode::Sign, SecurityPolicy::Basic256Sha256),
        ]
    }

    #[test]
    fn what_is_configured_is_taken_exactly_and_never_less() {
        let encrypt = settings(serde_json::json!({
            "host": "h", "security_mode": "SignAndEncrypt", "security_policy": "Basic256Sha256"
        }));
        let error = choose(both(), &encrypt).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CertificateRejected);
        assert!(error.message.contains("it offers None; Sign with Basic256Sha256"), "{error}");
        let sign = settings(serde_json::json!({
            "host": "h", "security_mode": "Sign", "security_policy": "Basic256Sha256"
        }));
        assert_eq!(choose(both(), &sign).unwrap().security_mode, MessageSecurityMode::Sign);
    }

    #[test]
    fn the_configured_host_stays_and_the_servers_path_is_taken() {
        let plain = settings(serde_json::json!({"host": "10.0.0.5"}));
        let chosen = choose(both(), &plain).unwrap();
        assert_eq!(chosen.endpoint_url.as_ref(), "opc.tcp://10.0.0.5:4840/UA/Sim");
        let own = settings(serde_json::json!({"endpoint_url": "opc.tcp://h:1/own"}));
        assert_eq!(choose(both(), &own).unwrap().endpoint_url.as_ref(), "opc.tcp://h:1/own");
    }

    #[test]
    fn a_password_travels_under_the_best_protection_on_offer() {
        let user = settings(serde_json::json!({"host": "h", "username": "operator"}));
        let chosen = choose(both(), &user).unwrap();
        let tokens = chosen.user_identity_tokens.unwrap();
        assert_eq!(tokens[0].policy_id.as_ref(), "sealed");
        let mut offers = both();
        offers[0].user_identity_tokens = Some(vec![UserTokenPolicy::default()]);
        let error = choose(offers, &user).unwrap_err();
        assert_eq!(error.kind, ErrorKind::LoginRefused);
        assert!(error.message.contains("logins on offer: anonymous"), "{error}");
    }
}
