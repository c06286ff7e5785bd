//! Assets that were learnt, judged by what their tags show together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::assets::ByName;
use super::book::{About, Book, Seen};
use super::links::LinkNow;
use super::tags::{WINDOW, short};
use super::watch::Watch;
use crate::cache::TagCache;
use crate::diagnose::asset::{AssetJudge, AssetNow, LearntAsset, Member};
use crate::diagnose::{Severity, Verdict};
use crate::model::{EndpointName, Tag, TagId, TagName, Timestamp, Window};

/// How a learnt asset stands.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetState {
    /// At its newest row; `None` before the first.
    pub now: Option<AssetNow>,
    /// Why it is not judged.
    pub why_not: Option<String>,
}

/// How each learnt asset stands, by name.
pub(super) type States = BTreeMap<Arc<str>, AssetState>;

impl Watch {
    /// Judges every learnt asset by what has come since the last look.
    pub(super) fn assets(&mut self, links: &HashMap<EndpointName, LinkNow>, now: Timestamp) {
        let assets = self.args.face.assets.all();
        self.follow(&assets);
        let mut states = States::new();
        for (name, learnt) in &assets {
            let members = self.members(learnt, links);
            let Some(judge) = self.judges.get_mut(name) else { continue };
            let why_not = match members {
                Err(why_not) => {
                    judge.interrupt();
                    Some(why_not)
                }
                Ok(members) => match look(&self.args.cache, judge, &members) {
                    None => self.states.remove(name).and_then(|state| state.why_not),
                    Some(Err(lacking)) => Some(format!("{lacking} has no value of now")),
                    Some(Ok(_)) => {
                        if let Some(stands) = judge.now() {
                            let seen = seen(name, learnt, &members, stands);
                            tell(&mut self.args.face.book.lock(), name, stands, seen, now);
                        }
                        None
                    }
                },
            };
            states.insert(name.clone(), AssetState { now: judge.now(), why_not });
        }
        self.states = states;
    }

    /// Keeps a judge for each asset as it was last learnt.
    fn follow(&mut self, assets: &ByName) {
        let is_same = |name: &Arc<str>, judge: &AssetJudge| {
            assets.get(name).is_some_and(|learnt| Arc::ptr_eq(learnt, judge.learnt()))
        };
        self.judges.retain(|name, judge| is_same(name, judge));
        for (name, learnt) in assets {
            let begin = || AssetJudge::begin(Arc::clone(learnt));
            self.judges.entry(name.clone()).or_insert_with(begin);
        }
    }

    /// Finds the tags of an asset, or says why it can't be judged now.
    fn members(
        &self,
        learnt: &LearntAsset,
        links: &HashMap<EndpointName, LinkNow>,
    ) -> Result<Vec<(TagId, Arc<Tag>)>, String> {
        let member = |member: &Member| {
            let name = &member.name;
            let found = self.args.cache.resolve(name);
            let found = found.and_then(|id| Some((id, self.args.cache.tag(id)?)));
            let (id, tag) = found.ok_or_else(|| format!("{name} is no longer a tag"))?;
            if !member.is_still(&tag) {
                return Err(format!("{name} is made otherwise than when it was learnt"));
            }
            let link = links.get(&tag.endpoint);
            match link.filter(|link| !link.is_down && !link.is_dead(tag.unit)) {
                Some(link) if link.is_settled => Ok((id, tag)),
                Some(_) => Err(format!("{} has only just been connected", tag.endpoint)),
                None => Err(format!("nothing comes from {}, of {name}", tag.endpoint)),
            }
        };
        learnt.tags.iter().map(member).collect()
    }
}

/// Judges what has come; `None` where nothing has. Where a tag has no value to judge, its name.
fn look(
    cache: &TagCache,
    judge: &mut AssetJudge,
    members: &[(TagId, Arc<Tag>)],
) -> Option<Result<usize, TagName>> {
    let (leads, _) = members.get(judge.learnt().leads)?;
    let newest = cache.latest(*leads)?;
    if !judge.is_due(newest.sample.received_ts) {
        return None;
    }
    let windows: Vec<Window> =
        members.iter().map(|(id, _)| cache.window_last(*id, WINDOW)).collect();
    let lacking = |at: usize| members.get(at).map(|(_, tag)| tag.name.clone());
    match judge.look(&windows) {
        Ok(rows) => Some(Ok(rows)),
        Err(at) => lacking(at).map(Err),
    }
}

fn tell(book: &mut Book, name: &Arc<str>, stands: AssetNow, seen: Seen, now: Timestamp) {
    let about = About::Asset(name.clone());
    match stands.alarmed_since {
        Some(_) => book.found(Verdict::AssetDeviation, about, seen, now),
        None => book.absent(Verdict::AssetDeviation, &about, now),
    }
}

fn seen(name: &str, learnt: &LearntAsset, members: &[(TagId, Arc<Tag>)], now: AssetNow) -> Seen {
    let leading = members.get(now.leading).map(|(_, tag)| tag);
    let leading_name = leading.map_or("", |tag| &*tag.name);
    let (since, until) = learnt.stretch();
    let summary = format!(
        "{name} is {} times its limit from what it was like from {} to {}; {leading_name} explains \
         most of it",
        short(now.limits),
        since.to_rfc3339_millis(),
        until.to_rfc3339_millis(),
    );
    let next = format!("otctl plot {leading_name} --since 1h");
    Seen {
        tag: leading.map(|tag| tag.name.clone()),
        endpoint: leading.map(|tag| tag.endpoint.clone()),
        ..Seen::new(Severity::Medium, now.alarmed_since.unwrap_or(now.at), summary, next)
    }
}
