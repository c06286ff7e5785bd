//! Lines of bounded length, and the answers to lines that are no messages.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// The longest line taken: more than any call needs, and small enough for every session at once.
pub(crate) const LINE_BYTES_MAX: usize = 1 << 20;

/// JSON-RPC 2.0, 5.1: invalid JSON was received.
pub(crate) const PARSE_ERROR: i32 = -32700;
/// JSON-RPC 2.0, 5.1: the JSON sent is not a valid request object.
pub(crate) const INVALID_REQUEST: i32 = -32600;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// One line without its end.
    Text(Vec<u8>),
    /// A line above the limit; it has been skipped or is being skipped.
    TooLong,
    /// The peer sends no more.
    End,
}

/// Reads lines. A dropped `next` loses nothing.
pub(crate) struct Lines<R> {
    read: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads lines of at most `bytes_max` bytes.
    pub(crate) fn new(read: R, bytes_max: usize) -> Self {
        Self { read: BufReader::new(read), line: Vec::new(), bytes_max, skipping: false }
    }

    /// Reads the next line that is not empty.
    ///
    /// # Errors
    /// The stream broke: `ECONNRESET`, say, which is death and not an end.
    pub(crate) async fn next(&mut self) -> io::Result<Line> {
        loop {
            let available = self.read.fill_buf().await?;
            if available.is_empty() {
                self.skipping = false;
                // A last line without its end still counts: half a message is no valid JSON.
                return Ok(self.take_line().map_or(Line::End, Line::Text));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            let consumed = part.len() + usize::from(end.is_some());
            let fits = self.line.len() + part.len() <= self.bytes_max;
            if !self.skipping && fits {
                self.line.extend_from_slice(part);
            }
            self.read.consume(consumed);
            let was_skipping = self.skipping;
            self.skipping = (was_skipping || !fits) && end.is_none();
            if !fits && !was_skipping {
                self.line = Vec::new();
                return Ok(Line::TooLong);
            }
            if end.is_some()
                && !was_skipping
                && let Some(line) = self.take_line()
            {
                return Ok(Line::Text(line));
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(line)
    }
}

/// Writes the answer to something that is no request, ending in a newline.
pub(crate) fn rejection(id: &Value, code: i32, message: &str) -> Vec<u8> {
    let answer = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    let mut line = answer.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Tells why a line can't be read as one JSON-RPC message, as a line to answer.
pub(crate) fn refusal_of(line: &[u8], error: &serde_json::Error) -> Vec<u8> {
    if line.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        let message = "batches are not supported: send one request per line";
        return rejection(&Value::Null, INVALID_REQUEST, message);
    }
    match serde_json::from_slice::<Value>(line) {
        Err(_) => {
            let place = error.column();
            let message = match std::str::from_utf8(line) {
                Err(at) => format!("not UTF-8 from byte {}", at.valid_up_to()),
                Ok(_) => format!("not JSON, or nested too deep, at byte {place}"),
            };
            rejection(&Value::Null, PARSE_ERROR, &message)
        }
        Ok(value) => {
            let id = value.get("id").filter(|id| id.is_string() || id.is_i64());
            let message = "not a JSON-RPC 2.0 request: jsonrpc, id and method are wanted";
            rejection(id.unwrap_or(&Value::Null), INVALID_REQUEST, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8], bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(bytes, bytes_max);
        let mut out = Vec::new();
        loop {
            match lines.next().await.unwrap() {
                Line::End => return out,
                line => out.push(line),
            }
        }
    }

    fn text(line: &str) -> Line {
        Line::Text(line.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_come_without_their_ends_and_blank_ones_not_at_all() {
        let got = read(b"one\r\n\n  \ntwo\nthree", 10).await;
        assert_eq!(got, [text("one"), text("two"), text("three")]);
    }

    #[tokio::test]
    async fn a_long_line_is_reported_once_and_the_next_one_is_read() {
        let mut bytes = vec![b'x'; 100_000];
        bytes.extend_from_slice(b"\nshort\n");
        assert_eq!(read(&bytes, 10).await, [Line::TooLong, text("short")]);
        assert_eq!(read(b"0123456789a\nb\n", 10).await, [Line::TooLong, text("b")]);
        assert_eq!(read(b"0123456789\nb\n", 10).await, [text("0123456789"), text("b")]);
    }

    #[test]
    fn what_is_no_message_is_refused_with_the_right_code() {
        let refuse = |line: &[u8]| {
            let error = serde_json::from_slice::<u8>(line).unwrap_err();
            let answer: Value = serde_json::from_slice(&refusal_of(line, &error)).unwrap();
            (answer["error"]["code"].as_i64().unwrap(), answer["id"].clone())
        };
        assert_eq!(refuse(b"{nonsense"), (-32700, Value::Null));
        assert_eq!(refuse(b"{\"a\": \"\xff\"}"), (-32700, Value::Null));
        assert_eq!(refuse("[".repeat(1000).as_bytes()).0, -32600);
        let deep = format!("{{\"a\":{}", "[".repeat(1000));
        assert_eq!(refuse(deep.as_bytes()), (-32700, Value::Null));
        assert_eq!(refuse(br#"[{"jsonrpc":"2.0"}]"#), (-32600, Value::Null));
        assert_eq!(refuse(br#"{"id": 7}"#), (-32600, json!(7)));
        assert_eq!(refuse(br#"{"id": {"x": 1}}"#), (-32600, Value::Null));
    }
}
