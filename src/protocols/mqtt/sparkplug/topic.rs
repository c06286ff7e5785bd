//! Sparkplug's topics (Sparkplug 3.0, 4).

/// What a message says, by the third level of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A node's birth.
    NodeBirth,
    /// A device's birth.
    DeviceBirth,
    /// A node's values.
    NodeData,
    /// A device's values.
    DeviceData,
    /// A node's death.
    NodeDeath,
    /// A device's death.
    DeviceDeath,
    /// A host's command to a node.
    NodeCommand,
    /// A host's command to a device.
    DeviceCommand,
    /// Whether a host application is there.
    State,
}

/// A Sparkplug topic, in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topic<'a> {
    /// The first level; empty for the old form of STATE.
    pub(crate) namespace: &'a str,
    /// The group; empty for STATE.
    pub(crate) group: &'a str,
    /// What it says.
    pub(crate) kind: Kind,
    /// The word as it stands in the topic.
    pub(crate) word: &'a str,
    /// The edge node; the host for STATE.
    pub(crate) node: &'a str,
    /// The device behind the node.
    pub(crate) device: Option<&'a str>,
}

impl Kind {
    const WORDS: [(&'static str, Self); 8] = [
        ("NBIRTH", Self::NodeBirth),
        ("DBIRTH", Self::DeviceBirth),
        ("NDATA", Self::NodeData),
        ("DDATA", Self::DeviceData),
        ("NDEATH", Self::NodeDeath),
        ("DDEATH", Self::DeviceDeath),
        ("NCMD", Self::NodeCommand),
        ("DCMD", Self::DeviceCommand),
    ];

    fn of(word: &str) -> Option<Self> {
        let known = Self::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        known.map(|(_, kind)| *kind)
    }

    /// Tells whether it is about a device.
    pub(crate) fn is_of_device(self) -> bool {
        matches!(
            self,
            Self::DeviceBirth | Self::DeviceData | Self::DeviceDeath | Self::DeviceCommand
        )
    }
}

impl<'a> Topic<'a> {
    /// Takes a topic apart; `None` where it is not Sparkplug's. Upper and lower case are alike.
    pub(crate) fn parse(topic: &'a str) -> Option<Self> {
        let mut levels = topic.split('/');
        let namespace = levels.next()?;
        let state = |namespace, word, node: &'a str| {
            let (group, kind, device) = ("", Kind::State, None);
            (!node.is_empty()).then_some(Self { namespace, group, kind, word, node, device })
        };
        if namespace == "STATE" {
            let host = levels.next()?;
            return state("", namespace, host).filter(|_| levels.next().is_none());
        }
        if !namespace.eq_ignore_ascii_case("spBv1.0") {
            return None;
        }
        let group = levels.next()?;
        let word = levels.next()?;
        if group.eq_ignore_ascii_case("STATE") {
            return state(namespace, group, word).filter(|_| levels.next().is_none());
        }
        let kind = Kind::of(word)?;
        let node = levels.next().filter(|node| !node.is_empty())?;
        let device = levels.next();
        let is_whole = levels.next().is_none()
            && device.is_some() == kind.is_of_device()
            && device != Some("")
            && !group.is_empty();
        is_whole.then_some(Self { namespace, group, kind, word, node, device })
    }

    /// Tells whether it is written as the specification has it: anything else is shown, and
    /// changes nothing.
    pub(crate) fn is_exact(&self) -> bool {
        self.namespace == "spBv1.0" && self.word.chars().all(|c| c.is_ascii_uppercase())
    }

    /// Tells whether its payload is Sparkplug's protobuf.
    pub(crate) fn is_protobuf(&self) -> bool {
        self.kind != Kind::State
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_sparkplugs_whole_or_not_at_all() {
        let of = |topic| Topic::parse(topic).map(|t| (t.group, t.kind, t.node, t.device));
        assert_eq!(of("spBv1.0/G/NBIRTH/E"), Some(("G", Kind::NodeBirth, "E", None)));
        assert_eq!(of("spBv1.0/G/DDATA/E/D"), Some(("G", Kind::DeviceData, "E", Some("D"))));
        assert_eq!(of("STATE/host1"), Some(("", Kind::State, "host1", None)));
        assert_eq!(of("spBv1.0/STATE/host1"), Some(("", Kind::State, "host1", None)));
        for none in [
            "spBv1.0/G/DDATA/E",
            "spBv1.0/G/NDATA/E/D",
            "spBv1.0/G/DDATA/E/D/x",
            "spBv1.0/G/NOTHING/E",
            "spBv1.0//NDATA/E",
            "spAv1.0/G/NDATA/E",
            "STATE",
            "////",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        assert!(!Topic::parse("spbv1.0/G/ndata/E").unwrap().is_exact());
    }
}
