//! The Hampel identifier over a sliding window (Hampel 1974; Davies and Gather 1993), without a
//! sort for each sample.

/// Samples on either side of the one that is judged.
pub const HAMPEL_SIDE: usize = 7;
const WIDTH: usize = 2 * HAMPEL_SIDE + 1;

/// The centre and the MAD of the window around a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Local {
    /// The median.
    pub median: f64,
    /// The median of the distances from it.
    pub mad: f64,
}

/// Walks the numbers that have a whole window around them, each with its position.
///
/// The window is kept sorted: one number leaves, one is put in its place. In a sorted window
/// the distances from the middle rise to either side, so their median is found by merging.
pub fn hampel(numbers: &[f64], mut each: impl FnMut(usize, Local)) {
    let Some(first) = numbers.first_chunk::<WIDTH>() else { return };
    let mut sorted = *first;
    sorted.sort_unstable_by(f64::total_cmp);
    each(HAMPEL_SIDE, local(&sorted));
    let entering = numbers.iter().skip(WIDTH);
    for (at, (out, new)) in numbers.iter().zip(entering).enumerate() {
        replace(&mut sorted, *out, *new);
        each(at + 1 + HAMPEL_SIDE, local(&sorted));
    }
}

/// Takes one number out of a sorted window and puts another in.
fn replace(sorted: &mut [f64; WIDTH], out: f64, new: f64) {
    // Ranks by counting: no branch to guess, and all comparisons at once.
    let below = |bound: f64| sorted.iter().map(|x| usize::from(*x < bound)).sum::<usize>();
    let at = below(out).min(WIDTH - 1);
    let rank = below(new);
    if rank > at {
        sorted.copy_within(at + 1..rank, at);
        put(sorted, rank - 1, new);
    } else {
        sorted.copy_within(rank..at, rank + 1);
        put(sorted, rank, new);
    }
}

fn put(sorted: &mut [f64; WIDTH], at: usize, new: f64) {
    if let Some(slot) = sorted.get_mut(at) {
        *slot = new;
    }
}

fn local(sorted: &[f64; WIDTH]) -> Local {
    let [low @ .., _, _, _, _, _, _, _, _] = sorted;
    let [_, _, _, _, _, _, _, median, high @ ..] = sorted;
    let (mut below, mut above) = (low.iter().rev().peekable(), high.iter().peekable());
    // The middle itself is the least distance; seven more make the median of fifteen.
    let mut mad = 0.0;
    for _ in 0..HAMPEL_SIDE {
        let down = below.peek().map_or(f64::INFINITY, |x| median - **x);
        let up = above.peek().map_or(f64::INFINITY, |x| **x - median);
        mad = down.min(up);
        if down <= up {
            below.next()
        } else {
            above.next()
        };
    }
    Local { median: *median, mad }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::robust::median_and_mad;
    use crate::diagnose::trained::tests::noise;

    #[test]
    fn it_gives_what_two_sorts_give() {
        let mut values = noise(300, 7);
        values.extend([4.0; 20]);
        values.extend((0..40).map(f64::from));
        let mut judged = 0;
        hampel(&values, |at, local| {
            let around = &values[at - HAMPEL_SIDE..=at + HAMPEL_SIDE];
            let (median, mad) = median_and_mad(around, &mut Vec::new()).unwrap();
            assert_eq!(local, Local { median, mad }, "{at}");
            judged += 1;
        });
        assert_eq!(judged, values.len() - 2 * HAMPEL_SIDE);
        hampel(&values[..WIDTH - 1], |_, _| panic!("no whole window"));
    }
}
