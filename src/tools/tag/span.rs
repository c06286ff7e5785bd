//! A stretch of time, and one tag's history over it.

use jiff::SignedDuration;

use crate::actors::Deps;
use crate::clock;
use crate::model::{Sample, TagId, Timestamp, Window};
use crate::store::Gap;
use crate::tools::{Code, ToolError};

/// Samples looked at for one tag and call; more are thinned before they are counted as read.
const SAMPLES_MAX: usize = 100_000;

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tools) struct Span {
    pub(in crate::tools) since: Timestamp,
    pub(in crate::tools) until: Timestamp,
}

/// One tag's history over a stretch, ring and store joined.
pub(in crate::tools) struct Recorded {
    pub(in crate::tools) window: Window,
    /// Known losses, oldest first.
    pub(in crate::tools) gaps: Vec<Gap>,
    pub(in crate::tools) truncated: bool,
}

impl Span {
    /// Reads `-1h`, `1h` or RFC 3339; `until` is now where it is left out.
    pub(in crate::tools) fn parse(since: &str, until: Option<&str>) -> Result<Self, ToolError> {
        let now = clock::now();
        let since = instant(since, now, "since")?;
        let until = until.map_or(Ok(now), |text| instant(text, now, "until"))?;
        if since >= until {
            return Err(ToolError::argument("since is not before until"));
        }
        Ok(Self { since, until })
    }
}

fn instant(text: &str, now: Timestamp, name: &str) -> Result<Timestamp, ToolError> {
    let bad = || {
        ToolError::argument(format!(
            "{name} is neither like -15m, 1h, -7d nor an RFC 3339 date-time"
        ))
    };
    if text.trim() == "now" {
        return Ok(now);
    }
    let ago = text.trim();
    let ago = ago.strip_prefix('-').unwrap_or(ago);
    match span_ms(ago).filter(|_| !ago.is_empty()) {
        Some(ms) => Ok(now.plus_millis(-ms)),
        None => Timestamp::parse(text).map_err(|_| bad()),
    }
}

/// Reads `15m`, `8h` or `1d12h` as milliseconds; `None` where it is no such span.
pub(in crate::tools) fn span_ms(text: &str) -> Option<i64> {
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.trim().parse::<i64>().ok()?, rest.trim()),
        None => (0, text.trim()),
    };
    let rest: SignedDuration = match rest {
        "" => SignedDuration::ZERO,
        rest => rest.parse().ok()?,
    };
    let millis = i64::try_from(rest.as_millis()).ok()?;
    let all = days.checked_mul(86_400_000)?.checked_add(millis)?;
    (all >= 0).then_some(all)
}

/// Gives one tag's history: the store up to where the ring begins, then the ring.
pub(in crate::tools) async fn recorded(
    deps: &Deps,
    id: TagId,
    span: Span,
) -> Result<Recorded, ToolError> {
    let ring = deps.cache.window(id, span.since, span.until);
    let ring_begins = ring.received.first().copied().unwrap_or(span.until);
    let mut window = Window::default();
    // What the ring does not reach back to may stand in the store.
    let store = deps.store.clone();
    let stored =
        tokio::task::spawn_blocking(move || store.window(id, span.since, span.until, SAMPLES_MAX));
    let stored = stored.await.map_err(|e| storage(&e.to_string()))?;
    let stored = stored.map_err(|e| storage(&e.to_string()))?;
    for sample in stored.window.iter().filter(|s| s.received_ts < ring_begins) {
        window.push(sample);
    }
    ring.iter().for_each(|sample: Sample| window.push(sample));
    window.lost = ring.lost;
    Ok(Recorded { window, gaps: stored.gaps, truncated: stored.truncated })
}

fn storage(text: &str) -> ToolError {
    ToolError::new(Code::Storage, text, "see the collector's log; newer samples are in the cache")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_given_from_now_or_by_date() {
        for text in ["-1h", "1h", "60m"] {
            let span = Span::parse(text, None).unwrap();
            assert_eq!(span.until.millis_since(span.since), 3_600_000, "{text}");
        }
        let span = Span::parse("-1d12h", Some("-30m")).unwrap();
        assert!(span.until.millis_since(span.since) > 35 * 3_600_000);
        assert!(Span::parse("2026-06-30T12:00:00Z", Some("2026-06-30T13:00:00+01:00")).is_err());
        for bad in ["", "-", "--1h", "-1x", "yesterday", "-99999999999999999999d"] {
            let parsed = Span::parse(bad, None);
            assert!(parsed.is_err(), "{bad}");
        }
    }
}
