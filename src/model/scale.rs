//! Linear scaling from raw counts to engineering units.

use super::Value;

/// Maps the raw range linearly onto the engineering range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Raw counts at both ends; the two differ.
    pub raw: (f64, f64),
    /// Engineering values at both ends.
    pub eu: (f64, f64),
}

impl Scale {
    /// Makes a scale; `None` where a bound is not finite or the raw range is empty.
    #[must_use]
    pub fn new(raw: (f64, f64), eu: (f64, f64)) -> Option<Self> {
        let finite = [raw.0, raw.1, eu.0, eu.1].iter().all(|b| b.is_finite());
        (finite && raw.0 != raw.1).then_some(Self { raw, eu })
    }

    /// Scales a number, or each number of a list; anything else passes unchanged.
    ///
    /// Values outside the raw range are extrapolated, never clamped: a clamped value looks good.
    #[must_use]
    pub fn apply(&self, value: &Value) -> Value {
        match value {
            Value::List(items) => Value::list(items.iter().map(|item| self.apply(item))),
            Value::I64(_) | Value::U64(_) | Value::F64(_) => match value.as_f64() {
                Some(x) => Value::F64(self.number(x)),
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    fn number(&self, x: f64) -> f64 {
        // Multiplied first: counts of a decimal scale then come out as the decimal they mean.
        self.eu.0 + (x - self.raw.0) * (self.eu.1 - self.eu.0) / (self.raw.1 - self.raw.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_map_exactly_and_beyond_is_extrapolated() {
        let s = Scale::new((0.0, 27648.0), (0.0, 100.0)).unwrap();
        assert_eq!(s.apply(&Value::U64(27648)), Value::F64(100.0));
        assert_eq!(s.apply(&Value::U64(0)), Value::F64(0.0));
        assert_eq!(s.apply(&Value::I64(-27648)), Value::F64(-100.0));
        let tenths = Scale::new((0.0, 1000.0), (0.0, 100.0)).unwrap();
        assert_eq!(tenths.apply(&Value::U64(555)), Value::F64(55.5));
        assert!(Scale::new((1.0, 1.0), (0.0, 1.0)).is_none());
    }
}
