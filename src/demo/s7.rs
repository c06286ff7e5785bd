//! The Siemens half: a controller that answers S7 communication, read-only.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::frame::Frame;
use super::points::{self, Place};
use crate::model::Value;
use crate::protocols::s7::{Area, Kind, Type, parse_point};

/// Clients served at once: about as many as a small controller has connections.
const CONNECTIONS_MAX: usize = 8;
/// What the controller grants, as an S7-300 does.
const PDU_BYTES: u16 = 240;
/// The longest request: what was granted, and the transport's headers.
const REQUEST_BYTES_MAX: usize = 512;
/// Flags, inputs and outputs that exist; what no point lies on is zero.
const AREA_BYTES: u32 = 1024;
/// Items of one job.
const ITEMS_MAX: usize = 20;

/// Return codes of an item.
const GOOD: u8 = 0xFF;
const BEYOND: u8 = 0x05;
const NO_TYPE: u8 = 0x06;
const NO_BLOCK: u8 = 0x0A;
/// The error of a job whose function is not offered.
const NO_FUNCTION: [u8; 2] = [0x81, 0x04];

/// Serves the newest frame until it is dropped.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    frames: watch::Receiver<Arc<Frame>>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (stream, _) = listener.accept().await?;
        // No place left: the connection is closed at once.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let frames = frames.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &frames).await {
                tracing::debug!(%error, "demo s7 connection ended");
            }
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, frames: &watch::Receiver<Arc<Frame>>) -> io::Result<()> {
    loop {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await?;
        let [3, _, high, low] = head else { return Ok(()) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !(7..=REQUEST_BYTES_MAX).contains(&length) {
            return Ok(());
        }
        let mut packet = vec![0; length - head.len()];
        stream.read_exact(&mut packet).await?;
        let answer = match packet.as_slice() {
            // A connection request: confirmed with its own reference.
            [_, 0xE0, _, _, r0, r1, ..] => vec![6, 0xD0, *r0, *r1, 0, 1, 0],
            [2, 0xF0, 0x80, message @ ..] => {
                let memory = Memory::new(&frames.borrow());
                let Some(answer) = answer(&memory, message) else { return Ok(()) };
                [&[2, 0xF0, 0x80][..], &answer].concat()
            }
            _ => return Ok(()),
        };
        let length = u16::try_from(answer.len() + 4).unwrap_or(u16::MAX);
        let [high, low] = length.to_be_bytes();
        stream.write_all(&[&[3, 0, high, low][..], &answer].concat()).await?;
    }
}

/// What the controller holds at one instant.
struct Memory {
    areas: BTreeMap<Area, Vec<u8>>,
}

impl Memory {
    fn new(frame: &Frame) -> Self {
        let mut areas = BTreeMap::new();
        for kind in [Kind::Flags, Kind::Inputs, Kind::Outputs] {
            areas.insert(Area { kind, block: 0 }, vec![0; AREA_BYTES as usize]);
        }
        for (point, cell) in points::all().zip(&frame.cells) {
            let Place::S7 { address } = point.place else { continue };
            let Ok(place) = parse_point(address) else { continue };
            let start = place.span.start as usize;
            let bytes: &mut Vec<u8> = areas.entry(place.span.area).or_default();
            let end = start + place.span.width as usize;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(at) = bytes.get_mut(start..end) {
                write(at, place.kind, &cell.value);
            }
        }
        Self { areas }
    }

    /// Reads bytes, or gives the return code of why not.
    fn read(&self, code: u8, block: u16, start: u32, count: u32) -> Result<&[u8], u8> {
        let kind = Kind::of_code(code).ok_or(NO_BLOCK)?;
        let bytes = self.areas.get(&Area { kind, block }).ok_or(NO_BLOCK)?;
        let end = start.checked_add(count).ok_or(BEYOND)?;
        bytes.get(start as usize..end as usize).ok_or(BEYOND)
    }
}

/// Lays a value down as STEP 7 does.
#[allow(clippy::cast_possible_truncation, reason = "numbers of the plant fit the types chosen")]
fn write(at: &mut [u8], kind: Type, value: &Value) {
    let number = value.as_f64().unwrap_or_default();
    match (kind, value, &mut *at) {
        (Type::Bit(bit), _, [byte]) => *byte |= u8::from(*value == Value::Bool(true)) << bit,
        (Type::Text(max), Value::Text(text), [declared, length, characters @ ..]) => {
            (*declared, *length) = (max as u8, text.len() as u8);
            for (place, byte) in characters.iter_mut().zip(text.bytes()) {
                *place = byte;
            }
        }
        (Type::Real, _, bytes) => bytes.copy_from_slice(&(number as f32).to_be_bytes()),
        (Type::DInt, _, bytes) => bytes.copy_from_slice(&(number.round() as i32).to_be_bytes()),
        (_, _, bytes) => bytes.copy_from_slice(&(number.round() as i16).to_be_bytes()),
    }
}

/// Answers an S7 message; nothing where a controller would close the connection.
fn answer(memory: &Memory, message: &[u8]) -> Option<Vec<u8>> {
    let ([0x32, kind, _, _, r0, r1, p0, p1, _, _], rest) = message.split_first_chunk()? else {
        return None;
    };
    let reference = [*r0, *r1];
    let parameters = usize::from(u16::from_be_bytes([*p0, *p1]));
    let (parameters, data) = rest.split_at_checked(parameters)?;
    match (kind, parameters) {
        (1, [0xF0, _, _, _, _, _, asked @ ..]) => {
            let asked = u16::from_be_bytes(asked.try_into().ok()?);
            let [high, low] = asked.min(PDU_BYTES).to_be_bytes();
            Some(acknowledge(reference, [0, 0], &[0xF0, 0, 0, 1, 0, 1, high, low], &[]))
        }
        (1, [4, count, items @ ..]) if usize::from(*count) <= ITEMS_MAX => {
            let (items, []) = items.as_chunks::<12>() else { return None };
            let data = items.iter().map(|item| read_item(memory, item));
            let data = joined(data.collect());
            Some(acknowledge(reference, [0, 0], &[4, *count], &data))
        }
        (7, [0, 1, 0x12, 4, 0x11, 0x44, 1, ..]) => {
            let [_, _, _, _, i0, i1, ..] = data else { return None };
            Some(status_list(reference, u16::from_be_bytes([*i0, *i1])))
        }
        _ => Some(acknowledge(reference, NO_FUNCTION, &[], &[])),
    }
}

fn acknowledge(reference: [u8; 2], error: [u8; 2], parameters: &[u8], data: &[u8]) -> Vec<u8> {
    let [p0, p1] = u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes();
    let [d0, d1] = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x32, 3, 0, 0, reference[0], reference[1], p0, p1, d0, d1, error[0], error[1]];
    [&head[..], parameters, data].concat()
}

