//! One endpoint of the configuration.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::LeftOut;
use super::load::Loader;
use super::node::{At, Kind, Node};
use super::password::Vault;
use super::problem::Desk;
use super::reference;
use super::section::{Section, nearest, unknown_key};
use super::want::{found, json, shown};
use crate::driver::{EndpointSpec, Protocol, Settings};
use crate::model::{Budget, EndpointName, Secret, UnitId, with_article};

/// The keys that every protocol has.
const KEYS: [&str; 8] =
    ["name", "protocol", "password", "scan_ms", "budget", "tags", "tags_csv", "enabled"];

/// The keys of a budget.
const BUDGET_KEYS: [&str; 4] = ["requests_per_s", "burst", "connections", "on_demand_share"];

/// Below 10 ms a scan is shorter than a round trip; above a day it is no scan.
pub(super) const SCAN_MS: RangeInclusive<i64> = 10..=86_400_000;

/// The scan class of tags where nothing else is said.
const SCAN_MS_DEFAULT: u32 = 1000;

/// An endpoint's name is part of tag names and of a variable's name.
const NAME_BYTES_MAX: usize = 128;

/// More requests a second, or at once, than any field device answers.
const REQUESTS_MAX: u32 = 100_000;

/// Devices take few connections, and an endpoint holds one poller.
const CONNECTIONS_MAX: i64 = 64;

/// What an endpoint lends to its tags.
pub(super) struct Defaults<'a> {
    pub(super) endpoint: EndpointName,
    pub(super) protocol: &'a Protocol,
    pub(super) unit: UnitId,
    pub(super) scan_ms: u32,
}

impl<'a> Loader<'a> {
    /// Reads one endpoint: it runs, or it is disabled, or the desk knows why not.
    pub(super) fn endpoint(&mut self, node: &Node) {
        self.desk.on_endpoint(None);
        self.desk.on_tag(None);
        let section = Section::of(node, "", "an endpoint", &mut self.desk);
        let named = section.and_then(|section| Some((section, self.endpoint_name(section)?)));
        let Some((section, name)) = named else {
            self.out.left_out.push(LeftOut::Endpoint(None));
            return;
        };
        self.desk.on_endpoint(Some(name.clone()));
        let before = self.desk.errors();
        let enabled = section.flag("enabled", &mut self.desk).unwrap_or(true);
        match self.spec(section, &name, enabled, before) {
            Some(spec) if enabled => self.out.endpoints.push(spec),
            Some(spec) => self.out.disabled.push(spec),
            None if self.desk.errors() > before => {
                self.out.left_out.push(LeftOut::Endpoint(Some(name)));
            }
            None => {}
        }
        self.desk.on_endpoint(None);
    }

    /// Reads the name, and claims it: a second endpoint of that name is left out.
    fn endpoint_name(&mut self, section: Section<'_>) -> Option<EndpointName> {
        let before = self.desk.errors();
        let name = section.text("name", &mut self.desk);
        let at = section.place("name");
        let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
            if self.desk.errors() == before {
                self.desk.error(at, "name", "an endpoint has no name".into(), "add `name`");
            }
            return None;
        };
        if name.len() > NAME_BYTES_MAX {
            let message = format!("`name` must be text of at most {NAME_BYTES_MAX} bytes");
            self.desk.error(at, "name", message, "");
            return None;
        }
        if let Some(first) = self.endpoints.get(&name) {
            let message = format!(
                "two endpoints are named `{}`, in line {} and line {}",
                shown(&name),
                first.line,
                at.line
            );
            self.desk.on_endpoint(Some(name));
            self.desk.error(at, "name", message, "rename one; the first one runs");
            return None;
        }
        self.endpoints.insert(name.clone(), at);
        Some(name)
    }

    /// Reads all but the name; with an error since `before`, its tags' own apart, there is none.
    fn spec(
        &mut self,
        section: Section<'_>,
        name: &EndpointName,
        enabled: bool,
        before: usize,
    ) -> Option<EndpointSpec> {
        let mut settings = reference::read(section, &mut self.desk);
        let protocol = self.protocol(section)?;
        own_keys(section, protocol, &mut settings, &mut self.desk);
        reference::adapt(&mut settings, protocol, section, &mut self.desk);
        let budget = budget(section, &mut self.desk);
        let scan_ms = section.whole("scan_ms", SCAN_MS, &mut self.desk);
        // Where a key is wrong already, what misses it would only be noise.
        if self.desk.errors() == before {
            self.check_settings(section, protocol, &settings);
        }
        let password = if enabled { self.password(section, name) } else { None };
        let inline = inline_tags(section, &mut self.desk);
        let rows = self.tag_table(section);
        let is_faulty = self.desk.errors() > before;
        let left_out = self.out.left_out.len();
        let unit = settings.get("unit_id").and_then(serde_json::Value::as_u64);
        let defaults = Defaults {
            endpoint: name.clone(),
            protocol,
            unit: UnitId(unit.and_then(|unit| u8::try_from(unit).ok()).unwrap_or_default()),
            scan_ms: scan_ms.unwrap_or(SCAN_MS_DEFAULT),
        };
        let mut tags = Vec::new();
        for node in inline {
            match Section::of(node, "", "a tag", &mut self.desk) {
                Some(section) => tags.extend(self.tag(section, &defaults)),
                None => self.out.left_out.push(LeftOut::Tag(name.clone(), None)),
            }
        }
        tags.extend(self.table_tags(rows, &defaults));
        if is_faulty {
            // Its tags were read so that their mistakes are told too; their names are free.
            tags.iter().for_each(|tag| drop(self.tags.remove(&tag.name)));
            self.was.retain(|claim| claim.endpoint != *name);
            self.out.left_out.truncate(left_out);
            return None;
        }
        Some(EndpointSpec {
            name: name.clone(),
            protocol: protocol.name,
            settings,
            password,
            budget,
            tags: tags.into_iter().map(Arc::new).collect(),
            state_dir: self.sources.state_dir.to_path_buf(),
        })
    }

    /// Finds the endpoint's protocol in this build.
    fn protocol(&mut self, section: Section<'_>) -> Option<&'a Protocol> {
        let before = self.desk.errors();
        let name = section.text("protocol", &mut self.desk);
        if self.desk.errors() > before {
            return None;
        }
        let name = name.as_deref().unwrap_or("opcua");
        let built = self.sources.protocols;
        if let Some(protocol) = built.iter().find(|protocol| protocol.name == name) {
            return Some(protocol);
        }
        let at = section.place("protocol");
        let names: Vec<&str> = built.iter().map(|protocol| protocol.name).collect();
        if reference::PROTOCOLS.contains(&name) {
            let message = format!("the protocol {name} is not in this build: the endpoint waits");
            self.desk.warn(at, "protocol", message, format!("it has {}", names.join(", ")));
            return None;
        }
        let message = format!("unknown protocol `{}`", shown(name));
        let near = nearest(name, &reference::PROTOCOLS).unwrap_or("opcua");
        let hint = format!("the nearest one is `{near}`; supported: {}", names.join(", "));
        self.desk.error(at, "protocol", message, hint);
        None
    }

    /// Lets the protocol judge its own settings.
    fn check_settings(&mut self, section: Section<'_>, protocol: &Protocol, settings: &Settings) {
        for fault in (protocol.check)(settings) {
            let alias = if fault.key == "host" { "broker" } else { fault.key.as_str() };
            let entry = section.get(&fault.key).or_else(|| section.get(alias));
            let at = entry.map_or(section.at, |entry| entry.value.at);
            self.desk.error(at, &fault.key, format!("`{}`: {}", fault.key, fault.message), "");
        }
    }

    fn password(&mut self, section: Section<'_>, name: &str) -> Option<Secret> {
        let mut vault = Vault { env: self.sources.env, dir: &self.dir, keyring: &mut self.keyring };
        vault.fetch(name, section, &mut self.desk)
    }
}

