//! What each noun of the command line is about.

use crate::protocols::PROTOCOLS;

/// The nouns that are no protocol.
const NOUNS: &[(&str, &str)] = &[
    ("asset", "Assets: tags judged together, by what was learnt while they were sound"),
    ("approver", "Approvers: whose signature lets a write happen"),
    ("audit", "The audit: what was done, by whom, and how it ended"),
    ("cert", "Certificates: ours, and those of devices to be trusted"),
    ("collector", "The collector itself"),
    ("diag", "Diagnoses: of given data, or of what the collector holds"),
    ("diagnose", "Detectors, held against recorded data"),
    ("endpoint", "Endpoints: the connections to devices"),
    ("ethercat", "EtherCAT: planned"),
    ("ethernetip", "EtherNet/IP: planned"),
    ("moc", "Tickets: writes that were asked for, approved, done"),
    ("finding", "Findings: what is wrong now, with its evidence"),
    ("plant", "The whole plant"),
    ("policy", "The policy of writes"),
    ("protocols", "What this build speaks"),
    ("tag", "Tags: values by name, with their history"),
    ("writes", "All writes: frozen, or not"),
];

/// Says what a noun is about; nothing for one that help doesn't show.
pub(super) fn about(noun: &str) -> Option<&'static str> {
    let protocol = PROTOCOLS.iter().find(|protocol| protocol.name == noun);
    let other = NOUNS.iter().find(|(name, _)| *name == noun);
    protocol.map(|protocol| protocol.title).or(other.map(|(_, text)| *text))
}
