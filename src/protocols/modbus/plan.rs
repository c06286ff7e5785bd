//! The planner: values to the fewest requests. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::address::{Area, Point};
use crate::model::UnitId;

/// So many unreadable stretches are remembered per unit and area; a device with more of them is
/// asked in vain now and then, and its memory stays bounded.
const HOLES_MAX: usize = 4096;

/// One read of one area of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Request {
    pub(super) unit: UnitId,
    pub(super) area: Area,
    pub(super) start: u16,
    /// 1 to [`Area::count_max`].
    pub(super) count: u16,
}

impl Request {
    /// Gives the address after its last.
    pub(super) fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.count)
    }
}

/// A request with the values it brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) request: Request,
    /// Positions among the points it was planned for, by address.
    pub(super) members: Vec<usize>,
}

/// A stretch of addresses: first, and the one after the last.
pub(super) type Stretch = (u32, u32);

/// What the device has refused so far.
///
/// A hole is a stretch that no request may cover as a whole. An empty one is a seam: no request
/// may reach over it.
#[derive(Debug, Clone, Default)]
pub(super) struct Holes {
    known: BTreeMap<(UnitId, Area), BTreeSet<Stretch>>,
}

impl Holes {
    /// Remembers a hole.
    pub(super) fn learn(&mut self, unit: UnitId, area: Area, hole: Stretch) {
        let known = self.known.entry((unit, area)).or_default();
        if known.len() < HOLES_MAX {
            known.insert(hole);
        }
    }

    /// Forgets every hole that touches a stretch which has turned out to be readable.
    pub(super) fn forget(&mut self, unit: UnitId, area: Area, readable: Stretch) {
        if let Some(known) = self.known.get_mut(&(unit, area)) {
            known.retain(|(from, to)| *to <= readable.0 || *from >= readable.1);
        }
    }

    /// Tells whether a request over this stretch is known to be refused.
    pub(super) fn refuse(&self, unit: UnitId, area: Area, (start, end): Stretch) -> bool {
        let Some(known) = self.known.get(&(unit, area)) else { return false };
        known.range((start, 0)..(end, 0)).any(|(from, to)| {
            let seam = from == to;
            if seam { *from > start } else { *to <= end }
        })
    }
}

/// Groups values into the fewest requests that keep the limits, split no value and cover no hole.
///
/// A gap of any size is bridged where it fits: 125 registers cost a device hardly more than 2.
/// Taking values by their start and closing a request at the first that does not fit is optimal:
/// what fits later lies inside the value that did not.
pub(super) fn group<'a>(
    points: impl IntoIterator<Item = (usize, &'a Point)>,
    holes: &Holes,
) -> Vec<Group> {
    let mut sorted: Vec<(usize, &Point)> = points.into_iter().collect();
    sorted.sort_by_key(|(_, point)| (point.unit, point.area, point.start, point.width));
    let mut groups: Vec<Group> = Vec::new();
    for (position, point) in sorted {
        if let Some(open) = groups.last_mut()
            && let Some(count) = extended(&open.request, point, holes)
        {
            open.request.count = count;
            open.members.push(position);
            continue;
        }
        groups.push(Group { request: alone(point), members: vec![position] });
    }
    groups
}

/// Makes the request that reads one value and nothing else.
pub(super) fn alone(point: &Point) -> Request {
    Request { unit: point.unit, area: point.area, start: point.start, count: point.width }
}

/// Gives the request's count with one more value in it, or nothing where that may not be.
fn extended(request: &Request, point: &Point, holes: &Holes) -> Option<u16> {
    if (request.unit, request.area) != (point.unit, point.area) {
        return None;
    }
    let end = request.end().max(point.end());
    let start = u32::from(request.start);
    let count = u16::try_from(end - start).ok().filter(|count| *count <= point.area.count_max())?;
    // A value inside what is read already adds no address: the request stays as it was.
    let grows = count > request.count;
    let refused = grows && holes.refuse(point.unit, point.area, (start, end));
    (!refused).then_some(count)
}

/// Splits a refused request in two; nothing where it holds one value.
pub(super) fn halves(group: &Group, points: &[Point]) -> Option<(Group, Group)> {
    let middle = group.members.len() / 2;
    let (left, right) = group.members.split_at_checked(middle)?;
    Some((tight(left, points)?, tight(right, points)?))
}

/// Makes the request that reads these values and no address beside them.
fn tight(members: &[usize], points: &[Point]) -> Option<Group> {
    let mut request: Option<Request> = None;
    for point in members.iter().filter_map(|position| points.get(*position)) {
        let start = request.as_ref().map_or(point.start, |r| r.start.min(point.start));
        let end = request.as_ref().map_or(0, Request::end).max(point.end());
        let count = u16::try_from(end - u32::from(start)).ok()?;
        request = Some(Request { unit: point.unit, area: point.area, start, count });
    }
    Some(Group { request: request?, members: members.to_vec() })
}

