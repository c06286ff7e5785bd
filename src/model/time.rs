//! Instants: nanoseconds of UTC since 1970, read and written as RFC 3339.

use serde::{Serialize, Serializer};

/// An instant in UTC, to the nanosecond; serialised with milliseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, schemars::JsonSchema,
)]
pub struct Timestamp(#[schemars(with = "String")] i64);

/// The text or number is no instant between the years 1678 and 2262.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date-time, such as 2026-06-30T12:00:00Z: {0}")]
pub struct TimeError(String);

impl Timestamp {
    /// Makes an instant from nanoseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Makes an instant from milliseconds since 1970, saturating.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Gives nanoseconds since 1970.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Gives whole milliseconds since 1970, rounded down.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Gives the milliseconds from `earlier` to here; negative where `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(1_000_000)
    }

    /// Gives the instant `millis` later, saturating.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// Reads an RFC 3339 date-time with any offset.
    ///
    /// # Errors
    /// The text is no such date-time, or outside the years 1678 to 2262.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bad = || TimeError(text.chars().take(40).collect());
        let at: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
        i64::try_from(at.as_nanosecond()).map(Self).map_err(|_| bad())
    }

    /// Writes RFC 3339 UTC with milliseconds: the form of our own instants.
    #[must_use]
    pub fn to_rfc3339_millis(self) -> String {
        format!("{:.3}", self.to_jiff())
    }

    /// Writes RFC 3339 UTC with the precision it has: the form of a device's instants.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_jiff().to_string()
    }

    /// Converts for formatting and calendar arithmetic.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        // Every i64 of nanoseconds is inside jiff's range of years.
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or_default()
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.to_rfc3339_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_have_milliseconds_and_a_devices_keep_their_precision() {
        let t = Timestamp::parse("2026-06-30T14:00:00.1234567+02:00").unwrap();
        assert_eq!(t.to_rfc3339_millis(), "2026-06-30T12:00:00.123Z");
        assert_eq!(t.to_rfc3339(), "2026-06-30T12:00:00.1234567Z");
    }

    #[test]
    fn the_extremes_still_print() {
        for nanos in [i64::MIN, 0, i64::MAX] {
            assert!(Timestamp::from_nanos(nanos).to_rfc3339().ends_with('Z'));
        }
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
