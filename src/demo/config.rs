//! The configuration of a collector for this plant, written from the points.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use super::faults::{self, Fault};
use super::mqtt::{DEVICE, GROUP, NODE};
use super::opcua::{NAMESPACE, id_text};
use super::points::{self, Layout, PREFIX, Place, Point};
use crate::model::{DataType, Scale, WordOrder};

/// The units behind the Modbus port; tags of the others name theirs.
const UNIT_DEFAULT: u8 = 1;

/// TCPMUX (RFC 1078): nobody has listened there for decades.
const PORT_DEAD: u16 = 1;

/// Where the servers listen.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) opcua_url: String,
    pub(super) modbus: SocketAddr,
    pub(super) mc: SocketAddr,
    pub(super) s7: SocketAddr,
    pub(super) mtconnect: SocketAddr,
    pub(super) mqtt: SocketAddr,
}

/// Writes the file.
pub(super) fn toml(at: &Addresses, faults: &[&'static Fault]) -> String {
    let mut text = String::new();
    write(&mut text, at, faults).expect("a String takes every write");
    text
}

fn write(out: &mut String, at: &Addresses, faults: &[&'static Fault]) -> fmt::Result {
    let Addresses { opcua_url, modbus, mc, s7, mtconnect, mqtt } = at;
    writeln!(out, "# The simulated bottling line: a collector's configuration like any other.")?;
    writeln!(out, "# Its servers listen on ports that change with every start.\n")?;
    writeln!(out, "# The line's OPC UA server: values come by subscription.")?;
    writeln!(out, "[[endpoints]]\nname = \"line1-opcua\"\nprotocol = \"opcua\"")?;
    writeln!(out, "endpoint_url = \"{opcua_url}\"")?;
    let (mode, policy) = match faults::is_unsecured(faults) {
        true => ("SignAndEncrypt", "Basic256Sha256"),
        false => ("None", "None"),
    };
    writeln!(out, "security_mode = \"{mode}\"\nsecurity_policy = \"{policy}\"")?;
    writeln!(out, "scan_ms = 1000")?;
    tags(out, faults, |place| matches!(place, Place::Node { .. }))?;
    writeln!(out, "\n# The controllers on the Modbus gateway: 1 filler, 2 utilities, 3 packer.")?;
    writeln!(out, "[[endpoints]]\nname = \"filler\"\nprotocol = \"modbus\"")?;
    writeln!(out, "host = \"{}\"\nport = {}", modbus.ip(), modbus.port())?;
    writeln!(out, "unit_id = {UNIT_DEFAULT}\nscan_ms = 1000")?;
    tags(out, faults, |place| {
        matches!(place, Place::Register { .. } | Place::Bit { .. } | Place::RegisterBit { .. })
    })?;
    writeln!(out, "\n# The capper's Mitsubishi controller: MC protocol, binary code.")?;
    writeln!(out, "[[endpoints]]\nname = \"capper\"\nprotocol = \"mc\"")?;
    writeln!(out, "host = \"{}\"\nport = {}\nplctype = \"Q\"", mc.ip(), mc.port())?;
    writeln!(out, "scan_ms = 1000")?;
    tags(out, faults, |place| matches!(place, Place::McWords { .. } | Place::McBit { .. }))?;
    writeln!(out, "\n# The palletiser's Siemens controller: S7 communication.")?;
    writeln!(out, "[[endpoints]]\nname = \"palletiser\"\nprotocol = \"s7\"")?;
    let port = if faults::is_unplugged(faults) { PORT_DEAD } else { s7.port() };
    writeln!(out, "host = \"{}\"\nport = {port}\nslot = 2", s7.ip())?;
    writeln!(out, "scan_ms = 1000")?;
    tags(out, faults, |place| matches!(place, Place::S7 { .. }))?;
    writeln!(out, "\n# The pallet wrapper's MTConnect agent: values come by a stream.")?;
    writeln!(out, "[[endpoints]]\nname = \"wrapper\"\nprotocol = \"mtconnect\"")?;
    writeln!(out, "agent_url = \"http://{mtconnect}\"\nscan_ms = 1000")?;
    tags(out, faults, |place| matches!(place, Place::Item(_)))?;
    writeln!(out, "\n# The line's broker: a Sparkplug edge node and plain topics.")?;
    writeln!(out, "[[endpoints]]\nname = \"line1-broker\"\nprotocol = \"mqtt\"")?;
    writeln!(out, "host = \"{}\"\nport = {}", mqtt.ip(), mqtt.port())?;
    writeln!(out, "topic = \"#\"\nkeep_alive_s = 2\nrebirth = true")?;
    tags(out, faults, |place| matches!(place, Place::Metric { .. } | Place::Topic { .. }))
}

fn tags(
    out: &mut String,
    faults: &[&'static Fault],
    is_there: impl Fn(Place) -> bool,
) -> fmt::Result {
    points::all()
        .filter(|point| is_there(point.place))
        .try_for_each(|point| tag(out, point, faults))
}

fn tag(out: &mut String, point: &Point, faults: &[&'static Fault]) -> fmt::Result {
    writeln!(out, "\n[[endpoints.tags]]\nname = \"{PREFIX}{}\"", point.name)?;
    place(out, point, faults)?;
    if !point.unit.is_empty() {
        writeln!(out, "unit = \"{}\"", point.unit)?;
    }
    writeln!(out, "description = \"{}\"", point.description)?;
    // The first part of the name below the line is the machine.
    let machine = point.name.split('/').next().unwrap_or_default();
    writeln!(out, "area = \"line1/{machine}\"")?;
    if point.scan_ms > 0 {
        writeln!(out, "scan_ms = {}", point.scan_ms)?;
    }
    let limits = [
        ("warn_low", point.limits.warn_low),
        ("warn_high", point.limits.warn_high),
        ("alarm_low", point.limits.alarm_low),
        ("alarm_high", point.limits.alarm_high),
    ];
    for (key, limit) in limits {
        if let Some(limit) = limit {
            writeln!(out, "{key} = {limit:?}")?;
        }
    }
    Ok(())
}

fn place(out: &mut String, point: &Point, faults: &[&'static Fault]) -> fmt::Result {
    match point.place {
        Place::Node { path, .. } => {
            writeln!(out, "ref = \"nsu={NAMESPACE};s={}\"", id_text(path))
        }
        Place::McWords { device, number, layout } => {
            writeln!(out, "ref = \"{device}{number}\"\ntype = \"{}\"", data_type(layout))
        }
        Place::McBit { device, number } => {
            writeln!(out, "ref = \"{device}{number}\"\ntype = \"bool\"")
        }
        Place::S7 { address } => writeln!(out, "ref = \"{address}\""),
        Place::Item(item) => writeln!(out, "ref = \"{}\"", item.id),
        Place::Metric { metric, .. } => {
            writeln!(out, "ref = \"spBv1.0/{GROUP}/{NODE}/{DEVICE}:{metric}\"")
        }
        Place::Topic { topic, part: "" } => writeln!(out, "ref = \"{topic}\""),
        Place::Topic { topic, part } => writeln!(out, "ref = \"{topic}#{part}\""),
        Place::Bit { unit, table, address } => {
            writeln!(out, "ref = \"{}:{address}\"", table.word())?;
            unit_key(out, unit)?;
            writeln!(out, "type = \"bool\"")
        }
        Place::RegisterBit { unit, table, address, bit } => {
            writeln!(out, "ref = \"{}:{address}.{bit}\"", table.word())?;
            unit_key(out, unit)?;
            writeln!(out, "type = \"bool\"")
        }
        Place::Register { unit, table, address, layout, order, scale } => {
            let address = faults::misaddressed(faults, point.name).unwrap_or(address);
            writeln!(out, "ref = \"{}:{address}\"", table.word())?;
            unit_key(out, unit)?;
            writeln!(out, "type = \"{}\"", data_type(layout))?;
            if layout.registers() > 1 && !matches!(layout, Layout::Text(_)) {
                writeln!(out, "order = \"{}\"", order_word(order))?;
            }
            scale.map_or(Ok(()), |Scale { raw, eu }| {
                let (low, high) = (raw.0, raw.1);
                writeln!(
                    out,
                    "scale = {{ raw = [{low:?}, {high:?}], eu = [{:?}, {:?}] }}",
                    eu.0, eu.1
                )
            })
        }
    }
}

fn unit_key(out: &mut String, unit: u8) -> fmt::Result {
    if unit == UNIT_DEFAULT { Ok(()) } else { writeln!(out, "unit_id = {unit}") }
}

fn data_type(layout: Layout) -> DataType {
    match layout {
        Layout::One(scalar) => DataType::One(scalar),
        Layout::Row(scalar, items) => DataType::Array(scalar, items),
        Layout::Text(bytes) => DataType::Text(bytes),
    }
}

fn order_word(order: WordOrder) -> &'static str {
    match order {
        WordOrder::Abcd => "ABCD",
        WordOrder::Cdab => "CDAB",
        WordOrder::Badc => "BADC",
        WordOrder::Dcba => "DCBA",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn parsed(faults: &[&'static Fault]) -> ::toml::Table {
        let at = Addresses {
            opcua_url: "opc.tcp://127.0.0.1:4840/".to_owned(),
            modbus: "127.0.0.1:1502".parse().unwrap(),
            mc: "127.0.0.1:5007".parse().unwrap(),
            s7: "127.0.0.1:1102".parse().unwrap(),
            mtconnect: "127.0.0.1:5000".parse().unwrap(),
            mqtt: "127.0.0.1:1883".parse().unwrap(),
        };
        toml(&at, faults).parse().unwrap()
    }

    fn tags(config: &::toml::Table) -> Vec<&::toml::Table> {
        let endpoints = config["endpoints"].as_array().unwrap();
        endpoints
            .iter()
            .flat_map(|endpoint| endpoint["tags"].as_array().unwrap())
            .map(|tag| tag.as_table().unwrap())
            .collect()
    }

    #[test]
    fn every_point_is_a_tag_with_a_name_of_its_own() {
        let config = parsed(&[]);
        let tags = tags(&config);
        let names: HashSet<&str> = tags.iter().map(|tag| tag["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), points::all().count());
        assert_eq!(names.len(), tags.len());
        assert!(names.contains("demo/line1/filler/speed"));
        for tag in &tags {
            assert!(!tag["description"].as_str().unwrap().is_empty());
            if let Some(kind) = tag.get("type") {
                assert!(DataType::parse(kind.as_str().unwrap()).is_some(), "{kind}");
            }
            if let Some(order) = tag.get("order") {
                assert!(WordOrder::parse(order.as_str().unwrap()).is_some(), "{order}");
            }
        }
    }

    #[test]
    fn every_endpoint_is_where_its_server_listens() {
        let config = parsed(&[]);
        let endpoints = config["endpoints"].as_array().unwrap();
        assert_eq!(endpoints[0]["name"].as_str(), Some("line1-opcua"));
        assert_eq!(endpoints[0]["endpoint_url"].as_str(), Some("opc.tcp://127.0.0.1:4840/"));
        assert_eq!(endpoints[1]["name"].as_str(), Some("filler"));
        assert_eq!(endpoints[1]["port"].as_integer(), Some(1502));
        assert_eq!(endpoints[2]["port"].as_integer(), Some(5007));
        assert_eq!(endpoints[3]["port"].as_integer(), Some(1102));
        assert_eq!(endpoints[4]["agent_url"].as_str(), Some("http://127.0.0.1:5000"));
        assert_eq!(endpoints[5]["port"].as_integer(), Some(1883));
    }

    #[test]
    fn a_wrong_address_is_the_only_thing_a_fault_changes_in_it() {
        let (sound, faulty) = (parsed(&[]), parsed(&faults::list().iter().collect::<Vec<_>>()));
        let different: Vec<(String, String)> = tags(&sound)
            .iter()
            .zip(tags(&faulty))
            .filter(|(a, b)| **a != *b)
            .map(|(a, b)| (a["ref"].to_string(), b["ref"].to_string()))
            .collect();
        let quoted = |text: &str| format!("\"{text}\"");
        assert_eq!(different, [(quoted("holding:128"), quoted("holding:134"))]);
    }

    #[test]
    fn no_description_tells_what_is_wrong() {
        for point in points::all() {
            for word in ["stuck", "drift", "stale", "dead", "wrong"] {
                assert!(!point.description.contains(word), "{}", point.name);
            }
        }
    }
}
