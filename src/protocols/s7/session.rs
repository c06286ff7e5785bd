//! The session: one job in flight, its reference held against the answer, and the connection
//! given up after whatever is no good answer.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::errors;
use super::frame::{self, BadFrame, Item, Items, Refusal};
use super::plan::Limits;
use super::settings::Line;
use crate::driver::{DriverError, ErrorKind, Toll};
use crate::net::dial;
use crate::net::exchange::{ExchangeError, Link};

/// A status list is at most this long: a CPU's longest has some hundred records of 40 bytes.
const LIST_BYTES_MAX: usize = 16 * 1024;
/// The least a controller may grant: an item and its answer.
const PDU_BYTES_MIN: u16 = 64;
/// What is not data in a message: its header, parameters and the like, generously.
const MESSAGE_SLACK: usize = 64;

/// The endpoint's one connection, open or not.
pub(super) struct Session {
    line: Line,
    link: Option<Link<TcpStream>>,
    /// The last job's reference; it runs on over connections.
    reference: u16,
    /// What was negotiated last.
    pdu_bytes: u16,
}

impl Session {
    pub(super) fn new(line: Line) -> Self {
        Self { pdu_bytes: line.pdu_bytes, line, link: None, reference: 0 }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { pdu_bytes: usize::from(self.pdu_bytes) }
    }

    /// Connects the transport, and agrees on the length of messages.
    pub(super) async fn open(&mut self, toll: &Toll, deadline: Instant) -> Result<(), DriverError> {
        self.link = None;
        let stream =
            dial::tcp(&self.line.host, self.line.port, deadline).await.map_err(|error| {
                DriverError::new(ErrorKind::Unreachable, error.to_string()).hint(error.hint())
            })?;
        self.link = Some(Link::new(stream));
        let doing = "connecting to the CPU's rack and slot";
        let tsap = self.line.tsap();
        self.exchange(&frame::connect(tsap), doing, toll, deadline, frame::connected).await?;
        let reference = self.next();
        let asked = frame::set_up(reference, self.line.pdu_bytes);
        let granted = self
            .exchange(&asked, "setting up communication", toll, deadline, |came| {
                let message = frame::message(came, MESSAGE_SLACK)?;
                message.map(|message| frame::granted(&message, reference)).transpose()
            })
            .await?
            .map_err(|refusal| self.refuse(refusal, "setting up communication"))?;
        if granted < PDU_BYTES_MIN {
            self.link = None;
            let what =
                format!("the controller grants messages of {granted} bytes, which hold nothing");
            return Err(DriverError::new(ErrorKind::Protocol, what));
        }
        self.pdu_bytes = granted.min(self.line.pdu_bytes);
        Ok(())
    }

    /// Gives the connection up with a refusal: without a set-up there is no session.
    fn refuse(&mut self, refusal: Refusal, doing: &str) -> DriverError {
        self.link = None;
        let error = errors::refused(refusal, doing);
        error.reacting(crate::driver::Reaction::DropSession)
    }

    fn next(&mut self) -> u16 {
        self.reference = self.reference.wrapping_add(1);
        self.reference
    }

    /// Tells whether the connection is there, as far as can be seen without sending.
    pub(super) fn check(&mut self) -> Result<(), DriverError> {
        let mut link = self.link.take().ok_or_else(errors::closed)?;
        link.check::<()>().map_err(|error| match error {
            ExchangeError::Ended(kind) => errors::ended(kind, "nothing was asked"),
            _ => errors::unasked(),
        })?;
        self.link = Some(link);
        Ok(())
    }

    /// Sends one message and reads its answer; the connection survives good answers only.
    async fn exchange<T>(
        &mut self,
        request: &[u8],
        doing: &str,
        toll: &Toll,
        deadline: Instant,
        decode: impl FnMut(&[u8]) -> Result<Option<T>, BadFrame>,
    ) -> Result<T, DriverError> {
        if Instant::now() >= deadline {
            return Err(errors::too_late(doing));
        }
        self.check()?;
        toll.spend(deadline).await?;
        let mut link = self.link.take().ok_or_else(errors::closed)?;
        let timeout: Duration = self.line.timeout;
        // What has been sent is waited for, even past the deadline: a controller that is not
        // given its time is not silent, and cutting it off costs the session.
        let until = Instant::now() + timeout;
        let answer = link
            .exchange(request, until, decode)
            .await
            .map_err(|error| errors::of_exchange(error, doing, timeout.as_millis()))?;
        self.link = Some(link);
        Ok(answer)
    }

    /// Reads items in one job.
    pub(super) async fn read(
        &mut self,
        items: &[Item],
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Items, DriverError> {
        let reference = self.next();
        let request = frame::read(reference, items);
        let bytes_max = usize::from(self.pdu_bytes) + MESSAGE_SLACK;
        let answer = self
            .exchange(&request, "reading", toll, deadline, |came| {
                let message = frame::message(came, bytes_max)?;
                message.map(|message| frame::items(&message, reference, items)).transpose()
            })
            .await?;
        answer.map_err(|refusal| errors::refused(refusal, "reading"))
    }

    /// Writes one item in one job, and gives the controller's return code.
    #[cfg(feature = "writes")]
    pub(super) async fn write(
        &mut self,
        item: &frame::WriteItem,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<u8, DriverError> {
        let reference = self.next();
        let request = frame::write(reference, item);
        let bytes_max = usize::from(self.pdu_bytes) + MESSAGE_SLACK;
        let answer = self
            .exchange(&request, "writing", toll, deadline, |came| {
                let message = frame::message(came, bytes_max)?;
                message.map(|message| frame::written(&message, reference)).transpose()
            })
            .await?;
        answer.map_err(|refusal| errors::refused(refusal, "writing"))
    }

    /// Reads a part of the system status list, in as many messages as it takes.
    pub(super) async fn status_list(
        &mut self,
        id: u16,
        index: u16,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Vec<u8>, DriverError> {
        let doing = "reading the system status list";
        let bytes_max = usize::from(self.pdu_bytes) + MESSAGE_SLACK;
        let (mut list, mut more) = (Vec::new(), None);
        loop {
            let reference = self.next();
            let request = frame::status_list(reference, id, index, more);
            let part = self
                .exchange(&request, doing, toll, deadline, |came| {
                    let message = frame::message(came, bytes_max)?;
                    message.map(|message| frame::list_part(&message, reference)).transpose()
                })
                .await?
                .map_err(|refusal| errors::refused(refusal, doing))?;
            list.extend(part.data);
            if list.len() > LIST_BYTES_MAX {
                self.link = None;
                let what = format!("a status list is longer than {LIST_BYTES_MAX} bytes");
                return Err(DriverError::new(ErrorKind::Protocol, what));
            }
            match part.more {
                Some(sequence) => more = Some(sequence),
                None => return Ok(list),
            }
        }
    }

    /// Lets the connection go.
    pub(super) async fn close(&mut self, deadline: Instant) {
        if let Some(link) = self.link.take() {
            link.close(deadline).await;
        }
    }
}
