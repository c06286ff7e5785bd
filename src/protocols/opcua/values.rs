//! Variants to values (Part 6, 5.1 and 5.2.2.16).

use std::sync::Arc;

use opcua::types::type_loader::{ByteStringBody, XmlBody};
use opcua::types::{
    Array, DataValue, DateTime, ExtensionObject, NodeId, StatusCode, Variant, VariantScalarTypeId,
    VariantTypeId,
};

use super::structures::Structures;
use crate::model::{Quality, Timestamp, VALUE_DEPTH_MAX, VALUE_ITEMS_MAX, Value};

/// Elements of one value, nested ones included; ten full lists.
const ELEMENTS_MAX: usize = 10 * VALUE_ITEMS_MAX;
/// Ticks of 100 ns from 1601 to 1970 (Part 6, 5.2.2.5).
const TICKS_TO_1970: i64 = 116_444_736_000_000_000;

/// Converts variants; structures come out as maps where their definition is known.
pub(super) struct Converter<'a> {
    structures: &'a Structures,
    /// Encodings met whose definition is not known yet.
    pub(super) missing: Vec<NodeId>,
    left: usize,
}

/// Converts an instant; `None` for the null one, and outside the years 1678 to 2262.
pub(super) fn instant(time: &DateTime) -> Option<Timestamp> {
    let ticks = time.ticks();
    if time.is_null() {
        return None;
    }
    ticks.checked_sub(TICKS_TO_1970)?.checked_mul(100).map(Timestamp::from_nanos)
}

/// Gives the instant to ask a server for.
pub(super) fn date_time(at: Timestamp) -> DateTime {
    // Every i64 of nanoseconds is a date that chrono knows.
    DateTime::from(chrono::DateTime::from_timestamp_nanos(at.nanos()))
}

/// Gives the quality of a data value; no status is Good (Part 6, 5.2.2.17).
pub(super) fn quality(value: &DataValue) -> Quality {
    Quality::from_status(value.status.unwrap_or(StatusCode::Good).bits())
}

/// Names a variant's type; that of its elements where it is an array, empty where it is null.
pub(super) fn type_name(variant: &Variant) -> &'static str {
    let scalar = match variant.type_id() {
        VariantTypeId::Empty => return "",
        VariantTypeId::Scalar(scalar) | VariantTypeId::Array(scalar, _) => scalar,
    };
    match scalar {
        VariantScalarTypeId::Boolean => "Boolean",
        VariantScalarTypeId::SByte => "SByte",
        VariantScalarTypeId::Byte => "Byte",
        VariantScalarTypeId::Int16 => "Int16",
        VariantScalarTypeId::UInt16 => "UInt16",
        VariantScalarTypeId::Int32 => "Int32",
        VariantScalarTypeId::UInt32 => "UInt32",
        VariantScalarTypeId::Int64 => "Int64",
        VariantScalarTypeId::UInt64 => "UInt64",
        VariantScalarTypeId::Float => "Float",
        VariantScalarTypeId::Double => "Double",
        VariantScalarTypeId::String => "String",
        VariantScalarTypeId::DateTime => "DateTime",
        VariantScalarTypeId::Guid => "Guid",
        VariantScalarTypeId::ByteString => "ByteString",
        VariantScalarTypeId::XmlElement => "XmlElement",
        VariantScalarTypeId::NodeId => "NodeId",
        VariantScalarTypeId::ExpandedNodeId => "ExpandedNodeId",
        VariantScalarTypeId::StatusCode => "StatusCode",
        VariantScalarTypeId::QualifiedName => "QualifiedName",
        VariantScalarTypeId::LocalizedText => "LocalizedText",
        VariantScalarTypeId::ExtensionObject => "ExtensionObject",
        VariantScalarTypeId::DataValue => "DataValue",
        VariantScalarTypeId::Variant => "Variant",
        VariantScalarTypeId::DiagnosticInfo => "DiagnosticInfo",
    }
}

/// Gives the text of a variant; empty where it holds none.
pub(super) fn text(variant: Option<&Variant>) -> Arc<str> {
    match variant {
        Some(Variant::String(text)) => Arc::from(text.as_ref()),
        Some(Variant::LocalizedText(text)) => Arc::from(text.text.as_ref()),
        Some(Variant::QualifiedName(name)) => Arc::from(name.name.as_ref()),
        _ => Arc::from(""),
    }
}

