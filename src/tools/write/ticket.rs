//! `moc_status` and `moc_list`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, timeout_at};

use super::refused;
use crate::actors::{Deps, is_relaxed};
use crate::clock;
use crate::model::{Dossier, MocState, Ticket, Timestamp, escape};
use crate::tools::{Call, Tool, ToolError};

/// The longest wait of one call.
const WAIT_S_MAX: u64 = 50;
/// Tickets in one list.
const LIST_MAX: usize = 100;

fn twenty() -> u32 {
    20
}

/// Says where a ticket stands; `wait_s` waits for its end.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusInput {
    /// MOC-118.
    pub id: String,
    /// 0 to 50.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    pub wait_s: u64,
    /// Gives what is signed, too.
    #[arg(long)]
    #[serde(default)]
    pub ticket: bool,
}

/// A ticket as people and agents see it. The schema names what an agent acts on: the list of
/// tools has little room, and objects are open.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(in crate::tools) struct StatusOutput {
    moc_id: String,
    #[schemars(with = "String")]
    state: MocState,
    #[schemars(skip)]
    endpoint: String,
    #[schemars(skip)]
    tag: String,
    #[schemars(skip)]
    unit: String,
    #[schemars(skip)]
    value: Json,
    #[schemars(skip)]
    before: Json,
    /// What stood there right before the write.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    found: Option<Json>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    readbacks: Vec<Json>,
    /// Whether the value is at the device, as far as it was read back.
    applied: bool,
    /// The value that was written, once it is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Json>,
    /// What `otctl moc undo` takes, where it can be undone.
    #[serde(rename = "_undo_id", skip_serializing_if = "Option::is_none")]
    undo_id: Option<String>,
    /// Write messages that went to the device.
    #[schemars(skip)]
    device_writes: u32,
    /// The rule that decided.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schemars(skip)]
    rule: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    #[schemars(skip)]
    approvals: usize,
    #[schemars(skip)]
    approvals_needed: Option<usize>,
    #[schemars(skip)]
    approved_by: Vec<String>,
    #[schemars(skip)]
    requested_by_uid: u32,
    /// Words of whoever asked: untrusted.
    #[schemars(skip)]
    untrusted_reason: String,
    #[schemars(skip)]
    work_order: String,
    #[schemars(skip)]
    created: Timestamp,
    #[schemars(skip)]
    expires: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    undo_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    undone_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    cas_window_us: Option<u64>,
    /// The demo lets one person ask and approve.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(skip)]
    separation_relaxed: bool,
    /// The digest of what is signed; people compare its last 4 characters.
    #[schemars(skip)]
    digest: String,
    /// What rule and tag say of the value, beside the ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    limits: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    ticket: Option<Ticket>,
}

/// Writes a JSON value with nothing in its texts that acts on a reader.
fn safe(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::String(escape(text)),
        Json::Array(items) => items.iter().map(safe).collect(),
        plain => plain.clone(),
    }
}

pub(super) fn shown(dossier: &Dossier, with_ticket: bool) -> StatusOutput {
    let ticket = &dossier.ticket;
    let is_written = dossier.state.is_written();
    StatusOutput {
        moc_id: ticket.id.clone(),
        state: dossier.state,
        endpoint: ticket.endpoint.clone(),
        tag: ticket.tag.clone(),
        unit: ticket.unit.clone(),
        value: safe(&ticket.value),
        before: safe(&ticket.before),
        found: dossier.found.as_ref().map(safe),
        readbacks: dossier.readbacks.iter().map(safe).collect(),
        applied: is_written,
        written: is_written.then(|| safe(&ticket.value)),
        undo_id: is_written.then(|| ticket.id.clone()),
        device_writes: dossier.writes,
        rule: dossier.rule.clone(),
        why: dossier.why.clone(),
        approvals: dossier.approvals.len(),
        approvals_needed: ticket.tier.approvals(),
        approved_by: dossier.approved_by.clone(),
        requested_by_uid: ticket.requester_uid,
        untrusted_reason: escape(&dossier.reason),
        work_order: escape(&ticket.work_order),
        created: Timestamp::from_millis(ticket.created_ms),
        expires: Timestamp::from_millis(ticket.not_after_ms),
        undo_of: ticket.undo_of.clone(),
        undone_by: dossier.undone_by.clone(),
        cas_window_us: dossier.window_us,
        separation_relaxed: is_relaxed(dossier),
        digest: ticket.digest(),
        limits: None,
        ticket: with_ticket.then(|| ticket.clone()),
    }
}

