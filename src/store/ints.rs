//! A run of 64-bit integers in the fewest bytes of four plain forms.
//!
//! Floats and times come here too, as integers that keep their order. All arithmetic wraps, so
//! every 64-bit pattern round-trips.

use super::bytes::{
    Cursor, Malformed, pack, packed_len, put_count, put_varint, put_zigzag, unpack, varint_len,
    zigzag_len,
};

/// How the integers are laid out; stands in two bits of the column's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One number, repeated.
    Same,
    /// Offsets from the smallest, bit-packed.
    Frame,
    /// Differences from one to the next, offset from the smallest, bit-packed.
    Steps,
    /// The first, then only where it changes.
    Changes,
}

impl Layout {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Same => 0,
            Self::Frame => 1,
            Self::Steps => 2,
            Self::Changes => 3,
        }
    }

    pub(super) fn from_code(code: u8) -> Result<Self, Malformed> {
        match code {
            0 => Ok(Self::Same),
            1 => Ok(Self::Frame),
            2 => Ok(Self::Steps),
            3 => Ok(Self::Changes),
            _ => Err(Malformed),
        }
    }
}

const fn width_of(span: u64) -> u32 {
    64 - span.leading_zeros()
}

const fn offset(value: i64, base: i64) -> u64 {
    value.wrapping_sub(base).cast_unsigned()
}

fn steps(values: &[i64]) -> impl Iterator<Item = i64> + '_ {
    values.iter().zip(values.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a))
}

/// What the choice of a layout needs to know.
#[derive(Default)]
struct Survey {
    min: i64,
    span: u64,
    step_min: i64,
    step_span: u64,
    changes: usize,
    changes_len: usize,
}

fn survey(values: &[i64]) -> Survey {
    let first = values.first().copied().unwrap_or_default();
    let (mut min, mut max) = (first, first);
    let (mut step_min, mut step_max) = (i64::MAX, i64::MIN);
    let (mut changes, mut changes_len, mut gap) = (0, 0, 0_u64);
    for (value, step) in values.iter().skip(1).zip(steps(values)) {
        min = min.min(*value);
        max = max.max(*value);
        step_min = step_min.min(step);
        step_max = step_max.max(step);
        if step == 0 {
            gap += 1;
        } else {
            changes += 1;
            changes_len += varint_len(gap) + zigzag_len(step);
            gap = 0;
        }
    }
    let (step_min, step_span) =
        if values.len() > 1 { (step_min, offset(step_max, step_min)) } else { (0, 0) };
    Survey { min, span: offset(max, min), step_min, step_span, changes, changes_len }
}

/// Appends the integers in the layout that takes the fewest bytes, and names it.
pub(super) fn put_ints(out: &mut Vec<u8>, values: &[i64]) -> Layout {
    let first = values.first().copied().unwrap_or_default();
    let seen = survey(values);
    if seen.changes == 0 {
        put_zigzag(out, first);
        return Layout::Same;
    }
    let (width, step_width) = (width_of(seen.span), width_of(seen.step_span));
    let frame = zigzag_len(seen.min) + 1 + packed_len(values.len(), width);
    let step_count = values.len() - 1;
    let stepped =
        zigzag_len(first) + zigzag_len(seen.step_min) + 1 + packed_len(step_count, step_width);
    let changes = u64::try_from(seen.changes).unwrap_or(u64::MAX);
    let sparse = zigzag_len(first) + varint_len(changes) + seen.changes_len;
    if sparse <= frame && sparse <= stepped {
        put_zigzag(out, first);
        put_changes(out, seen.changes, values);
        Layout::Changes
    } else if frame <= stepped {
        put_zigzag(out, seen.min);
        put_varint(out, u64::from(width));
        pack(out, width, values.iter().map(|v| offset(*v, seen.min)));
        Layout::Frame
    } else {
        put_zigzag(out, first);
        put_zigzag(out, seen.step_min);
        put_varint(out, u64::from(step_width));
        pack(out, step_width, steps(values).map(|s| offset(s, seen.step_min)));
        Layout::Steps
    }
}

