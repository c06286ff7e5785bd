//! Waiting for what must come. No test asserts how fast: the deadline only ends a failed one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longer than anything takes on a machine busy with a build.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until there is an answer, and fails with `what` where none comes.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{} s went by without: {what}", PATIENCE.as_secs());
        sleep(LOOK_EVERY).await;
    }
}
