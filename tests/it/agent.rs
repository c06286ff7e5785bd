//! A scripted MTConnect agent: what it answers to each request is said beforehand, byte by byte.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One step of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// The same again and again, with a pause between.
    Repeat(Vec<u8>, Duration),
    /// Nothing more comes, and the connection stays.
    Hold,
}

/// A whole answer: its pieces, then the end of the connection.
pub(crate) type Answer = Vec<Piece>;

/// A running agent, ended when this is dropped.
pub(crate) struct Agent {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Agent {
    /// Starts one that answers each request by its path.
    pub(crate) async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (heard, answer) = (requests.clone(), Arc::new(answer));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, answer) = (heard.clone(), answer.clone());
                connections.spawn(async move {
                    let mut stream = stream;
                    let Some(path) = request(&mut stream).await else { return };
                    heard.lock().push(path.clone());
                    let _ended = play(&mut stream, answer(&path)).await;
                });
            }
        });
        Self { port, requests, _task: task }
    }

    /// Gives the paths of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    /// Counts the requests whose path begins so.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests.lock().iter().filter(|request| request.starts_with(path)).count()
    }
}

/// Reads a request's head and gives its path.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).ok()?;
    Some(text.split(' ').nth(1)?.to_owned())
}

async fn play(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    for piece in answer {
        match piece {
            Piece::Bytes(bytes) => stream.write_all(&bytes).await?,
            Piece::Repeat(bytes, pause) => loop {
                stream.write_all(&bytes).await?;
                tokio::time::sleep(pause).await;
            },
            Piece::Hold => std::future::pending().await,
        }
    }
    stream.shutdown().await
}

/// An answer of one body, with header lines of its own.
pub(crate) fn answer(status: &str, lines: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{lines}\r\n",
        body.len()
    );
    vec![Piece::Bytes([head.as_bytes(), body].concat())]
}

/// A document.
pub(crate) fn xml(body: impl AsRef<[u8]>) -> Answer {
    answer("200 OK", "Content-Type: text/xml\r\n", body)
}

/// The beginning of a stream.
pub(crate) fn stream_head() -> Piece {
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\
                Content-Type: multipart/x-mixed-replace;boundary=cut\r\n\r\n";
    Piece::Bytes(head.into())
}

/// One part of a stream.
pub(crate) fn part(body: &str) -> Piece {
    let length = body.len();
    let text =
        format!("--cut\r\nContent-type: text/xml\r\nContent-length: {length}\r\n\r\n{body}\r\n");
    Piece::Bytes(text.into_bytes())
}

/// A model of one device with an availability, a position and a condition.
pub(crate) const PROBE: &str = "<MTConnectDevices><Header instanceId='1' version='2.2'/><Devices>\
    <Device id='d' name='M1' uuid='u1'><DataItems>\
    <DataItem id='av' type='AVAILABILITY' category='EVENT'/>\
    <DataItem id='xp' name='Xact' type='POSITION' category='SAMPLE' units='MILLIMETER'/>\
    <DataItem id='sys' type='SYSTEM' category='CONDITION'/>\
    <DataItem id='vars' type='VARIABLE' category='EVENT' representation='DATA_SET'/>\
    </DataItems></Device></Devices></MTConnectDevices>";

/// A document of observations: header attributes, then elements.
pub(crate) fn streams(header: &str, observations: &str) -> String {
    format!(
        "<MTConnectStreams><Header {header}/><Streams><DeviceStream name='M1' uuid='u1'>\
         <ComponentStream component='Device' componentId='d'>{observations}</ComponentStream>\
         </DeviceStream></Streams></MTConnectStreams>"
    )
}

/// A position.
pub(crate) fn position(sequence: u64, value: &str) -> String {
    format!(
        "<Samples><Position dataItemId='xp' name='Xact' sequence='{sequence}' \
         timestamp='2026-06-30T10:00:00.1234567Z'>{value}</Position></Samples>"
    )
}
