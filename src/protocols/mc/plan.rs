//! The planner: values to the fewest requests. Pure.

use super::device::{Device, Holds};
use super::settings::Model;
use crate::plan::{Group, Holes, Span, group};

/// Words one batch read brings (0401, SLMP Reference Manual, 5.2).
const WORDS_MAX: u32 = 960;
/// Bits one batch read brings. Models differ between 3584 and 7168; this many fit all of them.
const BITS_MAX: u32 = 3584;
/// Points of one random read (0403, subcommand 0000).
const POINTS_MAX: usize = 192;
/// Points of one random read with the long numbers of iQ-R (0403, subcommand 0002).
const POINTS_MAX_LONG: usize = 96;

/// Gives the most elements of a device that one batch read brings.
pub(super) fn width_max(device: Device) -> u32 {
    match device.holds() {
        Holds::Words => WORDS_MAX,
        Holds::Bits => BITS_MAX,
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// 0401: a stretch of one device.
    Batch(Group<Device>),
    /// 0403: values that lie apart, by their positions.
    Random(Vec<usize>),
}

impl Job {
    /// Gives the positions of the values it brings.
    pub(super) fn members(&self) -> &[usize] {
        match self {
            Self::Batch(group) => &group.members,
            Self::Random(members) => members,
        }
    }

    /// Splits a refused request in two; nothing where it holds one value.
    pub(super) fn halves(&self, spans: &[Span<Device>]) -> Option<(Self, Self)> {
        match self {
            Self::Batch(group) => {
                let (left, right) = crate::plan::halves(group, spans)?;
                Some((Self::Batch(left), Self::Batch(right)))
            }
            Self::Random(members) => {
                let (left, right) = members.split_at_checked(members.len() / 2)?;
                let halves = (Self::Random(left.to_vec()), Self::Random(right.to_vec()));
                (!left.is_empty()).then_some(halves)
            }
        }
    }
}

/// A point of a random read: a word, or two words at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Word { device: Device, number: u32 },
    Double { device: Device, number: u32 },
}

/// Lays a value out in points of a random read, the words of which stand together in the answer;
/// nothing where it is too wide for that to save anything.
///
/// A bit is cut out of the 16 bits around it, which begin at a multiple of 16 as the older
/// models ask.
pub(super) fn accesses(span: &Span<Device>) -> Option<Vec<Access>> {
    let (device, start) = (span.area, span.start);
    Some(match (device.holds(), span.width) {
        (Holds::Bits, 1) => vec![Access::Word { device, number: start / 16 * 16 }],
        (Holds::Words, 1) => vec![Access::Word { device, number: start }],
        (Holds::Words, 2) => vec![Access::Double { device, number: start }],
        (Holds::Words, 4) => vec![
            Access::Double { device, number: start },
            Access::Double { device, number: start + 2 },
        ],
        _ => return None,
    })
}

/// Gives the most points of one random read.
fn points_max(model: Option<Model>) -> usize {
    if model == Some(Model::IqR) { POINTS_MAX_LONG } else { POINTS_MAX }
}

/// Plans the fewest requests for these values.
///
/// Stretches of near values are read by batch. Those with the fewest points are read together
/// by random reads instead, as many of them as make the sum of both the least.
pub(super) fn jobs(
    members: impl IntoIterator<Item = usize>,
    spans: &[Span<Device>],
    holes: &Holes<Device>,
    model: Option<Model>,
) -> Vec<Job> {
    let wanted = members.into_iter().filter_map(|at| Some((at, spans.get(at)?)));
    let groups = group(wanted, holes, width_max, u32::MAX);
    let max = points_max(model);
    let mut priced: Vec<(usize, Group<Device>)> = groups
        .into_iter()
        .map(|group| (price(&group, spans).unwrap_or(usize::MAX), group))
        .collect();
    // Stable: stretches of one price stay in the order of their addresses.
    priced.sort_by_key(|(price, _)| *price);
    let apart = cheapest(&priced, max);
    let batches = priced.split_off(apart);
    let mut jobs: Vec<Job> = batches.into_iter().map(|(_, group)| Job::Batch(group)).collect();
    let (mut open, mut used) = (Vec::new(), 0);
    for member in priced.into_iter().flat_map(|(_, group)| group.members) {
        let points = spans.get(member).and_then(accesses).map_or(0, |points| points.len());
        if used + points > max {
            jobs.push(Job::Random(std::mem::take(&mut open)));
            used = 0;
        }
        used += points;
        open.push(member);
    }
    if !open.is_empty() {
        jobs.push(Job::Random(open));
    }
    jobs
}

