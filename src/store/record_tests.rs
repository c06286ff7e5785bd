//! Records keep their keys' order and their rows, and arbitrary bytes never panic.

use proptest::prelude::*;

use super::*;

fn times(from: i64, rows: usize) -> Vec<Timestamp> {
    (0_i64..).take(rows).map(|row| Timestamp::from_millis(from + row * 1000)).collect()
}

fn ramp(seed: i64, rows: usize) -> Column {
    let values = (0_i64..).take(rows).map(|row| Value::I64(row * row * (seed + 3))).collect();
    Column { values, qualities: vec![Quality::GOOD; rows] }
}

fn piece<'a>(group: u32, received: &'a [Timestamp], columns: &'a [Column]) -> Piece<'a> {
    let columns =
        columns.iter().map(|c| ColumnRef { values: &c.values, qualities: &c.qualities }).collect();
    Piece { group, first: 0, received, source: &[], columns }
}

fn pack(pieces: &[Piece<'_>]) -> (Vec<(Key, Vec<u8>)>, Summary) {
    let mut packer = Packer::default();
    for piece in pieces {
        for rows in piece.stretches() {
            packer.push(piece, &rows);
        }
    }
    let packed = packer.finish();
    let summary = packed.summary.clone();
    (packed.sealed(7).collect(), summary)
}

#[test]
fn a_wide_group_spans_records_and_every_column_is_found_by_key() {
    let received = times(5_000, 60);
    let columns: Vec<Column> = (0..1000).map(|seed| ramp(seed, 60)).collect();
    let small = [ramp(5, 60)];
    let (records, summary) = pack(&[piece(1, &received, &columns), piece(2, &received, &small)]);
    assert!(records.len() > 3);
    assert!(records.iter().all(|(_, bytes)| bytes.len() <= RECORD_BYTES_MAX));
    assert!(records.is_sorted_by_key(|(key, _)| *key));
    assert_eq!(summary.samples, 60 * 1001);
    assert_eq!(summary.groups, [1, 2]);
    assert_eq!((summary.first, summary.last), (received[0], received[59]));
    let mut scratch = Scratch::default();
    for (group, column, want) in [(1, 0, &columns[0]), (1, 777, &columns[777]), (2, 0, &small[0])] {
        let at = records.partition_point(|(key, _)| *key <= (7, group, column)) - 1;
        let (key, bytes) = &records[at];
        let mut sections = Sections::open(*key, bytes).unwrap();
        let mut section = loop {
            let section = sections.next().unwrap().unwrap();
            if section.holds(group, column) {
                break section;
            }
        };
        assert_eq!(section.times(&mut scratch).unwrap().received, received);
        for _ in section.first..column {
            section.skip(&mut scratch).unwrap();
        }
        assert_eq!(section.column(&mut scratch).unwrap(), *want);
    }
}

#[test]
fn the_devices_own_times_come_back_where_there_are_any() {
    let received = times(0, 4);
    let source = [None, Some(Timestamp::from_nanos(i64::MIN)), None, Some(received[3])];
    let column = ramp(1, 4);
    let mut streamed = piece(STREAMS, &received, std::slice::from_ref(&column));
    streamed.source = &source;
    streamed.first = 99;
    let (records, _) = pack(&[streamed]);
    let mut sections = Sections::open(records[0].0, &records[0].1).unwrap();
    let mut section = sections.next().unwrap().unwrap();
    assert!(section.holds(STREAMS, 99));
    assert_eq!(section.times(&mut Scratch::default()).unwrap().source, source);
}

#[test]
fn a_record_at_another_key_or_with_a_flipped_bit_is_refused() {
    let received = times(0, 8);
    let columns = [ramp(1, 8)];
    let (records, _) = pack(&[piece(3, &received, &columns)]);
    let (key, bytes) = &records[0];
    assert!(verify(*key, bytes).is_ok());
    assert!(verify((8, 3, 0), bytes).is_err());
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        assert!(verify(*key, &flipped).is_err());
    }
}

/// Decodes everything there is, as a reader of all columns would.
fn read_all(body: &[u8]) -> Result<usize, Malformed> {
    let mut scratch = Scratch::default();
    let mut sections = Sections::of_body(body)?;
    let mut values = 0;
    while let Some(mut section) = sections.next()? {
        section.times(&mut scratch)?;
        for _ in 0..section.columns {
            values += section.column(&mut scratch)?.values.len();
        }
    }
    Ok(values)
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic_and_never_unfold_without_end(
        body in prop::collection::vec(any::<u8>(), 0..500),
    ) {
        if let Ok(values) = read_all(&body) {
            prop_assert!(values <= VALUES_MAX);
        }
    }

    #[test]
    fn mutated_bodies_never_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let received = times(0, 20);
        let columns: Vec<Column> = (0..9).map(|seed| ramp(seed, 20)).collect();
        let (records, _) = pack(&[piece(3, &received, &columns)]);
        let mut body = records[0].1[HASH_BYTES..].to_vec();
        prop_assert_eq!(read_all(&body), Ok(180));
        let at = at.index(body.len());
        body[at] = byte;
        for body in [&body[..], &body[..cut.index(body.len())]] {
            if let Ok(values) = read_all(body) {
                prop_assert!(values <= VALUES_MAX);
            }
        }
    }
}
