//! What a device said, in one closed type.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::Timestamp;

/// A list or map keeps at most this many items, as the reference does for OPC UA arrays times ten.
pub const VALUE_ITEMS_MAX: usize = 1000;
/// Structures nest at most this deep; real OPC UA structures stay below five.
pub const VALUE_DEPTH_MAX: usize = 8;
/// One value holds at most this many bytes of text or octets.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// A value as the driver picked it. Nobody reinterprets it later.
///
/// Scalars are plain; everything else is shared and immutable, so a clone is cheap.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value was delivered.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer of any width.
    I64(i64),
    /// An unsigned integer of any width.
    U64(u64),
    /// A floating-point number; non-finite ones are written to JSON as `null`.
    F64(f64),
    /// Text, bounded by [`VALUE_BYTES_MAX`].
    Text(Arc<str>),
    /// Octets, bounded by [`VALUE_BYTES_MAX`].
    Bytes(Arc<[u8]>),
    /// An instant.
    Time(Timestamp),
    /// A list, bounded by [`VALUE_ITEMS_MAX`].
    List(Arc<[Value]>),
    /// A structure with named fields in the device's order.
    Map(Arc<[(Arc<str>, Value)]>),
}

impl Value {
    /// Makes a text value, cut to [`VALUE_BYTES_MAX`] at a character boundary.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let mut end = text.len().min(VALUE_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self::Text(Arc::from(text.get(..end).unwrap_or_default()))
    }

    /// Makes an octet value, cut to [`VALUE_BYTES_MAX`].
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(Arc::from(bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes)))
    }

    /// Makes a list, cut to [`VALUE_ITEMS_MAX`].
    #[must_use]
    pub fn list(items: impl IntoIterator<Item = Value>) -> Self {
        Self::List(items.into_iter().take(VALUE_ITEMS_MAX).collect())
    }

    /// Makes a structure, cut to [`VALUE_ITEMS_MAX`] fields.
    #[must_use]
    pub fn map(fields: impl IntoIterator<Item = (Arc<str>, Value)>) -> Self {
        Self::Map(fields.into_iter().take(VALUE_ITEMS_MAX).collect())
    }

    /// Gives the value as a finite number; a truth value counts as 0 or 1, text is never parsed.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "statistics take the nearest double")]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            Self::I64(i) => Some(*i as f64),
            Self::U64(u) => Some(*u as f64),
            Self::F64(f) if f.is_finite() => Some(*f),
            _ => None,
        }
    }

    /// Tells whether the value is a float that JSON can't carry.
    #[must_use]
    pub fn is_non_finite(&self) -> bool {
        matches!(self, Self::F64(f) if !f.is_finite())
    }

    /// Follows a path such as `a.b[3]` into lists and structures.
    #[must_use]
    pub fn pick(&self, path: &str) -> Option<&Value> {
        let mut here = self;
        for step in path.split(['.', '[']).filter(|s| !s.is_empty()) {
            here = match (here, step.strip_suffix(']')) {
                (Self::List(items), Some(index)) => items.get(index.parse::<usize>().ok()?)?,
                (Self::Map(fields), None) => {
                    &fields.iter().find(|(name, _)| name.as_ref() == step)?.1
                }
                _ => return None,
            };
        }
        Some(here)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => out.serialize_unit(),
            Self::Bool(b) => out.serialize_bool(*b),
            Self::I64(i) => out.serialize_i64(*i),
            Self::U64(u) => out.serialize_u64(*u),
            // RFC 8259 has no NaN and no infinities.
            Self::F64(f) if !f.is_finite() => out.serialize_unit(),
            Self::F64(f) => out.serialize_f64(*f),
            Self::Text(t) => out.serialize_str(t),
            Self::Bytes(b) => {
                use std::fmt::Write as _;
                let mut hex = String::with_capacity(2 + b.len() * 2);
                hex.push_str("0x");
                for byte in b.iter() {
                    write!(hex, "{byte:02x}").map_err(serde::ser::Error::custom)?;
                }
                out.serialize_str(&hex)
            }
            Self::Time(t) => out.serialize_str(&t.to_rfc3339()),
            Self::List(items) => {
                let mut seq = out.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Map(fields) => {
                let mut map = out.serialize_map(Some(fields.len()))?;
                for (name, value) in fields.iter() {
                    map.serialize_entry(name.as_ref(), value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_non_finite_float_is_null_in_json_and_no_number() {
        assert_eq!(serde_json::to_string(&Value::F64(f64::NAN)).unwrap(), "null");
        assert_eq!(Value::F64(f64::INFINITY).as_f64(), None);
    }

    #[test]
    fn integers_are_exact_to_64_bits() {
        assert_eq!(serde_json::to_string(&Value::U64(u64::MAX)).unwrap(), u64::MAX.to_string());
        assert_eq!(serde_json::to_string(&Value::I64(i64::MIN)).unwrap(), i64::MIN.to_string());
    }

    #[test]
    fn a_path_picks_inside_lists_and_structures() {
        let v = Value::map([("a".into(), Value::list([Value::I64(1), Value::I64(7)]))]);
        assert_eq!(v.pick("a[1]"), Some(&Value::I64(7)));
        assert_eq!(v.pick("a[2]"), None);
        assert_eq!(v.pick("b"), None);
        assert_eq!(v.pick(""), Some(&v));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let Value::Text(t) = Value::text(&"\u{6f22}".repeat(VALUE_BYTES_MAX)) else { panic!() };
        assert!(t.len() <= VALUE_BYTES_MAX && t.len() > VALUE_BYTES_MAX - 3);
    }
}