/// Counts the points a stretch would take in random reads; nothing where one value can't.
fn price(group: &Group<Device>, spans: &[Span<Device>]) -> Option<usize> {
    let points = group.members.iter().map(|at| spans.get(*at).and_then(accesses).map(|p| p.len()));
    points.sum()
}

/// Finds how many of the stretches, cheapest first, are better read by random reads.
fn cheapest(priced: &[(usize, Group<Device>)], max: usize) -> usize {
    let mut best = (priced.len(), 0);
    let mut points = 0_usize;
    for (nth, (price, _)) in priced.iter().enumerate() {
        points = points.saturating_add(*price);
        if points == usize::MAX {
            break;
        }
        let requests = priced.len() - nth - 1 + points.div_ceil(max);
        best = best.min((requests, nth + 1));
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Device {
        Device::of_name(name).unwrap()
    }

    fn reals(count: u32, stride: u32) -> Vec<Span<Device>> {
        let area = device("ZR");
        (0..count).map(|nth| Span { area, start: nth * stride, width: 2 }).collect()
    }

    fn plan(spans: &[Span<Device>], model: Option<Model>) -> Vec<Job> {
        jobs(0..spans.len(), spans, &Holes::default(), model)
    }

    #[test]
    fn ten_thousand_contiguous_reals_need_21_requests() {
        // 480 REALs fill 960 words.
        assert_eq!(plan(&reals(10_000, 2), Some(Model::Q)).len(), 21);
    }

    #[test]
    fn ten_thousand_scattered_reals_need_53_requests() {
        // 192 points of two words each.
        assert_eq!(plan(&reals(10_000, 1000), Some(Model::Q)).len(), 53);
        // Half as many points with the long numbers of iQ-R.
        assert_eq!(plan(&reals(10_000, 1000), Some(Model::IqR)).len(), 105);
    }

    #[test]
    fn a_lonely_value_beside_a_long_stretch_is_no_reason_for_two_kinds() {
        let mut spans = reals(480, 2);
        spans.push(Span { area: device("D"), start: 5, width: 1 });
        let jobs = plan(&spans, None);
        assert_eq!(jobs.len(), 2);
        assert!(jobs.iter().all(|job| matches!(job, Job::Batch(_))), "nothing is saved");
    }

    #[test]
    fn values_of_many_devices_come_together() {
        let spans: Vec<_> = ["D", "W", "R", "SD", "M", "B", "L"]
            .iter()
            .map(|name| Span { area: device(name), start: 37, width: 1 })
            .collect();
        assert_eq!(plan(&spans, None), [Job::Random((0..7).collect())]);
        let point = accesses(&spans[4]).unwrap();
        assert_eq!(point, [Access::Word { device: device("M"), number: 32 }]);
    }

    #[test]
    fn wide_values_are_never_split() {
        let spans: Vec<_> =
            (0..30).map(|nth| Span { area: device("D"), start: nth * 3000, width: 300 }).collect();
        assert_eq!(plan(&spans, None).len(), 30);
    }

    #[test]
    fn every_value_is_read_once() {
        let spans = reals(700, 500);
        let mut seen: Vec<usize> =
            plan(&spans, None).iter().flat_map(|job| job.members().to_vec()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..700).collect::<Vec<_>>());
    }
}
