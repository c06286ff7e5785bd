//! Address texts: a topic, a part of its JSON, or a metric of a Sparkplug node.

use std::fmt;
use std::sync::Arc;

use super::filter;
use crate::driver::{DriverError, ErrorKind};
use crate::model::Tag;

/// Sparkplug's namespace, with which the address of a metric begins.
const NAMESPACE: &str = "spBv1.0/";
/// What stands between a topic and how a value is published to it.
const PUBLISH: &str = "publish(";

/// What a tag follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A topic, and a path into its JSON.
    Plain { topic: Arc<str>, path: Option<Arc<str>>, publish: Publishing },
    /// A metric of a node or of a device behind it.
    Metric { group: Arc<str>, node: Arc<str>, device: Option<Arc<str>>, metric: Arc<str> },
}

/// How a value is published to a topic, where it ever is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Publishing {
    pub(super) qos: u8,
    pub(super) retain: bool,
}

impl Default for Publishing {
    /// Acknowledged by the broker, and not kept.
    fn default() -> Self {
        Self { qos: 1, retain: false }
    }
}

/// Writes the address under which a message is published to a topic in a way of its own.
#[must_use]
pub fn publish_ref(topic: &str, qos: u8, retain: bool) -> String {
    format!("{topic}#{PUBLISH}qos={qos},retain={retain})")
}

fn bad(text: &str, why: &str) -> DriverError {
    let shown: String = text.chars().take(80).collect();
    DriverError::new(ErrorKind::BadAddress, format!("{shown:?} is no MQTT address: {why}")).hint(
        "write a topic such as site/line1/temp, a part of its JSON as site/line1/state#a.b[0], or \
         a Sparkplug metric as spBv1.0/group/node:metric or spBv1.0/group/node/device:metric",
    )
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, DriverError> {
        match text.strip_prefix(NAMESPACE) {
            Some(rest) => Self::metric(text, rest),
            None => Self::plain(text),
        }
    }

    fn plain(text: &str) -> Result<Self, DriverError> {
        let (topic, part) = match text.split_once('#') {
            None => (text, None),
            Some((_, "")) => return Err(bad(text, "a tag follows one topic, without wildcards")),
            Some((topic, part)) => (topic, Some(part)),
        };
        filter::check_topic(topic).map_err(|why| bad(text, why))?;
        let words = part.and_then(|part| part.strip_prefix(PUBLISH)?.strip_suffix(')'));
        let publish = match words {
            None => Publishing::default(),
            Some(words) => publishing(words)
                .ok_or_else(|| bad(text, "publish() takes qos=0..2 and retain=true or false"))?,
        };
        let path = part.filter(|_| words.is_none()).map(Arc::from);
        Ok(Self::Plain { topic: topic.into(), path, publish })
    }

    fn metric(text: &str, rest: &str) -> Result<Self, DriverError> {
        let (source, metric) = rest
            .split_once(':')
            .ok_or_else(|| bad(text, "the metric's name stands behind a colon"))?;
        let mut levels = source.split('/');
        let mut level = || levels.next().filter(|l| !l.is_empty() && !l.contains(['+', '#']));
        let (Some(group), Some(node)) = (level(), level()) else {
            return Err(bad(text, "a group and a node stand before the metric"));
        };
        let device = match source.split('/').count() {
            2 => None,
            3 => Some(level().ok_or_else(|| bad(text, "the device has no name"))?),
            _ => return Err(bad(text, "group, node and device are the most before the metric")),
        };
        if metric.is_empty() || text.len() > filter::TOPIC_BYTES_MAX {
            return Err(bad(text, "the metric's name is empty, or the whole too long"));
        }
        Ok(Self::Metric {
            group: group.into(),
            node: node.into(),
            device: device.map(Arc::from),
            metric: metric.into(),
        })
    }

    /// Reads a tag's address; its own `path` goes on where the address ends.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub(super) fn of(tag: &Tag) -> Result<Self, DriverError> {
        let mut address = Self::parse(&tag.address)?;
        if let (Self::Plain { path, .. }, Some(more)) = (&mut address, &tag.path) {
            *path = Some(match path {
                Some(path) => format!("{path}.{more}").into(),
                None => more.clone(),
            });
        }
        Ok(address)
    }

    /// Gives the filter that brings what it follows.
    pub(super) fn filter(&self) -> Arc<str> {
        match self {
            Self::Plain { topic, .. } => topic.clone(),
            // Births, data and deaths of the node and of everything behind it.
            Self::Metric { group, node, .. } => format!("{NAMESPACE}{group}/+/{node}/#").into(),
        }
    }
}

/// Writes a metric's address.
pub(super) fn metric_ref(source: &str, device: Option<&str>, metric: &str) -> String {
    match device {
        None => format!("{NAMESPACE}{source}:{metric}"),
        Some(device) => format!("{NAMESPACE}{source}/{device}:{metric}"),
    }
}

fn publishing(words: &str) -> Option<Publishing> {
    let mut publish = Publishing::default();
    for word in words.split(',') {
        match word.trim().split_once('=')? {
            ("qos", qos) => publish.qos = qos.parse().ok().filter(|qos| *qos <= 2)?,
            ("retain", retain) => publish.retain = retain.parse().ok()?,
            _ => return None,
        }
    }
    Some(publish)
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain { topic, path: None, .. } => write!(out, "topic {topic}"),
            Self::Plain { topic, path: Some(path), .. } => {
                write!(out, "topic {topic}, part {path}")
            }
            Self::Metric { group, node, device: None, metric } => {
                write!(out, "metric {metric} of Sparkplug node {group}/{node}")
            }
            Self::Metric { group, node, device: Some(device), metric } => {
                write!(out, "metric {metric} of device {device} of Sparkplug node {group}/{node}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_topic_a_part_of_one_or_a_metric() {
        let shown = |text| Address::parse(text).unwrap().to_string();
        assert_eq!(shown("a/b"), "topic a/b");
        assert_eq!(shown("a/b#x.y[0]"), "topic a/b, part x.y[0]");
        let metric = Address::parse("spBv1.0/G/E/D:Inputs/Temp: raw").unwrap();
        assert_eq!(metric.to_string(), "metric Inputs/Temp: raw of device D of Sparkplug node G/E");
        assert_eq!(&*metric.filter(), "spBv1.0/G/+/E/#");
        assert_eq!(shown("spBv1.0/G/E:up"), "metric up of Sparkplug node G/E");
        for bad in [
            "",
            "a/#",
            "a/+/b",
            "spBv1.0/G/E",
            "spBv1.0/G:m",
            "spBv1.0/G/E/D/x:m",
            "spBv1.0/G/+:m",
            "spBv1.0/G/E:",
            "a#publish(qos=3)",
        ] {
            assert_eq!(Address::parse(bad).unwrap_err().kind, ErrorKind::BadAddress, "{bad}");
        }
    }

    #[test]
    fn how_a_value_is_published_can_stand_behind_its_topic() {
        let Address::Plain { topic, path, publish } =
            Address::parse(&publish_ref("f/cmd", 2, true)).unwrap()
        else {
            panic!()
        };
        assert_eq!((&*topic, path), ("f/cmd", None));
        assert_eq!(publish, Publishing { qos: 2, retain: true });
    }

    #[test]
    fn a_tags_path_goes_on_where_its_address_ends() {
        let mut tag = Tag::new("t", "e", "a#x");
        tag.path = Some("y[1]".into());
        let Address::Plain { path, .. } = Address::of(&tag).unwrap() else { panic!() };
        assert_eq!(path.as_deref(), Some("x.y[1]"));
    }
}
