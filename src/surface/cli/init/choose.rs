//! Choosing tags from a list that may be long.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Setting;
use crate::model::Tag;
use crate::surface::cli::exit::Failure;
use crate::surface::text::{bounded, escaped};
use crate::tools::setup::FoundTag;

/// As much as a screen shows.
const SHOWN_MAX: usize = 30;
/// Tags in a configuration written this way; more belong into a table of their own.
const CHOSEN_MAX: usize = 500;
/// The width of a value in the list.
const VALUE_CHARS_MAX: usize = 40;

/// What an answer picks from a list.
#[derive(Debug, PartialEq, Eq)]
enum Pick {
    Done,
    These(Vec<usize>),
    Narrow(String),
}

impl Setting {
    /// Lets tags be chosen; the live values stand beside them.
    pub(super) fn choose(
        &mut self,
        endpoint: &str,
        found: &[FoundTag],
    ) -> Result<Vec<Arc<Tag>>, Failure> {
        let mut chosen: BTreeMap<usize, &FoundTag> = BTreeMap::new();
        let mut shown: Vec<usize> = (0..found.len()).collect();
        if found.is_empty() {
            self.talk.say("Nothing to choose from; add tags to the file by their address.")?;
            return Ok(Vec::new());
        }
        self.list(found, &shown)?;
        loop {
            let question = "Tags: numbers (1,3,5-9), all, part of a name to look for, \
                            or nothing to go on";
            let answer = self.talk.ask(question, "")?;
            match pick(&answer, shown.len()) {
                Pick::Done => break,
                Pick::These(numbers) => {
                    for at in numbers.into_iter().filter_map(|number| shown.get(number)) {
                        chosen.extend(found.get(*at).map(|tag| (*at, tag)));
                    }
                    while chosen.len() > CHOSEN_MAX {
                        chosen.pop_last();
                    }
                    if chosen.len() == CHOSEN_MAX {
                        self.talk.say(&format!(
                            "{CHOSEN_MAX} are the most here; otctl discover {} --csv tags.csv \
                             takes all",
                            escaped(endpoint)
                        ))?;
                    }
                    self.talk.say(&format!("{} chosen", chosen.len()))?;
                }
                Pick::Narrow(part) => {
                    shown = narrowed(found, &part);
                    self.list(found, &shown)?;
                }
            }
        }
        let tag = |tag: &&FoundTag| Arc::new(Tag::new(&tag.name, endpoint, &tag.reference));
        Ok(chosen.values().map(tag).collect())
    }

    fn list(&mut self, found: &[FoundTag], shown: &[usize]) -> Result<(), Failure> {
        for (number, tag) in
            shown.iter().filter_map(|at| found.get(*at)).take(SHOWN_MAX).enumerate()
        {
            let value = bounded(&escaped(&tag.value.to_string()), VALUE_CHARS_MAX);
            let (name, reference) = (escaped(&tag.name), escaped(&tag.reference));
            self.talk.say(&format!("  {:>4}  {name}  {reference}  = {value}", number + 1))?;
        }
        match shown.len() {
            0 => self.talk.say("  none of that name"),
            n if n > SHOWN_MAX => self.talk.say(&format!("  ... and {} more", n - SHOWN_MAX)),
            _ => Ok(()),
        }
    }
}

fn narrowed(found: &[FoundTag], part: &str) -> Vec<usize> {
    let part = part.to_lowercase();
    let has = |tag: &FoundTag| {
        tag.name.to_lowercase().contains(&part) || tag.reference.to_lowercase().contains(&part)
    };
    found.iter().enumerate().filter(|(_, tag)| has(tag)).map(|(at, _)| at).collect()
}

/// Reads an answer; numbers count from 1 in the list and from 0 here.
fn pick(answer: &str, count: usize) -> Pick {
    if answer.is_empty() {
        return Pick::Done;
    }
    if answer == "all" {
        return Pick::These((0..count).collect());
    }
    let number = |text: &str| {
        text.trim().parse::<usize>().ok().filter(|n| (1..=count).contains(n)).map(|n| n - 1)
    };
    let mut out = Vec::new();
    for part in answer.split([',', ' ']).filter(|part| !part.is_empty()) {
        let range = match part.split_once('-') {
            Some((from, to)) => number(from).zip(number(to)),
            None => number(part).map(|n| (n, n)),
        };
        match range {
            Some((from, to)) => out.extend(from..=to),
            None => return Pick::Narrow(answer.to_owned()),
        }
    }
    Pick::These(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_picks_numbers_or_narrows_the_list() {
        assert_eq!(pick("", 9), Pick::Done);
        assert_eq!(pick("all", 3), Pick::These(vec![0, 1, 2]));
        assert_eq!(pick("1, 3-5", 9), Pick::These(vec![0, 2, 3, 4]));
        for name in ["Temp", "10", "0", "1-99", "a-b"] {
            assert_eq!(pick(name, 9), Pick::Narrow(name.to_owned()));
        }
        let found = |name: &str| FoundTag {
            name: name.into(),
            reference: format!("ns=2;s={name}"),
            value: 1.into(),
        };
        assert_eq!(narrowed(&[found("Oven/Temp"), found("Press")], "oven"), [0]);
    }
}
