//! What a caller is shown: an agent's user may be narrowed to some tags, and to tags alone.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::deps::Deps;
use super::link::Link;
use crate::config::{Agent, Config};
use crate::driver::BlockRef;
use crate::govern::breaker::Allowance;
use crate::model::{Door, Principal, Tag, TagId, tag_matches};

/// Arguments by which a tool takes an address of a device, or a text that may be one.
const ADDRESS_KEYS: [&str; 14] = [
    "node_id",
    "node_ids",
    "ref",
    "refs",
    "address",
    "addresses",
    "start",
    "db",
    "area",
    "headdevice",
    "word_devices",
    "dword_devices",
    "topic",
    "path",
];

/// What one caller is shown. Nothing here widens what the door offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sight {
    /// Patterns of tags; all where there are none.
    tags: Option<Vec<Arc<str>>>,
    free_reads: bool,
}

impl Sight {
    /// Gives what a caller is narrowed to; `None` where it is not.
    fn of(config: &Config, principal: &Principal) -> Option<Self> {
        if principal.door == Door::Operator {
            return None;
        }
        match agent(config, principal) {
            Some(agent) if agent.tags.is_none() && agent.free_reads => None,
            Some(agent) => Some(Self { tags: agent.tags.clone(), free_reads: agent.free_reads }),
            None if config.strangers_see_nothing => {
                Some(Self { tags: Some(Vec::new()), free_reads: false })
            }
            None => None,
        }
    }

    fn shows(&self, tag: &Tag) -> bool {
        let Some(patterns) = &self.tags else { return true };
        patterns.iter().any(|pattern| tag_matches(pattern, &tag.name))
    }
}

fn agent<'c>(config: &'c Config, principal: &Principal) -> Option<&'c Agent> {
    config.agents.iter().find(|agent| agent.uid == principal.uid)
}

/// Gives what a caller's user may cost.
#[must_use]
pub fn allowance(config: &Config, principal: &Principal) -> Allowance {
    allowance_of(config, principal.uid)
}

/// Gives what a user's agents may cost.
pub(super) fn allowance_of(config: &Config, uid: u32) -> Allowance {
    let usual = Allowance::default();
    let Some(agent) = config.agents.iter().find(|agent| agent.uid == uid) else { return usual };
    Allowance {
        calls_per_min: agent.calls_per_min.unwrap_or(usual.calls_per_min),
        bytes_per_min: agent.bytes_per_min.unwrap_or(usual.bytes_per_min),
        tickets_per_hour: agent.tickets_per_hour.unwrap_or(usual.tickets_per_hour),
        tickets_open: agent.tickets_open.unwrap_or(usual.tickets_open),
    }
}

impl Deps {
    /// Gives the handles as a caller may use them.
    #[must_use]
    pub fn seen_by(&self, principal: &Principal) -> Self {
        let sight = Sight::of(&self.config.read(), principal);
        self.narrowed(sight.map(Arc::new))
    }

    /// Gives the configured tags that are shown, sorted by name.
    #[must_use]
    pub fn tags(&self) -> Vec<(TagId, Arc<Tag>)> {
        let all = self.cache.tags();
        match self.sight() {
            None => all,
            Some(sight) => all.into_iter().filter(|(_, tag)| sight.shows(tag)).collect(),
        }
    }

    /// Finds a tag that is shown; one that is not is as unknown as one that does not exist.
    #[must_use]
    pub fn resolve(&self, name: &str) -> Option<TagId> {
        let id = self.cache.resolve(name)?;
        let tag = self.cache.tag(id)?;
        self.sight().is_none_or(|sight| sight.shows(&tag)).then_some(id)
    }

    /// Tells whether what is about this name is shown: to one who is narrowed, tags alone.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        self.sight().is_none() || self.resolve(name).is_some()
    }

    /// Tells whether a value may be read for a write's sake: to one who is held to tags, only a
    /// tag's.
    #[must_use]
    pub fn reads_tag(&self, tag: &Tag) -> bool {
        self.sight().is_none_or(|sight| sight.free_reads) || self.shows(&tag.name)
    }

    /// Tells whether a stretch of a device's memory may be read: to one who is held to tags, only
    /// what those that are shown fill without a gap.
    #[must_use]
    pub fn reads_block(&self, link: &Link, at: &BlockRef) -> bool {
        let Some(sight) = self.sight().filter(|sight| !sight.free_reads) else { return true };
        let shown = link.spec.tags.iter().filter(|tag| sight.shows(tag));
        let filled = shown.filter_map(|tag| (link.protocol.block)(tag));
        is_within(at, filled)
    }

    /// Finds an argument that names an address outside the tags that are shown, where the caller
    /// is held to those. `takes` are the arguments of the tool.
    #[must_use]
    pub fn address_refused(
        &self,
        takes: &[&str],
        is_of_protocol: bool,
        arguments: &Map<String, Value>,
    ) -> Option<String> {
        self.sight().filter(|sight| !sight.free_reads)?;
        let keys: Vec<&str> = ADDRESS_KEYS.into_iter().filter(|key| takes.contains(key)).collect();
        let mut given = keys.iter().filter_map(|key| Some((*key, arguments.get(*key)?)));
        let tags = self.tags();
        let shown =
            |text: &str| tags.iter().any(|(_, tag)| *tag.name == *text || *tag.address == *text);
        let outside = |value: &Value| match value {
            Value::Null => false,
            Value::String(text) => !shown(text),
            Value::Array(items) => items.iter().any(|item| !item.as_str().is_some_and(shown)),
            _ => true,
        };
        if let Some((key, _)) = given.find(|(_, value)| outside(value)) {
            return Some(key.to_owned());
        }
        // Without an address such a tool reads whatever it likes.
        let names_one = keys.iter().any(|key| arguments.get(*key).is_some_and(|v| !v.is_null()));
        (is_of_protocol && !keys.is_empty() && !names_one).then(|| "address".to_owned())
    }
}

