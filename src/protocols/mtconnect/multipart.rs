//! Cuts a multipart/x-mixed-replace stream into its documents (RFC 2046, 5.1).

use bytes::{Buf, BytesMut};

/// A part's own header lines; an agent writes two.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// RFC 2046, 5.1.1: a boundary has at most 70 characters.
const BOUNDARY_CHARS_MAX: usize = 70;

/// Why a stream can't be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// Something else stands where a boundary should.
    Boundary,
    /// Header lines without end.
    Head,
    /// A part longer than any document may be.
    Long,
}

impl Damage {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Boundary => "a part does not begin with the stream's boundary",
            Self::Head => "the header lines of a part have no end",
            Self::Long => "a part is larger than any document may be",
        }
    }
}

/// What stands at the front of what has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Not enough yet.
    More,
    /// One document.
    Part(Vec<u8>),
    /// The stream says that it ends.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Boundary,
    Head,
    Body(Option<usize>),
}

/// A cutter that is fed as bytes come.
#[derive(Debug)]
pub(super) struct Cutter {
    delimiter: Vec<u8>,
    part_bytes_max: usize,
    held: BytesMut,
    awaited: Awaited,
    /// Up to here a body was searched for its boundary.
    searched: usize,
}

/// Reads the boundary of a content type; `None` where it is no multipart.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let text = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    // Some agents write the two dashes of the delimiter into the boundary, too.
    let is_right = !text.is_empty() && text.len() <= BOUNDARY_CHARS_MAX;
    is_right.then(|| text.to_owned())
}

