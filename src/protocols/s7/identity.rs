//! Who the CPU is and whether it runs, out of the system status list. Pure.

use std::sync::Arc;

use crate::driver::Identity;

/// Module identification: the order number and versions.
pub(super) const MODULE: u16 = 0x0011;
/// Component identification: names and serial number.
pub(super) const COMPONENT: u16 = 0x001C;
/// The CPU's operating state.
pub(super) const STATE: u16 = 0x0424;

/// The run state as the list numbers it.
pub(crate) const RUN: i64 = 8;
/// The stop state as the list numbers it.
pub(crate) const STOP: i64 = 4;

/// Id, index, length of a record, number of records.
const HEAD_BYTES: usize = 8;

/// Walks the records of a list: the index that each begins with, and what follows.
fn records(list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let head = list.get(4..6).and_then(|bytes| bytes.try_into().ok());
    let bytes = head.map_or(0, |bytes| usize::from(u16::from_be_bytes(bytes))).max(2);
    let records = list.get(HEAD_BYTES..).unwrap_or_default().chunks_exact(bytes);
    records.filter_map(|record| {
        let (index, rest) = record.split_first_chunk()?;
        Some((u16::from_be_bytes(*index), rest))
    })
}

/// Reads text that is filled up with blanks or zeros.
fn text(bytes: &[u8]) -> Arc<str> {
    let text: String =
        bytes.iter().take_while(|byte| **byte != 0).copied().map(char::from).collect();
    text.trim().into()
}

fn put(identity: &mut Identity, name: &'static str, value: Arc<str>) {
    if !value.is_empty() {
        identity.details.push((name, value));
    }
}

/// Takes the order number and the firmware's version.
pub(super) fn take_module(list: &[u8], identity: &mut Identity) {
    for (index, record) in records(list) {
        let order = record.get(..20).unwrap_or_default();
        match index {
            1 => put(identity, "order_code", text(order)),
            7 => {
                if let Some([major, minor, patch]) = record.get(23..26) {
                    let version: Arc<str> = format!("{major}.{minor}.{patch}").into();
                    identity.version = version.clone();
                    put(identity, "firmware", version);
                }
            }
            _ => {}
        }
    }
}

/// Takes names and serial number.
pub(super) fn take_component(list: &[u8], identity: &mut Identity) {
    for (index, record) in records(list) {
        let name = match index {
            1 => "as_name",
            2 => "module_name",
            4 => "copyright",
            5 => "serial_number",
            7 => "module_type_name",
            _ => continue,
        };
        let value = text(record.get(..32.min(record.len())).unwrap_or_default());
        if index == 7 {
            identity.product = value.clone();
        }
        put(identity, name, value);
    }
}

/// Takes the operating state.
pub(super) fn take_state(list: &[u8], identity: &mut Identity) {
    // Behind the list's head: a word of events, then the state in the fourth byte.
    identity.state = list.get(HEAD_BYTES + 3).map(|state| i64::from(state & 0x0F));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(id: u16, record_bytes: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = [id.to_be_bytes(), [0, 0], record_bytes.to_be_bytes()].concat();
        out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
        for (index, data) in records {
            let mut record = index.to_be_bytes().to_vec();
            record.extend_from_slice(data);
            record.resize(usize::from(record_bytes), 0);
            out.extend(record);
        }
        out
    }

    #[test]
    fn names_versions_and_state_are_taken_from_their_lists() {
        let mut identity = Identity::default();
        let mut firmware = [b' '; 26];
        firmware[23..].copy_from_slice(&[2, 9, 4]);
        let module = list(MODULE, 28, &[(1, b"6ES7 214-1AG40-0XB0 "), (7, &firmware)]);
        take_module(&module, &mut identity);
        let component = list(
            COMPONENT,
            34,
            &[(1, b"PLC_1"), (5, b"S C-X4U421302009"), (7, b"CPU 1214C DC/DC/DC")],
        );
        take_component(&component, &mut identity);
        take_state(&list(STATE, 20, &[(0x0000, &[0xFF, 8])])[..], &mut identity);
        assert_eq!(&*identity.product, "CPU 1214C DC/DC/DC");
        assert_eq!(&*identity.version, "2.9.4");
        assert_eq!(identity.state, Some(RUN));
        let names: Vec<&str> = identity.details.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            ["order_code", "firmware", "as_name", "serial_number", "module_type_name"]
        );
    }

    #[test]
    fn lists_that_lie_give_nothing() {
        let mut identity = Identity::default();
        for bytes in [&[][..], &[0; 5], &[0, 0x11, 0, 0, 0xFF, 0xFF, 0, 9, 0, 1], &[0; 9]] {
            take_module(bytes, &mut identity);
            take_component(bytes, &mut identity);
        }
        assert!(identity.details.is_empty());
    }
}
