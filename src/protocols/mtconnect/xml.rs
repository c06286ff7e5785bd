//! Walks an XML document without trusting it: no DTD, no entities, nothing unbounded.

use std::borrow::Cow;
use std::io::BufRead as _;

use memchr::{memchr, memchr2};
use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use super::element::{Element, is_plain, local};

/// Components nest about ten deep in real models, each in a list of its own.
const DEPTH_MAX: usize = 64;
/// The richest element of the schemas has about twenty.
pub(super) const ATTRIBUTES_MAX: usize = 64;

/// Why a document can't be read, in our own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// A document type declaration, wherever it stands.
    #[error(
        "declares a DTD, which no MTConnect document does: refused, for it can define entities"
    )]
    Dtd,
    /// A reference to something other than XML's own five characters.
    #[error("refers to an entity that XML itself does not define: refused")]
    Entity,
    /// Elements within elements without end.
    #[error("nests deeper than {DEPTH_MAX} elements: refused")]
    Depth,
    /// An element with more attributes than any schema has.
    #[error("has an element with more than {ATTRIBUTES_MAX} attributes: refused")]
    Attributes,
    /// Not well-formed.
    #[error("is no well-formed XML")]
    Malformed,
    /// Its root never ends.
    #[error("ends before its root element does")]
    CutOff,
    /// Bytes that are no text.
    #[error("is not written in UTF-8")]
    Encoding,
    /// Some other document.
    #[error("is no MTConnect document of the kind asked for")]
    Stranger,
    /// The agent's own error document.
    #[error("is the agent's error {0}")]
    Agent(AgentError),
    /// It is of another life of the agent than the one that is followed.
    #[error("comes from an agent that has begun anew")]
    Restarted,
    /// Observations before it are missing.
    #[error("does not follow on what came before")]
    Gap,
}

/// The error codes of the standard (MTConnect Part 1, 8.2.2), and any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AgentError(pub(super) &'static str);

impl AgentError {
    /// The buffer no longer holds what was asked for, or doesn't hold it yet.
    pub(super) const OUT_OF_RANGE: Self = Self("OUT_OF_RANGE");

    const CODES: [&'static str; 12] = [
        "ASSET_NOT_FOUND",
        "INTERNAL_ERROR",
        "INVALID_PARAMETER_VALUE",
        "INVALID_REQUEST",
        "INVALID_URI",
        "INVALID_XPATH",
        "NO_DEVICE",
        "OUT_OF_RANGE",
        "QUERY_ERROR",
        "TOO_MANY",
        "UNAUTHORIZED",
        "UNSUPPORTED",
    ];

    /// Finds a code; text of the agent never stands in a message.
    pub(super) fn of(code: &str) -> Self {
        Self(Self::CODES.into_iter().find(|known| *known == code).unwrap_or("of no known code"))
    }
}

impl std::fmt::Display for AgentError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

/// One step of a walk.
#[derive(Debug)]
pub(super) enum Step<'d> {
    /// An element begins.
    Open(Element<'d>),
    /// The innermost element ends.
    Close,
    /// Characters of the innermost element; there may be several in a row.
    Text(Cow<'d, str>),
    /// The document ends, well-formed.
    End,
}

/// A walk through one document.
pub(super) struct Walker<'d> {
    document: &'d str,
    reader: Reader<&'d [u8]>,
    depth: usize,
    has_root: bool,
    /// The last step was the beginning or the end of an element.
    is_between: bool,
}

impl<'d> Walker<'d> {
    pub(super) fn new(document: &'d str) -> Self {
        let document = document.trim_start_matches('\u{feff}');
        let mut reader = Reader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        Self { document, reader, depth: 0, has_root: false, is_between: false }
    }

