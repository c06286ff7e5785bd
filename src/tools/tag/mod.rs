//! The tag tools: configured points by their names, from the cache and the store.

mod find;
mod history;
mod read;
mod span;
mod stats;
mod watch;
mod why;

pub(super) use find::Find;
pub(super) use history::{History, Point, points};
pub(super) use read::Read;
pub(super) use span::{Span, recorded, span_ms};
pub(super) use stats::Stats;
pub(super) use watch::Watch;
pub(super) use why::Why;

use std::sync::Arc;

use super::endpoint::nearest;
use super::{Code, ToolError};
use crate::actors::Deps;
use crate::model::{Tag, TagId, sanitize, tag_matches};

/// Finds a tag by its name.
pub(super) fn resolve(deps: &Deps, name: &str) -> Result<(TagId, Arc<Tag>), ToolError> {
    let found = deps.resolve(name).and_then(|id| Some((id, deps.cache.tag(id)?)));
    found.ok_or_else(|| {
        let names = deps.tags().into_iter().map(|(_, tag)| tag.name.to_string());
        ToolError::new(
            Code::UnknownTag,
            format!("no tag {:?} is configured", sanitize(name, 200)),
            "search with tag_find",
        )
        .did_you_mean(nearest(name, names))
    })
}

/// Stars in a pattern; each one multiplies the work of matching.
const STARS_MAX: usize = 6;

/// Finds the tags a pattern names; a plain name is a pattern of one.
pub(super) fn select(deps: &Deps, pattern: &str) -> Result<Vec<(TagId, Arc<Tag>)>, ToolError> {
    if pattern.matches('*').count() > STARS_MAX || pattern.len() > 512 {
        let text = format!("the pattern has more than {STARS_MAX} stars or 512 bytes");
        return Err(ToolError::argument(text));
    }
    if !pattern.contains('*') {
        return resolve(deps, pattern).map(|found| vec![found]);
    }
    let all = deps.tags().into_iter();
    Ok(all.filter(|(_, tag)| tag_matches(pattern, &tag.name)).collect())
}