/// The tool that shows one.
pub(in crate::tools) struct Status;

impl Tool for Status {
    const NAME: &'static str = "moc_status";
    const TITLE: &'static str = "Where a ticket stands";
    const CORE: bool = true;
    type Input = StatusInput;
    type Output = StatusOutput;

    fn allowance(input: &Self::Input) -> Duration {
        Duration::from_secs(10 + input.wait_s.min(WAIT_S_MAX))
    }

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        if input.wait_s > WAIT_S_MAX {
            return Err(ToolError::argument(format!("wait_s is 0 to {WAIT_S_MAX}")));
        }
        let until = Instant::now() + Duration::from_secs(input.wait_s);
        let mut changed = deps.desk.watch();
        loop {
            changed.mark_unchanged();
            let dossier = deps.dossier(&input.id).await.map_err(refused)?;
            let is_finished = !dossier.state.is_open() && !dossier.state.is_in_doubt();
            if is_finished || timeout_at(until, changed.changed()).await.is_err() {
                let limits = input.ticket.then(|| limits(deps, &dossier));
                return Ok(StatusOutput { limits, ..shown(&dossier, input.ticket) });
            }
        }
    }
}

/// Gathers what bounds the value: the rule's range and the tag's own limits.
fn limits(deps: &Deps, dossier: &Dossier) -> Json {
    let name = &dossier.ticket.tag;
    let policy = deps.policy();
    let rule = policy.rule(name);
    let tag = deps.cache.resolve(name).and_then(|id| deps.cache.tag(id));
    let own = tag.map(|tag| tag.limits).unwrap_or_default();
    json!({
        "min": rule.and_then(|rule| rule.min), "max": rule.and_then(|rule| rule.max),
        "max_step": rule.and_then(|rule| rule.max_step),
        "warn_low": own.warn_low, "warn_high": own.warn_high,
        "alarm_low": own.alarm_low, "alarm_high": own.alarm_high,
    })
}

/// Lists tickets, the newest first.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListInput {
    /// Only those that wait for people, or whose write is not settled.
    #[arg(long)]
    #[serde(default)]
    pub open: bool,
    /// The most tickets, 1 to 100.
    #[arg(long, default_value_t = 20)]
    #[serde(default = "twenty")]
    pub limit: u32,
}

/// One line of the list.
#[derive(Debug, Serialize, schemars::JsonSchema)]
struct Row {
    moc_id: String,
    state: MocState,
    tag: String,
    before: Json,
    value: Json,
    unit: String,
    requested_by_uid: u32,
    approvals: usize,
    approvals_needed: Option<usize>,
    /// Seconds until it expires, where it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_s: Option<i64>,
    untrusted_reason: String,
    work_order: String,
}

/// The tickets.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct ListOutput {
    tickets: Vec<Row>,
    /// Why nothing is written now, where that is so.
    writes_frozen: Option<String>,
}

/// The tool that lists them.
pub(in crate::tools) struct List;

impl Tool for List {
    const NAME: &'static str = "moc_list";
    const TITLE: &'static str = "List tickets";
    type Input = ListInput;
    type Output = ListOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let limit = usize::try_from(input.limit).unwrap_or(LIST_MAX);
        if !(1..=LIST_MAX).contains(&limit) {
            return Err(ToolError::argument(format!("limit is 1 to {LIST_MAX}")));
        }
        let is_wanted = |d: &Dossier| !input.open || d.state.is_open() || d.state.is_in_doubt();
        let all = deps.dossiers(usize::MAX).await;
        let tickets = all.iter().filter(|d| is_wanted(d)).take(limit).map(row).collect();
        Ok(ListOutput { tickets, writes_frozen: deps.frozen() })
    }
}

fn row(dossier: &Dossier) -> Row {
    let ticket = &dossier.ticket;
    let left = ticket.not_after_ms.saturating_sub(clock::now().millis()) / 1000;
    Row {
        moc_id: ticket.id.clone(),
        state: dossier.state,
        tag: ticket.tag.clone(),
        before: safe(&ticket.before),
        value: safe(&ticket.value),
        unit: ticket.unit.clone(),
        requested_by_uid: ticket.requester_uid,
        approvals: dossier.approvals.len(),
        approvals_needed: ticket.tier.approvals(),
        expires_in_s: dossier.state.is_open().then_some(left),
        untrusted_reason: escape(&dossier.reason),
        work_order: escape(&ticket.work_order),
    }
}
