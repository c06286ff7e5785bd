//! A Modbus TCP device of our own, with every bad habit a device can have, that counts requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// How the device answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Manner {
    /// As the standard says.
    #[default]
    Right,
    /// With bytes that are no Modbus.
    Garbage,
    /// With the first half of the answer, and then nothing.
    StopMidFrame,
    /// With a byte a second.
    Trickle,
    /// That long after the request.
    Late(Duration),
    /// With the id of another transaction.
    OtherTransaction,
    /// In the name of another unit.
    OtherUnit,
    /// With the code of another function.
    OtherFunction,
    /// With one register less than was asked.
    TooShort,
    /// Not at all.
    Silent,
    /// By closing the connection.
    HangUp,
}

/// One request as it came over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Request {
    pub(crate) unit: u8,
    pub(crate) function: u8,
    pub(crate) address: u16,
    pub(crate) count: u16,
}

#[derive(Default)]
struct State {
    /// By function code (1 to 4) and address; what is missing answers exception 2.
    points: BTreeMap<(u8, u16), u16>,
    manner: Manner,
    /// Units that never answer.
    dead: BTreeSet<u8>,
    requests: Vec<Request>,
    connections: u32,
}

/// The device, gone when this is dropped.
pub(crate) struct Device {
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    accept: AbortHandle,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

impl Device {
    /// Starts a device on a port of its own, without any register.
    pub(crate) async fn start() -> Self {
        Self::start_at(0).await
    }

    /// Starts a device at a port.
    pub(crate) async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let accept = tokio::spawn(async move {
            // The connections end with the device: they are aborted as this set is dropped.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Self { port, state, accept: accept.abort_handle() }
    }

    /// Sets holding registers from an address on.
    pub(crate) fn holding(self, address: u16, values: &[u16]) -> Self {
        self.set(3, address, values);
        self
    }

    /// Sets points of one function code (1 coils, 2 discrete, 3 holding, 4 input).
    pub(crate) fn set(&self, function: u8, address: u16, values: &[u16]) {
        let mut state = self.state.lock().unwrap();
        for (at, value) in (address..).zip(values) {
            state.points.insert((function, at), *value);
        }
    }

    /// Changes how it answers.
    pub(crate) fn behave(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    /// Makes a unit stop answering.
    pub(crate) fn kill_unit(&self, unit: u8) {
        self.state.lock().unwrap().dead.insert(unit);
    }

    /// Lets a unit answer again.
    pub(crate) fn revive_unit(&self, unit: u8) {
        self.state.lock().unwrap().dead.remove(&unit);
    }

    /// Gives the requests that came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Gives how many connections came so far.
    pub(crate) fn connections(&self) -> u32 {
        self.state.lock().unwrap().connections
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut header = [0_u8; 7];
    while stream.read_exact(&mut header).await.is_ok() {
        // MBAP: transaction, protocol 0, length of what follows with the unit (V1.1b3, 4.1).
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut pdu = vec![0_u8; length.saturating_sub(1)];
        if pdu.len() < 5 || stream.read_exact(&mut pdu).await.is_err() {
            return;
        }
        let request = Request {
            unit: header[6],
            function: pdu[0],
            address: u16::from_be_bytes([pdu[1], pdu[2]]),
            count: u16::from_be_bytes([pdu[3], pdu[4]]),
        };
        let (manner, dead) = {
            let mut state = state.lock().unwrap();
            state.requests.push(request);
            (state.manner, state.dead.contains(&request.unit))
        };
        if dead {
            continue;
        }
        let answer = respond(&state, request);
        if !reply(&mut stream, manner, &header, &answer).await {
            return;
        }
    }
}

/// Makes the answer PDU: data, or exception 1 (function) or 2 (address).
fn respond(state: &Mutex<State>, request: Request) -> Vec<u8> {
    let Request { function, address, count, .. } = request;
    if !(1..=4).contains(&function) {
        return vec![function | 0x80, 1];
    }
    let state = state.lock().unwrap();
    let at = |i: u16| state.points.get(&(function, address.checked_add(i)?)).copied();
    let Some(values) = (0..count).map(at).collect::<Option<Vec<u16>>>() else {
        return vec![function | 0x80, 2];
    };
    let data: Vec<u8> = if function >= 3 {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    } else {
        let byte = |bits: &[u16]| {
            bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | (u8::from(*bit != 0) << i))
        };
        values.chunks(8).map(byte).collect()
    };
    let mut pdu = vec![function, u8::try_from(data.len()).unwrap()];
    pdu.extend(data);
    pdu
}

/// Sends an answer in the manner wished; false ends the connection.
async fn reply(stream: &mut TcpStream, manner: Manner, header: &[u8; 7], pdu: &[u8]) -> bool {
    let mut header = *header;
    let mut pdu = pdu.to_vec();
    match manner {
        Manner::Silent => return true,
        Manner::HangUp => return false,
        Manner::Garbage => return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.is_ok(),
        Manner::Late(by) => sleep(by).await,
        Manner::OtherTransaction => header[1] = header[1].wrapping_add(7),
        Manner::OtherUnit => header[6] = header[6].wrapping_add(1),
        Manner::OtherFunction => pdu[0] ^= 0x07,
        Manner::TooShort if pdu.len() > 3 => {
            pdu.truncate(pdu.len() - 2);
            pdu[1] -= 2;
        }
        Manner::Right | Manner::StopMidFrame | Manner::Trickle | Manner::TooShort => {}
    }
    let length = u16::try_from(pdu.len() + 1).unwrap().to_be_bytes();
    let mut frame = header.to_vec();
    frame[4..6].copy_from_slice(&length);
    frame.extend(pdu);
    match manner {
        Manner::StopMidFrame => stream.write_all(&frame[..frame.len() / 2]).await.is_ok(),
        Manner::Trickle => {
            for byte in frame {
                if stream.write_all(&[byte]).await.is_err() {
                    return false;
                }
                sleep(Duration::from_secs(1)).await;
            }
            true
        }
        _ => stream.write_all(&frame).await.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::process::Command;

    use super::*;
    use crate::counter::{Counter, Framing};

    /// Reads three holding registers from address 10 with mbpoll, a client that others wrote.
    async fn mbpoll(port: u16) -> (bool, String) {
        let port = port.to_string();
        let words = ["-m", "tcp", "-p", &port, "-a", "1", "-0", "-r", "10", "-c", "3", "-1"];
        let output = Command::new("mbpoll").args(words).arg("127.0.0.1").output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_device_speaks_modbus_and_both_counters_agree() {
        let device = Device::start().await.holding(10, &[7, 8, 9]);
        let counter = Counter::before(device.port, Framing::Modbus).await;
        let (right, said) = mbpoll(counter.port).await;
        assert!(right && said.contains("[11]: \t8"), "{said}");
        let wanted = Request { unit: 1, function: 3, address: 10, count: 3 };
        assert_eq!((device.requests(), counter.messages()), (vec![wanted], 1));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_bad_manner_fails_a_client_that_others_wrote() {
        // Not OtherUnit: libmodbus, on which it stands, takes any unit's answer over TCP.
        for manner in [
            Manner::Garbage,
            Manner::StopMidFrame,
            Manner::Trickle,
            Manner::Late(Duration::from_secs(30)),
            Manner::OtherTransaction,
            Manner::OtherFunction,
            Manner::TooShort,
            Manner::Silent,
            Manner::HangUp,
        ] {
            let device = Device::start().await.holding(10, &[7, 8, 9]);
            device.behave(manner);
            let (right, said) = mbpoll(device.port).await;
            assert!(!right, "{manner:?}: {said}");
        }
    }
}
