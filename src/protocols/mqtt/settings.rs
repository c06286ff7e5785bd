//! The endpoint's own keys: the broker, who we are, and what is listened to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::filter;
use crate::driver::{Keys, SettingError, Settings};
use crate::net::mqtt::Version;
use crate::net::tls::TlsFiles;

/// Every key this protocol understands.
pub(super) const KEYS: &[&str] = &[
    "host",
    "port",
    "topic",
    "topics",
    "version",
    "username",
    "client_id",
    "use_tls",
    "ca_file",
    "cert_file",
    "key_file",
    "qos",
    "keep_alive_s",
    "timeout_ms",
    "rebirth",
];

/// The registered ports of MQTT, plain and over TLS.
const PORT: u64 = 1883;
const PORT_TLS: u64 = 8883;
/// Filters of one endpoint that stand.
const TOPICS_MAX: usize = 100;
/// A broker that is silent for twice as long is gone.
const KEEP_ALIVE_S: u64 = 10;
/// Long enough for TLS with a small broker, short enough for a person.
const TIMEOUT_MS: u64 = 5000;

/// One endpoint's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broker {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) version: Version,
    pub(super) username: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) tls: Option<TlsFiles>,
    /// What is listened to beside what the tags follow.
    pub(super) topics: Vec<Arc<str>>,
    pub(super) qos: u8,
    pub(super) keep_alive_s: u16,
    pub(super) timeout: Duration,
    /// Whether a node whose birth is missing is asked for it.
    pub(super) rebirth: Rebirth,
}

/// Whether rebirths are asked for: that is a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rebirth {
    Never,
    Asked,
}

impl Broker {
    /// Reads the settings; every error found.
    pub(super) fn parse(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut keys = Keys::new(settings);
        let host = keys.needed_text("host", "the broker's name or IP address");
        let tls = tls(settings, &mut keys);
        let port = if tls.is_some() { PORT_TLS } else { PORT };
        let port = keys.number("port", port, 1..=65_535);
        let version = match keys.text("version").as_deref() {
            None | Some("3.1.1" | "3" | "4") => Version::V3,
            Some("5" | "5.0") => Version::V5,
            Some(_) => {
                keys.fault("version", "is none of \"3.1.1\" and \"5\"");
                Version::V3
            }
        };
        let username = optional(settings, "username", &mut keys);
        let client_id = optional(settings, "client_id", &mut keys);
        let topics = topics(settings, &mut keys);
        let qos = keys.number("qos", 1, 0..=2);
        let keep_alive_s = keys.number("keep_alive_s", KEEP_ALIVE_S, 1..=3600);
        let timeout_ms = keys.number("timeout_ms", TIMEOUT_MS, 100..=10_000);
        let rebirth = match truth(settings, "rebirth", &mut keys) {
            true => Rebirth::Asked,
            false => Rebirth::Never,
        };
        match host {
            Some(host) if keys.are_good() => Ok(Self {
                host,
                port: u16::try_from(port).unwrap_or_default(),
                version,
                username,
                client_id,
                tls,
                topics,
                qos: u8::try_from(qos).unwrap_or_default(),
                keep_alive_s: u16::try_from(keep_alive_s).unwrap_or_default(),
                timeout: Duration::from_millis(timeout_ms),
                rebirth,
            }),
            _ => Err(keys.into_errors()),
        }
    }
}

/// Reads text; an empty one counts as not given, as in the reference's files.
fn optional(settings: &Settings, key: &str, keys: &mut Keys<'_>) -> Option<String> {
    match settings.get(key) {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) if text.trim().is_empty() => None,
        Some(_) => keys.text(key),
    }
}

/// Reads a truth value, in the reference's words too.
fn truth(settings: &Settings, key: &str, keys: &mut Keys<'_>) -> bool {
    let word = match settings.get(key) {
        None | Some(Json::Null) => return false,
        Some(Json::Bool(on)) => return *on,
        Some(Json::String(word)) => word.trim().to_ascii_lowercase(),
        Some(_) => String::from("?"),
    };
    match word.as_str() {
        "true" | "1" | "yes" | "on" => true,
        "false" | "0" | "no" | "off" | "" => false,
        _ => {
            keys.fault(key, "must be true or false");
            false
        }
    }
}

