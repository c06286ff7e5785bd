//! The endpoint's own keys: where it is, how it is framed, how long to wait.

use std::net::IpAddr;
use std::time::Duration;

use crate::driver::{Keys, SettingError, Settings};
use crate::model::UnitId;
use crate::net::dial::{Parity, SerialLine, StopBits, authority};

/// Every key this protocol understands.
pub(super) const KEYS: &[&str] =
    &["host", "port", "framing", "serial", "baud", "parity", "stop_bits", "unit_id", "timeout_ms"];

/// The registered port (Modbus TCP V1.0b, 4.3.2).
const PORT: u64 = 502;
/// The default of Modbus over Serial Line V1.02, 2.5.1.
const BAUD: u64 = 19_200;
/// From the slowest modem to what RS-485 carries.
const BAUDS: std::ops::RangeInclusive<u64> = 300..=4_000_000;
/// Long enough for a slow gateway, short enough for a person.
const TIMEOUT_MS: u64 = 1000;
/// Below 10 ms no serial device answers; above 10 s the deadline of a call is over.
const TIMEOUTS_MS: std::ops::RangeInclusive<u64> = 10..=10_000;
/// The line behind a gateway is unknown: the slowest usual one, with 11 bits a character, sets the
/// gap between frames.
const GATEWAY_LINE: (u32, u32) = (11, 9600);
/// Above 19 200 baud the gap between frames stays 1.75 ms (Modbus over Serial Line V1.02, 2.5.1.1).
const GAP_MIN: Duration = Duration::from_micros(1750);

/// Where the device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// MBAP over TCP.
    Tcp { host: String, port: u16 },
    /// Serial frames carried over TCP as they are.
    RtuOverTcp { host: String, port: u16 },
    /// Serial frames on a line of this machine.
    Serial(SerialLine),
}

impl Route {
    /// Tells whether answers carry no transaction id, so that late ones must be waited out.
    pub(super) fn is_serial_framed(&self) -> bool {
        !matches!(self, Self::Tcp { .. })
    }
}

/// One endpoint's settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) route: Route,
    /// The unit of calls that name none.
    pub(super) unit: UnitId,
    /// How long a whole answer may take.
    pub(super) timeout: Duration,
}

impl Line {
    /// Reads the settings; every error found.
    pub(super) fn parse(settings: &Settings) -> Result<Self, Vec<SettingError>> {
        let mut keys = Keys::new(settings);
        let route = route(&mut keys);
        let timeout_ms = keys.number("timeout_ms", TIMEOUT_MS, TIMEOUTS_MS);
        let unit = keys.number("unit_id", 1, 0..=255);
        let unit = UnitId(u8::try_from(unit).unwrap_or_default());
        if let Some(why) = unit_fault(unit, route.as_ref().is_some_and(Route::is_serial_framed)) {
            keys.fault("unit_id", why);
        }
        match route {
            Some(route) if keys.are_good() => {
                Ok(Self { route, unit, timeout: Duration::from_millis(timeout_ms) })
            }
            _ => Err(keys.into_errors()),
        }
    }

    /// Gives the silence that separates frames: 3.5 characters, none on TCP.
    pub(super) fn gap(&self) -> Duration {
        let (bits, baud) = match &self.route {
            Route::Tcp { .. } => return Duration::ZERO,
            Route::RtuOverTcp { .. } => GATEWAY_LINE,
            Route::Serial(line) => (line.bits_per_character(), line.baud),
        };
        (Duration::from_secs(1) * bits * 7 / (2 * baud)).max(GAP_MIN)
    }

    /// Gives how long so many bytes take on a line of this machine; nothing elsewhere.
    pub(super) fn line_time(&self, bytes: usize) -> Duration {
        let Route::Serial(line) = &self.route else { return Duration::ZERO };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Duration::from_secs(1).saturating_mul(bytes) * line.bits_per_character() / line.baud
    }
}

/// Says why a unit can't be read there.
pub(super) fn unit_fault(unit: UnitId, serial_framed: bool) -> Option<String> {
    match unit.0 {
        0 if serial_framed => Some("unit 0 is broadcast on a serial line: nobody answers".into()),
        255 if serial_framed => Some("unit 255 exists on TCP only; use 1 to 247".into()),
        n @ 248..=254 => Some(format!("unit {n} is reserved; use 1 to 247, on TCP also 0 and 255")),
        _ => None,
    }
}

/// Names the connection these settings make, for endpoints that share it.
pub(super) fn shared_as(settings: &Settings) -> Option<String> {
    match Line::parse(settings).ok()?.route {
        Route::Tcp { host, port } | Route::RtuOverTcp { host, port } => {
            Some(authority(&host, port))
        }
        Route::Serial(line) => Some(line.path),
    }
}

fn route(keys: &mut Keys<'_>) -> Option<Route> {
    let host = keys.text("host");
    let path = keys.text("serial");
    let framing = keys.text("framing");
    let framing = match (framing.as_deref(), &path) {
        (Some(word), _) => word.to_ascii_lowercase(),
        (None, Some(_)) => "rtu".to_owned(),
        (None, None) => "tcp".to_owned(),
    };
    match framing.as_str() {
        "tcp" | "rtu_over_tcp" => {
            unwanted(keys, &["serial", "baud", "parity", "stop_bits"], "framing = \"rtu\"");
            let port = keys.number("port", PORT, 1..=65_535);
            let port = u16::try_from(port).unwrap_or_default();
            let Some(host) = host else {
                keys.fault("host", "is missing: the device's name or IP address");
                return None;
            };
            let host = plain_host(&host);
            Some(if framing == "tcp" {
                Route::Tcp { host, port }
            } else {
                Route::RtuOverTcp { host, port }
            })
        }
        "rtu" => serial(keys, path),
        _ => {
            keys.fault("framing", "is none of tcp, rtu and rtu_over_tcp");
            None
        }
    }
}

