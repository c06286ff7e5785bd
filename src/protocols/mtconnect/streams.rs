//! Reads the answers to current and sample: a header, and observations in their order.

use std::borrow::Cow;

use super::element::Element;
use super::xml::{Fault, Step, Walker};
use crate::driver::{Category, Level};

/// What a header says of the agent and its buffer (MTConnect Part 1, 6.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Changes whenever the agent begins a new buffer.
    pub(super) instance: Option<u64>,
    pub(super) version: String,
    pub(super) sender: String,
    pub(super) created: String,
    pub(super) buffer_size: Option<u64>,
    /// The oldest observation in the buffer.
    pub(super) first: Option<u64>,
    /// The observation that follows the last one of this document.
    pub(super) next: Option<u64>,
}

impl Header {
    pub(super) fn read(element: &Element<'_>) -> Result<Self, Fault> {
        let mut header = Self::default();
        element.attributes(|name, value| match name {
            "instanceId" => header.instance = value.trim().parse().ok(),
            "version" => header.version = value.chars().take(40).collect(),
            "sender" => header.sender = value.chars().take(200).collect(),
            "creationTime" => header.created = value.chars().take(40).collect(),
            "bufferSize" => header.buffer_size = value.trim().parse().ok(),
            "firstSequence" => header.first = value.trim().parse().ok(),
            "nextSequence" => header.next = value.trim().parse().ok(),
            _ => {}
        })?;
        Ok(header)
    }
}

/// One keyed value of a set; of a table, a row of cells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry<'d> {
    pub(super) key: Cow<'d, str>,
    pub(super) text: Cow<'d, str>,
    pub(super) cells: Vec<(Cow<'d, str>, Cow<'d, str>)>,
    pub(super) is_removed: bool,
}

/// One observation as it stands in the document.
#[derive(Debug, Clone)]
pub(super) struct Seen<'d> {
    /// The name of its element.
    pub(super) element: &'d str,
    pub(super) category: Category,
    pub(super) id: Cow<'d, str>,
    pub(super) name: Cow<'d, str>,
    pub(super) sub_type: Cow<'d, str>,
    pub(super) timestamp: Cow<'d, str>,
    pub(super) sequence: Option<u64>,
    /// What conditions say.
    rare: Option<Box<Rare<'d>>>,
    /// The set begins anew: what it does not name is gone.
    pub(super) is_reset: bool,
    pub(super) text: Cow<'d, str>,
    /// Empty where it is no set.
    pub(super) entries: Vec<Entry<'d>>,
}

/// What only conditions say; there are a hundred other observations to one of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Rare<'d> {
    /// The data item's type.
    pub(super) kind: Cow<'d, str>,
    pub(super) native_code: Cow<'d, str>,
    pub(super) native_severity: Cow<'d, str>,
    pub(super) qualifier: Cow<'d, str>,
    pub(super) condition_id: Cow<'d, str>,
}

/// Where an observation stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Place<'d> {
    pub(super) device: Cow<'d, str>,
    pub(super) component: Cow<'d, str>,
}

impl<'d> Seen<'d> {
    /// Gives what a condition says.
    pub(super) fn rare(&self) -> Rare<'d> {
        self.rare.as_deref().cloned().unwrap_or_default()
    }

    /// Tells whether the agent says that it has no value.
    pub(super) fn is_unavailable(&self) -> bool {
        self.text == "UNAVAILABLE" || self.level() == Some(Level::Unavailable)
    }

    /// Tells whether it is a set of keyed values, or a table.
    pub(super) fn is_set(&self) -> bool {
        !self.entries.is_empty()
            || self.element.ends_with("DataSet")
            || self.element.ends_with("Table")
    }

    /// Gives the level that the element's name says, where it is a condition.
    pub(super) fn level(&self) -> Option<Level> {
        if self.category != Category::Condition {
            return None;
        }
        let levels = [Level::Normal, Level::Warning, Level::Fault, Level::Unavailable];
        levels.into_iter().find(|level| level.word().eq_ignore_ascii_case(self.element))
    }
}

/// Reads a document and gives each observation, in its order.
pub(super) fn read<'d>(
    document: &'d str,
    mut each: impl FnMut(&Place<'d>, Seen<'d>),
) -> Result<Header, Fault> {
    let mut walker = Walker::new(document);
    walker.root("MTConnectStreams")?;
    let (mut header, mut place) = (Header::default(), Place::default());
    let mut category = Category::Event;
    while walker.depth() > 0 {
        if let Some((element, text)) = walker.leaf() {
            if let Some(seen) = described(&element, category, text.trim_ascii())? {
                each(&place, seen);
            }
            continue;
        }
        let Step::Open(element) = walker.step()? else { continue };
        match element.local_name() {
            "Header" => header = Header::read(&element)?,
            "DeviceStream" => {
                place.component = Cow::Borrowed("");
                place.device = element.attribute("name")?.unwrap_or_default();
            }
            "ComponentStream" => {
                place.component = element.attribute("component")?.unwrap_or_default();
            }
            "Samples" => category = Category::Sample,
            "Events" => category = Category::Event,
            "Condition" => category = Category::Condition,
            _ => {
                if let Some(mut seen) = described(&element, category, "")? {
                    content(&mut walker, &mut seen)?;
                    each(&place, seen);
                }
            }
        }
    }
    walker.finish()?;
    Ok(header)
}

