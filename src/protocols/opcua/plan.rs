//! Arranges tags into slices: one per scan class.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opcua::types::NodeId;

use super::address::Address;
use super::requests::Pace;
use crate::driver::{Cadence, PlanReport, Planned, Slice, SliceId};
use crate::model::{TagId, UnitId};

/// Faster publishing only splits what one message could carry.
const PUBLISHING_MS_MIN: u32 = 50;
/// Slower publishing saves nothing, since only changes are sent, and delays them.
const PUBLISHING_MS_MAX: u32 = 1000;
/// An idle subscription says this often that it lives.
const KEEP_ALIVE_MS: u32 = 5000;
/// The server drops a subscription this long after our last publish request.
const LIFETIME_MS: u32 = 60_000;

/// One tag as it is read from the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) tag: TagId,
    pub(super) address: Address,
    /// The part of a structure to pick.
    pub(super) path: Option<Arc<str>>,
    pub(super) scan_ms: u32,
    /// Its slice, by position.
    pub(super) slice: usize,
}

/// How samples of the plan come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Pushed,
    Polled,
}

/// Tags arranged.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    /// The scan class of each slice.
    pub(super) scans: Vec<u32>,
    /// A slice without tags carries the condition events alone.
    pub(super) events_alone: bool,
}

impl Plan {
    /// Arranges tags; with `namespaces`, what the server does not have is rejected.
    pub(super) fn arrange(
        tags: &[Planned],
        namespaces: Option<&[Arc<str>]>,
        events_alone: bool,
    ) -> (Self, PlanReport) {
        let (mut found, mut report) = (Vec::new(), PlanReport::default());
        for planned in tags {
            let address = Address::parse(&planned.tag.address).and_then(|address| {
                if let Some(namespaces) = namespaces {
                    address.resolve(namespaces)?;
                }
                Ok(address)
            });
            match address {
                Ok(address) => found.push((planned, address)),
                Err(error) => report.rejected.push((planned.id, error)),
            }
        }
        let scans: BTreeMap<u32, usize> = {
            let mut scans: Vec<u32> = found.iter().map(|(p, _)| p.tag.scan.scan_ms).collect();
            scans.sort_unstable();
            scans.dedup();
            scans.into_iter().zip(0..).collect()
        };
        let items = found.into_iter().map(|(planned, address)| Item {
            tag: planned.id,
            address,
            path: planned.tag.path.clone(),
            scan_ms: planned.tag.scan.scan_ms,
            slice: scans.get(&planned.tag.scan.scan_ms).copied().unwrap_or_default(),
        });
        let items: Vec<Item> = items.collect();
        let events_alone = events_alone && items.is_empty();
        (Self { items, scans: scans.into_keys().collect(), events_alone }, report)
    }

    /// Lists the slices; `read_max` nodes fit into one Read.
    pub(super) fn slices(&self, way: Way, read_max: usize) -> Vec<Slice> {
        let mut slices: Vec<Slice> = (0u32..)
            .zip(&self.scans)
            .map(|(number, scan_ms)| {
                let slice = usize::try_from(number).unwrap_or(usize::MAX);
                let tags: Vec<TagId> =
                    self.items.iter().filter(|i| i.slice == slice).map(|i| i.tag).collect();
                let reads = u32::try_from(tags.len().div_ceil(read_max)).unwrap_or(u32::MAX);
                // Everything pushed shares its publish requests; the fastest slice sets the pace.
                let requests = if way == Way::Polled { reads } else { u32::from(number == 0) };
                let cadence = match way {
                    Way::Pushed => Cadence::Pushed,
                    Way::Polled => Cadence::Polled { scan_ms: *scan_ms },
                };
                Slice { id: SliceId(number), unit: UnitId(0), cadence, tags, requests }
            })
            .collect();
        if self.events_alone && way == Way::Pushed {
            let (id, unit, tags) = (SliceId(0), UnitId(0), Vec::new());
            slices.push(Slice { id, unit, cadence: Cadence::Pushed, tags, requests: 0 });
        }
        slices
    }

    /// Gives the pace of its subscription.
    pub(super) fn pace(&self) -> Pace {
        let fastest = self.scans.first().copied().unwrap_or(PUBLISHING_MS_MAX);
        pace(fastest)
    }

    /// Finds the nodes of its items; what can't be found is left out.
    pub(super) fn nodes(&self, namespaces: &[Arc<str>]) -> Vec<(usize, NodeId)> {
        let items = self.items.iter().enumerate();
        items.filter_map(|(at, i)| Some((at, i.address.resolve(namespaces).ok()?))).collect()
    }
}

/// Gives the pace of a subscription that publishes every so often, within reason.
pub(super) fn pace(publishing_ms: u32) -> Pace {
    let publishing_ms = publishing_ms.clamp(PUBLISHING_MS_MIN, PUBLISHING_MS_MAX);
    let keep_alive_count = (KEEP_ALIVE_MS / publishing_ms).max(1);
    Pace {
        publishing: Duration::from_millis(u64::from(publishing_ms)),
        keep_alive_count,
        // Three keep-alives at least (Part 4, 5.14.2.2).
        lifetime_count: (LIFETIME_MS / publishing_ms).max(keep_alive_count * 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::ErrorKind;
    use crate::model::{ScanClass, Tag};

    fn planned(number: u32, address: &str, scan_ms: u32) -> Planned {
        let tag = Tag { scan: ScanClass { scan_ms }, ..Tag::new("t", "e", address) };
        Planned { id: TagId(number), tag: Arc::new(tag) }
    }

    #[test]
    fn a_bad_address_leaves_its_neighbours_good() {
        let tags = [planned(1, "ns=2;s=A", 500), planned(2, "oops", 500), planned(3, "i=5", 100)];
        let (plan, report) = Plan::arrange(&tags, None, true);
        assert_eq!(report.rejected.len(), 1);
        assert_eq!(report.rejected[0].1.kind, ErrorKind::BadAddress);
        let slices = plan.slices(Way::Pushed, 500);
        assert_eq!(slices.len(), 2);
        assert_eq!(
            (slices[0].tags.clone(), slices[1].tags.clone()),
            (vec![TagId(3)], vec![TagId(1)])
        );
        assert_eq!(plan.pace().publishing, Duration::from_millis(100));
    }

    #[test]
    fn a_namespace_the_server_lacks_is_found_after_the_connect() {
        let tags = [planned(1, "nsu=urn:a;s=A", 500)];
        assert!(Plan::arrange(&tags, None, false).1.rejected.is_empty());
        let namespaces: [Arc<str>; 1] = ["urn:b".into()];
        assert_eq!(Plan::arrange(&tags, Some(&namespaces), false).1.rejected.len(), 1);
    }

    #[test]
    fn a_polled_slice_counts_its_reads() {
        let tags: Vec<_> = (0..1001).map(|n| planned(n, "ns=2;i=1", 1000)).collect();
        let slices = Plan::arrange(&tags, None, false).0.slices(Way::Polled, 500);
        assert_eq!(slices[0].requests, 3);
        assert_eq!(slices[0].cadence, Cadence::Polled { scan_ms: 1000 });
    }

    #[test]
    fn events_without_tags_get_a_slice_of_their_own() {
        let (plan, _) = Plan::arrange(&[], None, true);
        assert_eq!(plan.slices(Way::Pushed, 500).len(), 1);
        assert!(plan.slices(Way::Polled, 500).is_empty());
    }
}