    /// Gives how many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Takes an element that comes next and holds characters alone, whole, where it is written
    /// as nearly every writer writes it; `None` leaves it to [`Self::step`]. In a document of
    /// observations nearly all are such, and one look takes half the time of three events.
    pub(super) fn leaf(&mut self) -> Option<(Element<'d>, &'d str)> {
        if !self.is_between || self.depth == 0 || self.depth >= DEPTH_MAX {
            return None;
        }
        let left = self.reader.get_ref().len();
        let rest = self.document.get(self.document.len().checked_sub(left)?..)?;
        let inside = rest.trim_ascii_start().strip_prefix('<')?;
        let (start, after) = inside.split_at_checked(memchr(b'>', inside.as_bytes())?)?;
        // The bracket may stand in a value: then the quote before it, if there is one, begins it.
        let is_whole =
            matches!(start.as_bytes(), [.., before, b'"'] if !b"= \t\r\n".contains(before));
        let is_name = |byte: u8| byte.is_ascii_alphabetic() || byte == b':';
        let end = start.bytes().position(|byte| !is_name(byte)).filter(|at| *at > 0)?;
        let (name, attributes) = start.split_at_checked(end)?;
        let after = after.get(1..)?;
        let (text, end) = after.split_at_checked(memchr2(b'<', b'&', after.as_bytes())?)?;
        let end = end.strip_prefix("</")?.strip_prefix(name)?.strip_prefix('>')?;
        if !is_whole || !attributes.starts_with(' ') || !is_plain(attributes) {
            return None;
        }
        self.reader.stream().consume(rest.len() - end.len());
        Some((Element { name: local(name)?, attributes, is_plain: true }, text))
    }

    /// Takes the next step.
    pub(super) fn step(&mut self) -> Result<Step<'d>, Fault> {
        self.is_between = false;
        loop {
            match self.reader.read_event().map_err(|_| Fault::Malformed)? {
                Event::Start(start) => return self.open(&start),
                Event::Empty(_) => return Err(Fault::Malformed),
                Event::End(_) => {
                    self.depth = self.depth.checked_sub(1).ok_or(Fault::Malformed)?;
                    self.is_between = true;
                    return Ok(Step::Close);
                }
                Event::Text(text) => {
                    let text = text.into_inner();
                    if self.depth == 0 && !text.trim().is_empty() {
                        return Err(Fault::Malformed);
                    }
                    return Ok(Step::Text(text));
                }
                Event::CData(text) => return Ok(Step::Text(text.into_inner())),
                Event::GeneralRef(reference) => {
                    return character(&reference.into_inner()).map(Step::Text);
                }
                Event::DocType(_) => return Err(Fault::Dtd),
                Event::Eof if self.depth > 0 => return Err(Fault::CutOff),
                Event::Eof if !self.has_root => return Err(Fault::Malformed),
                Event::Eof => return Ok(Step::End),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    fn open(&mut self, start: &BytesStart<'_>) -> Result<Step<'d>, Fault> {
        if self.depth == 0 && self.has_root {
            return Err(Fault::Malformed);
        }
        self.has_root = true;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::Depth);
        }
        let name_len = start.name().as_ref().len();
        // The event borrows from itself; the same characters of the document live on.
        let (content, document) = (start.as_ptr() as usize, self.document.as_ptr() as usize);
        let at = content.checked_sub(document).ok_or(Fault::Malformed)?;
        let content = self.document.get(at..at + start.len()).ok_or(Fault::Malformed)?;
        let (name, attributes) = content.split_at_checked(name_len).ok_or(Fault::Malformed)?;
        // An empty element has its end still to come.
        self.is_between = self.document.as_bytes().get(at + start.len()) == Some(&b'>');
        let name = local(name).ok_or(Fault::Malformed)?;
        Ok(Step::Open(Element { name, attributes, is_plain: is_plain(attributes) }))
    }

    /// Passes over the rest of the element that was opened last.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.step()?;
        }
        Ok(())
    }

    /// Walks to the end, so that a document is well-formed to its last byte.
    pub(super) fn finish(mut self) -> Result<(), Fault> {
        while !matches!(self.step()?, Step::End) {}
        Ok(())
    }

    /// Opens the root; an error document is the agent's own error.
    pub(super) fn root(&mut self, wanted: &str) -> Result<(), Fault> {
        loop {
            match self.step()? {
                Step::Open(element) if element.local_name() == wanted => return Ok(()),
                Step::Open(element) if element.local_name() == "MTConnectError" => {
                    return Err(self.agent_error()?);
                }
                Step::Open(_) => {
                    // What is wrong further on says more than that it is some other document.
                    while !matches!(self.step()?, Step::End) {}
                    return Err(Fault::Stranger);
                }
                Step::Text(_) => {}
                Step::Close | Step::End => return Err(Fault::Malformed),
            }
        }
    }

    fn agent_error(&mut self) -> Result<Fault, Fault> {
        let mut found = None;
        loop {
            match self.step()? {
                // 1.1 has Error elements, 2.x one element per code.
                Step::Open(element) => {
                    if let Some(code) = element.attribute("errorCode")? {
                        found = found.or(Some(AgentError::of(code.trim())));
                    }
                }
                Step::End => break,
                Step::Close | Step::Text(_) => {}
            }
        }
        Ok(Fault::Agent(found.unwrap_or(AgentError::of(""))))
    }
}

