//! The Modbus half: units 1 to 3 behind one TCP port. The filler's set speed can be written.

mod memory;

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

pub(crate) use memory::Memory;
use memory::Refusal;
pub(crate) use memory::encode;

use super::points::Table;

/// Clients served at once: the collector, and a few curious people.
const CONNECTIONS_MAX: usize = 16;
/// A response holds at most this many registers (Modbus V1.1b3, 6.3).
const REGISTERS_MAX: u16 = 125;
/// A response holds at most this many bits (Modbus V1.1b3, 6.1).
const BITS_MAX: u16 = 2_000;

/// The one register that takes a value: unit 1, the filler's set speed in bottles a minute.
const SET_SPEED: (u8, u16) = (1, 102);
/// What the filler's drive takes.
const SET_SPEED_MAX: u16 = 700;
/// Nobody has set a speed.
const UNSET: u32 = u32::MAX;

/// Serves the newest memory until it is dropped.
///
/// # Errors
/// The listener failed.
pub(crate) async fn serve(
    listener: TcpListener,
    memory: watch::Receiver<Arc<Memory>>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let set_speed = Arc::new(AtomicU32::new(UNSET));
    let connected = |stream, _peer: SocketAddr| {
        // No place left: the connection is closed at once.
        let units = Arc::clone(&places).try_acquire_owned().ok().map(|place| {
            let (memory, set_speed) = (memory.clone(), set_speed.clone());
            (Units { memory, set_speed, _place: place }, stream)
        });
        ready(Ok(units))
    };
    let failed = |error: io::Error| tracing::debug!(%error, "demo modbus connection ended");
    Server::new(listener).serve(&connected, failed).await
}

/// One connection's view of the units.
struct Units {
    memory: watch::Receiver<Arc<Memory>>,
    /// A speed that was written, for all connections; the process behind it runs on as it is.
    set_speed: Arc<AtomicU32>,
    _place: OwnedSemaphorePermit,
}

impl Service for Units {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Self::Response, Self::Exception>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let memory = Arc::clone(&self.memory.borrow());
        if let Request::WriteSingleRegister(address, word) = request.request
            && (request.slave, address) == SET_SPEED
        {
            return ready(if word > SET_SPEED_MAX {
                Err(ExceptionCode::IllegalDataValue)
            } else {
                self.set_speed.store(word.into(), SeqCst);
                Ok(Some(Response::WriteSingleRegister(address, word)))
            });
        }
        let mut answered = answer(&memory, request.slave, &request.request);
        if let (Ok(Some(Response::ReadHoldingRegisters(cells))), Ok(set)) =
            (&mut answered, u16::try_from(self.set_speed.load(SeqCst)))
            && let Request::ReadHoldingRegisters(from, _) = request.request
            && request.slave == SET_SPEED.0
            && let Some(at) = SET_SPEED.1.checked_sub(from)
            && let Some(cell) = cells.get_mut(usize::from(at))
        {
            *cell = set;
        }
        ready(answered)
    }
}

fn answer(
    memory: &Memory,
    unit: u8,
    request: &Request<'_>,
) -> Result<Option<Response>, ExceptionCode> {
    let (table, address, count) = match *request {
        Request::ReadCoils(address, count) => (Table::Coil, address, count),
        Request::ReadDiscreteInputs(address, count) => (Table::Discrete, address, count),
        Request::ReadHoldingRegisters(address, count) => (Table::Holding, address, count),
        Request::ReadInputRegisters(address, count) => (Table::Input, address, count),
        // A dead unit is silent whatever it is asked.
        _ => return silent_or(memory, unit, ExceptionCode::IllegalFunction),
    };
    let bits = matches!(table, Table::Coil | Table::Discrete);
    if count == 0 || count > if bits { BITS_MAX } else { REGISTERS_MAX } {
        return silent_or(memory, unit, ExceptionCode::IllegalDataValue);
    }
    let cells = match memory.read(unit, table, address, count) {
        Ok(cells) => cells,
        Err(Refusal::Silence) => return Ok(None),
        Err(Refusal::NoUnit) => return Err(ExceptionCode::GatewayTargetDevice),
        Err(Refusal::NoAddress) => return Err(ExceptionCode::IllegalDataAddress),
    };
    let truths = || cells.iter().map(|cell| *cell != 0).collect();
    Ok(Some(match table {
        Table::Coil => Response::ReadCoils(truths()),
        Table::Discrete => Response::ReadDiscreteInputs(truths()),
        Table::Holding => Response::ReadHoldingRegisters(cells),
        Table::Input => Response::ReadInputRegisters(cells),
    }))
}

