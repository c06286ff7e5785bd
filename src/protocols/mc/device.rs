//! The devices of a MELSEC controller: their codes, whether they are words or bits, and how
//! their numbers are written.

/// Whether a device holds words or bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// 16-bit words.
    Words,
    /// Single bits.
    Bits,
}

/// How the number behind a device's name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Radix {
    Decimal,
    Hexadecimal,
    /// Hexadecimal, but octal on iQ-F.
    Inputs,
}

/// One kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Device(usize);

/// Name, code (SLMP Reference Manual, appendix 1), words or bits, radix.
const DEVICES: &[(&str, u8, Holds, Radix)] = &[
    ("D", 0xA8, Holds::Words, Radix::Decimal),
    ("W", 0xB4, Holds::Words, Radix::Hexadecimal),
    ("R", 0xAF, Holds::Words, Radix::Decimal),
    ("ZR", 0xB0, Holds::Words, Radix::Decimal),
    ("SD", 0xA9, Holds::Words, Radix::Decimal),
    ("SW", 0xB5, Holds::Words, Radix::Hexadecimal),
    ("TN", 0xC2, Holds::Words, Radix::Decimal),
    ("SN", 0xC8, Holds::Words, Radix::Decimal),
    ("CN", 0xC5, Holds::Words, Radix::Decimal),
    ("M", 0x90, Holds::Bits, Radix::Decimal),
    ("X", 0x9C, Holds::Bits, Radix::Inputs),
    ("Y", 0x9D, Holds::Bits, Radix::Inputs),
    ("B", 0xA0, Holds::Bits, Radix::Hexadecimal),
    ("L", 0x92, Holds::Bits, Radix::Decimal),
    ("F", 0x93, Holds::Bits, Radix::Decimal),
    ("V", 0x94, Holds::Bits, Radix::Decimal),
    ("S", 0x98, Holds::Bits, Radix::Decimal),
    ("SM", 0x91, Holds::Bits, Radix::Decimal),
    ("SB", 0xA1, Holds::Bits, Radix::Hexadecimal),
];

impl Device {
    /// Finds the device an address names, and gives it with what stands behind its name.
    pub(super) fn split(address: &str) -> Option<(Self, &str)> {
        // The longest name wins: SB10 is not S with a number of B10.
        let named = DEVICES.iter().enumerate().filter_map(|(index, (name, ..))| {
            let head = address.get(..name.len())?;
            let rest = address.get(name.len()..)?;
            head.eq_ignore_ascii_case(name).then_some((name.len(), Self(index), rest))
        });
        let found = named.max_by_key(|(length, ..)| *length);
        found.map(|(_, device, rest)| (device, rest))
    }

    /// Finds a device by its name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        DEVICES.iter().position(|(known, ..)| *known == name).map(Self)
    }

    /// Finds a device by its code.
    #[cfg(any(test, feature = "demo"))]
    #[cfg(any(test, feature = "demo"))]
    pub(crate) fn of_code(code: u16) -> Option<Self> {
        DEVICES.iter().position(|(_, known, ..)| u16::from(*known) == code).map(Self)
    }

    fn row(self) -> (&'static str, u8, Holds, Radix) {
        *DEVICES.get(self.0).expect("a device is made from the table alone")
    }

    /// Gives its name.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }

    /// Gives its code.
    pub(super) fn code(self) -> u8 {
        self.row().1
    }

    /// Tells words from bits.
    pub(crate) fn holds(self) -> Holds {
        self.row().2
    }

    /// Tells how its numbers are written.
    pub(super) fn radix(self) -> Radix {
        self.row().3
    }

    /// Every device's name, for hints.
    pub(super) fn names() -> String {
        DEVICES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::BlockRef;

    #[test]
    fn the_longest_name_wins() {
        for (address, name, rest) in
            [("SB10", "SB", "10"), ("sm400", "SM", "400"), ("S5", "S", "5"), ("ZR7", "ZR", "7")]
        {
            let (device, got) = Device::split(address).unwrap();
            assert_eq!((device.name(), got), (name, rest));
        }
        assert!(Device::split("Q5").is_none());
        assert!(Device::split("").is_none());
        assert!(Device::split("\u{e4}1").is_none());
    }

    #[test]
    fn codes_and_names_are_unique_and_blocks_know_them() {
        for (index, (name, code, ..)) in DEVICES.iter().enumerate() {
            assert_eq!(Device::of_name(name), Some(Device(index)));
            assert_eq!(Device::of_code(u16::from(*code)), Some(Device(index)));
            assert!(BlockRef::AREAS.contains(name), "{name}");
        }
    }
}
