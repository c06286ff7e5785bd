//! Learns the definitions of structures from the server, at the first need and only those met.

use std::collections::{HashMap, HashSet};

use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMaskFlags, DataTypeId, Identifier,
    NodeClassMask, NodeId, ReferenceTypeId, StructureDefinition, StructureType, Variant,
};

use super::requests::{Caller, attribute};
use super::structures::{Field, Form, Shape};
use crate::driver::DriverError;

/// Structures nest a few levels deep; more rounds than this are a loop.
const ROUNDS_MAX: usize = 10;
/// Data types looked at for one value.
const TYPES_MAX: usize = 500;

/// What a data type turned out to be.
#[derive(Debug, Clone)]
enum Kind {
    Structure(StructureDefinition),
    /// A structure nobody may instantiate: its fields come as extension objects.
    Abstract,
    BuiltIn(u8),
    /// Not yet known; its parent may tell.
    ChildOf(NodeId),
    Unknown,
}

/// Looks up what is not known of these encodings. A server that can't say leaves them unknown.
pub(super) async fn learn(caller: &Caller, encodings: Vec<NodeId>) {
    let structures = &caller.live.structures;
    let new: Vec<NodeId> = encodings.into_iter().filter(|id| !structures.knows(id)).collect();
    if new.is_empty() {
        return;
    }
    if let Err(error) = look_up(caller, &new).await {
        tracing::debug!(%error, "definitions of structures could not be read");
    }
}

async fn look_up(caller: &Caller, encodings: &[NodeId]) -> Result<(), DriverError> {
    let structures = &caller.live.structures;
    let owners = parents(caller, encodings, ReferenceTypeId::HasEncoding).await?;
    let mut wanted = Vec::new();
    for (encoding, owner) in encodings.iter().zip(owners) {
        // An encoding without a type is noted too, so that it is not looked up again.
        let data_type = owner.unwrap_or_else(|| encoding.clone());
        structures.learn_encoding(encoding.clone(), data_type.clone());
        wanted.push(data_type);
    }
    let mut kinds: HashMap<NodeId, Kind> = HashMap::new();
    for _ in 0..ROUNDS_MAX {
        let unknown: HashSet<NodeId> = wanted
            .drain(..)
            .filter(|id| !kinds.contains_key(id) && !structures.has_shape(id))
            .collect();
        let unknown: Vec<NodeId> = unknown.into_iter().take(TYPES_MAX).collect();
        if unknown.is_empty() || kinds.len() > TYPES_MAX {
            break;
        }
        for (id, kind) in unknown.iter().zip(classify(caller, &unknown).await?) {
            match &kind {
                Kind::Structure(definition) => wanted.extend(
                    definition.fields.iter().flatten().map(|field| field.data_type.clone()),
                ),
                Kind::ChildOf(parent) => wanted.push(parent.clone()),
                _ => {}
            }
            kinds.insert(id.clone(), kind);
        }
    }
    for (id, kind) in &kinds {
        if let Kind::Structure(definition) = kind
            && let Some(shape) = shape(definition, &kinds, caller)
        {
            structures.learn(id.clone(), shape);
        }
    }
    Ok(())
}

/// Finds what each data type is: built in, structure, enumeration, or a child of another.
async fn classify(caller: &Caller, ids: &[NodeId]) -> Result<Vec<Kind>, DriverError> {
    let mut kinds: Vec<Kind> = ids.iter().map(built_in).collect();
    let open: Vec<(usize, NodeId)> = (0..)
        .zip(ids)
        .filter(|(index, _)| matches!(kinds.get(*index), Some(Kind::Unknown)))
        .map(|(index, id)| (index, id.clone()))
        .collect();
    let reads: Vec<_> = open
        .iter()
        .flat_map(|(_, id)| {
            [AttributeId::DataTypeDefinition, AttributeId::IsAbstract]
                .map(|wanted| attribute(id.clone(), wanted))
        })
        .collect();
    let answers = caller.read(&reads).await?;
    let mut orphans = Vec::new();
    for ((index, id), answer) in open.iter().zip(answers.chunks(2)) {
        let value = |at: usize| answer.get(at).and_then(|answer| answer.value.as_ref());
        let is_abstract = matches!(value(1), Some(Variant::Boolean(true)));
        let object = match value(0) {
            Some(Variant::ExtensionObject(object)) => Some(object),
            _ => None,
        };
        // Enumerations and option sets both have an EnumDefinition: their parents tell them apart.
        let found = object.and_then(|o| o.inner_as::<StructureDefinition>()).map(|definition| {
            if is_abstract { Kind::Abstract } else { Kind::Structure(definition.clone()) }
        });
        match (found, kinds.get_mut(*index)) {
            (Some(kind), Some(slot)) => *slot = kind,
            _ => orphans.push((*index, id.clone())),
        }
    }
    let ids: Vec<NodeId> = orphans.iter().map(|(_, id)| id.clone()).collect();
    let above = parents(caller, &ids, ReferenceTypeId::HasSubtype).await?;
    for ((index, _), parent) in orphans.into_iter().zip(above) {
        if let (Some(slot), Some(parent)) = (kinds.get_mut(index), parent) {
            *slot = Kind::ChildOf(parent);
        }
    }
    Ok(kinds)
}