/// Takes the protocol's own keys as they are, and reports those that nobody knows.
fn own_keys(section: Section<'_>, protocol: &Protocol, settings: &mut Settings, desk: &mut Desk) {
    let ours: Vec<&str> = KEYS.iter().chain(protocol.keys).copied().collect();
    let foreign: Vec<&str> = reference::keys().collect();
    section.check_keys_once(desk);
    for entry in section.entries() {
        let key = entry.key.as_ref();
        if KEYS.contains(&key) || foreign.contains(&key) {
            continue;
        }
        if !protocol.keys.contains(&key) {
            let what = format!("{} endpoint", with_article(protocol.name));
            unknown_key(entry.at, key, &ours, &what, desk);
            continue;
        }
        match json(&entry.value) {
            Ok(serde_json::Value::Null) => {}
            Ok(value) => {
                settings.insert(key.to_owned(), value);
            }
            Err(wanted) => {
                desk.error(entry.value.at, key, format!("`{key}` must be {wanted}"), "");
            }
        }
    }
}

/// Reads the budget; what isn't set stays at its default.
fn budget(section: Section<'_>, desk: &mut Desk) -> Budget {
    let mut out = Budget::default();
    let Some(entry) = section.get("budget") else { return out };
    let Some(table) = Section::of(&entry.value, "budget", "`budget`", desk) else { return out };
    table.check_keys(&BUDGET_KEYS, "budget", desk);
    let at = |key: &str| table.get(key).map_or(At::NONE, |entry| entry.value.at);
    if let Some(rate) = table.number("requests_per_s", desk) {
        if rate > 0.0 && rate <= f64::from(REQUESTS_MAX) {
            out.requests_per_s = rate;
        } else {
            let wanted = format!("`requests_per_s` must be above 0 and at most {REQUESTS_MAX}");
            desk.error(at("requests_per_s"), "requests_per_s", wanted, "");
        }
    }
    if let Some(share) = table.number("on_demand_share", desk) {
        if (0.0..=1.0).contains(&share) {
            out.on_demand_share = share;
        } else {
            let wanted = "`on_demand_share` must be from 0 to 1".to_owned();
            desk.error(at("on_demand_share"), "on_demand_share", wanted, "0.2 is a fifth");
        }
    }
    if let Some(burst) = table.whole("burst", 1..=i64::from(REQUESTS_MAX), desk) {
        out.burst = burst;
    }
    if let Some(connections) = table.whole("connections", 1..=CONNECTIONS_MAX, desk) {
        out.connections = connections;
    }
    out
}

/// Gives the tags that stand under the endpoint itself.
fn inline_tags<'n>(section: Section<'n>, desk: &mut Desk) -> &'n [Node] {
    let Some(entry) = section.get("tags") else { return &[] };
    match &entry.value.kind {
        Kind::List(items) => items,
        Kind::Null => &[],
        _ => {
            let message = format!("`tags` must be a list of tags, not {}", found(&entry.value));
            desk.error(entry.value.at, "tags", message, "begin each with [[endpoints.tags]]");
            &[]
        }
    }
}
