//! The session: 3E frames carry no number, so one request is in flight, and the connection
//! ends with whatever is no good answer.

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::errors;
use super::frame::{self, Answer, Request};
use super::settings::{Line, Model};
use crate::driver::{DriverError, ErrorKind, Toll};
use crate::net::dial;
use crate::net::exchange::{ExchangeError, Link};

/// The controller's own patience is counted in these (SLMP Reference Manual, 4.2).
const TIMER_MS: u128 = 250;

/// The endpoint's one connection, open or not.
pub(super) struct Session {
    line: Line,
    link: Option<Link<TcpStream>>,
    /// What is known of the controller: configured, or learnt from its name.
    model: Option<Model>,
}

impl Session {
    pub(super) fn new(line: Line) -> Self {
        Self { model: line.model, line, link: None }
    }

    pub(super) fn model(&self) -> Option<Model> {
        self.model
    }

    /// Connects, and asks for the model where the settings don't say it.
    pub(super) async fn open(&mut self, toll: &Toll, deadline: Instant) -> Result<(), DriverError> {
        self.link = None;
        let stream =
            dial::tcp(&self.line.host, self.line.port, deadline).await.map_err(|error| {
                DriverError::new(ErrorKind::Unreachable, error.to_string()).hint(error.hint())
            })?;
        self.link = Some(Link::new(stream));
        if self.line.model.is_none() {
            self.model = match self.read(&Request::Cpu, toll, deadline).await {
                Ok(Answer::Cpu { name, .. }) => Model::of_cpu(&name),
                Ok(_) => None,
                // A controller that won't say its model is read all the same, but for X and Y.
                Err(error) if error.status.is_some() => None,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Tells whether the connection is there, as far as can be seen without sending.
    pub(super) fn check(&mut self) -> Result<(), DriverError> {
        let mut link = self.link.take().ok_or_else(errors::closed)?;
        link.check::<()>().map_err(|error| match error {
            ExchangeError::Ended(kind) => errors::idle_end(kind),
            _ => errors::unasked(),
        })?;
        self.link = Some(link);
        Ok(())
    }

    /// Asks; the connection survives good answers and end codes only.
    pub(super) async fn read(
        &mut self,
        request: &Request,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Answer, DriverError> {
        if Instant::now() >= deadline {
            return Err(errors::too_late(request));
        }
        self.check()?;
        toll.spend(deadline).await?;
        let mut link = self.link.take().ok_or_else(errors::closed)?;
        let Line { route, timeout, .. } = self.line;
        let timer = u16::try_from(timeout.as_millis().div_ceil(TIMER_MS)).unwrap_or(u16::MAX);
        let bytes = frame::encode(request, self.model, route, timer);
        // What has been sent is waited for, even past the deadline: a controller that is not
        // given its time is not silent, and cutting it off costs the session.
        let until = Instant::now() + timeout;
        let answer = link
            .exchange(&bytes, until, |came| frame::decode(request, route, came))
            .await
            .map_err(|error| errors::of_exchange(error, request, timeout.as_millis()))?;
        self.link = Some(link);
        match answer {
            Answer::EndCode(code) => Err(errors::end_code(code, request)),
            answer => Ok(answer),
        }
    }

    /// Lets the connection go.
    pub(super) async fn close(&mut self, deadline: Instant) {
        if let Some(link) = self.link.take() {
            link.close(deadline).await;
        }
    }
}
