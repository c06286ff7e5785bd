mod bad_input;
mod endpoints;
mod golden;
mod passwords;
mod plants;
mod reload;
mod tag_tables;
mod tags;

use std::path::{Path, PathBuf};

use super::*;
use crate::driver::{
    Discovery, Driver, DriverError, EndpointSpec, ErrorKind, Protocol, ScanCost, SettingError,
    Settings, WireAddress,
};
use crate::model::Tag;

/// A directory with a configuration in it.
struct Plant {
    dir: tempfile::TempDir,
}

impl Plant {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn load(&self, name: &str) -> Result<Config, Vec<Problem>> {
        load_with(&self.path(name), &PROTOCOLS, &|_| None)
    }
}

fn load_with(
    path: &Path,
    protocols: &[Protocol],
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Problem>> {
    load(Some(path), Sources { protocols, env, state_dir: Path::new("/state"), master: None })
}

/// Loads a text as TOML; it must be usable.
fn toml(text: &str) -> Config {
    let plant = Plant::new();
    plant.write("c.toml", text);
    plant.load("c.toml").unwrap()
}

/// Loads a text as YAML; it must be usable.
fn yaml(text: &str) -> Config {
    let plant = Plant::new();
    plant.write("c.yaml", text);
    plant.load("c.yaml").unwrap()
}

/// Gives the only problem there is.
fn only(config: &Config) -> &Problem {
    assert_eq!(config.problems.len(), 1, "{:#?}", config.problems);
    &config.problems[0]
}

/// Gives a problem as `line:column severity key message; hint`.
fn line(problem: &Problem) -> String {
    let Problem { severity, line, column, key, message, hint, .. } = problem;
    format!("{line}:{column} {severity:?} {key}: {message}; {hint}")
}

const fn protocol(name: &'static str, keys: &'static [&'static str]) -> Protocol {
    Protocol {
        name,
        title: name,
        library: "none",
        transport: "none",
        auth: "none",
        keys,
        sample: "",
        readme: "",
        prompts: &[],
        discovery: Discovery::ByHand("it is a test"),
        check: |_| Vec::new(),
        address: |tag| Ok(format!("node {}", tag.address)),
        block: |_| None,
        requests: |_| Vec::new(),
        shared_as: |_| None,
        driver: no_driver,
    }
}

fn no_driver(_: &EndpointSpec) -> Result<Box<dyn Driver>, DriverError> {
    Err(DriverError::new(ErrorKind::Unsupported, "these tests drive nothing"))
}

/// As far as the configuration can tell, the Modbus protocol.
const MODBUS: Protocol = Protocol {
    check: check_modbus,
    address: modbus_address,
    requests: a_request_per_tag,
    shared_as: |settings| Some(format!("{:?}:{:?}", settings.get("host"), settings.get("port"))),
    ..protocol("modbus", &["host", "port", "serial", "baud", "framing", "unit_id", "timeout_ms"])
};

const OPCUA: Protocol = Protocol {
    check: check_opcua,
    ..protocol("opcua", &["endpoint_url", "username", "security_mode", "security_policy"])
};

const PROTOCOLS: [Protocol; 2] = [MODBUS, OPCUA];

fn check_modbus(settings: &Settings) -> Vec<SettingError> {
    let mut out = Vec::new();
    if !settings.contains_key("host") && !settings.contains_key("serial") {
        out.push(SettingError { key: "host".into(), message: "is missing".into() });
    }
    let framing = settings.get("framing").map(|framing| framing.as_str().unwrap_or("?"));
    if framing.is_some_and(|framing| !["tcp", "rtu", "rtu_over_tcp"].contains(&framing)) {
        let message = "must be tcp, rtu or rtu_over_tcp".into();
        out.push(SettingError { key: "framing".into(), message });
    }
    out
}

fn check_opcua(settings: &Settings) -> Vec<SettingError> {
    if settings.contains_key("endpoint_url") {
        return Vec::new();
    }
    vec![SettingError { key: "endpoint_url".into(), message: "is missing".into() }]
}

fn modbus_address(tag: &Tag) -> Result<WireAddress, DriverError> {
    let bad = || {
        let message = "a Modbus address is from 0 to 65535";
        DriverError::new(ErrorKind::BadAddress, message).hint("write holding:100 or 4x00101")
    };
    let text = tag.address.as_ref();
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let (area, at) = if let Some(rest) = text.strip_prefix("holding:") {
        ("holding", number(rest)?)
    } else if let Some(rest) = text.strip_prefix("4x") {
        ("holding", number(rest)?.checked_sub(1).ok_or_else(bad)?)
    } else {
        ("holding", number(text)?)
    };
    Ok(format!("{area} {at} unit {}", tag.unit.0))
}

fn a_request_per_tag(spec: &EndpointSpec) -> Vec<ScanCost> {
    let mut out: Vec<ScanCost> = Vec::new();
    for tag in &spec.tags {
        let scan_ms = tag.scan.scan_ms;
        match out.iter_mut().find(|cost| cost.scan_ms == scan_ms) {
            Some(cost) => {
                cost.requests += 1;
                cost.tags += 1;
            }
            None => out.push(ScanCost { scan_ms, requests: 1, tags: 1 }),
        }
    }
    out
}
