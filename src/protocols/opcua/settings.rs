//! The endpoint's own keys.

use opcua::crypto::SecurityPolicy;
use opcua::types::MessageSecurityMode;
use serde_json::Value as Json;

use crate::driver::{SettingError, Settings};

/// The keys this protocol understands.
pub(super) const KEYS: &[&str] = &[
    "endpoint_url",
    "host",
    "port",
    "username",
    "security_mode",
    "security_policy",
    "subscribe",
    "timeout_ms",
    "events",
];

/// The port IANA gave to OPC UA.
const PORT: u16 = 4840;
/// A PLC under load answers within a second or two.
const TIMEOUT_MS: u64 = 4000;
/// Below this a healthy server on a slow link looks dead.
const TIMEOUT_MS_MIN: u64 = 100;
/// Beyond this nobody waits for an answer.
const TIMEOUT_MS_MAX: u64 = 60_000;

const MODES: &[(&str, MessageSecurityMode)] = &[
    ("None", MessageSecurityMode::None),
    ("Sign", MessageSecurityMode::Sign),
    ("SignAndEncrypt", MessageSecurityMode::SignAndEncrypt),
];

/// The policies on offer here; Basic128Rsa15 and Basic256 are broken and left out (Part 7).
const POLICIES: &[(&str, SecurityPolicy)] = &[
    ("None", SecurityPolicy::None),
    ("Basic256Sha256", SecurityPolicy::Basic256Sha256),
    ("Aes128_Sha256_RsaOaep", SecurityPolicy::Aes128Sha256RsaOaep),
    ("Aes256_Sha256_RsaPss", SecurityPolicy::Aes256Sha256RsaPss),
];

/// How samples come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscribe {
    /// By subscription, and by polling where the server refuses one.
    Auto,
    /// By polling.
    Never,
}

/// Whether condition events are listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Events {
    /// Where the endpoint has tags.
    WithTags,
    /// Always.
    On,
    /// Never.
    Off,
}

/// An endpoint's settings, understood.
#[derive(Debug, Clone)]
pub(super) struct OpcuaSettings {
    /// The whole address, `opc.tcp://host:port/path`.
    pub(super) url: String,
    /// Its host, without brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// Its path with the leading slash; empty where none was given.
    pub(super) path: String,
    pub(super) username: Option<String>,
    pub(super) mode: MessageSecurityMode,
    pub(super) policy: SecurityPolicy,
    pub(super) subscribe: Subscribe,
    pub(super) timeout_ms: u64,
    pub(super) events: Events,
}

fn error(key: &str, message: impl Into<String>) -> SettingError {
    SettingError { key: key.to_owned(), message: message.into() }
}

/// Gives a text setting; an empty one counts as not given, as in the reference's files.
fn text<'a>(settings: &'a Settings, key: &str, errors: &mut Vec<SettingError>) -> Option<&'a str> {
    match settings.get(key) {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text.trim()).filter(|text| !text.is_empty()),
        Some(_) => {
            errors.push(error(key, "must be text"));
            None
        }
    }
}

fn number(
    settings: &Settings,
    key: &str,
    range: std::ops::RangeInclusive<u64>,
    errors: &mut Vec<SettingError>,
) -> Option<u64> {
    let value = settings.get(key).filter(|value| !value.is_null())?;
    let found = value.as_u64().filter(|number| range.contains(number));
    if found.is_none() {
        errors.push(error(
            key,
            format!("must be a whole number from {} to {}", range.start(), range.end()),
        ));
    }
    found
}

fn choice<T: Copy>(
    settings: &Settings,
    key: &str,
    choices: &[(&str, T)],
    errors: &mut Vec<SettingError>,
) -> Option<T> {
    let word = text(settings, key, errors)?;
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    if found.is_none() {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        errors.push(error(key, format!("must be one of {}", names.join(", "))));
    }
    found.map(|(_, choice)| *choice)
}

