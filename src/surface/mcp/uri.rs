//! `ot://tag/NAME`: a tag's name as an address.

use std::fmt::Write;

/// Where the open findings stand.
pub(super) const FINDINGS: &str = "ot://findings";
/// Where the tags' resources stand.
pub(super) const TAG_ROOT: &str = "ot://tag/";
/// The template of their addresses (RFC 6570, level 1).
pub(super) const TAG_TEMPLATE: &str = "ot://tag/{name}";

/// Gives the address of a tag, each segment percent-encoded (RFC 3986, 2.1).
pub(super) fn of_tag(name: &str) -> String {
    let mut uri = TAG_ROOT.to_owned();
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            byte => {
                if write!(uri, "%{byte:02X}").is_err() {
                    uri.push('?');
                }
            }
        }
    }
    uri
}

/// Gives the tag that an address names; a slash may come as itself or as `%2F`, which is what
/// the template makes of it.
pub(super) fn tag_of(uri: &str) -> Option<String> {
    let mut bytes = uri.strip_prefix(TAG_ROOT)?.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        name.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_go_both_ways() {
        for name in ["site/line1/press/temp", "a b/c%d", "\u{6e29}\u{5ea6}/1"] {
            assert_eq!(tag_of(&of_tag(name)).unwrap(), name);
        }
        assert_eq!(of_tag("a b/c"), "ot://tag/a%20b/c");
        assert_eq!(tag_of("ot://tag/a%2Fb").unwrap(), "a/b");
    }

    #[test]
    fn what_names_no_tag_is_none() {
        for uri in ["ot://tag/", "ot://other/a", "ot://tag/%", "ot://tag/%4", "ot://tag/%ff"] {
            assert_eq!(tag_of(uri), None, "{uri}");
        }
    }
}
