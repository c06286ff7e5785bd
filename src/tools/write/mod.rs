//! What every write has in common: the dry run that asks each rule, and the ticket.
//!
//! No tool writes. The most that a call can do is open a ticket for people to approve.

mod approver;
mod decide;
mod freeze;
mod policy;
mod request;
mod ticket;

pub(super) use approver::{Enrol, List as Approvers, Revoke};
pub(super) use decide::{Approve, Reject, Undo};
pub(super) use freeze::{Freeze, Thaw};
pub(super) use policy::Test as PolicyTest;
pub(super) use request::Request;
pub(super) use ticket::{List, Status};

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use super::provenance::Provenance;
use super::values::json;
use super::{Call, Code, ToolError};
use crate::actors::{Deps, DeskError, Selected, Wish, raw_name};
use crate::driver::Protocol;
use crate::model::{Check, Dossier, EndpointName, Quality, Tag, Tier};

/// What an agent is told to say.
fn tell(id: &str, tag: &str) -> String {
    format!("{id} asks to write {tag}. To look at it and approve it, run: otctl moc approve {id}")
}

/// Reads a value as it is typed on a command line: JSON where it is JSON, text else.
pub(super) fn typed(text: &str) -> Result<Json, std::convert::Infallible> {
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_owned())))
}

/// What the gate says of a wish, in every answer about one. The schema names what an agent acts
/// on; the list of tools has little room, and objects are open.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Gated {
    #[schemars(skip)]
    dry_run: bool,
    /// `allowed` or `denied`: whether a ticket could be opened.
    verdict: &'static str,
    /// Every rule that was asked.
    #[schemars(skip)]
    checks: Vec<Check>,
    /// The tag whose rule decides.
    #[schemars(skip)]
    tag: String,
    #[schemars(skip)]
    unit: String,
    /// How many have to approve; null where nobody can.
    #[schemars(skip)]
    approvals_needed: Option<usize>,
    /// Who could.
    #[schemars(skip)]
    approvers: Vec<String>,
    /// How far to trust `before`; only Good is good.
    #[schemars(skip)]
    before_quality: Quality,
    /// Why `before` could not be read.
    #[schemars(skip)]
    read_back_error: Option<String>,
    /// `approval_required`, once a ticket is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    moc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tell_the_operator: Option<String>,
    #[schemars(skip)]
    note: &'static str,
    provenance: Provenance,
}

/// The answer to a wish: the value before and after, and what stands against it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(super) struct Proposed<B, W> {
    /// The value now; empty or null where it could not be read.
    before: B,
    would_write: W,
    #[serde(flatten)]
    gated: Gated,
}

/// What a write is unless it is asked for: dry.
pub(super) fn yes() -> bool {
    true
}

const NOTE_DRY: &str = "Dry run: nothing was written. With dry_run=false a ticket is opened, which \
                        an operator has to approve.";
const NOTE_OPEN: &str = "Nothing was written. An operator has to approve the ticket; follow it \
                         with moc_status.";

/// What is asked for, beyond the value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terms {
    pub(super) dry_run: bool,
    pub(super) reason: Option<String>,
    pub(super) work_order: Option<String>,
}

/// The longest reason and work order.
const TEXT_CHARS_MAX: usize = 500;

/// Asks every rule of a wish, and opens a ticket where that is asked for.
pub(super) async fn gated(
    deps: &Deps,
    call: &Call,
    tag: Arc<Tag>,
    value: Json,
    terms: Terms,
) -> Result<(Selected, Gated), ToolError> {
    let text = |text: Option<String>| {
        let text = text.unwrap_or_default();
        match text.chars().count() {
            0..=TEXT_CHARS_MAX => Ok(text),
            n => Err(ToolError::argument(format!("a text of {n} characters, above 500"))),
        }
    };
    let (reason, work_order) = (text(terms.reason)?, text(terms.work_order)?);
    // A dry run reads the value before.
    if !deps.reads_tag(&tag) {
        let message = "free_reads: that address is no tag of this user";
        return Err(ToolError::new(Code::Denied, message, "tag_find lists the tags"));
    }
    let wish = Wish { tag, value, reason, work_order };
    let by = &call.principal;
    let selected = deps.select(&wish, by.uid, call.deadline).await?;
    let opened = match terms.dry_run {
        true => None,
        false => Some(deps.open_ticket(&wish, &selected, None, by).await.map_err(refused)?),
    };
    let gated = answer(&wish.tag, &selected, opened.as_ref());
    Ok((selected, gated))
}

