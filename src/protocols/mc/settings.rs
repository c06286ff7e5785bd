//! The endpoint's own keys: where it is, which model, which station.

use std::time::Duration;

use crate::driver::{Keys, SettingError, Settings};
use crate::net::dial::authority;

/// Every key this protocol understands.
pub(super) const KEYS: &[&str] =
    &["host", "port", "plctype", "network", "pc", "module_io", "station", "timeout_ms"];

/// The port of the reference; GX Works lets an open port be chosen freely.
const PORT: u64 = 5007;
/// Long enough for a controller with a long scan, short enough for a person.
const TIMEOUT_MS: u64 = 1000;
/// Below 10 ms no controller answers; above 10 s the deadline of a call is over.
const TIMEOUTS_MS: std::ops::RangeInclusive<u64> = 10..=10_000;
/// The controller itself, not a multiple CPU (SLMP Reference Manual, 4.2).
const MODULE_IO: u64 = 0x03FF;
/// The connected station (SLMP Reference Manual, 4.2).
const PC: u64 = 0xFF;

/// A family of controllers, as far as it changes what goes on the wire or how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    /// Q series.
    Q,
    /// L series.
    L,
    /// QnA series.
    QnA,
    /// iQ-R series: device numbers of 4 bytes, codes of 2.
    IqR,
    /// iQ-L series.
    IqL,
    /// iQ-F series: X and Y are octal.
    IqF,
}

impl Model {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Q, "Q"),
        (Self::L, "L"),
        (Self::QnA, "QnA"),
        (Self::IqR, "iQ-R"),
        (Self::IqL, "iQ-L"),
        (Self::IqF, "iQ-F"),
    ];

    /// Finds the model a word names, in any case.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(word))
            .map(|(model, _)| *model)
    }

    /// Gives the word that names it.
    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(model, _)| *model == self).map_or("?", |(_, word)| word)
    }

    /// Guesses the family by the name the controller gives itself, where that is unmistakable.
    pub(super) fn of_cpu(name: &str) -> Option<Self> {
        let begins =
            |head: &str| name.get(..head.len()).is_some_and(|n| n.eq_ignore_ascii_case(head));
        if begins("FX5") {
            Some(Self::IqF)
        } else if begins("R")
            && name.get(1..3).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
        {
            Some(Self::IqR)
        } else if begins("Q") && name.to_ascii_uppercase().contains("CPU") {
            Some(Self::Q)
        } else if begins("L") && name.to_ascii_uppercase().contains("CPU") {
            Some(Self::L)
        } else {
            None
        }
    }
}

/// The way through the network to the controller (SLMP Reference Manual, 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// The network number.
    pub(crate) network: u8,
    /// The PC number.
    pub(crate) pc: u8,
    /// The module's I/O number.
    pub(crate) module_io: u16,
    /// The station behind a multidrop module.
    pub(crate) station: u8,
}

/// One endpoint's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) host: String,
    pub(super) port: u16,
    /// As configured; what is not said is asked of the controller.
    pub(super) model: Option<Model>,
    pub(super) route: Route,
    pub(super) timeout: Duration,
}

impl Line {
    /// Reads the settings; every error found.
    pub(super) fn parse(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut keys = Keys::new(settings);
        let host = keys.needed_text("host", "the controller's name or IP address");
        let port = keys.number("port", PORT, 1..=65_535);
        let model = keys.text("plctype").and_then(|word| {
            let model = Model::parse(&word);
            if model.is_none() {
                keys.fault("plctype", "is none of Q, L, QnA, iQ-R, iQ-L and iQ-F");
            }
            model
        });
        let route = Route {
            network: byte(keys.number("network", 0, 0..=255)),
            pc: byte(keys.number("pc", PC, 0..=255)),
            module_io: u16::try_from(keys.number("module_io", MODULE_IO, 0..=0xFFFF))
                .unwrap_or_default(),
            station: byte(keys.number("station", 0, 0..=255)),
        };
        let timeout_ms = keys.number("timeout_ms", TIMEOUT_MS, TIMEOUTS_MS);
        match host {
            Some(host) if keys.are_good() => Ok(Self {
                host,
                port: u16::try_from(port).unwrap_or_default(),
                model,
                route,
                timeout: Duration::from_millis(timeout_ms),
            }),
            _ => Err(keys.into_errors()),
        }
    }
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).unwrap_or_default()
}

/// Names the connection these settings make: a port of a controller serves one client.
pub(super) fn shared_as(settings: &Settings) -> Option<String> {
    let line = Line::parse(settings).ok()?;
    let Route { network, pc, module_io, station } = line.route;
    let at = authority(&line.host.to_ascii_lowercase(), line.port);
    Some(format!("{at}/{network}/{pc}/{module_io}/{station}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(value: &Value) -> Result<Line, Vec<SettingError>> {
        Line::parse(value.as_object().unwrap())
    }

    #[test]
    fn a_host_is_enough() {
        let line = parse(&json!({"host": "10.0.0.7"})).unwrap();
        assert_eq!((line.port, line.model), (5007, None));
        let own = Route { network: 0, pc: 255, module_io: 0x3FF, station: 0 };
        assert_eq!(line.route, own);
    }

    #[test]
    fn every_fault_is_named_by_its_key() {
        for (value, key) in [
            (json!({}), "host"),
            (json!({"host": ""}), "host"),
            (json!({"host": "h", "port": 0}), "port"),
            (json!({"host": "h", "plctype": "FX"}), "plctype"),
            (json!({"host": "h", "network": 256}), "network"),
            (json!({"host": "h", "timeout_ms": 1}), "timeout_ms"),
        ] {
            let errors = parse(&value).unwrap_err();
            assert!(errors.iter().any(|error| error.key == key), "{value}: {errors:?}");
        }
    }

    #[test]
    fn a_controller_is_known_by_its_name_or_not_at_all() {
        for (name, model) in [
            ("Q03UDVCPU", Some(Model::Q)),
            ("R120PCPU", Some(Model::IqR)),
            ("FX5U-32MR/ES", Some(Model::IqF)),
            ("L26CPU-BT", Some(Model::L)),
            ("", None),
            ("RJ71EN71", None),
            ("something", None),
        ] {
            assert_eq!(Model::of_cpu(name), model, "{name}");
        }
        assert_eq!(Model::parse("iq-r"), Some(Model::IqR));
    }
}
