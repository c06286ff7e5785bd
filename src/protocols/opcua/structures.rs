//! Structures decoded by the definitions the server has of them (Part 3, 8.48; Part 6, 5.2.6).

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use opcua::types::{
    BinaryDecodable, ContextOwned, DecodingOptions, DiagnosticInfo, ExtensionObject, NamespaceMap,
    NodeId, StructureType, Variant,
};
use parking_lot::RwLock;

use super::values::Converter;
use crate::model::{VALUE_DEPTH_MAX, VALUE_ITEMS_MAX, Value};

/// Definitions kept of one server; more are not learnt.
pub(super) const SHAPES_MAX: usize = 5000;
/// Elements of one field's array that are decoded; the octets that follow depend on all of them.
const ELEMENTS_MAX: usize = 100_000;
/// Marks an array in a variant's first octet (Part 6, 5.2.2.16).
const ARRAY_BIT: u8 = 0x80;

/// Data type, binary encoding, and fields: name, built-in type or inline data type, rank.
type Standard = (u32, u32, &'static [(&'static str, u32, i32)]);

/// Structures of the standard that older servers have no definitions of (Part 3, 5 and 8).
const STANDARD: &[Standard] = &[
    (884, 886, &[("Low", 11, -1), ("High", 11, -1)]), // Range
    (
        887, // EUInformation
        889,
        &[
            ("NamespaceUri", 12, -1),
            ("UnitId", 6, -1),
            ("DisplayName", 21, -1),
            ("Description", 21, -1),
        ],
    ),
    (
        296, // Argument
        298,
        &[
            ("Name", 12, -1),
            ("DataType", 17, -1),
            ("ValueRank", 6, -1),
            ("ArrayDimensions", 7, 1),
            ("Description", 21, -1),
        ],
    ),
    // EnumValueType
    (7594, 8251, &[("Value", 8, -1), ("DisplayName", 21, -1), ("Description", 21, -1)]),
    (8912, 8917, &[("Offset", 4, -1), ("DaylightSavingInOffset", 1, -1)]), // TimeZoneDataType
    (
        338, // BuildInfo
        340,
        &[
            ("ProductUri", 12, -1),
            ("ManufacturerName", 12, -1),
            ("ProductName", 12, -1),
            ("SoftwareVersion", 12, -1),
            ("BuildNumber", 12, -1),
            ("BuildDate", 13, -1),
        ],
    ),
    (
        862, // ServerStatusDataType
        864,
        &[
            ("StartTime", 13, -1),
            ("CurrentTime", 13, -1),
            ("State", 6, -1),
            ("BuildInfo", 338, -1),
            ("SecondsTillShutdown", 7, -1),
            ("ShutdownReason", 21, -1),
        ],
    ),
];

/// How a field is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// As the built-in type with this number (Part 6, 5.1.2); an enumeration is an Int32.
    BuiltIn(u8),
    /// As another structure, in line.
    Inline(NodeId),
    /// As an extension object that names its own type.
    Boxed,
}

/// One field of a structure.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: Arc<str>,
    pub(super) form: Form,
    /// Dimensions; 0 or less for a scalar.
    pub(super) rank: i32,
    /// It may be left out, or, in a structure with subtypes, hold a subtype.
    pub(super) optional: bool,
}

/// A structure's layout.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) kind: StructureType,
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Default)]
struct Learnt {
    shapes: HashMap<NodeId, Arc<Shape>>,
    types: HashMap<NodeId, NodeId>,
}

/// The definitions known of one server: the commonest of the standard, and what was learnt.
#[derive(Debug)]
pub(super) struct Structures(RwLock<Learnt>);

impl Default for Structures {
    fn default() -> Self {
        let mut known = Learnt::default();
        for (data_type, encoding, fields) in STANDARD {
            let (data_type, encoding) = (NodeId::new(0, *data_type), NodeId::new(0, *encoding));
            let fields = fields.iter().map(|(name, form, rank)| Field {
                name: Arc::from(*name),
                form: match form {
                    0..=25 => Form::BuiltIn(u8::try_from(*form).unwrap_or_default()),
                    inline => Form::Inline(NodeId::new(0, *inline)),
                },
                rank: *rank,
                optional: false,
            });
            let shape = Shape { kind: StructureType::Structure, fields: fields.collect() };
            known.shapes.insert(data_type.clone(), Arc::new(shape));
            known.types.insert(encoding, data_type);
        }
        Self(RwLock::new(known))
    }
}

