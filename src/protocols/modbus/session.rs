//! The session: one request in flight, and nothing late ever taken for an answer.
//!
//! A connection is given away for each exchange and comes back only after a good answer, so a
//! timeout, a bad frame or an abandoned call all end it. TCP answers carry their transaction;
//! serial frames carry none, so a newly opened line must first be silent for a whole timeout.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::frame::{self, Answer, BadFrame, FRAME_BYTES_MAX, Wrap};
use super::plan::Request;
use super::quality;
use super::settings::{Line, Route};
#[cfg(feature = "writes")]
use super::write::{Echo, Write};
use crate::driver::{BlockData, DriverError, ErrorKind, Toll};
use crate::net::dial::{self, DialError};

/// A byte stream to a device.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The endpoint's one connection, open or not.
pub(super) struct Session {
    line: Line,
    link: Option<Link<Box<dyn Stream>>>,
    /// The last transaction's id; it runs on over connections.
    transaction: u16,
}

impl Session {
    pub(super) fn new(line: Line) -> Self {
        Self { line, link: None, transaction: 0 }
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Connects, and on serial framing waits until the line has been silent for a timeout.
    pub(super) async fn open(&mut self, deadline: Instant) -> Result<(), DriverError> {
        self.link = None;
        let stream: Box<dyn Stream> = match &self.line.route {
            Route::Tcp { host, port } | Route::RtuOverTcp { host, port } => {
                Box::new(dial::tcp(host, *port, deadline).await.map_err(|e| unreachable(&e))?)
            }
            Route::Serial(line) => Box::new(dial::serial(line).map_err(|e| unreachable(&e))?),
        };
        let mut link = Link::new(stream);
        if self.line.route.is_serial_framed() {
            link.settle(self.line.timeout, deadline).await?;
        }
        self.link = Some(link);
        Ok(())
    }

    /// Tells whether the connection is there, as far as can be seen without sending.
    pub(super) fn check(&mut self) -> Result<(), DriverError> {
        let mut link = self.link.take().ok_or_else(closed)?;
        if link.waiting()? && !self.line.route.is_serial_framed() {
            return Err(quality::unasked());
        }
        self.link = Some(link);
        Ok(())
    }

    /// Reads one block; the connection survives good answers and exceptions only.
    pub(super) async fn read(
        &mut self,
        request: &Request,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<BlockData, DriverError> {
        let (mut link, wrap) = self.ready(request, toll, deadline).await?;
        let bytes = FRAME_BYTES_MAX.min(frame::answer_bytes(wrap, request) + 8);
        let patience = self.line.timeout + self.line.line_time(bytes);
        // What has been sent is waited for, even past the deadline: a device that is not given its
        // time is not silent, and cutting it off costs the session.
        let answered = deadline.max(Instant::now() + patience);
        let answer = link.exchange(wrap, request, patience, answered).await?;
        self.link = Some(link);
        match answer {
            Answer::Data(data) => Ok(data),
            Answer::Exception(code) => Err(quality::exception(code, request)),
        }
    }

    /// Pays for a request and takes the connection for it.
    async fn ready(
        &mut self,
        request: &Request,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(Link<Box<dyn Stream>>, Wrap), DriverError> {
        if Instant::now() >= deadline {
            return Err(quality::too_late(request));
        }
        self.check()?;
        toll.spend(deadline).await?;
        let mut link = self.link.take().ok_or_else(closed)?;
        let wrap = if self.line.route.is_serial_framed() {
            link.pause(self.line.gap(), deadline).await?;
            Wrap::Rtu
        } else {
            self.transaction = self.transaction.wrapping_add(1);
            Wrap::Tcp(self.transaction)
        };
        Ok((link, wrap))
    }

    /// Writes once; the connection survives a good echo and exceptions only.
    #[cfg(feature = "writes")]
    pub(super) async fn write(
        &mut self,
        write: &Write,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError> {
        let request = &write.covers;
        let (mut link, wrap) = self.ready(request, toll, deadline).await?;
        let patience = self.line.timeout + self.line.line_time(write.line_bytes());
        // What has been sent is waited for: an echo that comes later is nobody's answer.
        let bytes = write.encode(wrap);
        let sent = link.send_and_receive(request, &bytes, |came| write.decode(wrap, came));
        let echo = timeout_at(Instant::now() + patience, sent).await;
        let echo = echo.map_err(|_| quality::timeout(request, patience.as_millis()))??;
        self.link = Some(link);
        match echo {
            Echo::Done => Ok(()),
            Echo::Exception(code) => Err(quality::exception(code, request)),
        }
    }

    /// Lets the connection go.
    pub(super) async fn close(&mut self, deadline: Instant) {
        if let Some(mut link) = self.link.take()
            && let Ok(Err(error)) = timeout_at(deadline, link.stream.shutdown()).await
        {
            tracing::debug!(kind = %error.kind(), "the connection was closed with an error");
        }
    }
}

fn closed() -> DriverError {
    quality::link_lost("no connection is open")
}

fn unreachable(error: &DialError) -> DriverError {
    DriverError::new(ErrorKind::Unreachable, error.to_string()).hint(error.hint())
}

/// A live connection.
struct Link<S> {
    stream: S,
    /// What has come since the last request; at most one read beyond a frame.
    came: Vec<u8>,
    /// When the last frame ended.
    last: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    fn new(stream: S) -> Self {
        Self { stream, came: Vec::with_capacity(FRAME_BYTES_MAX + 1), last: Instant::now() }
    }

    /// Takes what has come unasked, and tells whether there was any.
    fn waiting(&mut self) -> Result<bool, DriverError> {
        self.came.clear();
        match self.stream.read_buf(&mut self.came).now_or_never() {
            None => Ok(false),
            Some(Ok(0)) => Err(quality::link_lost("the other side closed the connection")),
            Some(Ok(_)) => {
                self.last = Instant::now();
                Ok(true)
            }
            Some(Err(error)) => {
                Err(quality::link_lost(&format!("the connection failed: {}", error.kind())))
            }
        }
    }

    /// Keeps the silence between two frames (Modbus over Serial Line V1.02, 2.5.1.1).
    ///
    /// Noise on an idle line is discarded as that standard has it, and silence awaited after it.
    async fn pause(&mut self, gap: Duration, deadline: Instant) -> Result<(), DriverError> {
        if self.waiting()? {
            return self.settle(gap, deadline).await;
        }
        sleep_until(self.last + gap).await;
        Ok(())
    }

    /// Discards what comes until nothing has come for `quiet`.
    async fn settle(&mut self, quiet: Duration, deadline: Instant) -> Result<(), DriverError> {
        loop {
            self.came.clear();
            let until = Instant::now() + quiet;
            if until > deadline {
                let ms = quiet.as_millis();
                let what = format!("the line could not be seen silent for {ms} ms in time");
                return Err(DriverError::new(ErrorKind::Timeout, what)
                    .hint("look for a second master or noise on the line, or lower timeout_ms"));
            }
            match timeout_at(until, self.stream.read_buf(&mut self.came)).await {
                Err(_) => return Ok(()),
                Ok(Ok(0)) => {
                    return Err(quality::link_lost("the other side closed the connection"));
                }
                Ok(Ok(bytes)) => tracing::debug!(bytes, "discarded what came on an idle line"),
                Ok(Err(error)) => {
                    let what = format!("the connection failed: {}", error.kind());
                    return Err(quality::link_lost(&what));
                }
            }
        }
    }

    /// Sends a request and reads its whole answer within `patience`, and before the deadline.
    async fn exchange(
        &mut self,
        wrap: Wrap,
        request: &Request,
        patience: Duration,
        deadline: Instant,
    ) -> Result<Answer, DriverError> {
        let start = Instant::now();
        let limit = deadline.min(start + patience);
        match timeout_at(limit, self.ask(wrap, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(quality::timeout(request, (limit - start).as_millis())),
        }
    }

    async fn ask(&mut self, wrap: Wrap, request: &Request) -> Result<Answer, DriverError> {
        let bytes = frame::encode(wrap, request);
        self.send_and_receive(request, &bytes, |came| frame::decode(wrap, request, came)).await
    }

    async fn send_and_receive<T>(
        &mut self,
        request: &Request,
        bytes: &[u8],
        decode: impl Fn(&[u8]) -> Result<Option<T>, BadFrame>,
    ) -> Result<T, DriverError> {
        let cut_off = |error: std::io::Error| quality::cut_off(request, error.kind());
        self.came.clear();
        self.stream.write_all(bytes).await.map_err(cut_off)?;
        loop {
            if self.stream.read_buf(&mut self.came).await.map_err(cut_off)? == 0 {
                return Err(quality::cut_off(request, std::io::ErrorKind::UnexpectedEof));
            }
            let read = decode(&self.came);
            if let Some(answer) = read.map_err(|bad| quality::bad_frame(request, bad))? {
                self.last = Instant::now();
                return Ok(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::super::address::Area;
    use super::*;
    use crate::model::UnitId;

    const ASKED: Request = Request { unit: UnitId(1), area: Area::Holding, start: 0, count: 2 };
    const PATIENCE: Duration = Duration::from_secs(1);
    /// Transaction 7, unit 1: registers 0x0102 and 0x0304.
    const ANSWER: [u8; 13] = [0, 7, 0, 0, 0, 7, 1, 3, 4, 1, 2, 3, 4];

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn rtu(registers: [u8; 4]) -> Vec<u8> {
        let body = [&[1, 3, 4][..], &registers].concat();
        [&body[..], &frame::crc16(&body).to_le_bytes()].concat()
    }

    fn registers(answer: Result<Answer, DriverError>) -> Vec<u16> {
        match answer {
            Ok(Answer::Data(BlockData::Registers(words))) => words.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a request, then writes each piece after its pause, then waits or hangs up.
    fn answering(
        mut theirs: DuplexStream,
        pieces: Vec<(u64, Vec<u8>)>,
        then_hang_up: bool,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut request = [0; 12];
            theirs.read_exact(&mut request).await.unwrap();
            for (pause_ms, piece) in pieces {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                if theirs.write_all(&piece).await.is_err() {
                    return;
                }
            }
            if !then_hang_up {
                std::future::pending::<()>().await;
            }
        })
    }

    async fn exchange(pieces: Vec<(u64, Vec<u8>)>, hang_up: bool) -> Result<Answer, DriverError> {
        let (ours, theirs) = duplex(1024);
        let server = answering(theirs, pieces, hang_up);
        let mut link = Link::new(ours);
        let got = link.exchange(Wrap::Tcp(7), &ASKED, PATIENCE, soon()).await;
        server.abort();
        got
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_pieces_is_whole_before_its_deadline() {
        let pieces = ANSWER.iter().map(|byte| (50, vec![*byte])).collect();
        assert_eq!(registers(exchange(pieces, false).await), [0x0102, 0x0304]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_past_the_deadline_is_a_timeout() {
        let start = Instant::now();
        let pieces = ANSWER.iter().map(|byte| (900, vec![*byte])).collect();
        assert_eq!(exchange(pieces, false).await.unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(start.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_an_answer_are_timeouts_of_their_unit() {
        for pieces in [vec![], vec![(10, ANSWER[..11].to_vec())]] {
            let error = exchange(pieces, false).await.unwrap_err();
            assert_eq!((error.kind, error.unit), (ErrorKind::Timeout, Some(UnitId(1))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_mid_frame_is_lost() {
        for end in [0, 1, 6, 12] {
            let error = exchange(vec![(0, ANSWER[..end].to_vec())], true).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::LinkLost, "{end}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_answer_to_this_request_is_never_a_value() {
        let changed = |at: usize, byte: u8| {
            let mut bytes = ANSWER.to_vec();
            bytes[at] = byte;
            bytes
        };
        for bytes in [
            changed(1, 6),
            changed(3, 1),
            changed(5, 6),
            changed(6, 2),
            changed(7, 4),
            changed(8, 2),
            [ANSWER, ANSWER].concat(),
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            vec![0xFF; 300],
        ] {
            let error = exchange(vec![(0, bytes.clone())], false).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Protocol, "{bytes:?}");
            assert_eq!(error.reaction(), crate::driver::Reaction::DropSession);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_half_a_timeout_late_is_discarded_before_the_next_request() {
        let (mut ours, mut theirs) = duplex(1024);
        let server = tokio::spawn(async move {
            let mut request = [0; 8];
            theirs.read_exact(&mut request).await.unwrap();
            tokio::time::sleep(PATIENCE * 3 / 2).await;
            theirs.write_all(&rtu([9, 9, 9, 9])).await.unwrap();
            theirs.read_exact(&mut request).await.unwrap();
            theirs.write_all(&rtu([1, 2, 3, 4])).await.unwrap();
        });
        let mut first = Link::new(&mut ours);
        let error = first.exchange(Wrap::Rtu, &ASKED, PATIENCE, soon()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        let mut second = Link::new(&mut ours);
        let start = Instant::now();
        second.settle(PATIENCE, soon()).await.unwrap();
        // Half a timeout until the late answer, and a whole one of silence after it.
        assert_eq!(start.elapsed(), PATIENCE * 3 / 2);
        let got = second.exchange(Wrap::Rtu, &ASKED, PATIENCE, soon()).await;
        assert_eq!(registers(got), [0x0102, 0x0304]);
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_never_silent_is_not_used() {
        let (ours, mut theirs) = duplex(1024);
        let babble = tokio::spawn(async move {
            while theirs.write_all(&[0x55]).await.is_ok() {
                tokio::time::sleep(PATIENCE / 2).await;
            }
        });
        let error = Link::new(ours).settle(PATIENCE, soon()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        babble.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn noise_between_serial_frames_is_discarded_and_the_gap_kept() {
        let (ours, mut theirs) = duplex(1024);
        let gap = Duration::from_millis(4);
        let mut link = Link::new(ours);
        link.pause(gap, soon()).await.unwrap();
        theirs.write_all(&[0, 0]).await.unwrap();
        let start = Instant::now();
        link.pause(gap, soon()).await.unwrap();
        assert_eq!(start.elapsed(), gap);
        assert!(!link.waiting().unwrap());
        drop(theirs);
        assert_eq!(link.waiting().unwrap_err().kind, ErrorKind::LinkLost);
    }
}