fn put_changes(out: &mut Vec<u8>, count: usize, values: &[i64]) {
    put_count(out, count);
    let mut gap = 0_u64;
    for step in steps(values) {
        if step == 0 {
            gap += 1;
        } else {
            put_varint(out, gap);
            put_zigzag(out, step);
            gap = 0;
        }
    }
}

/// Appends `count` integers to `values`; the caller has bounded `count`.
pub(super) fn take_ints(
    from: &mut Cursor<'_>,
    layout: Layout,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let first = from.zigzag()?;
    match layout {
        Layout::Same => values.extend(std::iter::repeat_n(first, count)),
        Layout::Frame => {
            let width = width(from)?;
            let packed = from.take(packed_len(count, width))?;
            unpack(packed, width, count, |v| values.push(first.wrapping_add(v.cast_signed())));
        }
        Layout::Steps => {
            let step_min = from.zigzag()?;
            let width = width(from)?;
            let steps = count.checked_sub(1).ok_or(Malformed)?;
            let packed = from.take(packed_len(steps, width))?;
            values.push(first);
            let mut last = first;
            unpack(packed, width, steps, |v| {
                last = last.wrapping_add(step_min.wrapping_add(v.cast_signed()));
                values.push(last);
            });
        }
        Layout::Changes => take_changes(from, first, count, values)?,
    }
    Ok(())
}

fn width(from: &mut Cursor<'_>) -> Result<u32, Malformed> {
    from.u32().ok().filter(|width| *width <= 64).ok_or(Malformed)
}

fn take_changes(
    from: &mut Cursor<'_>,
    first: i64,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let mut left = count.checked_sub(1).ok_or(Malformed)?;
    let mut last = first;
    values.push(first);
    for _ in 0..from.count(left)? {
        // The gap repeats the value before; the change itself takes one more place.
        let gap = from.count(left.checked_sub(1).ok_or(Malformed)?)?;
        values.extend(std::iter::repeat_n(last, gap));
        last = last.wrapping_add(from.zigzag()?);
        values.push(last);
        left -= gap + 1;
    }
    values.extend(std::iter::repeat_n(last, left));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(values: &[i64]) -> (Layout, usize) {
        let mut out = Vec::new();
        let layout = put_ints(&mut out, values);
        let mut back = Vec::new();
        let mut from = Cursor::new(&out);
        take_ints(&mut from, layout, values.len(), &mut back).unwrap();
        assert_eq!(back, values);
        assert_eq!(from.left(), 0);
        (layout, out.len())
    }

    #[test]
    fn each_shape_finds_its_layout() {
        assert_eq!(round_trip(&[7; 60]), (Layout::Same, 1));
        let ramp: Vec<i64> = (0..60).map(|i| 1_000_000 + i * 1000).collect();
        assert_eq!(round_trip(&ramp).0, Layout::Steps);
        let noise: Vec<i64> = (0..60).map(|i| 5000 + (i * 37) % 16).collect();
        assert_eq!(round_trip(&noise).0, Layout::Frame);
        let mut step = vec![5_i64; 60];
        step[40..].fill(9000);
        assert_eq!(round_trip(&step).0, Layout::Changes);
    }

    #[test]
    fn the_full_range_wraps_and_comes_back() {
        round_trip(&[i64::MIN, i64::MAX, 0, -1, i64::MIN, i64::MIN, i64::MAX]);
        round_trip(&[i64::MIN, i64::MAX]);
    }

    proptest! {
        #[test]
        fn any_integers_come_back(values in prop::collection::vec(any::<i64>(), 1..80)) {
            round_trip(&values);
        }

        #[test]
        fn clustered_integers_come_back(
            base in any::<i64>(),
            offsets in prop::collection::vec(prop_oneof![Just(0_i64), -300_i64..300], 1..300),
        ) {
            let values: Vec<i64> = offsets.iter().map(|o| base.wrapping_add(*o)).collect();
            round_trip(&values);
        }

        #[test]
        fn arbitrary_bytes_give_exactly_the_count_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            code in 0_u8..4,
            count in 0_usize..256,
        ) {
            let mut back = Vec::new();
            let layout = Layout::from_code(code).unwrap();
            if take_ints(&mut Cursor::new(&bytes), layout, count, &mut back).is_ok() {
                prop_assert_eq!(back.len(), count);
            }
        }
    }
}
