//! Browses an address space: the order of a walk, at the cost of a few wide requests.
//!
//! The answer is the depth-first pre-order that a person expects. Nodes are expanded many to a
//! request: those of the order's prefix that are not expanded yet, until the prefix is whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResult, BrowseResultMaskFlags,
    ByteString, NodeClass, NodeId, ReferenceTypeId, StatusCode, Variant,
};
use tokio_util::sync::CancellationToken;

use super::address::{self, Address};
use super::errors;
use super::read;
use super::requests::{Caller, attribute};
use super::values::{self, Converter};
use crate::driver::{BrowseNode, DriverError, ErrorKind, Reply};
use crate::model::Value;

/// Levels below the root; the reference's own bound.
const DEPTH_MAX: u8 = 6;
/// Nodes of one answer.
const NODES_MAX: u32 = 10_000;
/// Nodes expanded at once: more than this is wasted where the first few fill the answer.
const EXPANDED_AT_ONCE_MAX: usize = 100;
/// A browse name is shown up to this many characters.
const NAME_MAX: usize = 512;
/// References of one node in one answer of the server; the rest comes by continuation.
const REFERENCES_MAX: u32 = 1000;

/// What a browse is to find.
pub(super) struct Walk {
    pub(super) root: Arc<str>,
    pub(super) depth: u8,
    pub(super) nodes_max: u32,
    pub(super) values: bool,
}

/// A node as a reference shows it.
#[derive(Debug, Clone)]
struct Seen {
    id: NodeId,
    name: Arc<str>,
    class: NodeClass,
}

/// What is known of the address space so far.
struct Tree {
    root: Seen,
    /// The children of each expanded node.
    children: HashMap<NodeId, Vec<Seen>>,
    depth_max: u8,
    nodes_max: usize,
}

/// One node's place in the order.
struct Place<'a> {
    seen: &'a Seen,
    parent: Option<&'a NodeId>,
    depth: u8,
}

impl Tree {
    /// Walks what is known, depth first; tells whether there is more than fits.
    fn order(&self) -> (Vec<Place<'_>>, bool) {
        let (mut places, mut met) = (Vec::new(), HashSet::new());
        let mut stack = vec![Place { seen: &self.root, parent: None, depth: 0 }];
        while let Some(place) = stack.pop() {
            if !met.insert(&place.seen.id) {
                continue;
            }
            if places.len() >= self.nodes_max {
                return (places, true);
            }
            if place.depth < self.depth_max {
                let children = self.children.get(&place.seen.id).map_or(&[][..], Vec::as_slice);
                let (parent, depth) = (Some(&place.seen.id), place.depth + 1);
                // The first child is to be popped first.
                stack.extend(children.iter().rev().map(|seen| Place { seen, parent, depth }));
            }
            places.push(place);
        }
        (places, false)
    }

    /// Lists what to expand next, in the order it is needed.
    fn open(&self) -> Vec<NodeId> {
        let (places, _) = self.order();
        let open = places.iter().filter(|place| {
            place.depth < self.depth_max && !self.children.contains_key(&place.seen.id)
        });
        open.take(EXPANDED_AT_ONCE_MAX).map(|place| place.seen.id.clone()).collect()
    }
}

fn class_name(class: NodeClass) -> &'static str {
    match class {
        NodeClass::Object => "Object",
        NodeClass::Variable => "Variable",
        NodeClass::Method => "Method",
        NodeClass::ObjectType => "ObjectType",
        NodeClass::VariableType => "VariableType",
        NodeClass::ReferenceType => "ReferenceType",
        NodeClass::DataType => "DataType",
        NodeClass::View => "View",
        NodeClass::Unspecified => "Unspecified",
    }
}

fn shown(name: &str) -> Arc<str> {
    name.chars().take(NAME_MAX).collect::<String>().into()
}

/// Reads the root's own name and class.
async fn root(caller: &Caller, text: &Arc<str>) -> Result<Seen, DriverError> {
    let id = Address::parse(text)?.resolve(&caller.live.namespaces)?;
    let wanted = [AttributeId::BrowseName, AttributeId::NodeClass];
    let ids: Vec<_> = wanted.into_iter().map(|wanted| attribute(id.clone(), wanted)).collect();
    let answers = caller.read(&ids).await?;
    let bad = answers.iter().find_map(|answer| answer.status.filter(StatusCode::is_bad));
    if let Some(status) = bad {
        return Err(errors::from_item(status));
    }
    let value = |index: usize| answers.get(index).and_then(|answer| answer.value.as_ref());
    let class = match value(1) {
        Some(Variant::Int32(number)) => NodeClass::try_from(*number).ok(),
        _ => None,
    };
    let name = shown(&values::text(value(0)));
    Ok(Seen { id, name, class: class.unwrap_or(NodeClass::Unspecified) })
}