fn serial(keys: &mut Keys<'_>, path: Option<String>) -> Option<Route> {
    unwanted(keys, &["host", "port"], "framing = \"tcp\" or \"rtu_over_tcp\"");
    let parity = keys.text("parity").map(|word| word.to_ascii_lowercase());
    // Even parity is the default of Modbus over Serial Line V1.02, 2.5.1.
    let parity = match parity.as_deref() {
        Some("none") => Parity::None,
        None | Some("even") => Parity::Even,
        Some("odd") => Parity::Odd,
        Some(_) => {
            keys.fault("parity", "is none of none, even and odd");
            Parity::Even
        }
    };
    let stop_bits = match keys.number("stop_bits", 1, 1..=2) {
        2 => StopBits::Two,
        _ => StopBits::One,
    };
    let baud = keys.number("baud", BAUD, BAUDS);
    let baud = u32::try_from(baud).unwrap_or_default();
    let Some(path) = path else {
        keys.fault("serial", "is missing: the line's device file, such as /dev/ttyS0");
        return None;
    };
    Some(Route::Serial(SerialLine { path, baud, parity, stop_bits }))
}

/// Refuses keys that another framing would need: they would be silently without effect.
fn unwanted(keys: &mut Keys<'_>, names: &[&str], needs: &str) {
    for key in names {
        if keys.has(key) {
            keys.fault(key, format!("has no effect here; it goes with {needs}"));
        }
    }
}

/// Writes a host in one form: small letters, no brackets, the short form of an IP address.
fn plain_host(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => bare.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(value: Value) -> Settings {
        value.as_object().unwrap().clone()
    }

    fn parse(value: Value) -> Result<Line, Vec<SettingError>> {
        Line::parse(&settings(value))
    }

    #[test]
    fn a_host_is_enough() {
        let line = parse(json!({"host": "10.0.0.5"})).unwrap();
        assert_eq!(line.route, Route::Tcp { host: "10.0.0.5".into(), port: 502 });
        assert_eq!((line.unit, line.timeout), (UnitId(1), Duration::from_secs(1)));
        assert_eq!(line.gap(), Duration::ZERO);
    }

    #[test]
    fn a_serial_path_is_enough() {
        let line = parse(json!({"serial": "/dev/ttyS0"})).unwrap();
        let Route::Serial(serial) = &line.route else { panic!() };
        assert_eq!((serial.baud, serial.parity), (19200, Parity::Even));
        // 3.5 characters of 11 bits at 19 200 baud.
        assert_eq!(line.gap().as_micros(), 2005);
        let fast = parse(json!({"serial": "/dev/ttyS0", "baud": 115_200})).unwrap();
        assert_eq!(fast.gap(), GAP_MIN);
        let slow = parse(json!({"serial": "/dev/ttyS0", "baud": 1200, "parity": "none"})).unwrap();
        assert_eq!(slow.line_time(255).as_millis(), 2125);
    }

    #[test]
    fn every_fault_is_named_by_its_key() {
        for (value, key) in [
            (json!({}), "host"),
            (json!({"host": ""}), "host"),
            (json!({"host": "h", "port": 0}), "port"),
            (json!({"host": "h", "port": "502"}), "port"),
            (json!({"host": "h", "unit_id": 248}), "unit_id"),
            (json!({"host": "h", "unit_id": 256}), "unit_id"),
            (json!({"host": "h", "timeout_ms": 5}), "timeout_ms"),
            (json!({"host": "h", "framing": "ascii"}), "framing"),
            (json!({"host": "h", "framing": "rtu"}), "serial"),
            (json!({"host": "h", "baud": 9600}), "baud"),
            (json!({"host": "h", "framing": "rtu_over_tcp", "unit_id": 0}), "unit_id"),
            (json!({"serial": "/dev/ttyS0", "unit_id": 255}), "unit_id"),
            (json!({"serial": "/dev/ttyS0", "parity": "mark"}), "parity"),
            (json!({"serial": "/dev/ttyS0", "stop_bits": 3}), "stop_bits"),
            (json!({"serial": "/dev/ttyS0", "port": 502}), "port"),
        ] {
            let errors = parse(value.clone()).unwrap_err();
            assert!(errors.iter().any(|error| error.key == key), "{value}: {errors:?}");
        }
        assert_eq!(parse(json!({"host": 5, "port": 0, "unit_id": -1})).unwrap_err().len(), 4);
    }

    #[test]
    fn one_address_in_many_spellings_is_one_connection() {
        for (one, other) in [
            (json!({"host": "PLC2.", "port": 502}), json!({"host": " plc2", "unit_id": 9})),
            (json!({"host": "[::1]"}), json!({"host": "0:0:0:0:0:0:0:1"})),
            (json!({"serial": "/dev/ttyS0"}), json!({"serial": "/dev/ttyS0", "unit_id": 4})),
        ] {
            let (one, other) = (shared_as(&settings(one)), shared_as(&settings(other)));
            assert!(one.is_some());
            assert_eq!(one, other);
        }
        assert_ne!(
            shared_as(&settings(json!({"host": "a", "port": 502}))),
            shared_as(&settings(json!({"host": "a", "port": 503})))
        );
    }

    #[test]
    fn unit_0_and_255_are_for_tcp() {
        assert_eq!(parse(json!({"host": "h", "unit_id": 0})).unwrap().unit, UnitId(0));
        assert_eq!(parse(json!({"host": "h", "unit_id": 255})).unwrap().unit, UnitId(255));
        assert!(unit_fault(UnitId(0), true).is_some());
        assert!(unit_fault(UnitId(247), true).is_none());
    }
}