impl<'a> Converter<'a> {
    pub(super) fn new(structures: &'a Structures) -> Self {
        Self { structures, missing: Vec::new(), left: ELEMENTS_MAX }
    }

    /// Converts one variant.
    pub(super) fn value(&mut self, variant: &Variant) -> Value {
        self.nested(variant, 0)
    }

    /// Converts a variant that lies `depth` levels inside a value.
    pub(super) fn nested(&mut self, variant: &Variant, depth: usize) -> Value {
        self.left = self.left.saturating_sub(1);
        if depth > VALUE_DEPTH_MAX {
            return Value::Null;
        }
        match variant {
            Variant::Empty => Value::Null,
            Variant::Boolean(b) => Value::Bool(*b),
            Variant::SByte(i) => Value::I64(i64::from(*i)),
            Variant::Byte(u) => Value::U64(u64::from(*u)),
            Variant::Int16(i) => Value::I64(i64::from(*i)),
            Variant::UInt16(u) => Value::U64(u64::from(*u)),
            Variant::Int32(i) => Value::I64(i64::from(*i)),
            Variant::UInt32(u) => Value::U64(u64::from(*u)),
            Variant::Int64(i) => Value::I64(*i),
            Variant::UInt64(u) => Value::U64(*u),
            Variant::Float(f) => Value::F64(f64::from(*f)),
            Variant::Double(f) => Value::F64(*f),
            Variant::String(s) if s.is_null() => Value::Null,
            Variant::String(s) => Value::text(s.as_ref()),
            Variant::DateTime(time) => match instant(time) {
                Some(at) => Value::Time(at),
                None if time.is_null() => Value::Null,
                None => Value::text(&time.to_rfc3339()),
            },
            Variant::Guid(guid) => Value::text(&guid.to_string()),
            Variant::StatusCode(status) => Value::U64(u64::from(status.bits())),
            Variant::ByteString(octets) if octets.is_null() => Value::Null,
            Variant::ByteString(octets) => Value::bytes(octets.as_ref()),
            Variant::XmlElement(xml) => Value::text(&xml.to_string()),
            Variant::QualifiedName(name) => match name.namespace_index {
                0 => Value::text(name.name.as_ref()),
                index => Value::text(&format!("{index}:{}", name.name)),
            },
            Variant::LocalizedText(text) => Value::text(text.text.as_ref()),
            Variant::NodeId(id) => Value::text(&id.to_string()),
            Variant::ExpandedNodeId(id) => Value::text(&id.to_string()),
            Variant::ExtensionObject(object) => self.structure(object, depth),
            Variant::Variant(inner) => self.nested(inner, depth + 1),
            Variant::DataValue(data) => match &data.value {
                Some(inner) => self.nested(inner, depth + 1),
                None => Value::Null,
            },
            Variant::DiagnosticInfo(info) => Value::text(&format!("{info:?}")),
            Variant::Array(array) => self.array(array, depth),
        }
    }

    fn array(&mut self, array: &Array, depth: usize) -> Value {
        let dimensions: Vec<usize> = array
            .dimensions
            .iter()
            .flatten()
            .filter_map(|length| usize::try_from(*length).ok())
            .collect();
        match dimensions.split_first() {
            Some((_, inner)) if !inner.is_empty() => self.matrix(&array.values, &dimensions, depth),
            _ => self.list(&array.values, depth),
        }
    }

    fn list(&mut self, values: &[Variant], depth: usize) -> Value {
        let count = values.len().min(VALUE_ITEMS_MAX).min(self.left);
        Value::list(values.iter().take(count).map(|value| self.nested(value, depth + 1)))
    }