/// What a document covers of the agent's sequence.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) header: Header,
    /// The sequence numbers of its observations, in rising order.
    pub(super) numbers: Vec<u64>,
    pub(super) observations: usize,
}

impl Survey {
    /// Reads only header and sequence numbers.
    pub(super) fn read(document: &str) -> Result<Self, Fault> {
        let (mut numbers, mut observations) = (Vec::new(), 0);
        let header = read(document, |_, seen| {
            observations += 1;
            numbers.extend(seen.sequence);
        })?;
        numbers.sort_unstable();
        Ok(Self { header, numbers, observations })
    }

    /// Gives the number that follows the newest observation: the header's, or one more than the
    /// greatest where an agent's header has none.
    pub(super) fn next(&self) -> Option<u64> {
        let after = || self.numbers.last().map(|newest| newest.saturating_add(1));
        self.header.next.or_else(after)
    }

    /// Gives the numbers from one on.
    pub(super) fn since(&self, sequence: u64) -> &[u64] {
        let at = self.numbers.partition_point(|number| *number < sequence);
        self.numbers.get(at..).unwrap_or_default()
    }
}

/// Reads what an observation's element says; `None` for an element that is none.
#[inline]
fn described<'d>(
    element: &Element<'d>,
    category: Category,
    text: &'d str,
) -> Result<Option<Seen<'d>>, Fault> {
    let mut seen = Seen {
        element: element.local_name(),
        category,
        id: Cow::Borrowed(""),
        name: Cow::Borrowed(""),
        sub_type: Cow::Borrowed(""),
        timestamp: Cow::Borrowed(""),
        sequence: None,
        rare: None,
        is_reset: false,
        text: Cow::Borrowed(text),
        entries: Vec::new(),
    };
    element.attributes(|name, value| match name {
        "dataItemId" => seen.id = value,
        "timestamp" => seen.timestamp = value,
        "sequence" => seen.sequence = value.trim_ascii().parse().ok(),
        "name" => seen.name = value,
        "subType" => seen.sub_type = value,
        "type" => seen.rare.get_or_insert_default().kind = value,
        "nativeCode" => seen.rare.get_or_insert_default().native_code = value,
        "nativeSeverity" => seen.rare.get_or_insert_default().native_severity = value,
        "qualifier" => seen.rare.get_or_insert_default().qualifier = value,
        "conditionId" => seen.rare.get_or_insert_default().condition_id = value,
        "resetTriggered" => seen.is_reset = true,
        _ => {}
    })?;
    if seen.id.is_empty() {
        return Ok(None);
    }
    Ok(Some(seen))
}

/// Reads what stands inside an observation, to its end.
fn content<'d>(walker: &mut Walker<'d>, seen: &mut Seen<'d>) -> Result<(), Fault> {
    loop {
        match walker.step()? {
            Step::Text(text) => join(&mut seen.text, text),
            Step::Open(element) if element.local_name() == "Entry" => {
                seen.entries.push(entry(walker, &element)?);
            }
            Step::Open(_) => walker.skip()?,
            Step::Close => break,
            Step::End => return Err(Fault::CutOff),
        }
    }
    trim(&mut seen.text);
    Ok(())
}

fn entry<'d>(walker: &mut Walker<'d>, element: &Element<'d>) -> Result<Entry<'d>, Fault> {
    let key = element.attribute("key")?.unwrap_or_default();
    let is_removed = element.attribute("removed")?.is_some_and(|text| text == "true");
    let mut entry = Entry { key, text: Cow::Borrowed(""), cells: Vec::new(), is_removed };
    loop {
        match walker.step()? {
            Step::Text(text) => join(&mut entry.text, text),
            Step::Open(cell) if cell.local_name() == "Cell" => {
                let (key, mut text) = (cell.attribute("key")?.unwrap_or_default(), Cow::default());
                loop {
                    match walker.step()? {
                        Step::Text(more) => join(&mut text, more),
                        Step::Open(_) => walker.skip()?,
                        Step::Close => break,
                        Step::End => return Err(Fault::CutOff),
                    }
                }
                trim(&mut text);
                entry.cells.push((key, text));
            }
            Step::Open(_) => walker.skip()?,
            Step::Close => break,
            Step::End => return Err(Fault::CutOff),
        }
    }
    trim(&mut entry.text);
    Ok(entry)
}

fn join<'d>(text: &mut Cow<'d, str>, more: Cow<'d, str>) {
    if text.is_empty() { *text = more } else { text.to_mut().push_str(&more) }
}

/// Takes white space away, which in XML is ASCII's (XML 1.0, 2.3).
fn trim(text: &mut Cow<'_, str>) {
    match text {
        Cow::Borrowed(borrowed) => *borrowed = borrowed.trim_ascii(),
        Cow::Owned(owned) => {
            let trimmed = owned.trim_ascii();
            if trimmed.len() != owned.len() {
                *owned = trimmed.to_owned();
            }
        }
    }
}
