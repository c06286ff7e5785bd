//! The MTConnect tools: what an agent's machines are, and what they report.

mod assets;
mod observations;
mod oee;
mod probe;

pub(super) use assets::Assets;
pub(super) use observations::{Current, Sample};
pub(super) use oee::OeeSnapshot;
pub(super) use probe::Probe;

use std::sync::Arc;

use super::ask::{Held, ask};
use super::endpoint::Target;
use super::provenance::Provenance;
use super::{Call, ToolError};
use crate::actors::Deps;
use crate::driver::{Ask, Reply};

/// Asks for the present state: what the session is told of on its own stands in the cache.
async fn current(
    deps: &Deps,
    target: &Target,
    call: &Call,
    max_age_s: Option<f64>,
) -> Result<(Arc<Reply>, Provenance), ToolError> {
    let held = deps.cache.current(target.link.name()).map(|found| {
        // What has not come has not changed, for as long as the session is heard of.
        let seen = target.link.report().last_good_uptime_ms.max(found.seen_uptime_ms);
        Held::new(found.reply, seen, found.received_ts)
    });
    ask(deps, target, call, Ask::Current, max_age_s, held).await
}
