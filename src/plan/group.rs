//! Grouping: spans to the fewest stretches that keep the limits.

use std::collections::{BTreeMap, BTreeSet};

/// So many unreadable stretches are remembered per area; a device with more of them is asked in
/// vain now and then, and its memory stays bounded.
const HOLES_MAX: usize = 4096;

/// A stretch of addresses: first, and the one after the last.
pub type Stretch = (u32, u32);

/// Elements of one area that belong together: a value, or what one read brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span<A> {
    /// The area.
    pub area: A,
    /// The first element.
    pub start: u32,
    /// How many elements; at least 1.
    pub width: u32,
}

impl<A> Span<A> {
    /// Gives the address after its last.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.start.saturating_add(self.width)
    }

    /// Gives its addresses.
    #[must_use]
    pub fn stretch(&self) -> Stretch {
        (self.start, self.end())
    }
}

/// A stretch that is read at once, with the values it brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<A> {
    /// What is read.
    pub span: Span<A>,
    /// Positions among the spans it was planned for, by address.
    pub members: Vec<usize>,
}

/// What the device has refused so far.
///
/// A hole is a stretch that no read may cover as a whole. An empty one is a seam: no read may
/// reach over it.
#[derive(Debug, Clone)]
pub struct Holes<A> {
    known: BTreeMap<A, BTreeSet<Stretch>>,
}

impl<A> Default for Holes<A> {
    fn default() -> Self {
        Self { known: BTreeMap::new() }
    }
}

impl<A: Copy + Ord> Holes<A> {
    /// Remembers a hole.
    pub fn learn(&mut self, area: A, hole: Stretch) {
        let known = self.known.entry(area).or_default();
        if known.len() < HOLES_MAX {
            known.insert(hole);
        }
    }

    /// Forgets every hole that touches a stretch which has turned out to be readable.
    pub fn forget(&mut self, area: A, readable: Stretch) {
        if let Some(known) = self.known.get_mut(&area) {
            known.retain(|(from, to)| *to <= readable.0 || *from >= readable.1);
        }
    }

    /// Tells whether a read over this stretch is known to be refused.
    #[must_use]
    pub fn refuse(&self, area: A, (start, end): Stretch) -> bool {
        let Some(known) = self.known.get(&area) else { return false };
        known.range((start, 0)..(end, 0)).any(|(from, to)| {
            let seam = from == to;
            if seam { *from > start } else { *to <= end }
        })
    }
}

