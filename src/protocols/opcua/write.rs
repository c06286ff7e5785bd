//! Writes: the Value attribute of one node (Part 4, 5.11.4).

use opcua::types::{
    Array, AttributeId, DataValue, NodeId, NumericRange, StatusCode, UAString, Variant,
    VariantScalarTypeId, WriteValue,
};

use crate::model::{DataType, Scalar, VALUE_BYTES_MAX, Value, integer};
use crate::net::registers::single;

/// Makes the one write of a value: nothing but the value, since servers refuse times and status.
pub(super) fn write_value(node: NodeId, data_type: DataType, value: &Value) -> Option<WriteValue> {
    Some(WriteValue {
        node_id: node,
        attribute_id: AttributeId::Value as u32,
        index_range: NumericRange::None,
        value: DataValue {
            value: Some(variant(data_type, value)?),
            status: None,
            source_timestamp: None,
            source_picoseconds: None,
            server_timestamp: None,
            server_picoseconds: None,
        },
    })
}

fn variant(data_type: DataType, value: &Value) -> Option<Variant> {
    match (data_type, value) {
        (DataType::One(scalar), value) => one(scalar, value),
        (DataType::Text(_), Value::Text(text)) => {
            Some(Variant::String(UAString::from(text.as_ref())))
        }
        (DataType::Array(scalar, count), Value::List(items))
            if items.len() == usize::from(count) =>
        {
            let items: Option<Vec<Variant>> = items.iter().map(|item| one(scalar, item)).collect();
            let array = Array::new(kind(scalar), items?).ok()?;
            Some(Variant::Array(Box::new(array)))
        }
        _ => None,
    }
}

fn kind(scalar: Scalar) -> VariantScalarTypeId {
    match scalar {
        Scalar::Bool => VariantScalarTypeId::Boolean,
        Scalar::UInt8 => VariantScalarTypeId::Byte,
        Scalar::Int8 => VariantScalarTypeId::SByte,
        Scalar::UInt16 => VariantScalarTypeId::UInt16,
        Scalar::Int16 => VariantScalarTypeId::Int16,
        Scalar::UInt32 => VariantScalarTypeId::UInt32,
        Scalar::Int32 => VariantScalarTypeId::Int32,
        Scalar::UInt64 => VariantScalarTypeId::UInt64,
        Scalar::Int64 => VariantScalarTypeId::Int64,
        Scalar::Float32 => VariantScalarTypeId::Float,
        Scalar::Float64 => VariantScalarTypeId::Double,
    }
}

fn one(scalar: Scalar, value: &Value) -> Option<Variant> {
    let whole = || integer(value);
    Some(match (scalar, value) {
        (Scalar::Bool, Value::Bool(on)) => Variant::Boolean(*on),
        (Scalar::UInt8, _) => Variant::Byte(u8::try_from(whole()?).ok()?),
        (Scalar::Int8, _) => Variant::SByte(i8::try_from(whole()?).ok()?),
        (Scalar::UInt16, _) => Variant::UInt16(u16::try_from(whole()?).ok()?),
        (Scalar::Int16, _) => Variant::Int16(i16::try_from(whole()?).ok()?),
        (Scalar::UInt32, _) => Variant::UInt32(u32::try_from(whole()?).ok()?),
        (Scalar::Int32, _) => Variant::Int32(i32::try_from(whole()?).ok()?),
        (Scalar::UInt64, _) => Variant::UInt64(u64::try_from(whole()?).ok()?),
        (Scalar::Int64, _) => Variant::Int64(i64::try_from(whole()?).ok()?),
        (Scalar::Float32, value) => Variant::Float(single(value)?),
        (Scalar::Float64, Value::F64(f)) if f.is_finite() => Variant::Double(*f),
        _ => return None,
    })
}

/// Tells whether a status says that the value was taken.
pub(super) fn is_taken(status: StatusCode) -> bool {
    status.is_good()
}

/// Gives the type of a value that a node holds; [`DataType::Native`] where it is never written.
pub(super) fn data_type(name: &str, value: &Value) -> DataType {
    if name == "String" {
        return DataType::Text(u16::try_from(VALUE_BYTES_MAX).unwrap_or(u16::MAX));
    }
    let scalar = match name {
        "Boolean" => Scalar::Bool,
        "Byte" => Scalar::UInt8,
        "SByte" => Scalar::Int8,
        "UInt16" => Scalar::UInt16,
        "Int16" => Scalar::Int16,
        "UInt32" => Scalar::UInt32,
        "Int32" => Scalar::Int32,
        "UInt64" => Scalar::UInt64,
        "Int64" => Scalar::Int64,
        "Float" => Scalar::Float32,
        "Double" => Scalar::Float64,
        _ => return DataType::Native,
    };
    match value {
        Value::List(items) => match u16::try_from(items.len()) {
            Ok(count) if count > 0 => DataType::Array(scalar, count),
            _ => DataType::Native,
        },
        _ => DataType::One(scalar),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_written_as_itself_and_nothing_else_is() {
        let of = |kind: &str, value: Value| variant(DataType::parse(kind).unwrap(), &value);
        assert_eq!(of("float32", Value::F64(2.5)), Some(Variant::Float(2.5)));
        assert_eq!(of("int16", Value::I64(-3)), Some(Variant::Int16(-3)));
        assert_eq!(of("uint64", Value::U64(u64::MAX)), Some(Variant::UInt64(u64::MAX)));
        assert_eq!(of("bool", Value::Bool(true)), Some(Variant::Boolean(true)));
        assert_eq!(of("bool", Value::U64(1)), None);
        assert_eq!(of("float64", Value::F64(f64::NAN)), None);
        assert_eq!(of("int16", Value::U64(40_000)), None);
        assert_eq!(of("float32[2]", Value::list([Value::F64(1.0)])), None);
        let two = of("uint16[2]", Value::list([Value::U64(1), Value::U64(2)]));
        assert!(matches!(two, Some(Variant::Array(array)) if array.values.len() == 2));
    }

    #[test]
    fn a_status_that_is_not_good_took_nothing() {
        assert!(is_taken(StatusCode::Good));
        for status in [StatusCode::BadNotWritable, StatusCode::UncertainInitialValue] {
            assert!(!is_taken(status));
        }
    }
}
