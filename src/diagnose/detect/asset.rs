//! The tags of one asset, looked at again and again as the collector does, without its book.

use std::collections::HashMap;

use super::{Courses, DETECTORS, Neighbours, Signal, Subject};
use crate::diagnose::finding::{Finding, Judgement};
use crate::model::{Tag, TagId, Timestamp, Window};

/// One tag of an asset, as it is now.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The tag.
    pub id: TagId,
    /// Its definition, where there is one.
    pub tag: Option<&'a Tag>,
    /// The newest of its history.
    pub window: Window,
    /// When the link last proved alive for it.
    pub seen: Option<Timestamp>,
}

/// What is found at the tags of an asset, from look to look.
#[derive(Debug, Default)]
pub struct AssetWatch {
    courses: Courses,
    open: HashMap<(TagId, &'static str), Finding>,
    /// Why a detector judged nothing yet; `None` once it did.
    why_not: HashMap<&'static str, Option<&'static str>>,
}

impl AssetWatch {
    /// Runs every detector on every tag, each beside the others. What is found stays open until
    /// a judgement that has evidence finds nothing.
    pub fn look(&mut self, members: &[Member<'_>], now: Timestamp) {
        let signals: Vec<Signal> = members
            .iter()
            .map(|member| {
                let mut signal = Signal::of(&member.window);
                self.courses.follow(member.id, &mut signal);
                signal
            })
            .collect();
        for (at, (Member { id, tag, seen, .. }, signal)) in members.iter().zip(&signals).enumerate()
        {
            let others = signals.iter().enumerate().filter(|(other, _)| *other != at);
            let neighbours: Vec<&Signal> = others.map(|(_, signal)| signal).collect();
            let neighbours = Neighbours::Ready(&neighbours);
            let subject = Subject { signal, tag: *tag, neighbours, seen: *seen, from: None, now };
            for detector in DETECTORS {
                let key = (*id, detector.name);
                let from = self.open.get(&key).and_then(|open| open.evidence.from);
                let judgement = detector.judge(&Subject { from, ..subject });
                let why_not = self.why_not.entry(detector.name).or_insert(Some("never asked"));
                match judgement {
                    Judgement::NotEvaluated(why) => {
                        *why_not = why_not.and(Some(why));
                    }
                    Judgement::Nothing => {
                        *why_not = None;
                        self.open.remove(&key);
                    }
                    Judgement::Found(finding) => {
                        *why_not = None;
                        self.open.insert(key, finding);
                    }
                }
            }
        }
    }

    /// Gives why a detector has judged nothing, where it has not.
    #[must_use]
    pub fn why_not(&self, detector: &str) -> Option<&'static str> {
        self.why_not.get(detector).copied().unwrap_or(Some("nothing was looked at"))
    }

    /// Gives what is open: the tag, the detector, and what it found last.
    pub fn open(&self) -> impl Iterator<Item = (TagId, &'static str, &Finding)> {
        self.open.iter().map(|((id, detector), finding)| (*id, *detector, finding))
    }
}
