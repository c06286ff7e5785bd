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
use crate::model::{Tag, TagId, sanitize};

/// Finds a tag by its name.
pub(super) fn resolve(deps: &Deps, name: &str) -> Result<(TagId, Arc<Tag>), ToolError> {
    let found = deps.cache.resolve(name).and_then(|id| Some((id, deps.cache.tag(id)?)));
    found.ok_or_else(|| {
        let names = deps.cache.tags().into_iter().map(|(_, tag)| tag.name.to_string());
        ToolError::new(
            Code::UnknownTag,
            format!("no tag {:?} is configured", sanitize(name, 200)),
            "search with tag_find",
        )
        .did_you_mean(nearest(name, names))
    })
}

/// Tells whether a name matches a pattern: `*` within a segment, `**` across segments.
fn matches(pattern: &str, name: &str) -> bool {
    fn step(p: &[u8], n: &[u8]) -> bool {
        match (p.split_first(), n.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if rest.first() == Some(&b'*') => {
                let after = rest.get(1..).unwrap_or_default();
                (0..=n.len()).any(|at| n.get(at..).is_some_and(|n| step(after, n)))
            }
            (Some((b'*', rest)), _) => {
                let end = n.iter().position(|c| *c == b'/').unwrap_or(n.len());
                (0..=end).any(|at| n.get(at..).is_some_and(|n| step(rest, n)))
            }
            (Some((a, p)), Some((b, n))) => a == b && step(p, n),
            _ => false,
        }
    }
    step(pattern.as_bytes(), name.as_bytes())
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
    let all = deps.cache.tags().into_iter();
    Ok(all.filter(|(_, tag)| matches(pattern, &tag.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_in_its_segment_and_two_cross() {
        assert!(matches("line1/*", "line1/temp"));
        assert!(!matches("line1/*", "line1/oven/temp"));
        assert!(matches("line1/**", "line1/oven/temp"));
        assert!(matches("**/temp", "line1/oven/temp"));
        assert!(matches("**", "a"));
        assert!(matches("a*c/d", "abbc/d"));
        assert!(!matches("a*c", "ab/c"));
        assert!(!matches("temp", "temperature"));
    }
}