/// Splits `opc.tcp://host:port/path`.
fn split_url(url: &str) -> Option<(String, u16, String)> {
    let scheme = url.get(..10).filter(|scheme| scheme.eq_ignore_ascii_case("opc.tcp://"))?;
    let rest = url.get(scheme.len()..)?;
    let (authority, path) = match rest.find('/') {
        Some(at) => (rest.get(..at)?, rest.get(at..)?),
        None => (rest, ""),
    };
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, after) = v6.split_once(']')?;
            (host, after.strip_prefix(':').unwrap_or(after))
        }
        None => authority.rsplit_once(':').unwrap_or((authority, "")),
    };
    let port = if port.is_empty() { PORT } else { port.parse().ok().filter(|port| *port > 0)? };
    let clean = |c: char| !c.is_whitespace() && !c.is_control() && !"/?#@\\".contains(c);
    (!host.is_empty() && host.chars().all(clean)).then(|| {
        let path = if path == "/" { String::new() } else { path.to_owned() };
        (host.to_owned(), port, path)
    })
}

/// Joins the parts of an address; an IPv6 host gets its brackets.
pub(super) fn join_url(host: &str, port: u16, path: &str) -> String {
    match host.contains(':') {
        true => format!("opc.tcp://[{host}]:{port}{path}"),
        false => format!("opc.tcp://{host}:{port}{path}"),
    }
}

impl OpcuaSettings {
    /// Reads the settings; every error found.
    pub(super) fn read(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut errors = Vec::new();
        let address = Self::address(settings, &mut errors);
        let mode = choice(settings, "security_mode", MODES, &mut errors);
        let policy = choice(settings, "security_policy", POLICIES, &mut errors);
        let mode = mode.unwrap_or(MessageSecurityMode::None);
        let policy = policy.unwrap_or(SecurityPolicy::None);
        if errors.is_empty()
            && (mode == MessageSecurityMode::None) != (policy == SecurityPolicy::None)
        {
            errors.push(match mode {
                MessageSecurityMode::None if !settings.contains_key("security_mode") => error(
                    "security_mode",
                    "must be Sign or SignAndEncrypt where a security_policy is set",
                ),
                MessageSecurityMode::None => error(
                    "security_policy",
                    "must be None or left out where security_mode is None; security_mode Sign or \
                     SignAndEncrypt uses it",
                ),
                _ => error(
                    "security_policy",
                    "must be set too, such as Basic256Sha256: signing needs a policy",
                ),
            });
        }
        let username = text(settings, "username", &mut errors).map(str::to_owned);
        let words = [("auto", Subscribe::Auto), ("never", Subscribe::Never)];
        let subscribe = choice(settings, "subscribe", &words, &mut errors);
        let limits = TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX;
        let timeout_ms = number(settings, "timeout_ms", limits, &mut errors);
        let events = match settings.get("events") {
            None | Some(Json::Null) => Events::WithTags,
            Some(Json::Bool(true)) => Events::On,
            Some(Json::Bool(false)) => Events::Off,
            Some(_) => {
                errors.push(error("events", "must be true or false"));
                Events::Off
            }
        };
        let Some((host, port, path)) = address.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        Ok(Self {
            url: join_url(&host, port, &path),
            host,
            port,
            path,
            username,
            mode,
            policy,
            subscribe: subscribe.unwrap_or(Subscribe::Auto),
            timeout_ms: timeout_ms.unwrap_or(TIMEOUT_MS),
            events,
        })
    }