fn silent_or(
    memory: &Memory,
    unit: u8,
    exception: ExceptionCode,
) -> Result<Option<Response>, ExceptionCode> {
    match memory.read(unit, Table::Holding, 0, 0) {
        Err(Refusal::Silence) => Ok(None),
        _ => Err(exception),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio_modbus::client::{Reader, Writer, tcp};
    use tokio_modbus::slave::{Slave, SlaveContext};

    use super::super::frame::{Frame, Line};
    use super::super::points;
    use super::*;
    use crate::model::{Timestamp, Value};

    async fn served(frame: &Frame) -> (SocketAddr, watch::Sender<Arc<Memory>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(Arc::new(Memory::new(frame)));
        tokio::spawn(serve(listener, receiver));
        (address, sender)
    }

    fn frame() -> Frame {
        Line::new(&[], 1).next(Timestamp::from_millis(0))
    }

    fn shown(frame: &Frame, name: &str) -> Value {
        let index = points::all().position(|point| point.name == name).unwrap();
        frame.cells[index].value.clone()
    }

    fn float(words: &[u16]) -> f64 {
        f64::from(f32::from_bits(u32::from(words[0]) << 16 | u32::from(words[1])))
    }

    #[tokio::test]
    async fn every_unit_answers_what_its_sensors_show() {
        let frame = frame();
        let (address, _memory) = served(&frame).await;
        let mut filler = tcp::connect_slave(address, Slave(1)).await.unwrap();
        let words = filler.read_holding_registers(100, 3).await.unwrap().unwrap();
        let level_words = filler.read_holding_registers(104, 2).await.unwrap().unwrap();
        let speed = shown(&frame, "filler/speed").as_f64().unwrap();
        let level = shown(&frame, "filler/bowl_level").as_f64().unwrap();
        assert!((float(&words[0..2]) - speed).abs() < 1e-3);
        assert_eq!(words[2], 600);
        assert!(
            (float(&[level_words[1], level_words[0]]) - level).abs() < 1e-4,
            "words are swapped"
        );

        let tenths = filler.read_input_registers(10, 1).await.unwrap().unwrap()[0];
        let motor = shown(&frame, "filler/motor_temperature").as_f64().unwrap();
        assert!((f64::from(tenths) / 10.0 - motor).abs() < 1e-9);
        let running = shown(&frame, "filler/status_running") == Value::Bool(true);
        let status = filler.read_holding_registers(140, 1).await.unwrap().unwrap()[0];
        assert_eq!(status & 1 == 1, running);
        assert_eq!(filler.read_coils(0, 1).await.unwrap().unwrap().len(), 1);

        filler.set_slave(Slave(2));
        let plate = filler.read_input_registers(40, 8).await.unwrap().unwrap();
        let bytes: Vec<u8> = plate.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(&bytes[..13], b"EM-340 rev 7\0");
        let words = filler.read_input_registers(20, 8).await.unwrap().unwrap();
        let wide = |words: &[u16]| words.iter().fold(0_u64, |sum, w| sum << 16 | u64::from(*w));
        assert_eq!(Value::F64(f64::from_bits(wide(&words[..4]))), shown(&frame, "energy/power"));
        assert_eq!(Value::U64(wide(&words[4..])), shown(&frame, "energy/total"));

        filler.set_slave(Slave(3));
        let words = filler.read_input_registers(0, 2).await.unwrap().unwrap();
        assert_eq!(Value::U64(wide(&words)), shown(&frame, "packer/cases"));
    }

    #[tokio::test]
    async fn a_hole_answers_exception_2_and_a_missing_unit_exception_11() {
        let (address, _memory) = served(&frame()).await;
        let mut client = tcp::connect_slave(address, Slave(1)).await.unwrap();
        for (from, count) in [(103, 1), (100, 4), (134, 1), (0, 1), (65_535, 2)] {
            let answer = client.read_holding_registers(from, count).await.unwrap();
            assert_eq!(answer, Err(ExceptionCode::IllegalDataAddress), "{from} {count}");
        }
        let write = client.write_single_register(104, 1).await.unwrap();
        assert_eq!(write, Err(ExceptionCode::IllegalFunction));
        let write = client.write_single_register(102, 701).await.unwrap();
        assert_eq!(write, Err(ExceptionCode::IllegalDataValue));
        client.write_single_register(102, 560).await.unwrap().unwrap();
        assert_eq!(client.read_holding_registers(100, 3).await.unwrap().unwrap()[2], 560);
        client.set_slave(Slave(9));
        let answer = client.read_holding_registers(100, 1).await.unwrap();
        assert_eq!(answer, Err(ExceptionCode::GatewayTargetDevice));
    }

    /// A read of one input register, as it goes on the wire.
    fn read_input(transaction: u8, unit: u8, address: u8) -> [u8; 12] {
        [0, transaction, 0, 0, 0, 6, unit, 4, 0, address, 0, 1]
    }

    #[tokio::test]
    async fn a_dead_unit_is_silent_and_its_neighbours_answer() {
        let mut frame = frame();
        frame.dead_unit = Some(3);
        let (address, memory) = served(&frame).await;
        let mut line = TcpStream::connect(address).await.unwrap();
        line.write_all(&read_input(1, 3, 0)).await.unwrap();
        line.write_all(&read_input(2, 1, 10)).await.unwrap();
        let mut answer = [0; 11];
        line.read_exact(&mut answer).await.unwrap();
        // The neighbour was asked later and is heard first: the dead unit said nothing.
        assert_eq!(answer[..9], [0, 2, 0, 0, 0, 5, 1, 4, 2]);

        frame.dead_unit = None;
        memory.send_replace(Arc::new(Memory::new(&frame)));
        line.write_all(&read_input(3, 3, 0)).await.unwrap();
        line.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..9], [0, 3, 0, 0, 0, 5, 3, 4, 2]);
    }

    #[tokio::test]
    async fn more_connections_than_there_are_places_are_closed() {
        let (address, _memory) = served(&frame()).await;
        let mut kept = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut client = tcp::connect_slave(address, Slave(1)).await.unwrap();
            client.read_coils(0, 1).await.unwrap().unwrap();
            kept.push(client);
        }
        let mut late = TcpStream::connect(address).await.unwrap();
        let ended = late.read(&mut [0; 1]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
}