/// Asks every rule of a wish as [`gated`] does, and says what would be written in the tool's own
/// terms.
pub(super) async fn proposed<B, W>(
    deps: &Deps,
    call: &Call,
    (tag, value): (Arc<Tag>, Json),
    terms: Terms,
    (shown, would_write): (impl FnOnce(Json) -> B, W),
) -> Result<Proposed<B, W>, ToolError> {
    let (selected, gated) = gated(deps, call, tag, value, terms).await?;
    Ok(Proposed { before: shown(before(&selected)), would_write, gated })
}

/// Makes the common part of an answer.
fn answer(tag: &Tag, selected: &Selected, opened: Option<&Dossier>) -> Gated {
    let id = opened.map(|dossier| dossier.ticket.id.clone());
    Gated {
        dry_run: opened.is_none(),
        verdict: if selected.is_allowed() { "allowed" } else { "denied" },
        checks: selected.checks.clone(),
        tag: tag.name.to_string(),
        unit: tag.unit_text.to_string(),
        approvals_needed: selected.verdict.tier.approvals(),
        approvers: match selected.verdict.tier {
            Tier::Never => Vec::new(),
            _ => selected.approvers.clone(),
        },
        before_quality: selected.quality,
        read_back_error: selected.read_error.as_ref().map(crate::driver::DriverError::with_hint),
        status: id.as_ref().map(|_| "approval_required"),
        tell_the_operator: id.as_ref().map(|id| tell(id, &tag.name)),
        note: if id.is_some() { NOTE_OPEN } else { NOTE_DRY },
        moc_id: id,
        provenance: Provenance::device(u64::from(selected.requests)),
    }
}

/// Gives the value before as it stands in answers.
pub(super) fn before(selected: &Selected) -> Json {
    json(&selected.before)
}

/// Turns what the desk says into a failed call.
pub(super) fn refused(error: DeskError) -> ToolError {
    let message = error.to_string();
    match error {
        DeskError::Refused(_) => {
            let hint = "nothing was written; a dry run shows every rule, and the policy decides";
            ToolError::new(Code::Denied, message, hint)
        }
        DeskError::Unsigned { approvers, .. } => {
            let hint = match approvers.as_slice() {
                [] => "nobody is enrolled who could sign it; see approver_list".to_owned(),
                [..] => format!(
                    "one of these may, with --approver and the key file that otctl approver new \
                     made: {}; see approver_list",
                    approvers.join(", ")
                ),
            };
            ToolError::new(Code::Denied, message, hint)
        }
        DeskError::Tripped(_) => {
            let hint = "wait until open tickets are decided or the time is over; reads go on";
            ToolError::new(Code::BudgetExhausted, message, hint)
        }
        DeskError::Unknown(_) => ToolError::new(Code::NotFound, message, "see moc_list"),
        DeskError::Audit(_) => {
            ToolError::new(Code::Storage, message, "no audit, no write: see the collector's log")
        }
        DeskError::Device(error) => error.into(),
    }
}

/// Finds the tag that stands for a raw address: a configured one that is read the same way, or
/// one that is named after the address, which a rule has to name just so.
pub(super) fn raw_tag(
    deps: &Deps,
    protocol: &Protocol,
    endpoint: &EndpointName,
    wanted: Tag,
) -> Result<Arc<Tag>, ToolError> {
    let wire = (protocol.address)(&wanted)?;
    let config = deps.config.read().clone();
    let spec = config.endpoints.iter().find(|spec| spec.name == *endpoint);
    let is_same = |tag: &&Arc<Tag>| {
        tag.unit == wanted.unit
            && tag.scale.is_none()
            && tag.path.is_none()
            && (protocol.address)(tag).is_ok_and(|other| other == wire)
    };
    let configured = spec.and_then(|spec| spec.tags.iter().find(is_same));
    Ok(configured.cloned().unwrap_or_else(|| Arc::new(wanted)))
}

/// Makes the tag of a raw address.
pub(super) fn unnamed(endpoint: &str, address: &str) -> Tag {
    Tag::new(&raw_name(endpoint, address), endpoint, address)
}
