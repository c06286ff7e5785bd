//! The one place that reads the machine's clocks.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Reads the wall clock. It may step: ages within one run come from [`uptime_ms`].
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
pub fn now() -> Timestamp {
    // Before 1970 or after 2262 the machine's clock is broken; zero makes that visible.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or_default())
}

/// Gives monotonic milliseconds since the first call in this process.
#[must_use]
pub fn uptime_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
