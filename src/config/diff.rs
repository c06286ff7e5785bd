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
pub enum LeftOut {
    /// An endpoint with all its tags; `None` where its name can't be told.
    Endpoint(Option<EndpointName>),
    /// A tag of an endpoint that runs; `None` where its name can't be told.
    Tag(EndpointName, Option<TagName>),
    /// Keys of `[history]`.
    History,
    /// Keys of `[doors]`.
    Doors,
    /// Keys of `[audit]`.
    Audit,
    /// An agent, which then sees nothing.
    Agents,
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
/// Where it can't be told which endpoint or tag is wrong, none of the old ones is taken away.
/// Tags whose name is taken elsewhere by now stay out. The problems stay as they are.
#[must_use]
pub fn keep_last_good(mut new: Config, old: &Config) -> Config {
    let left: HashSet<LeftOut> = new.left_out.iter().cloned().collect();
    if left.contains(&LeftOut::History) {
        new.history = old.history;
    }
    if left.contains(&LeftOut::Doors) {
        new.doors = old.doors.clone();
    }
    if left.contains(&LeftOut::Audit) {
        new.audit = old.audit.clone();
    }
    if left.contains(&LeftOut::Agents) {
        new.agents.clone_from(&old.agents);
        new.strangers_see_nothing = old.strangers_see_nothing;
    }
    let all = || new.endpoints.iter().chain(&new.disabled);
    let mut taken: HashSet<TagName> =
        all().flat_map(|spec| spec.tags.iter().map(|tag| tag.name.clone())).collect();
    let running: HashSet<EndpointName> = all().map(|spec| spec.name.clone()).collect();
    let old_specs: HashMap<&str, &EndpointSpec> =
        old.endpoints.iter().map(|spec| (spec.name.as_ref(), spec)).collect();
    for spec in &mut new.endpoints {
        // An address is the protocol's own: another one can't take the tags over.
        let was = old_specs.get(spec.name.as_ref()).filter(|was| was.protocol == spec.protocol);
        let Some(was) = was else { continue };
        let any = left.contains(&LeftOut::Tag(spec.name.clone(), None));
        for tag in &was.tags {
            let this = LeftOut::Tag(spec.name.clone(), Some(tag.name.clone()));
            if (any || left.contains(&this)) && taken.insert(tag.name.clone()) {
                spec.tags.push(Arc::clone(tag));
            }
        }
    }
    let any = left.contains(&LeftOut::Endpoint(None));
    for was in old.endpoints.iter().filter(|was| !running.contains(&was.name)) {
        if any || left.contains(&LeftOut::Endpoint(Some(was.name.clone()))) {
            let mut spec = was.clone();
            spec.tags.retain(|tag| taken.insert(tag.name.clone()));
            new.endpoints.push(spec);
        }
    }
    new
}