/// Names the hole between two halves that were read one by one and refused as a whole.
pub(super) fn between(whole: &Request, left: &Request, right: &Request) -> Stretch {
    let (from, to) = (left.end(), u32::from(right.start));
    // Overlapping halves leave no gap to blame: what stays known is that the whole is too much.
    if from <= to { (from, to) } else { (u32::from(whole.start), whole.end()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::address::Shape;
    use super::*;
    use crate::model::WordOrder;
    use crate::net::words::Decode;

    fn point(area: Area, start: u16, width: u16) -> Point {
        let shape = Shape::Number(Decode::UInt16);
        Point { unit: UnitId(1), area, start, width, shape, order: WordOrder::Abcd }
    }

    fn plan(points: &[Point], holes: &Holes) -> Vec<Group> {
        group(points.iter().enumerate(), holes)
    }

    fn reals(count: u16, stride: u16) -> Vec<Point> {
        (0..count).map(|i| point(Area::Holding, i * stride, 2)).collect()
    }

    #[test]
    fn ten_thousand_contiguous_reals_need_162_requests() {
        // 62 REALs fill 124 of 125 registers.
        assert_eq!(plan(&reals(10_000, 2), &Holes::default()).len(), 162);
    }

    #[test]
    fn ten_thousand_reals_with_gaps_are_bridged() {
        // Of every 6 registers 2 are wanted: 21 REALs span 122 registers.
        assert_eq!(plan(&reals(10_000, 6), &Holes::default()).len(), 477);
        // Twenty units of 500 REALs, 125 registers apart: nothing to merge.
        let scattered: Vec<Point> = (1..=20)
            .flat_map(|unit| reals(500, 125).into_iter().map(move |p| (unit, p)))
            .map(|(unit, p)| Point { unit: UnitId(unit), ..p })
            .collect();
        assert_eq!(plan(&scattered, &Holes::default()).len(), 10_000);
    }

    #[test]
    fn ten_thousand_coils_need_five_requests() {
        let coils: Vec<Point> = (0..10_000).map(|i| point(Area::Coil, i, 1)).collect();
        assert_eq!(plan(&coils, &Holes::default()).len(), 5);
    }

    #[test]
    fn areas_and_units_are_never_mixed() {
        let points = [
            point(Area::Holding, 0, 1),
            point(Area::Input, 1, 1),
            Point { unit: UnitId(2), ..point(Area::Holding, 1, 1) },
        ];
        assert_eq!(plan(&points, &Holes::default()).len(), 3);
    }

    #[test]
    fn the_last_register_is_within_reach() {
        let points = [point(Area::Holding, 65_411, 1), point(Area::Holding, 65_534, 2)];
        let groups = plan(&points, &Holes::default());
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].request.end(), 65_536);
    }

    #[test]
    fn a_seam_is_not_crossed_and_not_moved() {
        let mut holes = Holes::default();
        holes.learn(UnitId(1), Area::Holding, (10, 10));
        let points = [point(Area::Holding, 8, 2), point(Area::Holding, 10, 2)];
        assert_eq!(plan(&points, &holes).len(), 2);
        let across = [point(Area::Holding, 0, 2), point(Area::Holding, 12, 2)];
        assert_eq!(plan(&across, &holes).len(), 2);
        holes.forget(UnitId(1), Area::Holding, (9, 11));
        assert_eq!(plan(&points, &holes).len(), 1);
    }

    #[test]
    fn halves_leave_the_gap_between_them_out() {
        let points = [0, 2, 50, 52].map(|start| point(Area::Holding, start, 2));
        let whole = plan(&points, &Holes::default()).remove(0);
        let (left, right) = halves(&whole, &points).unwrap();
        assert_eq!((left.request.start, left.request.count), (0, 4));
        assert_eq!((right.request.start, right.request.count), (50, 4));
        assert_eq!(between(&whole.request, &left.request, &right.request), (4, 50));
        assert_eq!(halves(&halves(&left, &points).unwrap().0, &points), None);
    }

    const AREAS: [Area; 4] = [Area::Coil, Area::Discrete, Area::Holding, Area::Input];

    prop_compose! {
        fn any_point()(
            unit in 1u8..3,
            area in prop::sample::select(&AREAS[..]),
            start in 0u16..4000,
            width in 1u16..=125,
        ) -> Point {
            Point { unit: UnitId(unit), ..point(area, start, width) }
        }
    }

    proptest! {
        #[test]
        fn every_value_is_read_once_whole_within_limits_and_no_hole_is_read(
            points in prop::collection::vec(any_point(), 0..200),
            gaps in prop::collection::vec((1u8..3, 0u32..4000, 0u32..30), 0..30),
        ) {
            let mut holes = Holes::default();
            let touches = |unit: u8, from: u32, to: u32| points.iter().any(|p| {
                p.unit.0 == unit && p.area == Area::Holding
                    && u32::from(p.start) < to.max(from + 1) && p.end() > from
            });
            let gaps: Vec<_> = gaps.into_iter()
                .map(|(unit, from, length)| (unit, from, from + length))
                .filter(|(unit, from, to)| !touches(*unit, *from, *to))
                .collect();
            for (unit, from, to) in &gaps {
                holes.learn(UnitId(*unit), Area::Holding, (*from, *to));
            }
            let groups = plan(&points, &holes);
            let mut seen = vec![0; points.len()];
            for group in &groups {
                let r = group.request;
                prop_assert!(r.count >= 1 && r.count <= r.area.count_max());
                for position in &group.members {
                    let p = points[*position];
                    seen[*position] += 1;
                    prop_assert_eq!((p.unit, p.area), (r.unit, r.area));
                    prop_assert!(p.start >= r.start && p.end() <= r.end());
                }
                for (unit, from, to) in &gaps {
                    let apart = r.end() <= *from || u32::from(r.start) >= *to;
                    prop_assert!(r.unit.0 != *unit || r.area != Area::Holding || apart);
                }
            }
            prop_assert!(seen.iter().all(|n| *n == 1));
        }
    }
}