    /// Cuts a row-major sequence into nested lists (Part 6, 5.2.2.16).
    fn matrix(&mut self, values: &[Variant], dimensions: &[usize], depth: usize) -> Value {
        let Some((_, inner)) = dimensions.split_first().filter(|(_, inner)| !inner.is_empty())
        else {
            return self.list(values, depth);
        };
        let row = inner.iter().product::<usize>();
        if row == 0 || depth >= VALUE_DEPTH_MAX {
            return Value::list([]);
        }
        let mut rows = Vec::new();
        for values in values.chunks(row).take(VALUE_ITEMS_MAX) {
            if self.left == 0 {
                break;
            }
            rows.push(self.matrix(values, inner, depth + 1));
        }
        Value::list(rows)
    }

    /// Converts a structure; its octets as they came where no definition is known.
    fn structure(&mut self, object: &ExtensionObject, depth: usize) -> Value {
        let Some(body) = &object.body else { return Value::Null };
        if let Some(xml) = object.inner_as::<XmlBody>() {
            return Value::bytes(xml.raw_body());
        }
        let (encoding, octets) = match object.inner_as::<ByteStringBody>() {
            Some(raw) => (raw.encoding_id().clone(), raw.raw_body().as_ref().to_vec()),
            None => {
                let mut octets = Vec::new();
                let context = self.structures.context();
                if body.encode_binary(&mut octets, &context.context()).is_err() {
                    return Value::Null;
                }
                (body.binary_type_id().node_id, octets)
            }
        };
        match self.structures.decode(&encoding, &octets, self, depth) {
            Some(value) => value,
            None => {
                if !self.missing.contains(&encoding) {
                    self.missing.push(encoding);
                }
                Value::bytes(&octets)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{Guid, LocalizedText, UAString};

    use super::*;

    fn convert(variant: impl Into<Variant>) -> Value {
        let structures = Structures::default();
        Converter::new(&structures).value(&variant.into())
    }

    #[test]
    fn integers_are_exact_and_a_float_is_what_its_bits_say() {
        assert_eq!(convert(u64::MAX), Value::U64(u64::MAX));
        assert_eq!(convert(i64::MIN), Value::I64(i64::MIN));
        assert_eq!(convert(-7i8), Value::I64(-7));
        assert_eq!(convert(0.1f32), Value::F64(f64::from(0.1f32)));
        assert!(convert(f64::NAN).is_non_finite());
    }

    #[test]
    fn texts_ids_and_octets_keep_their_meaning() {
        assert_eq!(convert(UAString::null()), Value::Null);
        assert_eq!(convert(LocalizedText::new("en", "hello")), Value::text("hello"));
        assert_eq!(convert(NodeId::new(2, "x")), Value::text("ns=2;s=x"));
        assert_eq!(convert(opcua::types::ByteString::from(vec![0, 255])), Value::bytes(&[0, 255]));
        let guid = Value::text("00000000-0000-0000-0000-000000000000");
        assert_eq!(convert(Guid::null()), guid);
    }

    #[test]
    fn an_instant_is_exact_to_100_ns_and_the_null_one_is_none() {
        let at = Timestamp::parse("2024-01-01T00:00:00.1234567Z").unwrap();
        assert_eq!(convert(date_time(at)), Value::Time(at));
        assert_eq!(instant(&DateTime::null()), None);
        assert_eq!(convert(DateTime::null()), Value::Null);
        assert_eq!(convert(DateTime::endtimes()), Value::text("9999-12-31T23:59:59.000Z"));
    }

    #[test]
    fn a_matrix_becomes_rows_and_a_long_list_is_cut() {
        let six: Vec<Variant> = (1..=6i32).map(Variant::from).collect();
        let array = Array::new_multi(VariantScalarTypeId::Int32, six, vec![2u32, 3]).unwrap();
        let row = |from: i64| Value::list((from..from + 3).map(Value::I64));
        assert_eq!(convert(Variant::Array(Box::new(array))), Value::list([row(1), row(4)]));
        let Value::List(long) = convert(vec![1.0f64; 5000]) else { panic!("a list") };
        assert_eq!(long.len(), VALUE_ITEMS_MAX);
    }

    #[test]
    fn types_are_named_as_the_other_tools_name_them() {
        assert_eq!(type_name(&Variant::from(1.5f64)), "Double");
        assert_eq!(type_name(&Variant::from(vec![1i16, 2])), "Int16");
        assert_eq!(type_name(&Variant::Empty), "");
    }
}