fn tls(settings: &Settings, keys: &mut Keys<'_>) -> Option<TlsFiles> {
    let wanted = truth(settings, "use_tls", keys);
    let files = ["ca_file", "cert_file", "key_file"].map(|key| optional(settings, key, keys));
    let [ca_file, cert_file, key_file] = files;
    if !wanted {
        if ca_file.is_some() || cert_file.is_some() || key_file.is_some() {
            keys.fault("use_tls", "must be true where a certificate is given");
        }
        return None;
    }
    let client = match (cert_file, key_file) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            keys.fault("key_file", "is missing: a certificate needs its key");
            None
        }
        (None, Some(_)) => {
            keys.fault("cert_file", "is missing: a key needs its certificate");
            None
        }
    };
    Some(TlsFiles { ca_file, client })
}

/// Reads `topic`, the reference's one filter, and `topics`, a list of them.
fn topics(settings: &Settings, keys: &mut Keys<'_>) -> Vec<Arc<str>> {
    let mut all: Vec<(&str, String)> = Vec::new();
    all.extend(optional(settings, "topic", keys).map(|one| ("topic", one)));
    match settings.get("topics") {
        None | Some(Json::Null) => {}
        Some(Json::Array(many)) if many.iter().all(Json::is_string) => {
            let words = many.iter().filter_map(Json::as_str);
            all.extend(words.map(|word| ("topics", word.trim().to_owned())));
        }
        Some(_) => keys.fault("topics", "must be a list of filters, such as [\"site/#\"]"),
    }
    if all.len() > TOPICS_MAX {
        keys.fault("topics", format!("has more than {TOPICS_MAX} filters"));
    }
    for (key, word) in &all {
        if let Err(why) = filter::check_filter(word) {
            keys.fault(key, format!("is no filter of topics: {why}"));
        }
    }
    all.into_iter().map(|(_, word)| word.into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Json) -> Result<Broker, Vec<SettingError>> {
        let Json::Object(settings) = json else { panic!("an object") };
        Broker::parse(&settings)
    }

    #[test]
    fn the_port_follows_tls_and_the_references_words_are_understood() {
        let port = |json| read(json).unwrap().port;
        assert_eq!(port(serde_json::json!({"host": "b"})), 1883);
        assert_eq!(port(serde_json::json!({"host": "b", "use_tls": "yes"})), 8883);
        assert_eq!(port(serde_json::json!({"host": "b", "port": 11883})), 11883);
        let broker = read(serde_json::json!({"host": "b", "topic": "", "username": ""})).unwrap();
        assert!(broker.topics.is_empty() && broker.username.is_none());
        let many = read(serde_json::json!({"host": "b", "topics": ["a/#", "b/+"], "version": "5"}));
        assert_eq!((many.as_ref().unwrap().topics.len(), many.unwrap().version), (2, Version::V5));
    }

    #[test]
    fn what_can_t_work_is_named_by_its_key() {
        let key = |json| read(json).unwrap_err()[0].key.clone();
        assert_eq!(key(serde_json::json!({})), "host");
        assert_eq!(key(serde_json::json!({"host": "b", "topic": "a/#/b"})), "topic");
        assert_eq!(key(serde_json::json!({"host": "b", "topics": ["a#"]})), "topics");
        assert_eq!(key(serde_json::json!({"host": "b", "version": "4.9"})), "version");
        assert_eq!(key(serde_json::json!({"host": "b", "ca_file": "/x"})), "use_tls");
        let half = serde_json::json!({"host": "b", "use_tls": true, "cert_file": "/x"});
        assert_eq!(key(half), "key_file");
        assert_eq!(key(serde_json::json!({"host": "b", "rebirth": "maybe"})), "rebirth");
        assert_eq!(key(serde_json::json!({"host": "b", "qos": 3})), "qos");
    }
}
