//! The endpoint's own keys: where it is, and which slot holds the CPU.

use std::time::Duration;

use crate::driver::{Keys, SettingError, Settings};
use crate::net::dial::authority;

/// Every key this protocol understands.
pub(super) const KEYS: &[&str] =
    &["host", "port", "rack", "slot", "connection", "pdu_bytes", "timeout_ms"];

/// The registered port of ISO transport over TCP (RFC 1006).
const PORT: u64 = 102;
/// The slot of the CPU in an S7-1200 and S7-1500; an S7-300 has it in 2.
const SLOT: u64 = 1;
/// What is asked for; the controller grants 240, 480 or 960, or less.
const PDU_BYTES: u64 = 960;
/// The least that carries one item and its answer; the most a controller grants.
const PDUS_BYTES: std::ops::RangeInclusive<u64> = 112..=65_000;
/// Long enough for a busy controller, short enough for a person.
const TIMEOUT_MS: u64 = 2000;
/// Below 10 ms no controller answers; above 10 s the deadline of a call is over.
const TIMEOUTS_MS: std::ops::RangeInclusive<u64> = 10..=10_000;

/// Which of the controller's kinds of connection is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A programming device's.
    Pg,
    /// An operator panel's.
    Op,
    /// One of the others, of which there are the most.
    Basic,
}

/// One endpoint's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) rack: u8,
    pub(super) slot: u8,
    pub(super) kind: Kind,
    pub(super) pdu_bytes: u16,
    pub(super) timeout: Duration,
}

impl Line {
    /// Reads the settings; every error found.
    pub(super) fn parse(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut keys = Keys::new(settings);
        let host = keys.needed_text("host", "the controller's name or IP address");
        let port = keys.number("port", PORT, 1..=65_535);
        // Five bits hold the slot in a TSAP, three the rack.
        let rack = keys.number("rack", 0, 0..=7);
        let slot = keys.number("slot", SLOT, 0..=31);
        let kind = match keys.text("connection").map(|word| word.to_ascii_lowercase()).as_deref() {
            Some("pg") => Kind::Pg,
            Some("op") => Kind::Op,
            None | Some("basic") => Kind::Basic,
            Some(_) => {
                keys.fault("connection", "is none of pg, op and basic");
                Kind::Basic
            }
        };
        let pdu_bytes = keys.number("pdu_bytes", PDU_BYTES, PDUS_BYTES);
        let timeout_ms = keys.number("timeout_ms", TIMEOUT_MS, TIMEOUTS_MS);
        match host {
            Some(host) if keys.are_good() => Ok(Self {
                host,
                port: u16::try_from(port).unwrap_or_default(),
                rack: u8::try_from(rack).unwrap_or_default(),
                slot: u8::try_from(slot).unwrap_or_default(),
                kind,
                pdu_bytes: u16::try_from(pdu_bytes).unwrap_or_default(),
                timeout: Duration::from_millis(timeout_ms),
            }),
            _ => Err(keys.into_errors()),
        }
    }

    /// Gives the transport selector of the CPU: kind of connection, then rack and slot.
    pub(super) fn tsap(&self) -> [u8; 2] {
        let kind = match self.kind {
            Kind::Pg => 1,
            Kind::Op => 2,
            Kind::Basic => 3,
        };
        [kind, self.rack << 5 | self.slot]
    }
}

/// Gives the rack and the slot of the CPU.
pub(crate) fn place(settings: &Settings) -> Option<(u8, u8)> {
    Line::parse(settings).ok().map(|line| (line.rack, line.slot))
}

/// Names the connection these settings make.
pub(super) fn shared_as(settings: &Settings) -> Option<String> {
    let line = Line::parse(settings).ok()?;
    let at = authority(&line.host.to_ascii_lowercase(), line.port);
    Some(format!("{at}/{}/{}", line.rack, line.slot))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Result<Line, Vec<SettingError>> {
        Line::parse(value.as_object().unwrap())
    }

    #[test]
    fn a_host_is_enough_and_slot_0_is_a_slot() {
        let line = parse(&json!({"host": "10.0.0.9"})).unwrap();
        assert_eq!((line.port, line.rack, line.slot), (102, 0, 1));
        assert_eq!(line.tsap(), [3, 1]);
        let line = parse(&json!({"host": "h", "rack": 1, "slot": 0, "connection": "PG"})).unwrap();
        assert_eq!(line.tsap(), [1, 0x20]);
    }

    #[test]
    fn every_fault_is_named_by_its_key() {
        for (value, key) in [
            (json!({}), "host"),
            (json!({"host": "h", "slot": 32}), "slot"),
            (json!({"host": "h", "rack": 8}), "rack"),
            (json!({"host": "h", "connection": "x"}), "connection"),
            (json!({"host": "h", "pdu_bytes": 10}), "pdu_bytes"),
            (json!({"host": "h", "timeout_ms": 0}), "timeout_ms"),
        ] {
            let errors = parse(&value).unwrap_err();
            assert!(errors.iter().any(|error| error.key == key), "{value}: {errors:?}");
        }
    }
}
