//! The areas of a controller's memory.

/// A kind of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Data blocks.
    Block,
    /// Flags (Merker).
    Flags,
    /// Process image of the inputs.
    Inputs,
    /// Process image of the outputs.
    Outputs,
    /// Timers.
    Timers,
    /// Counters.
    Counters,
}

/// Name as the raw blocks have it, code on the wire, bytes of one element.
const KINDS: [(Kind, &str, u8, u32); 6] = [
    (Kind::Block, "DB", 0x84, 1),
    (Kind::Flags, "M", 0x83, 1),
    (Kind::Inputs, "I", 0x81, 1),
    (Kind::Outputs, "Q", 0x82, 1),
    (Kind::Timers, "T", 0x1D, 2),
    (Kind::Counters, "C", 0x1C, 2),
];

/// One area; a data block is an area of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Area {
    /// What kind of memory.
    pub(crate) kind: Kind,
    /// The number of the data block; 0 elsewhere.
    pub(crate) block: u16,
}

impl Kind {
    fn row(self) -> (Self, &'static str, u8, u32) {
        let row = KINDS.into_iter().find(|(kind, ..)| *kind == self);
        row.expect("every kind stands in the table")
    }

    /// Gives its name.
    pub(crate) fn name(self) -> &'static str {
        self.row().1
    }

    /// Gives its code on the wire.
    pub(crate) fn code(self) -> u8 {
        self.row().2
    }

    /// Gives the bytes of one element: areas are counted in bytes, timers and counters in words.
    pub(crate) fn element_bytes(self) -> u32 {
        self.row().3
    }

    /// Finds a kind by its name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|(_, known, ..)| *known == name).map(|(kind, ..)| kind)
    }

    /// Finds a kind by its code.
    #[cfg(any(test, feature = "demo"))]
    pub(crate) fn of_code(code: u8) -> Option<Self> {
        KINDS.into_iter().find(|(_, _, known, _)| *known == code).map(|(kind, ..)| kind)
    }
}
