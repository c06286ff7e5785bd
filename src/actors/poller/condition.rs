//! From what the device said to what the tag reports: scale, finiteness, deadband.

use std::sync::Arc;

use crate::model::{Quality, Tag, Value};

/// Conditions one tag's readings.
#[derive(Debug)]
pub(crate) struct Conditioner {
    tag: Arc<Tag>,
    /// The value reported last: changes within the deadband keep it.
    reported: Option<Value>,
}

impl Conditioner {
    pub(crate) fn new(tag: Arc<Tag>) -> Self {
        Self { tag, reported: None }
    }

    /// Applies the tag's definition to one reading.
    pub(crate) fn condition(&mut self, value: Value, quality: Quality) -> (Value, Quality) {
        if quality.is_bad() {
            self.reported = None;
            return (value, quality);
        }
        let scaled = match &self.tag.scale {
            Some(scale) => scale.apply(&value),
            None => value,
        };
        if scaled.is_non_finite() {
            self.reported = None;
            return (scaled, Quality::BAD_DECODING_ERROR);
        }
        (self.hold(scaled), quality)
    }

    /// Keeps the value reported before while the new one is within the deadband of it.
    fn hold(&mut self, value: Value) -> Value {
        let Some(deadband) = self.tag.deadband else { return value };
        if let (Some(new), Some(old)) =
            (value.as_f64(), self.reported.as_ref().and_then(Value::as_f64))
            && (new - old).abs() < deadband
        {
            return self.reported.clone().unwrap_or(value);
        }
        self.reported = Some(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scale;

    fn conditioner(change: impl FnOnce(&mut Tag)) -> Conditioner {
        let mut tag = Tag::new("t", "e", "0");
        change(&mut tag);
        Conditioner::new(Arc::new(tag))
    }

    #[test]
    fn a_value_is_scaled_before_the_deadband_holds_it() {
        let mut c = conditioner(|t| {
            t.scale = Scale::new((0.0, 100.0), (0.0, 1.0));
            t.deadband = Some(0.1);
        });
        let good = Quality::GOOD;
        assert_eq!(c.condition(Value::U64(50), good).0, Value::F64(0.5));
        assert_eq!(c.condition(Value::U64(59), good).0, Value::F64(0.5));
        assert_eq!(c.condition(Value::U64(61), good).0, Value::F64(0.61));
    }

    #[test]
    fn a_bad_reading_ends_what_the_deadband_held() {
        let mut c = conditioner(|t| t.deadband = Some(10.0));
        c.condition(Value::F64(1.0), Quality::GOOD);
        let (value, quality) = c.condition(Value::Null, Quality::BAD_NO_COMMUNICATION);
        assert_eq!((value, quality), (Value::Null, Quality::BAD_NO_COMMUNICATION));
        assert_eq!(c.condition(Value::F64(2.0), Quality::GOOD).0, Value::F64(2.0));
    }

    #[test]
    fn a_number_that_is_none_is_bad() {
        let mut c = conditioner(|_| ());
        assert!(c.condition(Value::F64(f64::NAN), Quality::GOOD).1.is_bad());
    }
}
