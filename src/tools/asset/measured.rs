//! The histories of an asset's measured tags.

use std::sync::Arc;

use crate::actors::Deps;
use crate::diagnose::asset::SIGNALS_MAX;
use crate::diagnose::is_measured;
use crate::model::{Tag, TagId, TagName, Window};
use crate::tools::ToolError;
use crate::tools::tag::{Span, recorded};

/// Histories that can be held against each other.
#[derive(Default)]
pub(in crate::tools) struct Measured {
    pub(in crate::tools) tags: Vec<Arc<Tag>>,
    /// In the order of the tags.
    pub(in crate::tools) histories: Vec<Window>,
    /// Tags that show states or counts, or nothing.
    pub(in crate::tools) others: Vec<TagName>,
    /// A history was thinned.
    pub(in crate::tools) truncated: bool,
}

/// Reads the histories of those tags that are measured numbers, as many as an asset may have.
pub(in crate::tools) async fn measured(
    deps: &Deps,
    tags: Vec<(TagId, Arc<Tag>)>,
    span: Span,
) -> Result<Measured, ToolError> {
    let mut found = Measured::default();
    for (id, tag) in tags {
        let recorded = recorded(deps, id, span).await?;
        found.truncated |= recorded.truncated;
        if is_measured(&recorded.window) {
            if found.tags.len() == SIGNALS_MAX {
                let text = format!("more than {SIGNALS_MAX} of the tags are measured numbers");
                return Err(ToolError::argument(text));
            }
            found.tags.push(tag);
            found.histories.push(recorded.window);
        } else {
            found.others.push(tag.name.clone());
        }
    }
    Ok(found)
}
