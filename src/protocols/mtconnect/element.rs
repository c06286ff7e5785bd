//! An element's beginning: its name and its attributes, read without copying.

use std::borrow::Cow;

use memchr::memchr3;
use quick_xml::escape::unescape;

use super::xml::{ATTRIBUTES_MAX, Fault};

/// The beginning of an element.
#[derive(Debug)]
pub(super) struct Element<'d> {
    /// Its name without a prefix.
    pub(super) name: &'d str,
    /// What stands between its name and the bracket.
    pub(super) attributes: &'d str,
    /// They hold nothing that stands for something else, and one kind of quotes.
    pub(super) is_plain: bool,
}

impl<'d> Element<'d> {
    /// Gives its name without a namespace prefix.
    pub(super) fn local_name(&self) -> &'d str {
        self.name
    }

    /// Gives one attribute's value.
    pub(super) fn attribute(&self, wanted: &str) -> Result<Option<Cow<'d, str>>, Fault> {
        let mut found = None;
        self.attributes(|name, value| {
            if name == wanted {
                found = Some(value);
            }
        })?;
        Ok(found)
    }

    /// Gives each attribute, by its name without a prefix.
    #[inline]
    pub(super) fn attributes(&self, each: impl FnMut(&str, Cow<'d, str>)) -> Result<(), Fault> {
        scan(self.attributes, self.is_plain, each)
    }
}

/// Gives a name without its prefix; `None` where it is no name.
pub(super) fn local(name: &str) -> Option<&str> {
    let mut begin = 0;
    for (at, byte) in (1..).zip(name.bytes()) {
        match byte {
            b':' => begin = at,
            b' ' | b'\t' | b'\r' | b'\n' => return None,
            _ => {}
        }
    }
    name.get(begin..).filter(|_| !name.is_empty())
}

/// Reads attributes (XML 1.0, 3.1): a name, an equals sign, a value in quotes.
#[inline]
fn scan<'a>(
    text: &'a str,
    is_plain: bool,
    mut each: impl FnMut(&'a str, Cow<'a, str>),
) -> Result<(), Fault> {
    let rest = if is_plain { usual(text, &mut each)? } else { text };
    unusual(rest, each)
}

/// Tells whether a text holds nothing that stands for something else, and one kind of quotes.
pub(super) fn is_plain(text: &str) -> bool {
    memchr3(b'&', b'<', b'\'', text.as_bytes()).is_none()
}

/// Reads attributes as nearly every writer writes them, ` name="value"` with a name of letters, of
/// a text that holds neither references nor other quotes; gives what is left from the first that
/// is otherwise.
#[inline]
fn usual<'a>(
    mut rest: &'a str,
    each: &mut impl FnMut(&'a str, Cow<'a, str>),
) -> Result<&'a str, Fault> {
    let mut count = 0;
    while let Some((name, value, after)) = usual_one(rest) {
        count += 1;
        if count > ATTRIBUTES_MAX {
            return Err(Fault::Attributes);
        }
        each(name, Cow::Borrowed(value));
        rest = after;
    }
    Ok(rest)
}

/// Takes one of these. Names and values are too short for a search that is made for long texts.
#[inline]
fn usual_one(text: &str) -> Option<(&str, &str, &str)> {
    let inside = text.strip_prefix(' ')?;
    let end = inside.bytes().position(|byte| !byte.is_ascii_alphabetic()).filter(|at| *at > 0)?;
    let (name, after) = inside.split_at_checked(end)?;
    let quoted = after.strip_prefix("=\"")?;
    let close = quoted.bytes().position(|byte| byte == b'"')?;
    let (value, after) = quoted.split_at_checked(close)?;
    Some((name, value, after.get(1..)?))
}

/// Reads attributes in whatever way they are written.
fn unusual<'a>(
    mut rest: &'a str,
    mut each: impl FnMut(&'a str, Cow<'a, str>),
) -> Result<(), Fault> {
    let mut count = 0;
    loop {
        let trimmed = rest.trim_ascii_start();
        if trimmed.is_empty() {
            return Ok(());
        }
        if trimmed.len() == rest.len() {
            return Err(Fault::Malformed);
        }
        count += 1;
        if count > ATTRIBUTES_MAX {
            return Err(Fault::Attributes);
        }
        // Names are too short for a search that is made for long texts.
        let end = trimmed.bytes().position(|byte| byte == b'=').ok_or(Fault::Malformed)?;
        let (name, after) = trimmed.split_at_checked(end).ok_or(Fault::Malformed)?;
        let name = local(name.trim_ascii_end()).ok_or(Fault::Malformed)?;
        let quoted = after.get(1..).unwrap_or_default().trim_ascii_start();
        let (value, after) = value(quoted)?;
        each(name, value);
        rest = after;
    }
}

/// Takes a value in its quotes; gives what stands behind it too.
fn value(quoted: &str) -> Result<(Cow<'_, str>, &str), Fault> {
    let quote = match quoted.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => *quote,
        _ => return Err(Fault::Malformed),
    };
    let inside = quoted.get(1..).unwrap_or_default();
    let at = memchr3(quote, b'<', b'&', inside.as_bytes()).ok_or(Fault::Malformed)?;
    let is_plain = inside.as_bytes().get(at) == Some(&quote);
    let (value, after) = match is_plain {
        true => inside.split_at_checked(at).and_then(|(v, after)| Some((v, after.get(1..)?))),
        false => inside.split_once(char::from(quote)),
    }
    .ok_or(Fault::Malformed)?;
    if is_plain {
        return Ok((Cow::Borrowed(value), after));
    }
    if value.contains('<') {
        return Err(Fault::Malformed);
    }
    Ok((unescape(value).map_err(|_| Fault::Entity)?, after))
}