/// Tells whether stretches together hold another one, in whatever order they come.
fn is_within(wanted: &BlockRef, stretches: impl Iterator<Item = BlockRef>) -> bool {
    let is_there =
        |s: &BlockRef| (s.unit, s.area, s.section) == (wanted.unit, wanted.area, wanted.section);
    let mut there: Vec<(u64, u64)> = stretches
        .filter(is_there)
        .map(|s| (s.address.into(), u64::from(s.address) + u64::from(s.count)))
        .collect();
    there.sort_unstable();
    let (mut from, end) =
        (u64::from(wanted.address), u64::from(wanted.address) + u64::from(wanted.count));
    for (start, stop) in there {
        if start <= from {
            from = from.max(stop);
        }
    }
    from >= end
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::UnitId;

    #[test]
    fn a_stretch_is_within_tags_where_they_fill_it_without_a_gap() {
        let at = |address: u32, count: u32| {
            let (unit, area) = (UnitId(1), "holding");
            BlockRef { unit, area, section: 0, address, count }
        };
        let tags = || [at(12, 4), at(10, 2), at(20, 1), at(14, 1), at(u32::MAX, 1)];
        for (address, count, is_filled) in [
            (10, 1, true),
            (10, 2, true),
            (11, 1, true),
            (10, 6, true),
            (13, 3, true),
            (20, 1, true),
            (u32::MAX, 1, true),
            (9, 1, false),
            (9, 2, false),
            (10, 7, false),
            (15, 6, false),
            (10, 11, false),
            (u32::MAX, 2, false),
        ] {
            let within = is_within(&at(address, count), tags().into_iter());
            assert_eq!(within, is_filled, "{address}, {count}");
        }
        for other in [
            BlockRef { unit: UnitId(2), ..at(10, 1) },
            BlockRef { area: "input", ..at(10, 1) },
            BlockRef { section: 1, ..at(10, 1) },
        ] {
            assert!(!is_within(&other, tags().into_iter()), "{other:?}");
        }
    }

    fn narrowed(door: Door, tags: &[&str], free_reads: bool) -> Deps {
        let deps = Deps::alone();
        for (id, name) in (0..).zip(["line1/temp", "line1/oven/temp", "line2/temp"]) {
            deps.cache.define(TagId(id), Arc::new(Tag::new(name, "plc", &format!("holding:{id}"))));
        }
        let agent = Agent {
            user: "linebot".to_owned(),
            uid: 1601,
            tags: Some(tags.iter().map(|tag| Arc::from(*tag)).collect()),
            free_reads,
            calls_per_min: Some(2),
            bytes_per_min: None,
            tickets_per_hour: None,
            tickets_open: None,
        };
        let config = Config { agents: vec![agent], ..Config::default() };
        *deps.config.write() = Arc::new(config);
        deps.seen_by(&caller(door, 1601))
    }

    fn caller(door: Door, uid: u32) -> Principal {
        Principal { door, uid, gid: uid, pid: None, session: 1 }
    }

    #[test]
    fn an_agent_sees_its_tags_and_an_operator_all() {
        let deps = narrowed(Door::Agent, &["line1/*"], true);
        let names: Vec<String> = deps.tags().iter().map(|(_, t)| t.name.to_string()).collect();
        assert_eq!(names, ["line1/temp"]);
        assert_eq!(deps.resolve("line2/temp"), None);
        assert!(deps.resolve("line1/temp").is_some());
        assert_eq!(deps.seen_by(&caller(Door::Agent, 7)).tags().len(), 3, "nobody else is");
        assert_eq!(narrowed(Door::Operator, &[], false).tags().len(), 3);
        let allowed = allowance(&deps.config.read(), &caller(Door::Agent, 1601));
        assert_eq!((allowed.calls_per_min, allowed.tickets_open), (2, 5));
    }

    #[test]
    fn without_free_reads_an_address_has_to_be_a_tags() {
        let deps = narrowed(Door::Agent, &["line1/**"], false);
        let refused = |takes: &[&str], arguments: Value| {
            deps.address_refused(takes, true, arguments.as_object().unwrap())
        };
        assert_eq!(refused(&["node_ids"], json!({"node_ids": ["holding:0", "holding:1"]})), None);
        let other = refused(&["node_ids"], json!({"node_ids": ["holding:0", "holding:2"]}));
        assert_eq!(other.as_deref(), Some("node_ids"));
        assert!(refused(&["address"], json!({"address": 0})).is_some());
        assert!(refused(&["node_id"], json!({})).is_some(), "a browse of everything");
        assert_eq!(refused(&["endpoint"], json!({})), None, "who the device is");
        let free = narrowed(Door::Agent, &["line1/**"], true);
        assert_eq!(free.address_refused(&["address"], true, &Map::new()), None);
    }

    #[test]
    fn an_agent_set_wrongly_closes_the_door_to_strangers() {
        let deps = narrowed(Door::Agent, &["line1/*"], true);
        let config = Config { strangers_see_nothing: true, ..Config::clone(&deps.config.read()) };
        *deps.config.write() = Arc::new(config);
        assert!(deps.seen_by(&caller(Door::Agent, 7)).tags().is_empty());
        assert_eq!(deps.seen_by(&caller(Door::Agent, 1601)).tags().len(), 1);
        assert_eq!(deps.seen_by(&caller(Door::Operator, 7)).tags().len(), 3);
    }
}
