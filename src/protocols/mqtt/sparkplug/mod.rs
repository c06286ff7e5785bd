//! Sparkplug B 3.0: topics, payloads, and what is known of each edge node.

pub(super) mod metric;
pub(super) mod names;
pub(super) mod nodes;
mod structures;
pub(super) mod topic;
mod wire;

#[cfg(any(test, feature = "demo", feature = "writes"))]
pub(crate) mod proto;
#[cfg(test)]
mod tests;
