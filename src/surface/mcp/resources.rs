//! Tags as resources, their updates, and the completion of their names.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ListResourceTemplatesResult,
    ListResourcesResult, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    SubscriptionFilter,
};
use rmcp::service::SubscriptionContext;
use rmcp::{ErrorData, Peer, RoleServer};
use tokio_util::sync::CancellationToken;

use super::updates::{Followed, Listener, follow};
use super::uri;
use crate::actors::Deps;

/// Resources on one page: some 20 KiB of names.
const PAGE_ITEMS: usize = 200;
/// Resources listed at all: beyond, tag_find is the way to a name.
const LISTED_MAX: usize = 10_000;
/// Resources one session follows.
const FOLLOWED_MAX: usize = 256;

/// Keeps a fault of one answer from taking the session's answer with it.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, ErrorData> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| ErrorData::internal_error("the request failed inside", None))
}

/// Lists tags, a page at a time.
pub(super) fn list(deps: &Deps, cursor: Option<&str>) -> Result<ListResourcesResult, ErrorData> {
    let bad = || ErrorData::invalid_params("the cursor is none of ours", None);
    let from: usize = cursor.map_or(Ok(0), str::parse).map_err(|_| bad())?;
    if from > LISTED_MAX {
        return Err(bad());
    }
    let until = (from + PAGE_ITEMS).min(LISTED_MAX);
    let names = guarded(|| deps.tag_names("", until + 1))?;
    let page = names.iter().take(until).skip(from);
    let mut items: Vec<Resource> = page
        .map(|name| Resource::new(uri::of_tag(name), name).with_mime_type("application/json"))
        .collect();
    if from == 0 {
        let findings = Resource::new(uri::FINDINGS, "findings").with_mime_type("application/json");
        items.push(findings.with_description("What is wrong now. Subscribe to hear of changes."));
    }
    let mut result = ListResourcesResult::with_all_items(items);
    result.next_cursor = (names.len() > until && until < LISTED_MAX).then(|| until.to_string());
    Ok(result)
}

/// Gives the one template.
pub(super) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(uri::TAG_TEMPLATE, "tag")
        .with_title("A tag's latest sample")
        .with_description("The latest cached value of a tag, with quality, age and unit.")
        .with_mime_type("application/json");
    ListResourceTemplatesResult::with_all_items(vec![template])
}

/// Reads one tag, or the findings.
pub(super) fn read(deps: &Deps, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let content = match uri::tag_of(uri) {
        Some(name) => guarded(|| deps.tag_resource(&name))?.ok_or_else(not_found)?,
        None if uri == uri::FINDINGS => guarded(|| deps.findings_resource())?,
        None => return Err(not_found()),
    };
    let text = ResourceContents::text(content.to_string(), uri);
    Ok(ReadResourceResult::new(vec![text.with_mime_type("application/json")]))
}

fn not_found() -> ErrorData {
    let message =
        "no such resource: ot://tag/NAME names a configured tag, ot://findings what is wrong";
    ErrorData::resource_not_found(message, None)
}

/// Completes a tag's or an endpoint's name.
pub(super) fn complete(
    deps: &Deps,
    request: &CompleteRequestParams,
) -> Result<CompleteResult, ErrorData> {
    let prefix = request.argument.value.as_str();
    let found = guarded(|| match request.argument.name.as_str() {
        "name" | "tag" => deps.tag_names(prefix, CompletionInfo::MAX_VALUES + 1),
        "endpoint" => {
            let names = deps.endpoint_names().into_iter();
            names.filter(|name| name.starts_with(prefix)).collect()
        }
        _ => Vec::new(),
    })?;
    let has_more = found.len() > CompletionInfo::MAX_VALUES;
    let values = found.into_iter().take(CompletionInfo::MAX_VALUES).collect();
    let info = CompletionInfo::with_pagination(values, None, has_more)
        .map_err(|error| ErrorData::internal_error(error, None))?;
    Ok(CompleteResult::new(info))
}

/// The resources that a session of the older generation follows.
#[derive(Debug, Clone, Default)]
pub(super) struct Resources {
    followed: Followed,
    follows: Arc<AtomicBool>,
}

impl Resources {
    /// Follows one more resource for this session, which ends with the token.
    pub(super) fn subscribe(
        &self,
        deps: &Deps,
        uri: String,
        peer: &Peer<RoleServer>,
        ended: &CancellationToken,
    ) -> Result<(), ErrorData> {
        read(deps, &uri)?;
        if self.followed.len() >= FOLLOWED_MAX {
            let message = format!("a session follows at most {FOLLOWED_MAX} resources");
            return Err(ErrorData::invalid_request(message, None));
        }
        self.followed.add(deps, uri);
        if !self.follows.swap(true, Ordering::Relaxed) {
            let (deps, peer, ended) = (deps.clone(), peer.clone(), ended.clone());
            let followed = self.followed.clone();
            tokio::spawn(async move {
                let following = follow(&deps, &followed, Listener::Session(&peer));
                ended.run_until_cancelled(following).await;
            });
        }
        Ok(())
    }

    /// Follows one resource less.
    pub(super) fn unsubscribe(&self, uri: &str) {
        self.followed.remove(uri);
    }
}

/// Gives the part of a wish that is granted: known tags, within the bound.
pub(super) fn accepted(deps: &Deps, asked: &SubscriptionFilter) -> SubscriptionFilter {
    let mut filter = SubscriptionFilter::new();
    filter.resource_subscriptions = asked.resource_subscriptions.as_ref().map(|uris| {
        let known = uris.iter().filter(|uri| read(deps, uri).is_ok());
        known.take(FOLLOWED_MAX).cloned().collect()
    });
    filter
}

/// Tells one subscription of its resources until it is cancelled.
pub(super) async fn listen(deps: &Deps, context: &SubscriptionContext) {
    let followed = Followed::default();
    for uri in context.accepted().resource_subscriptions.iter().flatten() {
        followed.add(deps, uri.clone());
    }
    tokio::select! {
        () = follow(deps, &followed, Listener::Subscription(context.sink())) => {}
        () = context.cancelled() => {}
    }
}
