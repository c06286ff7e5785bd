//! MQTT 3.1.1's packets, as far as a small broker needs them; pure and bounded.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The longest packet that is taken.
const PACKET_BYTES_MAX: usize = 64 * 1024;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Connect {
        level: u8,
        keep_alive_s: u16,
        will: Option<(String, Vec<u8>)>,
    },
    Publish {
        topic: String,
        payload: Vec<u8>,
        retain: bool,
        id: Option<u16>,
    },
    Subscribe {
        id: u16,
        filters: Vec<String>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
    /// An acknowledgement of what needs none.
    Other,
}

/// A reader of one packet's body.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.number()?);
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?).ok()
    }
}

/// Reads one packet.
///
/// # Errors
/// The connection ended, or what came is no packet that is taken.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Packet> {
    let head = stream.read_u8().await?;
    let mut length = 0_usize;
    // Four bytes of seven bits are the most (2.2.3).
    for nth in 0..4 {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7F) << (7 * nth);
        if byte & 0x80 == 0 {
            break;
        }
        if nth == 3 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    if length > PACKET_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    parse(head, &body).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(head: u8, body: &[u8]) -> Option<Packet> {
    let mut body = Body(body);
    Some(match head >> 4 {
        1 => connect(&mut body)?,
        3 => publish(head, &mut body)?,
        8 => {
            let id = body.number()?;
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push(body.text()?);
                body.byte()?;
            }
            Packet::Subscribe { id, filters }
        }
        10 => {
            let id = body.number()?;
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push(body.text()?);
            }
            Packet::Unsubscribe { id, filters }
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        4 => Packet::Other,
        _ => return None,
    })
}

fn connect(body: &mut Body<'_>) -> Option<Packet> {
    if body.text()? != "MQTT" {
        return None;
    }
    let level = body.byte()?;
    let flags = body.byte()?;
    let keep_alive_s = body.number()?;
    if level != 4 {
        // What follows is another version's, and the answer is the same whatever it says.
        return Some(Packet::Connect { level, keep_alive_s, will: None });
    }
    body.text()?;
    let will = match flags & 0x04 {
        0 => None,
        _ => Some((body.text()?, body.bytes()?)),
    };
    Some(Packet::Connect { level, keep_alive_s, will })
}

fn publish(head: u8, body: &mut Body<'_>) -> Option<Packet> {
    let topic = body.text()?;
    let id = match head >> 1 & 3 {
        0 => None,
        1 => Some(body.number()?),
        _ => return None,
    };
    Some(Packet::Publish { topic, payload: body.0.to_vec(), retain: head & 1 == 1, id })
}

/// Writes a packet of a head and a body.
pub(super) fn framed(head: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![head];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7F).unwrap_or_default();
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// Writes a PUBLISH of quality of service 0.
pub(super) fn published(topic: &str, payload: &[u8], retain: bool) -> Vec<u8> {
    let mut body = Vec::with_capacity(2 + topic.len() + payload.len());
    body.extend(u16::try_from(topic.len()).unwrap_or_default().to_be_bytes());
    body.extend_from_slice(topic.as_bytes());
    body.extend_from_slice(payload);
    framed(0x30 | u8::from(retain), &body)
}