/// The octets do not fit the definition.
struct Misfit;

impl Structures {
    /// Gives what the library needs to decode built-in types.
    pub(super) fn context(&self) -> ContextOwned {
        let options = DecodingOptions {
            max_array_length: ELEMENTS_MAX,
            max_string_length: 1 << 20,
            max_byte_string_length: 1 << 20,
            ..Default::default()
        };
        ContextOwned::new_default(NamespaceMap::new(), options)
    }

    /// Tells whether an encoding's definition was looked up, found or not.
    pub(super) fn knows(&self, encoding: &NodeId) -> bool {
        self.0.read().types.contains_key(encoding)
    }

    /// Tells whether a data type's layout is known.
    pub(super) fn has_shape(&self, data_type: &NodeId) -> bool {
        self.0.read().shapes.contains_key(data_type)
    }

    /// Learns which data type an encoding stands for; the encoding itself where none was found.
    pub(super) fn learn_encoding(&self, encoding: NodeId, data_type: NodeId) {
        let mut learnt = self.0.write();
        if learnt.types.len() < SHAPES_MAX {
            learnt.types.insert(encoding, data_type);
        }
    }

    /// Learns a data type's layout.
    pub(super) fn learn(&self, data_type: NodeId, shape: Shape) {
        let mut learnt = self.0.write();
        if learnt.shapes.len() < SHAPES_MAX {
            learnt.shapes.insert(data_type, Arc::new(shape));
        }
    }

    fn shape(&self, data_type: &NodeId) -> Option<Arc<Shape>> {
        self.0.read().shapes.get(data_type).cloned()
    }

    /// Decodes a body; `None` where the definition is not known or the octets do not fit it.
    pub(super) fn decode(
        &self,
        encoding: &NodeId,
        octets: &[u8],
        converter: &mut Converter<'_>,
        depth: usize,
    ) -> Option<Value> {
        let data_type = self.0.read().types.get(encoding)?.clone();
        let shape = self.shape(&data_type)?;
        let context = self.context();
        let mut body = Body { octets: Cursor::new(octets), context: &context, structures: self };
        let value = body.structure(&shape, converter, depth).ok()?;
        // Octets left over belong to a layout other than the one we know.
        let end = usize::try_from(body.octets.position()).ok()?;
        (end == octets.len()).then_some(value)
    }
}

/// One body being decoded.
struct Body<'a> {
    octets: Cursor<&'a [u8]>,
    context: &'a ContextOwned,
    structures: &'a Structures,
}