fn description(node_id: NodeId) -> BrowseDescription {
    let mask = BrowseResultMaskFlags::BrowseName | BrowseResultMaskFlags::NodeClass;
    BrowseDescription {
        node_id,
        browse_direction: BrowseDirection::Forward,
        reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
        include_subtypes: true,
        node_class_mask: 0,
        result_mask: mask.bits(),
    }
}

/// Takes a result's references into the list, and gives the continuation point if there is one.
fn take(result: BrowseResult, into: &mut Vec<Seen>) -> Option<ByteString> {
    // A node of another server can't be browsed here.
    let here = result.references.into_iter().flatten().filter(|r| r.node_id.server_index == 0);
    into.extend(here.map(|reference| Seen {
        id: reference.node_id.node_id,
        name: shown(reference.browse_name.name.as_ref()),
        class: reference.node_class,
    }));
    (!result.continuation_point.is_null_or_empty()).then_some(result.continuation_point)
}

/// Expands nodes; what the server still holds for us is given back whatever happens.
async fn expand(
    caller: &Caller,
    tree: &mut Tree,
    open: Vec<NodeId>,
    cancel: &CancellationToken,
) -> Result<(), DriverError> {
    let descriptions: Vec<_> = open.iter().cloned().map(description).collect();
    let most = u32::try_from(tree.nodes_max).unwrap_or(u32::MAX).min(REFERENCES_MAX);
    let mut results = caller.browse(&descriptions, most).await?;
    let mut waiting: Vec<(NodeId, ByteString)> = Vec::new();
    let mut nodes = open;
    loop {
        for (id, result) in nodes.drain(..).zip(results.drain(..)) {
            if tree.children.is_empty() && result.status_code.is_bad() {
                // Nothing of the root can be browsed: say why.
                return Err(errors::from_item(result.status_code));
            }
            let children = tree.children.entry(id.clone()).or_default();
            if let Some(point) = take(result, children) {
                waiting.push((id, point));
            }
        }
        // More of one node than fits into the answer is never needed.
        let is_full = |id: &NodeId| {
            tree.children.get(id).is_some_and(|children| children.len() > tree.nodes_max)
        };
        let (spare, wanted): (Vec<_>, Vec<_>) =
            waiting.drain(..).partition(|(id, _)| is_full(id) || cancel.is_cancelled());
        caller.release(spare.into_iter().map(|(_, point)| point).collect()).await;
        if wanted.is_empty() {
            return Ok(());
        }
        let points: Vec<ByteString> = wanted.iter().map(|(_, point)| point.clone()).collect();
        match caller.browse_next(&points).await {
            Ok(next) => results = next,
            Err(error) => {
                caller.release(points).await;
                return Err(error);
            }
        }
        nodes = wanted.into_iter().map(|(id, _)| id).collect();
    }
}

/// Walks the address space.
pub(super) async fn browse(
    caller: Caller,
    walk: Walk,
    cancel: CancellationToken,
) -> Result<Reply, DriverError> {
    let mut tree = Tree {
        root: root(&caller, &walk.root).await?,
        children: HashMap::new(),
        depth_max: walk.depth.min(DEPTH_MAX),
        nodes_max: usize::try_from(walk.nodes_max.clamp(1, NODES_MAX)).unwrap_or(1),
    };
    let mut cut_short = false;
    loop {
        let open = tree.open();
        if open.is_empty() || cancel.is_cancelled() {
            break;
        }
        let known = !tree.children.is_empty();
        match expand(&caller, &mut tree, open, &cancel).await {
            Ok(()) => {}
            // What was found so far is worth more than an error.
            Err(error) if known && is_out_of_time(&error) => {
                cut_short = true;
                break;
            }
            Err(error) => return Err(error),
        }
        let found = tree.children.values().map(Vec::len).sum::<usize>() + 1;
        caller.toll.report_progress(u32::try_from(found).unwrap_or(u32::MAX));
    }
    let (places, more) = tree.order();
    let namespaces = &caller.live.namespaces;
    let made = places.iter().map(|place| node(place, &walk.root, namespaces));
    let mut nodes: Vec<BrowseNode> = made.collect();
    if walk.values {
        let ids: Vec<_> = places.iter().map(|place| place.seen.id.clone()).collect();
        read_values(&caller, &mut nodes, &ids).await?;
    }
    Ok(Reply::Browse { nodes, truncated: more || cut_short })
}

