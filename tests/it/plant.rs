//! Configurations for tests: one endpoint each, generous with its budget unless said otherwise.

use std::fmt::Write;
use std::path::Path;

/// A budget that no test exhausts by accident.
const GENEROUS: &str = "budget = { requests_per_s = 1000, burst = 1000, on_demand_share = 1.0 }\n";

/// One endpoint of a configuration.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    head: String,
    budget: String,
    tags: String,
}

impl Endpoint {
    pub(crate) fn new(name: &str, protocol: &str, place: &str) -> Self {
        Self {
            head: format!("[[endpoints]]\nname = {name:?}\nprotocol = {protocol:?}\n{place}\n"),
            budget: GENEROUS.to_owned(),
            tags: String::new(),
        }
    }

    /// A Modbus TCP device on 127.0.0.1, scanned five times a second.
    pub(crate) fn modbus(name: &str, port: u16) -> Self {
        let place = format!("host = \"127.0.0.1\"\nport = {port}\nscan_ms = 200");
        Self::new(name, "modbus", &place)
    }

    /// A Modbus RTU device behind a serial line of 19200 8N1.
    pub(crate) fn serial(name: &str, terminal: &Path) -> Self {
        let place = format!(
            "framing = \"rtu\"\nserial = {terminal:?}\nbaud = 19200\nparity = \"none\"\n\
             stop_bits = 1\nscan_ms = 200"
        );
        Self::new(name, "modbus", &place)
    }

    /// A Siemens controller on 127.0.0.1, scanned five times a second.
    pub(crate) fn s7(name: &str, port: u16) -> Self {
        let place = format!("host = \"127.0.0.1\"\nport = {port}\nscan_ms = 200");
        Self::new(name, "s7", &place)
    }

    /// A Mitsubishi controller on 127.0.0.1, scanned five times a second.
    pub(crate) fn mc(name: &str, port: u16) -> Self {
        let place = format!("host = \"127.0.0.1\"\nport = {port}\nscan_ms = 200");
        Self::new(name, "mc", &place)
    }

    /// An MTConnect agent on 127.0.0.1.
    pub(crate) fn mtconnect(name: &str, port: u16) -> Self {
        let url = format!("agent_url = \"http://127.0.0.1:{port}\"\nscan_ms = 200");
        Self::new(name, "mtconnect", &url)
    }

    /// A broker's plain door on 127.0.0.1.
    pub(crate) fn mqtt(name: &str, port: u16) -> Self {
        Self::new(name, "mqtt", &format!("host = \"127.0.0.1\"\nport = {port}"))
    }

    /// An OPC UA server on 127.0.0.1.
    pub(crate) fn opcua(name: &str, port: u16, path: &str) -> Self {
        let url = format!("endpoint_url = \"opc.tcp://127.0.0.1:{port}{path}\"\nscan_ms = 200");
        Self::new(name, "opcua", &url)
    }

    /// Adds a line of its own.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.head.push_str(line);
        self.head.push('\n');
        self
    }

    /// Sets the budget, as an inline table.
    pub(crate) fn budget(mut self, table: &str) -> Self {
        self.budget = format!("budget = {table}\n");
        self
    }

    /// Adds a tag, with more keys after its name and reference.
    pub(crate) fn tag(mut self, name: &str, reference: &str, more: &str) -> Self {
        let line = format!("[[endpoints.tags]]\nname = {name:?}\nref = {reference:?}\n{more}\n");
        self.tags.push_str(&line);
        self
    }
}

/// Writes the configuration of a plant that commits its history often.
pub(crate) fn plant(endpoints: &[Endpoint]) -> String {
    let mut text = String::from("[history]\ncommit_ms = 200\n");
    for Endpoint { head, budget, tags } in endpoints {
        write!(text, "{head}{budget}{tags}").unwrap();
    }
    text
}
