//! Bytes as the codec reads and writes them: a checked cursor, variable-length integers, bits.

/// The bytes are no record of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record's bytes don't decode")]
pub(super) struct Malformed;

/// A 64-bit number takes at most ten groups of seven bits.
const VARINT_BYTES_MAX: u32 = 10;

/// Walks over bytes; every step checks what is left first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(super) fn word(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // The tenth group has room for one bit.
            if group == VARINT_BYTES_MAX - 1 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << (7 * group);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, Malformed> {
        let folded = self.varint()?;
        Ok((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed)
    }

    /// Reads a count of things that can't be more than `max`.
    pub(super) fn count(&mut self, max: usize) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).ok().filter(|count| *count <= max).ok_or(Malformed)
    }
}

const fn fold(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, fold(value));
}

/// Writes a count or length; a `usize` is at most 64 bits wide on every target of ours.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_varint(out, u64::try_from(count).unwrap_or(u64::MAX));
}

pub(super) const fn varint_len(value: u64) -> usize {
    let groups = (64 - (value | 1).leading_zeros()).div_ceil(7);
    groups as usize
}

pub(super) const fn zigzag_len(value: i64) -> usize {
    varint_len(fold(value))
}

/// Gives the bytes that `count` numbers of `width` bits take.
pub(super) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Writes numbers of `width` bits, lowest bit first.
pub(super) fn pack(out: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    let mut held = 0_u128;
    let mut bits = 0_u32;
    for value in values {
        held |= u128::from(value) << bits;
        bits += width;
        while bits >= 8 {
            out.push(held.to_le_bytes()[0]);
            held >>= 8;
            bits -= 8;
        }
    }
    if bits > 0 {
        out.push(held.to_le_bytes()[0]);
    }
}

/// Reads `count` numbers of `width` bits from exactly [`packed_len`] bytes.
pub(super) fn unpack(packed: &[u8], width: u32, count: usize, mut give: impl FnMut(u64)) {
    let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
    let mut held = 0_u128;
    let mut bits = 0_u32;
    let mut bytes = packed.iter();
    for _ in 0..count {
        while bits < width {
            held |= u128::from(bytes.next().copied().unwrap_or_default()) << bits;
            bits += 8;
        }
        let low = held.to_le_bytes();
        let [a, b, c, d, e, f, g, h, ..] = low;
        give(u64::from_le_bytes([a, b, c, d, e, f, g, h]) & mask);
        held >>= width;
        bits -= width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_keep_their_bits_and_their_announced_length() {
        for value in [0, 1, -1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_zigzag(&mut out, value);
            assert_eq!(out.len(), zigzag_len(value));
            assert_eq!(Cursor::new(&out).zigzag(), Ok(value));
        }
        for value in [0, 127, 128, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value));
            assert_eq!(Cursor::new(&out).varint(), Ok(value));
        }
    }

    #[test]
    fn an_endless_or_cut_number_is_refused() {
        assert_eq!(Cursor::new(&[0xFF; 11]).varint(), Err(Malformed));
        assert_eq!(Cursor::new(&[0x80]).varint(), Err(Malformed));
        let too_wide = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02];
        assert_eq!(Cursor::new(&too_wide).varint(), Err(Malformed));
    }

    #[test]
    fn every_width_packs_and_unpacks() {
        for width in 0..=64 {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let values: Vec<u64> =
                (0..37).map(|i: u64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
            let mut out = Vec::new();
            pack(&mut out, width, values.iter().copied());
            assert_eq!(out.len(), packed_len(values.len(), width));
            let mut back = Vec::new();
            unpack(&out, width, values.len(), |v| back.push(v));
            assert_eq!(back, values);
        }
    }
}
