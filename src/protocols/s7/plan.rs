//! The planner: values to the fewest requests within the negotiated length. Pure.

use super::area::Area;
use super::frame::{self, Item};
use crate::plan::{Group, Holes, Span, group};

/// Items of one read (STEP 7: 20 variables a job).
const ITEMS_MAX: usize = 20;
/// A gap of so many bytes costs no more than an item of its own: 12 bytes of the request.
const GAP_MAX: u32 = 12;

/// What one request and one answer may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// The negotiated length of a message, without its transport headers.
    pub(super) pdu_bytes: usize,
}

impl Limits {
    /// Gives the most data bytes that one item alone brings.
    pub(super) fn item_bytes_max(self) -> usize {
        // An even number, so that no fill byte is too much.
        let room = self.pdu_bytes.saturating_sub(frame::ANSWER_HEAD + 4);
        room - room % 2
    }

    /// Gives the most elements of an area that one item alone brings.
    fn width_max(self, area: Area) -> u32 {
        let bytes = u32::try_from(self.item_bytes_max()).unwrap_or(u32::MAX);
        bytes / area.kind.element_bytes()
    }
}

/// A part of a group, as long as one item may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// The group's position.
    pub(super) group: usize,
    pub(super) item: Item,
}

/// Groups values into stretches, each of which is read as a whole.
pub(super) fn groups(
    members: impl IntoIterator<Item = usize>,
    spans: &[Span<Area>],
    holes: &Holes<Area>,
    limits: Limits,
) -> Vec<Group<Area>> {
    let wanted = members.into_iter().filter_map(|at| Some((at, spans.get(at)?)));
    group(wanted, holes, |area| limits.width_max(area), GAP_MAX)
}

/// Packs stretches into the fewest requests: the long ones first, each where it still fits. One
/// that is longer than an answer, which only a single long value is, comes in several pieces.
pub(super) fn pack(groups: &[Group<Area>], limits: Limits) -> Vec<Vec<Piece>> {
    let mut pieces: Vec<Piece> =
        groups.iter().enumerate().flat_map(|(at, group)| cut(at, group, limits)).collect();
    // Stable: pieces of one length stay in the order of their addresses.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.item.bytes()));
    let mut packets: Vec<(usize, Vec<Piece>)> = Vec::new();
    // Packets before this one are full of items.
    let mut open = 0;
    for piece in pieces {
        let bytes = frame::answer_item_bytes(piece.item.bytes());
        let has_room = |(used, packet): &&mut (usize, Vec<Piece>)| {
            packet.len() < ITEMS_MAX
                && frame::request_bytes(packet.len() + 1) <= limits.pdu_bytes
                && *used + bytes <= limits.pdu_bytes
        };
        while packets.get(open).is_some_and(|(_, packet)| {
            packet.len() == ITEMS_MAX || frame::request_bytes(packet.len() + 1) > limits.pdu_bytes
        }) {
            open += 1;
        }
        match packets.get_mut(open..).and_then(|rest| rest.iter_mut().find(has_room)) {
            Some((used, packet)) => {
                *used += bytes;
                packet.push(piece);
            }
            None => packets.push((frame::ANSWER_HEAD + bytes, vec![piece])),
        }
    }
    packets.into_iter().map(|(_, packet)| packet).collect()
}

fn cut(at: usize, group: &Group<Area>, limits: Limits) -> impl Iterator<Item = Piece> {
    let Span { area, start, width } = group.span;
    let max = limits.width_max(area).max(1);
    (0..width).step_by(usize::try_from(max).unwrap_or(1)).map(move |from| Piece {
        group: at,
        item: Item { area, start: start + from, count: max.min(width - from) },
    })
}

#[cfg(test)]
mod tests {
    use super::super::area::Kind;
    use super::*;

    fn reals(count: u32, stride: u32) -> Vec<Span<Area>> {
        // A data block ends at 65 536 bytes: what is more lies in the next.
        let per_block = 65_536 / stride;
        (0..count)
            .map(|nth| Span {
                area: Area {
                    kind: Kind::Block,
                    block: u16::try_from(1 + nth / per_block).unwrap(),
                },
                start: nth % per_block * stride,
                width: 4,
            })
            .collect()
    }

    fn requests(spans: &[Span<Area>], pdu_bytes: usize) -> usize {
        let limits = Limits { pdu_bytes };
        let groups = groups(0..spans.len(), spans, &Holes::default(), limits);
        pack(&groups, limits).len()
    }

    #[test]
    fn ten_thousand_contiguous_reals_fill_their_messages() {
        let spans = reals(10_000, 4);
        // 55, 115 and 235 REALs fit the 222, 462 and 942 bytes of an item.
        assert_eq!(requests(&spans, 240), 182);
        assert_eq!(requests(&spans, 480), 87);
        assert_eq!(requests(&spans, 960), 43);
    }

    #[test]
    fn ten_thousand_scattered_reals_come_twenty_at_a_time() {
        let spans = reals(10_000, 100);
        // A request of 240 bytes holds 19 items.
        assert_eq!(requests(&spans, 240), 527);
        assert_eq!(requests(&spans, 480), 500);
        assert_eq!(requests(&spans, 960), 500);
    }

    #[test]
    fn no_message_is_longer_than_was_negotiated_and_every_value_comes_once() {
        let mut spans = reals(300, 9);
        spans.extend((0..40).map(|nth| Span {
            area: Area { kind: Kind::Flags, block: 0 },
            start: nth * 31,
            width: 1 + nth * 7,
        }));
        for pdu_bytes in [112, 240, 480, 960] {
            let limits = Limits { pdu_bytes };
            let groups = groups(0..spans.len(), &spans, &Holes::default(), limits);
            let mut seen: Vec<usize> = groups.iter().flat_map(|g| g.members.clone()).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..spans.len()).collect::<Vec<_>>());
            let mut elements = 0;
            for packet in pack(&groups, limits) {
                assert!(packet.len() <= 20);
                assert!(frame::request_bytes(packet.len()) <= pdu_bytes);
                let items = packet.iter().map(|p| frame::answer_item_bytes(p.item.bytes()));
                assert!(frame::ANSWER_HEAD + items.sum::<usize>() <= pdu_bytes);
                elements += packet.iter().map(|p| p.item.count).sum::<u32>();
            }
            assert_eq!(elements, groups.iter().map(|g| g.span.width).sum::<u32>());
        }
    }
}