fn read_item(memory: &Memory, item: &[u8; 12]) -> Vec<u8> {
    let [0x12, 10, 0x10, size, c0, c1, b0, b1, area, a0, a1, a2] = *item else {
        return vec![NO_TYPE, 0, 0, 0];
    };
    // Bytes only, as this collector asks; others get a return code.
    if size != 2 {
        return vec![NO_TYPE, 0, 0, 0];
    }
    let start = u32::from_be_bytes([0, a0, a1, a2]) / 8;
    let count = u16::from_be_bytes([c0, c1]);
    match memory.read(area, u16::from_be_bytes([b0, b1]), start, u32::from(count)) {
        Ok(bytes) => {
            let [high, low] = count.saturating_mul(8).to_be_bytes();
            [&[GOOD, 4, high, low][..], bytes].concat()
        }
        Err(code) => vec![code, 0, 0, 0],
    }
}

/// Joins items, each but the last filled up to an even length.
fn joined(items: Vec<Vec<u8>>) -> Vec<u8> {
    let last = items.len().saturating_sub(1);
    let fill = |(nth, mut item): (usize, Vec<u8>)| {
        if item.len() % 2 == 1 && nth < last {
            item.push(0);
        }
        item
    };
    items.into_iter().enumerate().flat_map(fill).collect()
}

/// Answers the three lists that say who the CPU is; the others it does not have.
fn status_list(reference: [u8; 2], id: u16) -> Vec<u8> {
    let record = |index: u16, text: &[u8], bytes: usize| {
        let mut record = index.to_be_bytes().to_vec();
        record.extend_from_slice(text);
        record.resize(bytes, 0);
        record
    };
    let mut firmware = b"6ES7 315-2EH14-0AB0 \0\0\0".to_vec();
    firmware.extend([3, 2, 6]);
    let records = match id {
        0x0011 => vec![record(1, b"6ES7 315-2EH14-0AB0 ", 28), record(7, &firmware, 28)],
        0x001C => vec![
            record(1, b"PALLETISER", 34),
            record(2, b"CPU 315-2 PN/DP", 34),
            record(5, b"DEMO-0001", 34),
            record(7, b"CPU 315-2 PN/DP", 34),
        ],
        // Behind the event's number: what asked for the change, and that it runs.
        0x0424 => vec![record(0x5144, &[0xFF, 8], 20)],
        _ => Vec::new(),
    };
    let (code, size) = if records.is_empty() { (NO_BLOCK, 0) } else { (GOOD, 9) };
    let width = records.first().map_or(0, Vec::len);
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let numbers = [id, 0, count(width), count(records.len())];
    let mut list: Vec<u8> = numbers.into_iter().flat_map(u16::to_be_bytes).collect();
    list.extend(records.into_iter().flatten());
    let length = u16::try_from(if size == 0 { 0 } else { list.len() }).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let mut data = vec![code, size, high, low];
    data.extend(list.into_iter().take(usize::from(length)));
    let [d0, d1] = u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x32, 7, 0, 0, reference[0], reference[1], 0, 12, d0, d1];
    let parameters = [0, 1, 0x12, 8, 0x12, 0x84, 1, 1, 0, 0, 0, 0];
    [&head[..], &parameters, &data].concat()
}
