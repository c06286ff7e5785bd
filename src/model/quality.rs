//! Quality: an OPC UA StatusCode (Part 4, 7.39), whatever the protocol.

use serde::{Serialize, Serializer};

/// How far a value can be trusted, as an OPC UA StatusCode.
///
/// The two top bits say Good, Uncertain or Bad; the sub-status is kept as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Quality(u32);

/// The sub-statuses this collector itself assigns or names, with their standard names.
const NAMES: &[(u32, &str)] = &[
    (0x0000_0000, "Good"),
    (0x4000_0000, "Uncertain"),
    (0x4090_0000, "UncertainLastUsableValue"),
    (0x408F_0000, "UncertainNoCommunicationLastUsableValue"),
    (0x8000_0000, "Bad"),
    (0x8005_0000, "BadCommunicationError"),
    (0x8006_0000, "BadEncodingError"),
    (0x8007_0000, "BadDecodingError"),
    (0x800A_0000, "BadTimeout"),
    (0x8031_0000, "BadNoCommunication"),
    (0x8032_0000, "BadWaitingForInitialData"),
    (0x8033_0000, "BadNodeIdInvalid"),
    (0x8034_0000, "BadNodeIdUnknown"),
    (0x8035_0000, "BadAttributeIdInvalid"),
    (0x803A_0000, "BadNotReadable"),
    (0x803C_0000, "BadOutOfRange"),
    (0x803D_0000, "BadNotSupported"),
    (0x8074_0000, "BadTypeMismatch"),
    (0x8089_0000, "BadConfigurationError"),
    (0x808A_0000, "BadNotConnected"),
    (0x808B_0000, "BadDeviceFailure"),
    (0x808C_0000, "BadSensorFailure"),
    (0x808D_0000, "BadOutOfService"),
    (0x809B_0000, "BadNoData"),
];

impl Quality {
    /// The value is as the device measured it.
    pub const GOOD: Self = Self(0x0000_0000);
    /// The link is lost or the collector restarted; the last value is kept.
    pub const UNCERTAIN_LAST_USABLE: Self = Self(0x4090_0000);
    /// The device did not answer in time.
    pub const BAD_NO_COMMUNICATION: Self = Self(0x8031_0000);
    /// The tag has never been read.
    pub const BAD_WAITING_FOR_INITIAL_DATA: Self = Self(0x8032_0000);
    /// The device refuses the address, or the tag's definition can't be read this way.
    pub const BAD_CONFIGURATION_ERROR: Self = Self(0x8089_0000);
    /// The device reports a fault of its own.
    pub const BAD_DEVICE_FAILURE: Self = Self(0x808B_0000);
    /// The tag is quarantined after repeated refusals.
    pub const BAD_OUT_OF_SERVICE: Self = Self(0x808D_0000);
    /// The bytes that came are no value of the tag's type, or a non-finite number.
    pub const BAD_DECODING_ERROR: Self = Self(0x8007_0000);
    /// The server's address space has no such node.
    pub const BAD_NODE_ID_UNKNOWN: Self = Self(0x8034_0000);
    /// The node id is none that the server could have.
    pub const BAD_NODE_ID_INVALID: Self = Self(0x8033_0000);
    /// Bad with no more said.
    pub const BAD: Self = Self(0x8000_0000);

    /// Takes a StatusCode as it came.
    #[must_use]
    pub const fn from_status(code: u32) -> Self {
        Self(code)
    }

    /// Gives the StatusCode.
    #[must_use]
    pub const fn status(self) -> u32 {
        self.0
    }

    /// Tells whether the severity bits say Good.
    #[must_use]
    pub const fn is_good(self) -> bool {
        self.0 >> 30 == 0
    }

    /// Tells whether the severity bits say Uncertain.
    #[must_use]
    pub const fn is_uncertain(self) -> bool {
        self.0 >> 30 == 1
    }

    /// Tells whether the severity bits say Bad; the reserved pattern counts as Bad.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        self.0 >> 30 >= 2
    }

    /// Gives the standard name, or the severity and the code in hexadecimal.
    #[must_use]
    pub fn name(self) -> String {
        // The low 16 bits are info bits: they do not change the name (Part 4, table 171).
        let code = self.0 & 0xFFFF_0000;
        if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == code) {
            return (*name).to_owned();
        }
        let severity = ["Good", "Uncertain", "Bad", "Bad"];
        let word = severity.get((self.0 >> 30) as usize).copied().unwrap_or("Bad");
        format!("{word}(0x{:08X})", self.0)
    }
}

impl Serialize for Quality {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_is_the_top_two_bits() {
        assert!(Quality::GOOD.is_good());
        assert!(Quality::UNCERTAIN_LAST_USABLE.is_uncertain());
        assert!(Quality::BAD_NO_COMMUNICATION.is_bad());
        assert!(Quality::from_status(0xC000_0000).is_bad());
    }

    #[test]
    fn an_unknown_code_is_named_by_its_severity_and_number() {
        assert_eq!(Quality::from_status(0x8FFF_0000).name(), "Bad(0x8FFF0000)");
        assert_eq!(Quality::from_status(0x8031_0000).name(), "BadNoCommunication");
    }
}
