//! The endpoint's own keys: where the agent is, and how it is listened to.

use std::time::Duration;

use reqwest::Url;

use crate::driver::{Keys, SettingError, Settings};
use crate::net::dial::authority;

/// Every key this protocol understands.
pub(super) const KEYS: &[&str] =
    &["agent_url", "host", "port", "ca_file", "device", "stream", "timeout_ms"];

/// The port of nearly every agent (MTConnect Part 1, 5.1, names none).
const PORT: u64 = 5000;
/// A large model over a slow line takes seconds.
const TIMEOUT_MS: u64 = 10_000;
/// Below 100 ms no agent answers; a minute is longer than any call waits.
const TIMEOUTS_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// How observations come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By a stream, where the agent has one.
    Auto,
    /// By asking at each scan for what has changed.
    Never,
}

/// One endpoint's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentSettings {
    /// The agent's address, and the device's where only one is meant; no slash at its end.
    pub(super) base: String,
    /// The authorities that may have signed the agent's certificate; the machine's own where
    /// none is given.
    pub(super) ca_file: Option<String>,
    /// Only this device is asked about.
    pub(super) device: Option<String>,
    pub(super) way: Way,
    /// For a whole answer.
    pub(super) timeout: Duration,
}

impl AgentSettings {
    /// Reads the settings; every error found.
    pub(super) fn read(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut keys = Keys::new(settings);
        let url = place(&mut keys);
        let device = keys.text("device").filter(|_| settings.contains_key("device"));
        let ca_file = keys.text("ca_file").filter(|_| settings.contains_key("ca_file"));
        if ca_file.is_some() && url.as_ref().is_some_and(|url| url.scheme() != "https") {
            keys.fault("ca_file", "is for an agent_url that begins with https://");
        }
        let way = match keys.text("stream").map(|word| word.to_ascii_lowercase()).as_deref() {
            None | Some("auto") => Way::Auto,
            Some("never") => Way::Never,
            Some(_) => {
                keys.fault("stream", "is neither auto nor never");
                Way::Auto
            }
        };
        let timeout_ms = keys.number("timeout_ms", TIMEOUT_MS, TIMEOUTS_MS);
        match url {
            Some(mut url) if keys.are_good() => {
                if let (Some(device), Ok(mut path)) = (&device, url.path_segments_mut()) {
                    path.pop_if_empty().push(device);
                }
                let base = url.as_str().trim_end_matches('/').to_owned();
                let timeout = Duration::from_millis(timeout_ms);
                Ok(Self { base, ca_file, device, way, timeout })
            }
            _ => Err(keys.into_errors()),
        }
    }
}

/// Reads `agent_url`, or `host` and `port`.
fn place(keys: &mut Keys<'_>) -> Option<Url> {
    let port = keys.number("port", PORT, 1..=65_535);
    let (key, text) = if keys.has("agent_url") {
        ("agent_url", keys.text("agent_url")?)
    } else {
        let what = "the agent's address: agent_url = \"http://HOST:5000\", or host and port";
        let host = keys.needed_text("host", what)?;
        ("host", format!("http://{}", authority(&host, u16::try_from(port).unwrap_or_default())))
    };
    let Ok(url) = Url::parse(&text) else {
        keys.fault(key, "is no address such as http://10.0.0.7:5000");
        return None;
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        keys.fault(key, "must begin with http:// or https:// and name a host");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        keys.fault(key, "must hold no user name or password: agents know no users");
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        keys.fault(key, "must end before the request: no ? and no #");
        return None;
    }
    Some(url)
}

/// Names the connection these settings make.
pub(super) fn shared_as(settings: &Settings) -> Option<String> {
    let agent = AgentSettings::read(settings).ok()?;
    let authority = agent.ca_file.unwrap_or_default();
    Some(format!("{} {:?} {authority}", agent.base, agent.way))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Result<AgentSettings, Vec<SettingError>> {
        AgentSettings::read(value.as_object().unwrap())
    }

    #[test]
    fn a_host_is_enough_and_a_url_may_have_a_path() {
        for (value, base) in [
            (json!({"host": "10.0.0.7"}), "http://10.0.0.7:5000"),
            (json!({"host": "fd00::7", "port": 80}), "http://[fd00::7]"),
            (json!({"agent_url": "http://a:5001/"}), "http://a:5001"),
            (json!({"agent_url": "https://a/cell/"}), "https://a/cell"),
            (json!({"agent_url": "http://a:5001", "device": "M 1"}), "http://a:5001/M%201"),
        ] {
            assert_eq!(read(&value).unwrap().base, base);
        }
    }

    #[test]
    fn every_fault_is_named_by_its_key() {
        for (value, key) in [
            (json!({}), "host"),
            (json!({"agent_url": "10.0.0.7"}), "agent_url"),
            (json!({"agent_url": "ftp://a"}), "agent_url"),
            (json!({"agent_url": "http://u:p@a"}), "agent_url"),
            (json!({"agent_url": "http://a/probe?x=1"}), "agent_url"),
            (json!({"host": "a", "port": 0}), "port"),
            (json!({"host": "a", "stream": "yes"}), "stream"),
            (json!({"host": "a", "timeout_ms": 1}), "timeout_ms"),
            (json!({"host": "a", "ca_file": "/ca.crt"}), "ca_file"),
        ] {
            let errors = read(&value).unwrap_err();
            assert!(errors.iter().any(|error| error.key == key), "{value}: {errors:?}");
        }
    }
}