fn find(within: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = within.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

impl Cutter {
    pub(super) fn new(boundary: &str, part_bytes_max: usize) -> Self {
        let delimiter = format!("--{boundary}").into_bytes();
        let (held, awaited) = (BytesMut::new(), Awaited::Boundary);
        Self { delimiter, part_bytes_max, held, awaited, searched: 0 }
    }

    /// Adds what has come.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Tells whether a part has begun and not ended.
    pub(super) fn is_within(&self) -> bool {
        self.awaited != Awaited::Boundary
    }

    /// Cuts the next document off.
    pub(super) fn cut(&mut self) -> Result<Cut, Damage> {
        loop {
            match self.awaited {
                Awaited::Boundary => match self.pass_boundary()? {
                    Some(Cut::End) => return Ok(Cut::End),
                    Some(_) => self.awaited = Awaited::Head,
                    None => return Ok(Cut::More),
                },
                Awaited::Head => {
                    let Some(length) = self.pass_head()? else { return Ok(Cut::More) };
                    if length.is_some_and(|length| length > self.part_bytes_max) {
                        return Err(Damage::Long);
                    }
                    (self.awaited, self.searched) = (Awaited::Body(length), 0);
                }
                Awaited::Body(length) => {
                    let Some(body) = self.take_body(length)? else { return Ok(Cut::More) };
                    self.awaited = Awaited::Boundary;
                    return Ok(Cut::Part(body));
                }
            }
        }
    }

    /// Passes a line with the boundary; [`Cut::End`] where it is the last one.
    fn pass_boundary(&mut self) -> Result<Option<Cut>, Damage> {
        let blank = self.held.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.held.advance(blank);
        let compared = self.held.len().min(self.delimiter.len());
        if self.held.get(..compared) != self.delimiter.get(..compared) {
            return Err(Damage::Boundary);
        }
        let Some(rest) = self.held.get(self.delimiter.len()..).filter(|rest| rest.len() >= 2)
        else {
            return Ok(None);
        };
        if rest.starts_with(b"--") {
            return Ok(Some(Cut::End));
        }
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(line) if rest.iter().take(line).all(u8::is_ascii_whitespace) => {
                self.held.advance(self.delimiter.len() + line + 1);
                Ok(Some(Cut::More))
            }
            None if rest.len() < BOUNDARY_CHARS_MAX && rest.iter().all(u8::is_ascii_whitespace) => {
                Ok(None)
            }
            _ => Err(Damage::Boundary),
        }
    }

    /// Passes the header lines of a part, and gives the length they tell.
    #[allow(clippy::option_option, reason = "not all there yet, or there without a length")]
    fn pass_head(&mut self) -> Result<Option<Option<usize>>, Damage> {
        let ends = [&b"\r\n\r\n"[..], &b"\n\n"[..]];
        let within = self.held.get(..HEAD_BYTES_MAX.min(self.held.len())).unwrap_or_default();
        let end = match within {
            // No header lines at all.
            [b'\r', b'\n', ..] => Some((0, 2)),
            [b'\n', ..] => Some((0, 1)),
            _ => ends.iter().filter_map(|end| Some((find(within, end, 0)?, end.len()))).min(),
        };
        let Some((at, length)) = end else {
            return if within.len() >= HEAD_BYTES_MAX { Err(Damage::Head) } else { Ok(None) };
        };
        let head = String::from_utf8_lossy(within.get(..at).unwrap_or_default()).into_owned();
        self.held.advance(at + length);
        let told = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.trim().eq_ignore_ascii_case("content-length");
            is_it.then(|| value.trim().parse().ok()).flatten()
        });
        Ok(Some(told))
    }

    /// Takes a body of the length told, or up to the next boundary.
    fn take_body(&mut self, length: Option<usize>) -> Result<Option<Vec<u8>>, Damage> {
        if let Some(length) = length {
            if self.held.len() < length {
                return Ok(None);
            }
            return Ok(Some(self.held.split_to(length).to_vec()));
        }
        match find(&self.held, &self.delimiter, self.searched) {
            Some(at) => Ok(Some(self.held.split_to(at).to_vec())),
            None if self.held.len() > self.part_bytes_max => Err(Damage::Long),
            None => {
                self.searched = self.held.len().saturating_sub(self.delimiter.len());
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"--x\r\nContent-type: text/xml\r\nContent-length: 5\r\n\r\n<a/>\n\r\n\
                            --x\r\nContent-type: text/xml\r\n\r\n<b/>\r\n--x--\r\n";

    fn cut_all(stream: &[u8], step: usize) -> Result<Vec<String>, Damage> {
        let (mut cutter, mut parts) = (Cutter::new("x", 1000), Vec::new());
        for piece in stream.chunks(step) {
            cutter.feed(piece);
            while let Cut::Part(part) = cutter.cut()? {
                parts.push(String::from_utf8(part).unwrap().trim().into());
            }
        }
        Ok(parts)
    }

    #[test]
    fn any_segmentation_gives_the_same_parts() {
        for step in 1..STREAM.len() {
            assert_eq!(cut_all(STREAM, step).unwrap(), ["<a/>", "<b/>"], "{step}");
        }
    }

    #[test]
    fn a_boundary_is_read_from_the_content_type() {
        let read = |text| boundary(text);
        assert_eq!(read("multipart/x-mixed-replace;boundary=abc").as_deref(), Some("abc"));
        assert_eq!(read("Multipart/x-mixed-replace; Boundary=\"a\"").as_deref(), Some("a"));
        assert_eq!(read("text/xml"), None);
        assert_eq!(read("multipart/x-mixed-replace; boundary="), None);
    }

    #[test]
    fn a_part_without_end_is_refused_before_it_fills_the_memory() {
        let long = [b"--x\r\n\r\n", &[b'a'; 2000][..]].concat();
        assert_eq!(cut_all(&long, 100), Err(Damage::Long));
        assert_eq!(cut_all(b"--x\r\nContent-Length: 1001\r\n\r\n", 7), Err(Damage::Long));
        let head = [b"--x\r\n", &[b'a'; 9000][..]].concat();
        assert_eq!(cut_all(&head, 100), Err(Damage::Head));
        assert_eq!(cut_all(b"<html>", 100), Err(Damage::Boundary));
    }
}
