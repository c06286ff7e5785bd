//! The Mitsubishi half: a controller that answers 3E frames in binary code, read-only.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::frame::Frame;
use super::modbus::encode;
use super::points::{self, Place};
use crate::model::{Value, WordOrder};
use crate::protocols::mc::{Device, Holds};

/// Clients served at once: the collector, and a few curious people.
const CONNECTIONS_MAX: usize = 8;
/// The longest request a controller takes (SLMP Reference Manual, 4.2).
const REQUEST_BYTES_MAX: usize = 2048;
/// Devices of each kind that exist; what no point lies on is zero, as in a real controller.
const NUMBERS: u32 = 8192;
/// The name and code the controller gives itself.
const CPU: (&[u8; 16], u16) = (b"Q03UDVCPU       ", 0x0366);

/// End codes (SLMP Reference Manual, appendix 2).
const TOO_MANY: u16 = 0xC051;
const BEYOND: u16 = 0xC056;
const NO_SUCH_COMMAND: u16 = 0xC059;
const NO_SUCH_DEVICE: u16 = 0xC05B;
const WRONG_LENGTH: u16 = 0xC061;

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
                tracing::debug!(%error, "demo mc connection ended");
            }
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, frames: &watch::Receiver<Arc<Frame>>) -> io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [0x50, 0x00, route @ .., low, high] = head else {
            // A real module drops what is no request in binary code.
            return Ok(());
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length > REQUEST_BYTES_MAX {
            return Ok(());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let memory = Memory::new(&frames.borrow());
        let (end, data) = match answer(&memory, &body) {
            Ok(data) => (0, data),
            Err(code) => (code, [&route[..], body.get(2..6).unwrap_or_default()].concat()),
        };
        let length = u16::try_from(data.len() + 2).unwrap_or(u16::MAX);
        let mut out = vec![0xD0, 0x00];
        out.extend(route);
        out.extend(length.to_le_bytes());
        out.extend(end.to_le_bytes());
        out.extend(data);
        stream.write_all(&out).await?;
    }
}

/// What the controller holds at one instant.
struct Memory {
    words: BTreeMap<(Device, u32), u16>,
    bits: BTreeMap<(Device, u32), bool>,
}

impl Memory {
    fn new(frame: &Frame) -> Self {
        let mut memory = Self { words: BTreeMap::new(), bits: BTreeMap::new() };
        for (point, cell) in points::all().zip(&frame.cells) {
            match point.place {
                Place::McWords { device, number, layout } => {
                    let Some(device) = Device::of_name(device) else { continue };
                    let words = encode(&cell.value, layout, WordOrder::Cdab, None);
                    memory.words.extend((number..).zip(words).map(|(n, word)| ((device, n), word)));
                }
                Place::McBit { device, number } => {
                    let Some(device) = Device::of_name(device) else { continue };
                    memory.bits.insert((device, number), cell.value == Value::Bool(true));
                }
                _ => {}
            }
        }
        memory
    }

    fn bit(&self, device: Device, number: u32) -> bool {
        self.bits.get(&(device, number)).copied().unwrap_or_default()
    }

    fn word(&self, device: Device, number: u32) -> u16 {
        match device.holds() {
            Holds::Words => self.words.get(&(device, number)).copied().unwrap_or_default(),
            Holds::Bits => (0..16)
                .rev()
                .fold(0, |word, bit| word << 1 | u16::from(self.bit(device, number + bit))),
        }
    }
}

/// Takes a device with its number off the front.
fn device(body: &mut &[u8]) -> Result<(Device, u32), u16> {
    let ([low, middle, high, code], rest) = body.split_first_chunk().ok_or(WRONG_LENGTH)?;
    *body = rest;
    let device = Device::of_code(u16::from(*code)).ok_or(NO_SUCH_DEVICE)?;
    Ok((device, u32::from_le_bytes([*low, *middle, *high, 0])))
}

fn within(number: u32, count: u32) -> Result<(), u16> {
    if number.saturating_add(count) <= NUMBERS { Ok(()) } else { Err(BEYOND) }
}

/// Answers the timer, command, subcommand and data of a request.
fn answer(memory: &Memory, body: &[u8]) -> Result<Vec<u8>, u16> {
    let ([_, _, c0, c1, s0, s1], mut data) = body.split_first_chunk().ok_or(WRONG_LENGTH)?;
    match (u16::from_le_bytes([*c0, *c1]), u16::from_le_bytes([*s0, *s1])) {
        (0x0101, 0) => Ok([&CPU.0[..], &CPU.1.to_le_bytes()].concat()),
        (0x0401, unit @ (0 | 1)) => {
            let (device, number) = device(&mut data)?;
            let count: [u8; 2] = data.try_into().map_err(|_| WRONG_LENGTH)?;
            batch(memory, device, number, u32::from(u16::from_le_bytes(count)), unit == 1)
        }
        (0x0403, 0) => random(memory, data),
        _ => Err(NO_SUCH_COMMAND),
    }
}

fn batch(
    memory: &Memory,
    device: Device,
    number: u32,
    count: u32,
    as_bits: bool,
) -> Result<Vec<u8>, u16> {
    if as_bits {
        if device.holds() == Holds::Words {
            return Err(NO_SUCH_DEVICE);
        }
        if !(1..=7168).contains(&count) {
            return Err(TOO_MANY);
        }
        within(number, count)?;
        let half = |at: u32| u8::from(at < count && memory.bit(device, number + at));
        return Ok((0..count).step_by(2).map(|at| half(at) << 4 | half(at + 1)).collect());
    }
    if !(1..=960).contains(&count) {
        return Err(TOO_MANY);
    }
    let step = if device.holds() == Holds::Bits { 16 } else { 1 };
    within(number, count * step)?;
    let words = (0..count).map(|at| memory.word(device, number + at * step));
    Ok(words.flat_map(u16::to_le_bytes).collect())
}

fn random(memory: &Memory, body: &[u8]) -> Result<Vec<u8>, u16> {
    let ([words, doubles], mut rest) = body.split_first_chunk().ok_or(WRONG_LENGTH)?;
    let mut out = Vec::new();
    for nth in 0..u16::from(*words) + u16::from(*doubles) {
        let (device, number) = device(&mut rest)?;
        let step = if device.holds() == Holds::Bits { 16 } else { 1 };
        let count = if nth < u16::from(*words) { 1 } else { 2 };
        within(number, count * step)?;
        out.extend((0..count).flat_map(|at| memory.word(device, number + at * step).to_le_bytes()));
    }
    if rest.is_empty() { Ok(out) } else { Err(WRONG_LENGTH) }
}