/// Resolves one of XML's own references (XML 1.0, 4.6).
fn character(name: &str) -> Result<Cow<'static, str>, Fault> {
    Ok(match name {
        "amp" => "&".into(),
        "lt" => "<".into(),
        "gt" => ">".into(),
        "quot" => "\"".into(),
        "apos" => "'".into(),
        _ => unescape(&format!("&{name};")).map_err(|_| Fault::Entity)?.into_owned().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(document: &str) -> Result<String, Fault> {
        let (mut walker, mut said) = (Walker::new(document), String::new());
        loop {
            match walker.step()? {
                Step::Open(element) => {
                    said.push_str(element.local_name());
                    element.attributes(|name, value| said.push_str(&format!(" {name}={value}")))?;
                    said.push('(');
                }
                Step::Close => said.push(')'),
                Step::Text(text) => said.push_str(&text),
                Step::End => return Ok(said),
            }
        }
    }

    #[test]
    fn prefixes_references_and_quotes_are_read() {
        let said = walk("<m:a x:b='1' c=\"a&amp;b&#x41;\" >t&lt;<![CDATA[<]]><d/></m:a>").unwrap();
        assert_eq!(said, "a b=1 c=a&bA(t<<d())");
    }

    #[test]
    fn what_could_harm_is_refused_by_name() {
        let padded = format!("<a><!--{}--></a><!DOCTYPE x [<!ENTITY e 'x'>]>", "x".repeat(9000));
        let inside = format!("<!--{}--><!DOCTYPE x [<!ENTITY e 'x'>]><a>&e;</a>", "x".repeat(9000));
        let attributes: String = (0..65).map(|n| format!(" a{n}='1'")).collect();
        for (document, fault) in [
            ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>".to_owned(), Fault::Dtd),
            (padded, Fault::Dtd),
            (inside, Fault::Dtd),
            ("<a>&xxe;</a>".to_owned(), Fault::Entity),
            ("<a b='&xxe;'/>".to_owned(), Fault::Entity),
            ("<a>".repeat(200_000), Fault::Depth),
            (format!("<a{attributes}/>"), Fault::Attributes),
            ("<a><b></a>".to_owned(), Fault::Malformed),
            ("<a/><b/>".to_owned(), Fault::Malformed),
            ("<a/>text".to_owned(), Fault::Malformed),
            ("<a b=1/>".to_owned(), Fault::Malformed),
            (String::new(), Fault::Malformed),
            ("<a><b/>".to_owned(), Fault::CutOff),
        ] {
            assert_eq!(walk(&document), Err(fault), "{}", document.get(..60).unwrap_or(&document));
        }
    }

    #[test]
    fn an_error_document_is_the_agents_own_error() {
        for (document, code) in [
            (
                "<MTConnectError><Errors><Error errorCode='NO_DEVICE'>x</Error></Errors>",
                "NO_DEVICE",
            ),
            ("<m:MTConnectError><m:Error errorCode='OUT_OF_RANGE'/>", "OUT_OF_RANGE"),
            ("<MTConnectError><Errors><Error errorCode='ring me'/></Errors>", "of no known code"),
        ] {
            let end = if document.starts_with("<m:") { "</m:" } else { "</" };
            let document = format!("{document}{end}MTConnectError>");
            let fault = Walker::new(&document).root("MTConnectStreams").unwrap_err();
            assert_eq!(fault, Fault::Agent(AgentError(code)));
        }
        assert_eq!(Walker::new("<html/>").root("MTConnectStreams"), Err(Fault::Stranger));
    }
}
