//! What a reload changes, and what it must not take away.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Config;
use crate::driver::EndpointSpec;
use crate::model::{EndpointName, Tag, TagName};

/// What a reload means for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new, or enabled again.
    Added(EndpointName),
    /// It is gone, or disabled.
    Removed(EndpointName),
    /// It starts anew: its settings, password, budget or tags differ.
    Changed(EndpointName),
    /// It runs on and misses no scan.
    Unchanged(EndpointName),
}

/// Something configured that is left out because of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeftOut {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The tag, where the endpoint itself runs.
    pub tag: Option<TagName>,
}

/// Compares the running endpoints by content: the new ones in their order, then what is gone.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let before: HashMap<&str, &EndpointSpec> =
        old.endpoints.iter().map(|spec| (spec.name.as_ref(), spec)).collect();
    let after: HashSet<&str> = new.endpoints.iter().map(|spec| spec.name.as_ref()).collect();
    let kept = new.endpoints.iter().map(|spec| match before.get(spec.name.as_ref()) {
        None => Change::Added(spec.name.clone()),
        Some(was) if same(was, spec) => Change::Unchanged(spec.name.clone()),
        Some(_) => Change::Changed(spec.name.clone()),
    });
    let gone = old.endpoints.iter().filter(|spec| !after.contains(spec.name.as_ref()));
    kept.chain(gone.map(|spec| Change::Removed(spec.name.clone()))).collect()
}

fn same(a: &EndpointSpec, b: &EndpointSpec) -> bool {
    // Taken apart in full: a field that the driver gains can't be forgotten here.
    let EndpointSpec { name, protocol, settings, password, budget, tags, state_dir } = a;
    *name == b.name
        && *protocol == b.protocol
        && *settings == b.settings
        && *password == b.password
        && *budget == b.budget
        && same_tags(tags, &b.tags)
        && *state_dir == b.state_dir
}

/// Compares tags whatever their order, which means nothing.
fn same_tags(a: &[Arc<Tag>], b: &[Arc<Tag>]) -> bool {
    let by_name: HashMap<&str, &Arc<Tag>> = a.iter().map(|tag| (tag.name.as_ref(), tag)).collect();
    a.len() == b.len() && b.iter().all(|tag| by_name.get(tag.name.as_ref()) == Some(&tag))
}

/// Puts the last good form of what is now wrong back into a new configuration.
///
/// Tags of it whose name is taken elsewhere by now stay out. The problems stay as they are.
#[must_use]
pub fn keep_last_good(mut new: Config, old: &Config) -> Config {
    let running = new.endpoints.iter().chain(&new.disabled);
    let mut taken: HashSet<TagName> =
        running.flat_map(|spec| spec.tags.iter().map(|tag| tag.name.clone())).collect();
    for left in new.left_out.clone() {
        let Some(was) = old.endpoints.iter().find(|spec| spec.name == left.endpoint) else {
            continue;
        };
        let now = new.endpoints.iter_mut().find(|spec| spec.name == left.endpoint);
        match (left.tag, now) {
            (None, None) => {
                let mut spec = was.clone();
                spec.tags.retain(|tag| taken.insert(tag.name.clone()));
                new.endpoints.push(spec);
            }
            // A tag is read through its own endpoint: another protocol can't take it over.
            (Some(name), Some(spec)) if spec.protocol == was.protocol => {
                let lost = |tag: &&Arc<Tag>| tag.name == name;
                if let Some(tag) = was.tags.iter().find(lost)
                    && taken.insert(name.clone())
                {
                    spec.tags.push(tag.clone());
                }
            }
            _ => {}
        }
    }
    new
}