fn is_out_of_time(error: &DriverError) -> bool {
    matches!(error.kind, ErrorKind::Timeout | ErrorKind::BudgetExhausted)
}

fn node(place: &Place<'_>, root: &Arc<str>, namespaces: &[Arc<str>]) -> BrowseNode {
    BrowseNode {
        // The root is echoed as it was asked for.
        node_id: match place.parent {
            None => root.clone(),
            Some(_) => address::text(&place.seen.id),
        },
        address: address::lasting(&place.seen.id, namespaces),
        browse_name: place.seen.name.clone(),
        node_class: class_name(place.seen.class).into(),
        parent: match (place.parent, place.depth) {
            (None, _) => Arc::from(""),
            (Some(_), 1) => root.clone(),
            (Some(parent), _) => address::text(parent),
        },
        depth: place.depth,
        value: None,
    }
}

/// Reads the value of each variable.
async fn read_values(
    caller: &Caller,
    nodes: &mut [BrowseNode],
    ids: &[NodeId],
) -> Result<(), DriverError> {
    let variables: Vec<(&mut BrowseNode, &NodeId)> =
        nodes.iter_mut().zip(ids).filter(|(n, _)| n.node_class.as_ref() == "Variable").collect();
    let reads: Vec<_> =
        variables.iter().map(|(_, id)| attribute((*id).clone(), AttributeId::Value)).collect();
    let answers = caller.read(&reads).await?;
    read::learn(caller, answers.iter().filter_map(|answer| answer.value.as_ref())).await;
    for ((node, _), answer) in variables.into_iter().zip(answers) {
        let mut converter = Converter::new(&caller.live.structures);
        let value = answer.value.as_ref().map(|value| converter.value(value));
        node.value = Some(value.unwrap_or(Value::Null));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: u32) -> Seen {
        let class = NodeClass::Object;
        Seen { id: NodeId::new(1, number), name: number.to_string().into(), class }
    }

    fn tree(nodes_max: usize, depth_max: u8) -> Tree {
        // 1 has 2 and 3; 2 has 4 and 3; 3 has 1: a diamond and a cycle.
        let children = [(1u32, vec![2, 3]), (2, vec![4, 3]), (3, vec![1]), (4, vec![])]
            .map(|(id, below)| (NodeId::new(1, id), below.into_iter().map(seen).collect()));
        Tree { root: seen(1), children: HashMap::from(children), depth_max, nodes_max }
    }

    fn names(tree: &Tree) -> Vec<(String, u8)> {
        tree.order().0.iter().map(|place| (place.seen.name.to_string(), place.depth)).collect()
    }

    #[test]
    fn the_order_is_depth_first_and_a_cycle_ends() {
        let found = names(&tree(100, 6));
        let expected = [("1", 0), ("2", 1), ("4", 2), ("3", 2)];
        assert_eq!(found, expected.map(|(name, depth)| (name.to_owned(), depth)));
        assert!(!tree(100, 6).order().1);
        assert!(tree(100, 6).open().is_empty());
    }

    #[test]
    fn an_answer_that_is_full_says_so() {
        let cut = tree(2, 6);
        assert_eq!(names(&cut).len(), 2);
        assert!(cut.order().1);
        assert!(!tree(4, 6).order().1);
    }

    #[test]
    fn only_what_the_answer_needs_is_expanded() {
        let mut fresh = tree(100, 2);
        fresh.children.clear();
        assert_eq!(fresh.open(), vec![NodeId::new(1, 1u32)]);
        fresh.children.insert(NodeId::new(1, 1u32), vec![seen(2), seen(3)]);
        assert_eq!(fresh.open(), vec![NodeId::new(1, 2u32), NodeId::new(1, 3u32)]);
        fresh.nodes_max = 2;
        assert_eq!(fresh.open(), vec![NodeId::new(1, 2u32)]);
        fresh.depth_max = 1;
        assert!(fresh.open().is_empty());
    }
}