impl Body<'_> {
    fn read<T: BinaryDecodable>(&mut self) -> Result<T, Misfit> {
        T::decode(&mut self.octets, &self.context.context()).map_err(|_| Misfit)
    }

    fn structure(
        &mut self,
        shape: &Shape,
        converter: &mut Converter<'_>,
        depth: usize,
    ) -> Result<Value, Misfit> {
        if depth > VALUE_DEPTH_MAX {
            return Err(Misfit);
        }
        let mut fields = Vec::with_capacity(shape.fields.len().min(VALUE_ITEMS_MAX));
        match shape.kind {
            StructureType::Union | StructureType::UnionWithSubtypedValues => {
                let choice: u32 = self.read()?;
                if choice > 0 {
                    let index = usize::try_from(choice - 1).map_err(|_| Misfit)?;
                    let field = shape.fields.get(index).ok_or(Misfit)?;
                    let boxed = shape.kind == StructureType::UnionWithSubtypedValues;
                    let value = self.field(field, boxed && field.optional, converter, depth)?;
                    fields.push((field.name.clone(), value));
                }
            }
            StructureType::StructureWithOptionalFields => {
                let mask: u32 = self.read()?;
                let mut bit = 1u32;
                for field in &shape.fields {
                    let is_there = !field.optional || mask & bit != 0;
                    if field.optional {
                        bit = bit.checked_shl(1).unwrap_or(0);
                    }
                    if is_there {
                        let value = self.field(field, false, converter, depth)?;
                        fields.push((field.name.clone(), value));
                    }
                }
            }
            StructureType::Structure | StructureType::StructureWithSubtypedValues => {
                let boxed = shape.kind == StructureType::StructureWithSubtypedValues;
                for field in &shape.fields {
                    let value = self.field(field, boxed && field.optional, converter, depth)?;
                    fields.push((field.name.clone(), value));
                }
            }
        }
        Ok(Value::map(fields))
    }

    fn field(
        &mut self,
        field: &Field,
        boxed: bool,
        converter: &mut Converter<'_>,
        depth: usize,
    ) -> Result<Value, Misfit> {
        let form = if boxed && !matches!(field.form, Form::BuiltIn(_)) {
            &Form::Boxed
        } else {
            &field.form
        };
        match field.rank {
            ..=0 => self.element(form, converter, depth),
            1 => {
                let count: i32 = self.read()?;
                self.elements(form, usize::try_from(count).unwrap_or(0), converter, depth)
            }
            _ => {
                let lengths: Option<Vec<i32>> = self.read()?;
                let lengths: Vec<usize> = lengths
                    .unwrap_or_default()
                    .into_iter()
                    .map(|length| usize::try_from(length).unwrap_or(0))
                    .collect();
                // Empty rows cost no octets: their number must not be the server's to choose.
                let rows =
                    lengths.iter().try_fold(1usize, |n, length| n.checked_mul(*length.max(&1)));
                if rows.is_none_or(|rows| rows > ELEMENTS_MAX) {
                    return Err(Misfit);
                }
                self.matrix(form, &lengths, converter, depth)
            }
        }
    }

    fn matrix(
        &mut self,
        form: &Form,
        lengths: &[usize],
        converter: &mut Converter<'_>,
        depth: usize,
    ) -> Result<Value, Misfit> {
        match lengths.split_first() {
            None => Ok(Value::list([])),
            Some((count, [])) => self.elements(form, *count, converter, depth),
            Some((count, inner)) => {
                if depth > VALUE_DEPTH_MAX {
                    return Err(Misfit);
                }
                let rows = (0..*count).map(|_| self.matrix(form, inner, converter, depth + 1));
                let rows: Result<Vec<Value>, Misfit> = rows.collect();
                rows.map(Value::list)
            }
        }
    }

    fn elements(
        &mut self,
        form: &Form,
        count: usize,
        converter: &mut Converter<'_>,
        depth: usize,
    ) -> Result<Value, Misfit> {
        if count > ELEMENTS_MAX {
            return Err(Misfit);
        }
        let mut elements = Vec::with_capacity(count.min(VALUE_ITEMS_MAX));
        for _ in 0..count {
            let element = self.element(form, converter, depth + 1)?;
            if elements.len() < VALUE_ITEMS_MAX {
                elements.push(element);
            }
        }
        Ok(Value::list(elements))
    }

    fn element(
        &mut self,
        form: &Form,
        converter: &mut Converter<'_>,
        depth: usize,
    ) -> Result<Value, Misfit> {
        let variant = match form {
            Form::Boxed => Variant::ExtensionObject(self.read::<ExtensionObject>()?),
            Form::Inline(data_type) => {
                let shape = self.structures.shape(data_type).ok_or(Misfit)?;
                return self.structure(&shape, converter, depth + 1);
            }
            // A diagnostic info is not allowed in a variant by every decoder.
            Form::BuiltIn(25) => Variant::DiagnosticInfo(Box::new(self.read::<DiagnosticInfo>()?)),
            Form::BuiltIn(24) => self.read::<Variant>()?,
            // A scalar in a structure is a variant without its first octet.
            Form::BuiltIn(number) => {
                let first = [number & !ARRAY_BIT];
                let mut octets = first.as_slice().chain(&mut self.octets);
                Variant::decode(&mut octets, &self.context.context()).map_err(|_| Misfit)?
            }
        };
        Ok(converter.nested(&variant, depth + 1))
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::BinaryEncodable;
    use opcua::types::type_loader::ByteStringBody;

    use super::*;

    fn field(name: &str, form: Form, rank: i32, optional: bool) -> Field {
        Field { name: name.into(), form, rank, optional }
    }

    fn object(encoding: &NodeId, octets: Vec<u8>) -> Variant {
        let body = ByteStringBody::new(opcua::types::ByteString::from(octets), encoding.clone());
        Variant::ExtensionObject(ExtensionObject::new(body))
    }

    fn known(kind: StructureType, fields: Vec<Field>) -> (Structures, NodeId) {
        let structures = Structures::default();
        let (encoding, data_type) = (NodeId::new(2, 5001u32), NodeId::new(2, 3001u32));
        structures.learn_encoding(encoding.clone(), data_type.clone());
        structures.learn(data_type, Shape { kind, fields });
        (structures, encoding)
    }

    #[test]
    fn a_structure_in_a_structure_becomes_a_map_in_a_map() {
        let inner = NodeId::new(2, 3002u32);
        let fields = vec![
            field("Speed", Form::BuiltIn(11), -1, false),
            field("Names", Form::BuiltIn(12), 1, false),
            field("Point", Form::Inline(inner.clone()), -1, false),
        ];
        let (structures, encoding) = known(StructureType::Structure, fields);
        let point = vec![field("X", Form::BuiltIn(6), -1, false)];
        structures.learn(inner, Shape { kind: StructureType::Structure, fields: point });
        let context = structures.context();
        let mut octets = Vec::new();
        1.5f64.encode(&mut octets, &context.context()).unwrap();
        octets.extend([2, 0, 0, 0, /* a */ 1, 0, 0, 0, b'a', /* b */ 1, 0, 0, 0, b'b']);
        octets.extend(7i32.to_le_bytes());
        let value = Converter::new(&structures).value(&object(&encoding, octets));
        assert_eq!(value.pick("Speed"), Some(&Value::F64(1.5)));
        assert_eq!(value.pick("Names[1]"), Some(&Value::text("b")));
        assert_eq!(value.pick("Point.X"), Some(&Value::I64(7)));
    }

    #[test]
    fn a_standard_structure_needs_no_server() {
        let range = opcua::types::Range { low: -5.0, high: 5.0 };
        let object = Variant::ExtensionObject(ExtensionObject::from_message(range));
        let structures = Structures::default();
        let value = Converter::new(&structures).value(&object);
        assert_eq!(value.pick("High"), Some(&Value::F64(5.0)));
        let status = opcua::types::ServerStatusDataType::default();
        let object = Variant::ExtensionObject(ExtensionObject::from_message(status));
        let value = Converter::new(&structures).value(&object);
        assert_eq!(value.pick("BuildInfo.ProductName"), Some(&Value::Null));
    }

    #[test]
    fn a_field_left_out_is_not_there_and_a_union_has_the_chosen_one() {
        let fields =
            || vec![field("A", Form::BuiltIn(7), -1, true), field("B", Form::BuiltIn(7), -1, true)];
        let (structures, encoding) = known(StructureType::StructureWithOptionalFields, fields());
        let octets = [2u32.to_le_bytes(), 9u32.to_le_bytes()].concat();
        let value = Converter::new(&structures).value(&object(&encoding, octets));
        assert_eq!((value.pick("A"), value.pick("B")), (None, Some(&Value::U64(9))));

        let (structures, encoding) = known(StructureType::Union, fields());
        let octets = [1u32.to_le_bytes(), 8u32.to_le_bytes()].concat();
        let value = Converter::new(&structures).value(&object(&encoding, octets));
        assert_eq!(value, Value::map([("A".into(), Value::U64(8))]));
    }

    #[test]
    fn what_does_not_fit_its_definition_stays_as_it_came() {
        let fields = vec![field("A", Form::BuiltIn(7), -1, false)];
        let (structures, encoding) = known(StructureType::Structure, fields);
        for octets in [vec![1, 2, 3], vec![1, 2, 3, 4, 5]] {
            let mut converter = Converter::new(&structures);
            let value = converter.value(&object(&encoding, octets.clone()));
            assert_eq!(value, Value::bytes(&octets));
        }
        let unknown = NodeId::new(3, 1u32);
        let mut converter = Converter::new(&structures);
        assert_eq!(converter.value(&object(&unknown, vec![1])), Value::bytes(&[1]));
        assert_eq!(converter.missing, vec![unknown]);
    }
}