/// Gives the target of the inverse reference of each node.
async fn parents(
    caller: &Caller,
    ids: &[NodeId],
    reference: ReferenceTypeId,
) -> Result<Vec<Option<NodeId>>, DriverError> {
    let descriptions: Vec<_> = ids
        .iter()
        .map(|id| BrowseDescription {
            node_id: id.clone(),
            browse_direction: BrowseDirection::Inverse,
            reference_type_id: reference.into(),
            include_subtypes: false,
            node_class_mask: NodeClassMask::DATA_TYPE.bits(),
            result_mask: BrowseResultMaskFlags::NodeClass.bits(),
        })
        .collect();
    let results = caller.browse(&descriptions, 0).await?;
    let target = |result: opcua::types::BrowseResult| {
        Some(result.references?.into_iter().next()?.node_id.node_id)
    };
    Ok(results.into_iter().map(target).collect())
}

/// Recognises the types that need no definition (Part 6, 5.1.2).
fn built_in(id: &NodeId) -> Kind {
    let Identifier::Numeric(number) = id.identifier else { return Kind::Unknown };
    if id.namespace != 0 {
        return Kind::Unknown;
    }
    let is = |known: DataTypeId| number == known as u32;
    if is(DataTypeId::Structure) {
        Kind::Abstract
    } else if is(DataTypeId::Enumeration) {
        Kind::BuiltIn(6)
    } else if [
        DataTypeId::BaseDataType,
        DataTypeId::Number,
        DataTypeId::Integer,
        DataTypeId::UInteger,
    ]
    .into_iter()
    .any(is)
    {
        // An abstract simple type travels as a variant.
        Kind::BuiltIn(24)
    } else {
        match u8::try_from(number) {
            Ok(number @ (1..=21 | 23 | 25)) => Kind::BuiltIn(number),
            _ => Kind::Unknown,
        }
    }
}

/// Makes a layout; `None` where a field's encoding can't be told.
fn shape(
    definition: &StructureDefinition,
    kinds: &HashMap<NodeId, Kind>,
    caller: &Caller,
) -> Option<Shape> {
    let optional_means = definition.structure_type != StructureType::Structure;
    let field = |field: &opcua::types::StructureField| {
        Some(Field {
            name: field.name.as_ref().into(),
            form: form(&field.data_type, kinds, caller)?,
            rank: field.value_rank,
            optional: field.is_optional && optional_means,
        })
    };
    let fields: Option<Vec<Field>> = definition.fields.iter().flatten().map(field).collect();
    Some(Shape { kind: definition.structure_type, fields: fields? })
}

fn form(id: &NodeId, kinds: &HashMap<NodeId, Kind>, caller: &Caller) -> Option<Form> {
    let mut here = id;
    for _ in 0..ROUNDS_MAX {
        match kinds.get(here) {
            Some(Kind::BuiltIn(number)) => return Some(Form::BuiltIn(*number)),
            Some(Kind::Structure(_)) => return Some(Form::Inline(here.clone())),
            Some(Kind::Abstract) => return Some(Form::Boxed),
            Some(Kind::ChildOf(parent)) => here = parent,
            None if caller.live.structures.has_shape(here) => {
                return Some(Form::Inline(here.clone()));
            }
            Some(Kind::Unknown) | None => return None,
        }
    }
    None
}
