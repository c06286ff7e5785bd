//! The mint.

use std::sync::Arc;

use super::people;
use super::refusal::{Refusal, Rule};
use crate::model::{
    Approval, Approver, Selection, Separation, Setpoint, Tag, Ticket, Value, Verdict, hex, within,
};

/// The wall clock may drift from the monotonic one by this much while a ticket lives; NTP slews
/// by half a millisecond a second, so a quarter of an hour makes less than this.
const DRIFT_MS: i64 = 5_000;

/// The gate's proof that a value may be written now. Only this room makes one; it can't be
/// copied, kept in a file or read from one.
#[derive(Debug)]
pub struct Authorized<T>(T);

impl<T> Authorized<T> {
    /// Shows what may be written.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// An instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds of UTC since 1970.
    pub wall_ms: i64,
    /// Monotonic milliseconds of this run.
    pub uptime_ms: u64,
    /// Which run that was.
    pub boot: u64,
}

/// When the ticket was opened, and when it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// When it was opened.
    pub opened: Moment,
    /// Now.
    pub now: Moment,
}

/// What else decides.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Why writes are frozen, where they are.
    pub frozen: Option<String>,
    /// The ticket was never used before.
    pub is_unused: bool,
    /// Everybody who may approve.
    pub approvers: Vec<Approver>,
    /// Whether one person may ask and approve.
    pub separation: Separation,
    /// The user this collector runs as.
    pub collector_uid: u32,
}

/// Decides whether a write may happen now, and mints the right to it.
///
/// # Errors
/// The first rule that stands against it.
pub fn authorize(
    selection: Selection,
    ticket: &Ticket,
    approvals: &[Approval],
    verdict: &Verdict,
    facts: &Facts,
    clocks: Clocks,
) -> Result<Authorized<Setpoint>, Refusal> {
    check(&selection, ticket, approvals, verdict, facts, clocks)?;
    Ok(Authorized(selection.setpoint))
}

/// Decides as [`authorize`] does, and mints nothing.
///
/// # Errors
/// The first rule that stands against it.
pub fn check(
    selection: &Selection,
    ticket: &Ticket,
    approvals: &[Approval],
    verdict: &Verdict,
    facts: &Facts,
    clocks: Clocks,
) -> Result<(), Refusal> {
    unfrozen(facts)?;
    if !facts.is_unused {
        let what = format!("{} was used or closed before; request a new one", ticket.id);
        return Err(Refusal::new(Rule::TicketUsed, what));
    }
    in_time(ticket, clocks)?;
    allowed(ticket, verdict, facts)?;
    let needed = verdict.tier.approvals().ok_or_else(|| {
        Refusal::new(Rule::Policy, "the tier is never: nobody can approve this tag")
    })?;
    people::enough(ticket, approvals, facts, needed)?;
    says_the_same(selection, ticket)?;
    unmoved(selection, ticket)
}

/// Mints the right to take a write back, under the ticket that allowed it.
///
/// `written` is what was read straight after the write, `now` what was read last.
///
/// # Errors
/// The ticket has no such term, writes are frozen, or the value is no longer ours.
pub fn authorize_revert(
    ticket: &Ticket,
    tag: &Arc<Tag>,
    written: &Value,
    now: &Value,
    facts: &Facts,
) -> Result<Authorized<Setpoint>, Refusal> {
    unfrozen(facts)?;
    if !ticket.revert {
        return Err(Refusal::new(Rule::Policy, "the policy does not have this write taken back"));
    }
    let mismatch = |_| Refusal::new(Rule::TicketMismatch, "the ticket describes no setpoint");
    let wished = ticket.setpoint().map_err(mismatch)?;
    let (before, after) = (ticket.before(), wished.expected());
    // A device that clamps stops on the way; anything beyond is somebody else's.
    let is_ours = within(written, now, ticket.readback_tolerance)
        && !within(now, &before, ticket.before_tolerance)
        && between(&before, &after, now, ticket.readback_tolerance);
    if !is_ours {
        let what = "the value is not the one we wrote, so it is left as it is";
        return Err(Refusal::new(Rule::NotOurs, what));
    }
    let back = Setpoint::fit(tag, wished.data_type, before).map_err(mismatch)?;
    if !is_same_place(&back, &wished) {
        let what = "the tag's definition has changed since the write";
        return Err(Refusal::new(Rule::TicketMismatch, what));
    }
    Ok(Authorized(back))
}

fn between(a: &Value, b: &Value, x: &Value, slack: f64) -> bool {
    match (a.as_f64(), b.as_f64(), x.as_f64()) {
        (Some(a), Some(b), Some(x)) => a.min(b) - slack <= x && x <= a.max(b) + slack,
        _ => within(b, x, slack),
    }
}

fn unfrozen(facts: &Facts) -> Result<(), Refusal> {
    match &facts.frozen {
        None => Ok(()),
        Some(why) => Err(Refusal::new(Rule::Frozen, format!("writes are frozen: {why}"))),
    }
}

