//! What each noun of the command line is about.

use crate::protocols::PROTOCOLS;

/// The nouns that are no protocol.
const NOUNS: &[(&str, &str)] = &[
    ("cert", "Certificates: ours, and those of devices to be trusted"),
    ("collector", "The collector itself"),
    ("diag", "Diagnoses: of given data, or of what the collector holds"),
    ("diagnose", "Detectors, held against recorded data"),
    ("endpoint", "Endpoints: the connections to devices"),
    ("ethercat", "EtherCAT: planned"),
    ("ethernetip", "EtherNet/IP: planned"),
    ("plant", "The whole plant"),
    ("protocols", "What this build speaks"),
    ("tag", "Tags: values by name, with their history"),
];

/// Says what a noun is about; nothing for one that help doesn't show.
pub(super) fn about(noun: &str) -> Option<&'static str> {
    let protocol = PROTOCOLS.iter().find(|protocol| protocol.name == noun);
    let other = NOUNS.iter().find(|(name, _)| *name == noun);
    protocol.map(|protocol| protocol.title).or(other.map(|(_, text)| *text))
}
