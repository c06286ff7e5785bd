//! Conditions as nodes: for servers that have alarms and no ConditionRefresh, or one that names
//! none.
//!
//! Follows the event sources below the Server object to their conditions (Part 9, 6), and reads
//! the state of each.

use std::collections::HashSet;

use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowsePath, BrowseResultMaskFlags, NodeId,
    ObjectId, QualifiedName, ReferenceTypeId, RelativePath, RelativePathElement, Variant,
};

use super::events::{self, Columns, Event};
use super::requests::{Caller, attribute};
use crate::clock;
use crate::driver::DriverError;
use crate::model::ConditionEvent;

/// Areas within areas; plants have four or five levels.
const LEVELS_MAX: usize = 10;
/// Event sources looked at.
const SOURCES_MAX: usize = 2000;
/// Conditions read.
const CONDITIONS_MAX: usize = 500;
/// References of one node.
const REFERENCES_MAX: u32 = 1000;

/// Reads the conditions that want attention.
pub(super) async fn read(caller: &Caller) -> Result<Vec<ConditionEvent>, DriverError> {
    let conditions = find(caller).await?;
    let paths: Vec<BrowsePath> = conditions.iter().flat_map(paths_of).collect();
    let targets = caller.translate(&paths).await?;
    let found: Vec<Option<NodeId>> = targets
        .into_iter()
        .map(|result| {
            let target = result.targets?.into_iter().next()?;
            (!result.status_code.is_bad()).then_some(target.target_id.node_id)
        })
        .collect();
    let wanted: Vec<_> =
        found.iter().flatten().map(|id| attribute(id.clone(), AttributeId::Value)).collect();
    let mut values = caller.read(&wanted).await?.into_iter();
    let received_ts = clock::now();
    let mut cells = found.into_iter().map(|id| id.and_then(|_| values.next()?.value));
    let mut read = Vec::new();
    for condition in conditions {
        let row: Vec<Variant> = events::paths()
            .map(|path| match path {
                events::Path::Property(_) => cells.next().flatten().unwrap_or_default(),
                events::Path::Itself => Variant::from(condition.clone()),
                events::Path::Unread => Variant::Empty,
            })
            .collect();
        if let Some(Event::Condition(event)) = Columns::whole().read(&row, received_ts)
            && event.retain
        {
            read.push(event);
        }
    }
    Ok(read)
}

fn description(node_id: NodeId, reference: ReferenceTypeId) -> BrowseDescription {
    BrowseDescription {
        node_id,
        browse_direction: BrowseDirection::Forward,
        reference_type_id: reference.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: BrowseResultMaskFlags::NodeClass.bits(),
    }
}

/// Finds the condition instances of every event source.
async fn find(caller: &Caller) -> Result<Vec<NodeId>, DriverError> {
    let mut level = vec![NodeId::from(ObjectId::Server)];
    let mut met: HashSet<NodeId> = level.iter().cloned().collect();
    let (mut conditions, mut known) = (Vec::new(), HashSet::new());
    for _ in 0..LEVELS_MAX {
        if level.is_empty() || met.len() > SOURCES_MAX || conditions.len() >= CONDITIONS_MAX {
            break;
        }
        let kinds = [ReferenceTypeId::HasEventSource, ReferenceTypeId::HasCondition];
        let wanted: Vec<_> = level
            .drain(..)
            .flat_map(|id| kinds.map(|kind| description(id.clone(), kind)))
            .collect();
        let results = caller.browse(&wanted, REFERENCES_MAX).await?;
        let mut spare = Vec::new();
        for (asked, result) in wanted.iter().zip(results) {
            if !result.continuation_point.is_null_or_empty() {
                spare.push(result.continuation_point);
            }
            let targets = result.references.into_iter().flatten();
            for target in targets.filter(|t| t.node_id.server_index == 0) {
                let id = target.node_id.node_id;
                if asked.reference_type_id == ReferenceTypeId::HasCondition {
                    if known.insert(id.clone()) {
                        conditions.push(id);
                    }
                } else if met.insert(id.clone()) {
                    level.push(id);
                }
            }
        }
        caller.release(spare).await;
    }
    conditions.truncate(CONDITIONS_MAX);
    Ok(conditions)
}

fn paths_of(condition: &NodeId) -> Vec<BrowsePath> {
    let element = |name: &str| RelativePathElement {
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        is_inverse: false,
        include_subtypes: true,
        target_name: QualifiedName::new(0, name),
    };
    events::paths()
        .filter_map(|path| match path {
            events::Path::Property(path) => Some(path),
            _ => None,
        })
        .map(|path| BrowsePath {
            starting_node: condition.clone(),
            relative_path: RelativePath { elements: Some(path.split('/').map(element).collect()) },
        })
        .collect()
}
