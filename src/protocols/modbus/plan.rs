//! The planner: values to the fewest requests. Pure.

use super::address::{Area, Point};
use crate::driver::DriverError;
use crate::model::UnitId;
use crate::plan;

/// What one request reads from: an area of a unit.
pub(super) type Bank = (UnitId, Area);

/// Values to read, or what one request reads.
pub(super) type Span = plan::Span<Bank>;

/// What is read at once, with the values it brings.
pub(super) type Group = plan::Group<Bank>;

/// What the devices have refused so far.
pub(super) type Holes = plan::Holes<Bank>;

/// What the driver has learnt of its devices, for as long as it lives.
pub(super) type Memory = plan::Memory<Bank, DriverError>;

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

    /// Makes the request that reads a span; none where it lies beyond the last address.
    pub(super) fn of(span: &Span) -> Option<Self> {
        let (unit, area) = span.area;
        let start = u16::try_from(span.start).ok()?;
        let count = u16::try_from(span.width).ok()?;
        Some(Self { unit, area, start, count })
    }
}

impl Point {
    /// Gives the registers or bits it is made of.
    pub(super) fn span(&self) -> Span {
        let (start, width) = (u32::from(self.start), u32::from(self.width));
        Span { area: (self.unit, self.area), start, width }
    }
}

/// Groups values into the fewest requests that keep the limits, split no value and cover no hole.
///
/// A gap of any size is bridged where it fits: 125 registers cost a device hardly more than 2.
pub(super) fn group<'a>(
    spans: impl IntoIterator<Item = (usize, &'a Span)>,
    holes: &Holes,
) -> Vec<Group> {
    plan::group(spans, holes, |(_, area)| u32::from(area.count_max()), u32::MAX)
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
        let spans: Vec<Span> = points.iter().map(Point::span).collect();
        group(spans.iter().enumerate(), holes)
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
        assert_eq!(groups[0].span.end(), 65_536);
    }

    #[test]
    fn a_seam_is_not_crossed_and_not_moved() {
        let mut holes = Holes::default();
        let bank = (UnitId(1), Area::Holding);
        holes.learn(bank, (10, 10));
        let points = [point(Area::Holding, 8, 2), point(Area::Holding, 10, 2)];
        assert_eq!(plan(&points, &holes).len(), 2);
        let across = [point(Area::Holding, 0, 2), point(Area::Holding, 12, 2)];
        assert_eq!(plan(&across, &holes).len(), 2);
        holes.forget(bank, (9, 11));
        assert_eq!(plan(&points, &holes).len(), 1);
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
                holes.learn((UnitId(*unit), Area::Holding), (*from, *to));
            }
            let groups = plan(&points, &holes);
            let mut seen = vec![0; points.len()];
            for group in &groups {
                let r = Request::of(&group.span).unwrap();
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
