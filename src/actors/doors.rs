//! The doors, as this floor sees them.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Serves the doors until the token is cancelled; an error or a panic brings them back.
pub type ServeDoors =
    Arc<dyn Fn(CancellationToken) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