    /// Finds the address; `endpoint_url` wins over `host` and `port`.
    fn address(
        settings: &Settings,
        errors: &mut Vec<SettingError>,
    ) -> Option<(String, u16, String)> {
        let port = number(settings, "port", 1..=65535, errors);
        let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
        if let Some(url) = text(settings, "endpoint_url", errors) {
            let split = split_url(url);
            if split.is_none() {
                errors.push(error(
                    "endpoint_url",
                    "must look like opc.tcp://10.0.0.5:4840 or opc.tcp://plc1:4840/path",
                ));
            }
            return split;
        }
        let Some(host) = text(settings, "host", errors) else {
            if errors.is_empty() {
                errors.push(error(
                    "endpoint_url",
                    "is needed, such as opc.tcp://10.0.0.5:4840; or set host and port",
                ));
            }
            return None;
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let split = split_url(&join_url(host, port, ""));
        if split.is_none() {
            errors.push(error("host", "must be a host name or an address, such as 10.0.0.5"));
        }
        split
    }

    /// Names the policy as a configuration spells it.
    pub(super) fn policy_name(policy: SecurityPolicy) -> Option<&'static str> {
        POLICIES.iter().find(|(_, known)| *known == policy).map(|(name, _)| *name)
    }

    /// Names the mode as a configuration spells it.
    pub(super) fn mode_name(mode: MessageSecurityMode) -> Option<&'static str> {
        MODES.iter().find(|(_, known)| *known == mode).map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> Result<OpcuaSettings, Vec<SettingError>> {
        let Json::Object(settings) = json else { panic!("an object") };
        OpcuaSettings::read(&settings)
    }

    #[test]
    fn an_address_is_a_url_or_a_host_and_a_port() {
        let url = |json| read(json).unwrap().url;
        let plain = serde_json::json!({"endpoint_url": "opc.tcp://h"});
        assert_eq!(url(plain), "opc.tcp://h:4840");
        let path = serde_json::json!({"endpoint_url": "opc.tcp://10.0.0.5:4841/UA/Sim"});
        assert_eq!(url(path), "opc.tcp://10.0.0.5:4841/UA/Sim");
        let v6 = serde_json::json!({"endpoint_url": "opc.tcp://[::1]:4841/"});
        assert_eq!(url(v6), "opc.tcp://[::1]:4841");
        let pair = serde_json::json!({"host": "plc1", "port": 4850, "username": ""});
        assert_eq!(url(pair), "opc.tcp://plc1:4850");
    }

    #[test]
    fn what_can_t_work_is_named_by_its_key() {
        let key = |json| read(json).unwrap_err()[0].key.clone();
        assert_eq!(key(serde_json::json!({})), "endpoint_url");
        assert_eq!(key(serde_json::json!({"endpoint_url": "http://h"})), "endpoint_url");
        assert_eq!(key(serde_json::json!({"endpoint_url": "opc.tcp://u@h"})), "endpoint_url");
        assert_eq!(key(serde_json::json!({"host": "h", "port": 0})), "port");
        assert_eq!(
            key(serde_json::json!({"host": "h", "security_mode": "Signed"})),
            "security_mode"
        );
        assert_eq!(key(serde_json::json!({"host": "h", "timeout_ms": 5})), "timeout_ms");
        assert_eq!(key(serde_json::json!({"host": "h", "subscribe": "maybe"})), "subscribe");
        assert_eq!(key(serde_json::json!({"host": "h", "events": "yes"})), "events");
    }

    #[test]
    fn a_mode_without_a_policy_is_refused_and_so_is_the_reverse() {
        let sign = serde_json::json!({"host": "h", "security_mode": "Sign"});
        assert_eq!(read(sign).unwrap_err()[0].key, "security_policy");
        let policy = serde_json::json!({"host": "h", "security_policy": "Basic256Sha256"});
        assert_eq!(read(policy).unwrap_err()[0].key, "security_mode");
        let none = serde_json::json!({
            "host": "h", "security_mode": "None", "security_policy": "Basic256Sha256"
        });
        assert_eq!(read(none).unwrap_err()[0].key, "security_policy");
        let broken = serde_json::json!({"host": "h", "security_policy": "Basic128Rsa15"});
        assert_eq!(read(broken).unwrap_err()[0].key, "security_policy");
        let both = serde_json::json!({
            "host": "h", "security_mode": "SignAndEncrypt",
            "security_policy": "aes256_sha256_rsapss"
        });
        assert_eq!(read(both).unwrap().policy, SecurityPolicy::Aes256Sha256RsaPss);
    }
}
