//! Bounded samples, one after the other: for agents that do not stream, and where something
//! between here and them holds streams back.

use super::errors;
use super::heard::Position;
use super::http::{Document, Paying};
use super::stream::Followed;
use super::streams::Survey;
use super::xml::Fault;
use crate::driver::{Batch, DriverError};

/// Answers taken in one scan; what is left comes with the next.
const PAGES_MAX: u32 = 20;

/// An agent that is asked for what has changed.
pub(super) struct Scan {
    followed: Followed,
    /// What follows here was asked for and not given.
    stuck: Option<u64>,
    /// What follows here was missing in an answer that had later observations.
    hole: Option<u64>,
}

/// What an answer says of the ones to come.
#[derive(Debug, PartialEq, Eq)]
enum Page {
    /// There may be more.
    Full,
    Last,
    /// The agent does not hold what follows, or does not give it.
    Behind,
}

impl Scan {
    pub(super) fn new(followed: Followed) -> Self {
        Self { followed, stuck: None, hole: None }
    }

    /// Asks for everything that has come since, and moves it into the batch.
    pub(super) async fn follow(
        &mut self,
        out: &mut Batch,
        paying: Paying<'_>,
    ) -> Result<(), DriverError> {
        let asked = self.ask(paying).await;
        // The rest comes with the next scan, and what came before a failure did come.
        let _later = self.followed.heard.lock().drain(out);
        asked
    }

    /// Asks for what has come since, page by page.
    pub(super) async fn ask(&mut self, paying: Paying<'_>) -> Result<(), DriverError> {
        for _ in 0..PAGES_MAX {
            if self.followed.heard.lock().is_full() {
                break;
            }
            match self.page(paying).await? {
                Page::Full => {}
                Page::Last => break,
                Page::Behind => {
                    let next = self.followed.heard.lock().position.map(|position| position.next);
                    let is_stuck = std::mem::replace(&mut self.stuck, next) == next;
                    self.followed.retake(is_stuck, paying).await?;
                }
            }
        }
        Ok(())
    }

    async fn page(&mut self, paying: Paying<'_>) -> Result<Page, DriverError> {
        let (count, position) = {
            let heard = self.followed.heard.lock();
            (heard.count(), heard.position)
        };
        let Some(position) = position else { return Err(errors::closed()) };
        // The one before, too: an agent may refuse to be asked for what is yet to come.
        let from = position.next.saturating_sub(u64::from(count > 1)).max(1);
        let request = format!("sample?from={from}&count={count}");
        let document = match self.followed.agent.fetch(&request, paying).await {
            Ok(document) => document,
            Err(refusal) if refusal.code.is_some() => return Ok(Page::Behind),
            Err(refusal) => return Err(refusal.error),
        };
        match self.take(&document, position, count) {
            Err(Fault::Gap | Fault::Agent(_)) => Ok(Page::Behind),
            Err(Fault::Restarted) => Err(self.followed.restarted()),
            Err(fault) => Err(errors::document(&document.url, fault)),
            Ok(page) => Ok(page),
        }
    }

    /// Takes an answer as far as it follows on what came before.
    fn take(&mut self, document: &Document, at: Position, count: u64) -> Result<Page, Fault> {
        let survey = Survey::read(&document.text)?;
        at.is_same_life(survey.header.instance)?;
        if survey.header.first.is_some_and(|first| first > at.next) {
            return Err(Fault::Gap);
        }
        let Followed { routes, is_all, heard, .. } = &self.followed;
        let new = survey.since(at.next);
        let until = match (survey.header.next, new) {
            (Some(next), _) => {
                if *is_all && new.first().is_some_and(|first| *first > at.next) {
                    return Err(Fault::Gap);
                }
                next.max(at.next)
            }
            (None, []) => at.next,
            (None, [.., newest]) if !is_all => newest.saturating_add(1),
            (None, [first, ..]) if *first > at.next => {
                // An agent may write while it answers: what is missing may stand in the next.
                if self.hole.replace(at.next) != Some(at.next) {
                    return Ok(Page::Last);
                }
                heard.lock().pass_over(*first);
                unbroken(new)
            }
            (None, new) => unbroken(new),
        };
        heard.lock().go_on_to(until, &document.text, routes)?;
        let is_full = u64::try_from(survey.observations).unwrap_or(u64::MAX) >= count;
        Ok(if is_full && until > at.next { Page::Full } else { Page::Last })
    }
}

/// Gives the number after the first run of numbers that follow on each other.
fn unbroken(numbers: &[u64]) -> u64 {
    let mut next = numbers.first().copied().unwrap_or_default();
    for number in numbers {
        if *number > next {
            break;
        }
        next = number.saturating_add(1);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_numbers_ends_where_one_is_missing() {
        assert_eq!(unbroken(&[7]), 8);
        assert_eq!(unbroken(&[7, 8, 8, 9, 11]), 10);
        assert_eq!(unbroken(&[u64::MAX]), u64::MAX);
    }
}
