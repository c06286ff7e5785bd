//! Every kind of value comes back bit for bit, and no bytes whatever make the decoder panic.

use proptest::prelude::*;

use super::*;

/// Gives the exact bits of a value, so that NaN equals NaN and -0.0 is not 0.0.
fn bits(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    put_blob(&mut out, value).unwrap();
    out
}

fn encode(values: &[Value], qualities: &[Quality]) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(put_column(&mut out, values, qualities, &mut Scratch::default()), 0);
    out
}

fn round_trip(values: &[Value], qualities: &[Quality]) -> usize {
    let bytes = encode(values, qualities);
    let mut from = Cursor::new(&bytes);
    let back = take_column(&mut from, values.len(), &mut Scratch::default()).unwrap();
    assert_eq!(from.left(), 0);
    assert_eq!(back.qualities, qualities);
    let want: Vec<_> = values.iter().map(bits).collect();
    let got: Vec<_> = back.values.iter().map(bits).collect();
    assert_eq!(got, want);
    let mut from = Cursor::new(&bytes);
    skip_column(&mut from, values.len(), &mut Scratch::default()).unwrap();
    assert_eq!(from.left(), 0);
    bytes.len()
}

fn good(count: usize) -> Vec<Quality> {
    vec![Quality::GOOD; count]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<u32>().prop_map(|bits| f64::from(f32::from_bits(bits))),
        (-1_000_000_i32..1_000_000).prop_map(|i| f64::from(i) / 100.0),
        Just(-0.0),
        Just(f64::NAN),
        Just(f64::NEG_INFINITY),
        Just(f64::from_bits(0x7FF0_0000_0000_0001)),
        Just(f64::from_bits(0xFFF8_DEAD_BEEF_0001)),
        Just(f64::MIN_POSITIVE / 2.0),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Value::I64),
        prop_oneof![any::<u64>(), Just(u64::MAX), Just(0)].prop_map(Value::U64),
        float().prop_map(Value::F64),
        any::<i64>().prop_map(|n| Value::Time(Timestamp::from_nanos(n))),
        ".{0,12}".prop_map(|t| Value::text(&t)),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|b| Value::bytes(&b)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::list),
            prop::collection::vec((".{0,6}", inner), 0..4)
                .prop_map(|f| Value::map(f.into_iter().map(|(k, v)| (k.into(), v)))),
        ]
    })
}

fn qualities(count: usize) -> impl Strategy<Value = Vec<Quality>> {
    let one = prop_oneof![
        4 => Just(Quality::GOOD),
        1 => Just(Quality::BAD_NO_COMMUNICATION),
        1 => any::<u32>().prop_map(Quality::from_status),
    ];
    prop::collection::vec(one, count..=count)
}

/// Columns as the field makes them: one kind throughout, and now and then a mixture.
fn column() -> impl Strategy<Value = (Vec<Value>, Vec<Quality>)> {
    let values = prop_oneof![
        prop::collection::vec(value(), 1..40),
        prop::collection::vec(float().prop_map(Value::F64), 1..80),
        prop::collection::vec(any::<u64>().prop_map(Value::U64), 1..40),
        prop::collection::vec((-9_i64..9).prop_map(Value::I64), 1..200),
        prop::collection::vec(any::<bool>().prop_map(Value::Bool), 1..200),
    ];
    values.prop_flat_map(|values| {
        let count = values.len();
        (Just(values), qualities(count))
    })
}

proptest! {
    #[test]
    fn every_column_comes_back_bit_for_bit((values, qualities) in column()) {
        round_trip(&values, &qualities);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        rows in 0_usize..300,
    ) {
        if let Ok(c) = take_column(&mut Cursor::new(&bytes), rows, &mut Scratch::default()) {
            prop_assert_eq!(c.values.len(), rows);
            prop_assert_eq!(c.qualities.len(), rows);
        }
    }

    #[test]
    fn mutated_columns_never_panic(
        (values, qualities) in column(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&values, &qualities);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let rows = values.len();
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(c) = take_column(&mut Cursor::new(bytes), rows, &mut Scratch::default()) {
                prop_assert_eq!(c.values.len(), rows);
                prop_assert_eq!(c.qualities.len(), rows);
            }
        }
    }
}

#[test]
fn the_awkward_floats_keep_their_payload() {
    let values: Vec<Value> = [0x7FF0_0000_0000_0001, 0xFFF8_DEAD_BEEF_0001, (-0.0_f64).to_bits()]
        .map(|bits| Value::F64(f64::from_bits(bits)))
        .to_vec();
    round_trip(&values, &good(3));
}

#[test]
fn a_constant_costs_a_few_bytes_whatever_its_length() {
    let values = vec![Value::F64(42.5); 60];
    assert!(round_trip(&values, &good(60)) <= 4);
    let values = vec![Value::Text("RUN".into()); 60];
    assert!(round_trip(&values, &good(60)) <= 8);
}

#[test]
fn a_value_too_large_to_store_is_null_with_its_reason() {
    let long = Value::text(&"x".repeat(16 * 1024));
    let values = [
        Value::text("a"),
        Value::list(std::iter::repeat_n(long, 9)),
        Value::text("b"),
        Value::Null,
    ];
    let mut out = Vec::new();
    assert_eq!(put_column(&mut out, &values, &good(4), &mut Scratch::default()), 1);
    let back = take_column(&mut Cursor::new(&out), 4, &mut Scratch::default()).unwrap();
    assert_eq!(back.values, [Value::text("a"), Value::Null, Value::text("b"), Value::Null]);
    assert_eq!(back.qualities, [Quality::GOOD, TOO_LARGE, Quality::GOOD, Quality::GOOD]);
}