/// Holds the time against both clocks: neither setting one back nor setting one forward helps.
fn in_time(ticket: &Ticket, Clocks { opened, now }: Clocks) -> Result<(), Refusal> {
    let expired = || {
        let what = format!("{} has expired; request a new one with moc_request", ticket.id);
        Refusal::new(Rule::TicketExpired, what)
    };
    let suspect = |what: &str| Refusal::new(Rule::ClockSuspect, what.to_owned());
    if opened.wall_ms != ticket.created_ms {
        return Err(Refusal::new(Rule::TicketMismatch, "the ticket's time was edited"));
    }
    if opened.boot != now.boot {
        // A restart loses the monotonic clock, and with it the proof that so little time passed.
        return Err(expired());
    }
    let life = ticket.not_after_ms.saturating_sub(ticket.created_ms);
    let by_wall = now.wall_ms.saturating_sub(opened.wall_ms);
    let ticked = now.uptime_ms.checked_sub(opened.uptime_ms);
    let ticked = ticked.and_then(|ms| i64::try_from(ms).ok());
    let ticked = ticked.ok_or_else(|| suspect("the monotonic clock ran backwards"))?;
    if by_wall > life || ticked > life {
        return Err(expired());
    }
    if (by_wall - ticked).abs() > DRIFT_MS {
        return Err(suspect("the wall clock was set since the ticket was opened; request anew"));
    }
    Ok(())
}

/// Holds the policy as it is now against the one that was signed.
fn allowed(ticket: &Ticket, verdict: &Verdict, facts: &Facts) -> Result<(), Refusal> {
    let same_terms = ticket.tier == verdict.tier
        && ticket.before_tolerance == verdict.before_tolerance
        && ticket.readback_tolerance == verdict.readback_tolerance
        && ticket.readback_delay_ms == verdict.readback_delay_ms
        && ticket.revert == verdict.revert;
    if ticket.policy_sha256 != verdict.policy_sha256
        || ticket.policy_epoch != verdict.policy_epoch
        || ticket.separation != facts.separation
        || !same_terms
    {
        let what = "the policy has changed since the ticket was opened; request a new one";
        return Err(Refusal::new(Rule::PolicyChanged, what));
    }
    match verdict.denial() {
        Some(check) => {
            let what = format!("{}: {}", check.rule, check.detail);
            Err(Refusal::new(Rule::Policy, what))
        }
        None if verdict.is_allowed() => Ok(()),
        None => Err(Refusal::new(Rule::Policy, "no rule names this tag")),
    }
}

fn says_the_same(selection: &Selection, ticket: &Ticket) -> Result<(), Refusal> {
    let mismatch = |what: &str| Refusal::new(Rule::TicketMismatch, what.to_owned());
    if selection.identity != ticket.identity {
        let what = "the endpoint is not the device that was signed for: its settings or what it \
                    says of itself have changed";
        return Err(Refusal::new(Rule::IdentityChanged, what));
    }
    let signed = ticket.setpoint().map_err(|misfit| mismatch(&misfit.to_string()))?;
    let (now, then) = (&selection.setpoint, &signed);
    if !is_same_place(now, then) {
        return Err(mismatch("the tag's definition has changed since the ticket was opened"));
    }
    // As JSON: there a whole number has no width.
    let raw = serde_json::to_value(&then.raw).unwrap_or_default();
    let is_raw = raw == ticket.raw && !matches!(then.raw, Value::Null);
    if !same_bits(&now.value, &then.value) || !same_bits(&now.raw, &then.raw) || !is_raw {
        return Err(mismatch("the value is not the one that was signed"));
    }
    Ok(())
}

/// Tells whether two setpoints go to the same place in the same form.
fn is_same_place(now: &Setpoint, then: &Setpoint) -> bool {
    now.endpoint == then.endpoint
        && now.tag.name == then.tag.name
        && now.tag.address == then.tag.address
        && now.tag.unit == then.tag.unit
        && now.tag.order == then.tag.order
        && now.tag.scale == then.tag.scale
        && now.tag.path.is_none()
        && now.data_type == then.data_type
}

/// Compares values to the last bit.
fn same_bits(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
        _ => a == b,
    }
}

fn unmoved(selection: &Selection, ticket: &Ticket) -> Result<(), Refusal> {
    if !selection.quality.is_good() || matches!(selection.before, Value::Null) {
        let what = format!("the value before is {}", selection.quality.name());
        return Err(Refusal::new(Rule::BeforeUnusable, what));
    }
    if within(&selection.before, &ticket.before(), ticket.before_tolerance) {
        return Ok(());
    }
    let what = "the value has changed since the approver saw it; request a new ticket";
    Err(Refusal::new(Rule::Precondition, what))
}

/// Gives the digest of a reason, as a ticket carries it.
#[must_use]
pub fn reason_digest(reason: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex(&Sha256::digest(reason.as_bytes()))
}
