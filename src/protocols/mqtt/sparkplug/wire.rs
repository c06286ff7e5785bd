//! Protobuf's fields, as they lie in the bytes: nothing is copied and nothing allocated.

use super::super::errors::decode;
use crate::driver::DriverError;

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of one message, in their order; a fault ends them.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for nth in 0..10 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // The tenth byte holds the one bit that is left.
            if nth == 9 && *byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7F) << (7 * nth);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u32, Field<'a>)> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            // Groups are gone from protobuf since long before Sparkplug.
            _ => return None,
        };
        Some((number, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Field<'a>), DriverError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or_else(|| decode("the payload is no protobuf")))
    }
}

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], DriverError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(mistyped()),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, DriverError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| decode("a text is no UTF-8"))
    }

    pub(super) fn long(self) -> Result<u64, DriverError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(mistyped()),
        }
    }

    /// A `uint32`: some encoders write a negative number with all its 64 bits.
    pub(super) fn int(self) -> Result<u32, DriverError> {
        let value = self.long()?;
        let low = value & u64::from(u32::MAX);
        let is_extended = value >> 32 == u64::from(u32::MAX) && low >> 31 == 1;
        match u32::try_from(low) {
            Ok(low) if value >> 32 == 0 || is_extended => Ok(low),
            _ => Err(decode("a 32-bit number has more bits")),
        }
    }

    pub(super) fn truth(self) -> Result<bool, DriverError> {
        self.long().map(|value| value != 0)
    }

    pub(super) fn float(self) -> Result<f32, DriverError> {
        match self {
            Self::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(mistyped()),
        }
    }

    pub(super) fn double(self) -> Result<f64, DriverError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(mistyped()),
        }
    }
}

fn mistyped() -> DriverError {
    decode("a field of the payload is of another type than Sparkplug's")
}
