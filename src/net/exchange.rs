//! One request, one answer, over a byte stream: nothing late or unasked is ever an answer.
//!
//! The link is given away for each exchange and comes back only after a good answer, so that a
//! timeout, a bad frame or an abandoned call all end it.

use std::io;

use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

/// Room for what comes at first; answers that are longer grow it up to their own limit.
const CAME: usize = 1024;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError<E> {
    /// None came whole in time.
    #[error("no whole answer came in time")]
    TimedOut,
    /// The connection ended first.
    #[error("the connection ended: {0}")]
    Ended(io::ErrorKind),
    /// Something came before anything was asked.
    #[error("bytes came that nobody asked for")]
    Unasked,
    /// What came is no answer to what was asked.
    #[error("{0}")]
    Bad(E),
}

/// A live connection that carries one exchange at a time.
#[derive(Debug)]
pub struct Link<S> {
    stream: S,
    /// What has come since the last request; the decoder bounds it.
    came: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Takes over a connection.
    pub fn new(stream: S) -> Self {
        Self { stream, came: Vec::with_capacity(CAME) }
    }

    /// Tells whether the connection is there and silent, as far as can be seen without sending.
    ///
    /// # Errors
    /// It ended, or bytes came unasked.
    pub fn check<E>(&mut self) -> Result<(), ExchangeError<E>> {
        self.came.clear();
        match self.stream.read_buf(&mut self.came).now_or_never() {
            None => Ok(()),
            Some(Ok(0)) => Err(ExchangeError::Ended(io::ErrorKind::UnexpectedEof)),
            Some(Ok(_)) => Err(ExchangeError::Unasked),
            Some(Err(error)) => Err(ExchangeError::Ended(error.kind())),
        }
    }

    /// Sends a request and reads until `decode` has the answer, refuses what came, or the time is
    /// up. `decode` sees everything that has come and answers `None` while more is needed.
    ///
    /// # Errors
    /// There is no answer; the link must not be used again.
    pub async fn exchange<T, E>(
        &mut self,
        request: &[u8],
        until: Instant,
        decode: impl FnMut(&[u8]) -> Result<Option<T>, E>,
    ) -> Result<T, ExchangeError<E>> {
        match timeout_at(until, self.send_and_receive(request, decode)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ExchangeError::TimedOut),
        }
    }

    async fn send_and_receive<T, E>(
        &mut self,
        request: &[u8],
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, E>,
    ) -> Result<T, ExchangeError<E>> {
        let ended = |error: io::Error| ExchangeError::Ended(error.kind());
        self.came.clear();
        self.stream.write_all(request).await.map_err(ended)?;
        loop {
            if self.stream.read_buf(&mut self.came).await.map_err(ended)? == 0 {
                return Err(ExchangeError::Ended(io::ErrorKind::UnexpectedEof));
            }
            if let Some(answer) = decode(&self.came).map_err(ExchangeError::Bad)? {
                return Ok(answer);
            }
        }
    }

    /// Ends the connection.
    pub async fn close(mut self, deadline: Instant) {
        if let Ok(Err(error)) = timeout_at(deadline, self.stream.shutdown()).await {
            tracing::debug!(kind = %error.kind(), "the connection was closed with an error");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// Nothing, a part, and a part after a part: milliseconds before each.
    const SLOW: [&[(u64, &[u8])]; 3] = [&[], &[(0, b"xy")], &[(600, b"x"), (600, b"y")]];

    fn three(came: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        match came.len() {
            0..3 => Ok(None),
            3 => Ok(Some(came.to_vec())),
            _ => Err("too much"),
        }
    }

    async fn exchange(
        pieces: &'static [(u64, &'static [u8])],
        then_hang_up: bool,
    ) -> Result<Vec<u8>, ExchangeError<&'static str>> {
        let (ours, mut theirs): (DuplexStream, DuplexStream) = duplex(64);
        let server = tokio::spawn(async move {
            theirs.read_exact(&mut [0; 2]).await.unwrap();
            for (pause_ms, piece) in pieces {
                tokio::time::sleep(Duration::from_millis(*pause_ms)).await;
                theirs.write_all(piece).await.unwrap();
            }
            if !then_hang_up {
                std::future::pending::<()>().await;
            }
        });
        let until = Instant::now() + Duration::from_secs(1);
        let got = Link::new(ours).exchange(b"ab", until, three).await;
        server.abort();
        got
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_pieces_is_whole_before_its_deadline() {
        assert_eq!(
            exchange(&[(300, b"x"), (300, b"y"), (300, b"z")], false).await.unwrap(),
            b"xyz"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_silence_and_half_an_answer_time_out() {
        for pieces in SLOW {
            assert_eq!(exchange(pieces, false).await, Err(ExchangeError::TimedOut));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_much_is_refused_and_an_end_is_told() {
        assert_eq!(exchange(&[(0, b"wxyz")], false).await, Err(ExchangeError::Bad("too much")));
        let ended = Err(ExchangeError::Ended(io::ErrorKind::UnexpectedEof));
        assert_eq!(exchange(&[(0, b"x")], true).await, ended);
    }

    #[tokio::test]
    async fn what_comes_unasked_is_seen_before_a_request() {
        let (ours, mut theirs) = duplex(64);
        let mut link = Link::new(ours);
        assert_eq!(link.check::<()>(), Ok(()));
        theirs.write_all(b"?").await.unwrap();
        assert_eq!(link.check::<()>(), Err(ExchangeError::Unasked));
    }
}