/// Groups values into the fewest stretches of at most `width_max` elements that split no value
/// and cover no hole.
///
/// A gap is bridged where it is at most `gap_max` elements. Taking values by their start and
/// closing a stretch at the first that does not fit is optimal where every gap may be bridged:
/// what fits later lies inside the value that did not.
pub fn group<'a, A: Copy + Ord + 'a>(
    spans: impl IntoIterator<Item = (usize, &'a Span<A>)>,
    holes: &Holes<A>,
    width_max: impl Fn(A) -> u32,
    gap_max: u32,
) -> Vec<Group<A>> {
    let mut sorted: Vec<(usize, &Span<A>)> = spans.into_iter().collect();
    sorted.sort_by_key(|(_, span)| **span);
    let mut groups: Vec<Group<A>> = Vec::new();
    for (position, span) in sorted {
        if let Some(open) = groups.last_mut()
            && let Some(width) = extended(&open.span, span, holes, width_max(span.area), gap_max)
        {
            open.span.width = width;
            open.members.push(position);
            continue;
        }
        groups.push(Group { span: *span, members: vec![position] });
    }
    groups
}

/// Gives a stretch's width with one more value in it, or nothing where that may not be.
fn extended<A: Copy + Ord>(
    open: &Span<A>,
    span: &Span<A>,
    holes: &Holes<A>,
    width_max: u32,
    gap_max: u32,
) -> Option<u32> {
    if open.area != span.area || span.start.saturating_sub(open.end()) > gap_max {
        return None;
    }
    let end = open.end().max(span.end());
    let width = end - open.start;
    // A value inside what is read already adds no address: the stretch stays as it was.
    let grows = width > open.width;
    let refused = grows && holes.refuse(span.area, (open.start, end));
    (width <= width_max && !refused).then_some(width)
}

/// Splits a refused group in two, each as tight as its values; nothing where it holds one value.
#[must_use]
pub fn halves<A: Copy>(group: &Group<A>, spans: &[Span<A>]) -> Option<(Group<A>, Group<A>)> {
    let (left, right) = group.members.split_at_checked(group.members.len() / 2)?;
    Some((tight(left, spans)?, tight(right, spans)?))
}

fn tight<A: Copy>(members: &[usize], spans: &[Span<A>]) -> Option<Group<A>> {
    let mut all = members.iter().filter_map(|position| spans.get(*position));
    let first = *all.next()?;
    let span = all.fold(first, |sum, span| {
        let start = sum.start.min(span.start);
        Span { start, width: sum.end().max(span.end()) - start, ..sum }
    });
    Some(Group { span, members: members.to_vec() })
}

/// Names the hole between two halves that were read one by one and refused as a whole.
#[must_use]
pub fn between<A>(whole: &Span<A>, left: &Span<A>, right: &Span<A>) -> Stretch {
    let (from, to) = (left.end(), right.start);
    // Overlapping halves leave no gap to blame: what stays known is that the whole is too much.
    if from <= to { (from, to) } else { whole.stretch() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(area: u8, start: u32, width: u32) -> Span<u8> {
        Span { area, start, width }
    }

    fn plan(spans: &[Span<u8>], holes: &Holes<u8>, gap_max: u32) -> Vec<Group<u8>> {
        group(spans.iter().enumerate(), holes, |_| 100, gap_max)
    }

    #[test]
    fn areas_are_never_mixed_and_gaps_bridged_as_far_as_allowed() {
        let spans = [span(1, 0, 2), span(1, 10, 2), span(2, 2, 2)];
        assert_eq!(plan(&spans, &Holes::default(), u32::MAX).len(), 2);
        assert_eq!(plan(&spans, &Holes::default(), 8).len(), 2);
        assert_eq!(plan(&spans, &Holes::default(), 7).len(), 3);
    }

    #[test]
    fn a_hole_is_not_covered_and_a_seam_not_crossed() {
        let spans = [span(1, 0, 2), span(1, 6, 2)];
        let mut holes = Holes::default();
        holes.learn(1, (2, 6));
        assert_eq!(plan(&spans, &holes, u32::MAX).len(), 2);
        holes.forget(1, (0, 8));
        assert_eq!(plan(&spans, &holes, u32::MAX).len(), 1);
        holes.learn(1, (6, 6));
        assert_eq!(plan(&spans, &holes, u32::MAX).len(), 2);
    }

    #[test]
    fn a_refused_group_is_halved_to_its_values_and_names_the_hole_between() {
        let spans = [span(1, 0, 2), span(1, 6, 2)];
        let whole = plan(&spans, &Holes::default(), u32::MAX).remove(0);
        let (left, right) = halves(&whole, &spans).unwrap();
        assert_eq!((left.span, right.span), (spans[0], spans[1]));
        assert_eq!(between(&whole.span, &left.span, &right.span), (2, 6));
        assert_eq!(halves(&left, &spans), None);
    }

    proptest! {
        #[test]
        fn every_value_is_read_once_and_whole_and_no_stretch_is_too_wide(
            starts in prop::collection::vec((0_u8..3, 0_u32..2000, 1_u32..9), 0..200),
        ) {
            let spans: Vec<_> = starts.iter().map(|(a, s, w)| span(*a, *s, *w)).collect();
            let groups = plan(&spans, &Holes::default(), u32::MAX);
            let mut members: Vec<usize> = groups.iter().flat_map(|g| g.members.clone()).collect();
            members.sort_unstable();
            prop_assert_eq!(members, (0..spans.len()).collect::<Vec<_>>());
            for group in &groups {
                prop_assert!(group.span.width <= 100);
                for member in &group.members {
                    let span = spans[*member];
                    prop_assert_eq!(span.area, group.span.area);
                    prop_assert!(group.span.start <= span.start && span.end() <= group.span.end());
                }
            }
        }
    }
}
