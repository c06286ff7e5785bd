//! Addresses that two habits read differently.

use crate::driver::Protocol;
use crate::model::Tag;

/// From here on a bare number may be meant in the old notation, where the first digit names the
/// table and the rest counts from 1: 40101 is holding register 100.
const BARE_MIN: u32 = 10_001;

/// Gives both readings of a bare number, where the protocol knows the other notation too.
///
/// The protocol itself is asked: it understands `4x0101`, or it has only one reading.
pub(super) fn two_readings(protocol: &Protocol, tag: &Tag, wire: &str) -> Option<String> {
    let digits = tag.address.as_ref();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.parse::<u32>().ok()? < BARE_MIN {
        return None;
    }
    let (table, rest) = digits.split_at_checked(1)?;
    let mut other = tag.clone();
    other.address = format!("{table}x{rest}").into();
    let meant = (protocol.address)(&other).ok()?;
    Some(format!("`{digits}` is read as {wire}; the notation `{}` means {meant}", other.address))
}
