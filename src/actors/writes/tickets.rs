//! Opening tickets, and what people decide about them.

use tokio::time::Instant;

use super::desk::{DeskError, used};
use super::select::{Selected, Wish, in_units};
use crate::actors::deps::Deps;
use crate::actors::sight::allowance;
use crate::clock;
use crate::driver::Purpose;
use crate::gate::{self, Clocks, Facts, Moment, Refusal, Rule, reason_digest};
use crate::govern::keys::nonce;
use crate::ledger::What;
use crate::model::{
    Approval, Dossier, MocState, Principal, Quality, Selection, Separation, Ticket, Tier, Value,
    Verdict, within,
};

/// A reason is a sentence or two.
const REASON_CHARS_MAX: usize = 500;

impl Deps {
    /// Opens a ticket for a wish that every rule allows.
    ///
    /// # Errors
    /// A rule or a limit stands against it, or it can't be recorded.
    pub async fn open_ticket(
        &self,
        wish: &Wish,
        selected: &Selected,
        undo_of: Option<String>,
        by: &Principal,
    ) -> Result<Dossier, DeskError> {
        if let Some(why) = self.frozen() {
            let refusal = Refusal::new(Rule::Frozen, format!("writes are frozen: {why}"));
            self.denied(by, None, &refusal).await;
            return Err(refusal.into());
        }
        if let Some(refusal) = refused_by_rule(selected) {
            self.denied(by, None, &refusal).await;
            return Err(refusal.into());
        }
        let ticket = self.ticket(wish, selected, undo_of, by)?;
        let mut book = self.desk.book.lock().await;
        if let Some(doubt) = book.in_doubt(&wish.tag.name) {
            let id = &doubt.ticket.id;
            let what = format!("nobody knows yet what became of {id}, which writes the same tag");
            return Err(Refusal::new(Rule::TicketUsed, what).into());
        }
        let now = clock::uptime_ms();
        let open = book.open_of(by.uid);
        let allowed = allowance(&self.config.read(), by);
        self.breaker.ticket(by.uid, now, open, &allowed)?;
        let ticket = Ticket { id: format!("MOC-{}", book.next_number()), ..ticket };
        let moment = self.desk.moment();
        let ticket = Ticket {
            created_ms: moment.wall_ms,
            not_after_ms: moment.wall_ms.saturating_add(selected.verdict.ttl_ms),
            ..ticket
        };
        let reason = crate::model::sanitize(&wish.reason, REASON_CHARS_MAX);
        let dossier = Dossier::new(ticket, reason, moment.boot, moment.uptime_ms);
        let event = self.event(What::TicketOpened, &dossier).by(by);
        let event = event
            .with("value", dossier.ticket.value.clone())
            .with("before", dossier.ticket.before.clone())
            .with("reason", dossier.reason.clone())
            .with("work_order", dossier.ticket.work_order.clone());
        self.keep(&mut book, event, dossier.clone()).await?;
        Ok(dossier)
    }

    /// Makes the ticket; its number and times come when it is opened.
    fn ticket(
        &self,
        wish: &Wish,
        selected: &Selected,
        undo_of: Option<String>,
        by: &Principal,
    ) -> Result<Ticket, DeskError> {
        let misfit = || Refusal::new(Rule::TicketMismatch, "the value doesn't fit the tag");
        let setpoint = selected.setpoint.as_ref().ok_or_else(misfit)?;
        let json = |value: &Value| serde_json::to_value(value).unwrap_or_default();
        let verdict = &selected.verdict;
        Ok(Ticket {
            id: String::new(),
            nonce: nonce(),
            endpoint: wish.tag.endpoint.to_string(),
            identity: selected.identity.clone(),
            tag: wish.tag.name.to_string(),
            address: wish.tag.address.to_string(),
            unit_id: wish.tag.unit.0,
            data_type: setpoint.data_type.to_string(),
            order: wish.tag.order,
            scale: wish.tag.scale.map(|s| [s.raw.0, s.raw.1, s.eu.0, s.eu.1]),
            unit: wish.tag.unit_text.to_string(),
            value: wish.value.clone(),
            raw: json(&setpoint.raw),
            before: json(&selected.before),
            before_ms: selected.before_ms,
            tier: verdict.tier,
            before_tolerance: verdict.before_tolerance,
            readback_tolerance: verdict.readback_tolerance,
            readback_delay_ms: verdict.readback_delay_ms,
            revert: verdict.revert,
            requester_uid: by.uid,
            reason_sha256: reason_digest(&wish.reason),
            policy_sha256: verdict.policy_sha256.clone(),
            policy_epoch: verdict.policy_epoch,
            work_order: wish.work_order.clone(),
            undo_of,
            separation: self.separation(),
            created_ms: 0,
            not_after_ms: 0,
        })
    }

    /// Takes an approval in, and has the write done where it was the last one needed.
    ///
    /// # Errors
    /// It doesn't hold; the ticket stays as it is.
    pub async fn approve(
        &self,
        id: &str,
        key: &str,
        signature: &str,
        by: &Principal,
    ) -> Result<Dossier, DeskError> {
        let dossier = self.dossier(id).await?;
        let held = self.hold_approval(&dossier, key, signature, by).await;
        let (approvals, is_enough) = match held {
            Ok(held) => held,
            Err(refusal) => {
                self.denied(by, Some(&dossier), &refusal).await;
                return Err(refusal.into());
            }
        };
        let known = self.approvers();
        let name_of = |approval: &Approval| {
            let found = known.iter().find(|a| a.key.eq_ignore_ascii_case(&approval.key));
            found.map_or_else(|| "unknown".to_owned(), |a| a.id.clone())
        };
        let before = dossier.approvals.clone();
        let after = self
            .advance(id, What::TicketApproved, Some(by), |d| {
                if d.state != MocState::Requested || d.approvals != before {
                    return Err(used(d));
                }
                d.approved_by = approvals.iter().map(name_of).collect();
                d.approvals = approvals;
                d.state = if is_enough { MocState::Approved } else { MocState::Requested };
                Ok(())
            })
            .await?;
        if is_enough {
            self.desk.hand_over(id);
        }
        Ok(after)
    }

    /// Holds an approval against the gate as it would be asked now.
    async fn hold_approval(
        &self,
        dossier: &Dossier,
        key: &str,
        signature: &str,
        by: &Principal,
    ) -> Result<(Vec<Approval>, bool), Refusal> {
        if dossier.state != MocState::Requested {
            return Err(used(dossier));
        }
        let mut approvals = dossier.approvals.clone();
        approvals.push(Approval {
            key: key.to_ascii_lowercase(),
            signature: signature.to_ascii_lowercase(),
            uid: by.uid,
        });
        match self.as_signed(dossier, &approvals).await {
            Ok(()) => Ok((approvals, true)),
            Err(refusal) if refusal.rule == Rule::NotApproved => Ok((approvals, false)),
            Err(refusal) => Err(refusal),
        }
    }

    /// Asks the gate as things are now, with the value before taken as it was signed.
    pub(super) async fn as_signed(
        &self,
        dossier: &Dossier,
        approvals: &[Approval],
    ) -> Result<(), Refusal> {
        let ticket = &dossier.ticket;
        let (wish, link) = self.wish_of(dossier)?;
        let mismatch = |m: crate::model::Misfit| {
            Refusal::new(Rule::TicketMismatch, format!("{}: {m}", ticket.id))
        };
        let setpoint = ticket.setpoint().map_err(mismatch)?;
        let kind = setpoint.data_type;
        let setpoint = crate::model::Setpoint::fit(&wish.tag, kind, setpoint.value.clone())
            .map_err(mismatch)?;
        let before = ticket.before();
        let verdict = self.judge(&wish, Some(kind), &setpoint.value, &before).await;
        let selection = Selection {
            identity: self.identity_of(&ticket.endpoint, &link),
            setpoint,
            before,
            quality: Quality::GOOD,
        };
        let facts = self.facts();
        gate::check(&selection, ticket, approvals, &verdict, &facts, self.clocks(dossier))
    }

    /// Finds what a ticket is about, as the configuration has it now.
    pub(super) fn wish_of(
        &self,
        dossier: &Dossier,
    ) -> Result<(Wish, std::sync::Arc<crate::actors::link::Link>), Refusal> {
        let ticket = &dossier.ticket;
        let gone = |what: String| Refusal::new(Rule::TicketMismatch, what);
        let configured = self.cache.resolve(&ticket.tag).and_then(|id| self.cache.tag(id));
        let tag = match configured {
            Some(tag) => tag,
            // A raw address has no definition of its own that could have changed.
            None if ticket.tag == raw_name(&ticket.endpoint, &ticket.address) => {
                ticket.setpoint().map_err(|m| gone(m.to_string()))?.tag
            }
            None => return Err(gone(format!("no tag {} is configured any more", ticket.tag))),
        };
        let link = self.link_of(&tag).map_err(|error| gone(error.to_string()))?;
        let wish = Wish {
            tag,
            value: ticket.value.clone(),
            reason: dossier.reason.clone(),
            work_order: ticket.work_order.clone(),
        };
        Ok((wish, link))
    }

    /// Gathers what else decides. The ticket's own state is looked at where it changes.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            frozen: self.frozen(),
            is_unused: true,
            approvers: self.approvers(),
            separation: self.separation(),
            collector_uid: self.collector_uid(),
        }
    }

    pub(super) fn clocks(&self, dossier: &Dossier) -> Clocks {
        let opened = Moment {
            wall_ms: dossier.ticket.created_ms,
            uptime_ms: dossier.opened_uptime_ms,
            boot: dossier.boot,
        };
        Clocks { opened, now: self.desk.moment() }
    }

    /// Rejects an open ticket.
    ///
    /// # Errors
    /// It is not open.
    pub async fn reject(&self, id: &str, why: &str, by: &Principal) -> Result<Dossier, DeskError> {
        self.advance(id, What::TicketRejected, Some(by), |d| {
            if d.state != MocState::Requested {
                return Err(used(d));
            }
            d.state = MocState::Rejected;
            d.rule = "rejected".to_owned();
            d.why = crate::model::sanitize(why, REASON_CHARS_MAX);
            Ok(())
        })
        .await
    }

    /// Opens a ticket that writes back what stood there before another one's write.
    ///
    /// # Errors
    /// That one was not written, its value is no longer there, or a rule stands against it.
    pub async fn undo(
        &self,
        id: &str,
        reason: &str,
        by: &Principal,
        deadline: Instant,
    ) -> Result<(Dossier, Wish, Selected), DeskError> {
        let done = self.dossier(id).await?;
        if !done.state.is_written() {
            let word = done.state.word();
            let what = format!("{id} is {word}: only what was written can be undone");
            return Err(Refusal::new(Rule::TicketUsed, what).into());
        }
        let (wish, _) = self.wish_of(&done)?;
        let wish = Wish {
            value: done.ticket.before.clone(),
            reason: reason.to_owned(),
            work_order: done.ticket.work_order.clone(),
            ..wish
        };
        let selected = self.select(&wish, by.uid, deadline).await?;
        let ours = done.ticket.setpoint().map(|s| s.expected()).unwrap_or(Value::Null);
        if !within(&selected.before, &ours, done.ticket.readback_tolerance) {
            let what = "the value at the device is not the one that ticket wrote; it is left alone";
            let refusal = Refusal::new(Rule::NotOurs, what);
            self.denied(by, Some(&done), &refusal).await;
            return Err(refusal.into());
        }
        let opened = self.open_ticket(&wish, &selected, Some(id.to_owned()), by).await?;
        Ok((opened, wish, selected))
    }

    /// Reads a tag now, in engineering units, for a write's sake.
    pub(super) async fn read_back(
        &self,
        dossier: &Dossier,
        deadline: Instant,
    ) -> Result<Option<Value>, Refusal> {
        let Ok((wish, link)) = self.wish_of(dossier) else {
            // The endpoints of a collector that has just started come one by one.
            return Ok(None);
        };
        let (read, _) = link.inspect(&wish.tag, Purpose::Scan, deadline).await;
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(id = %dossier.ticket.id, "reading back failed: {error}");
                return Ok(None);
            }
        };
        // A session that was opened anew may have met another device.
        if self.identity_of(&dossier.ticket.endpoint, &link) != dossier.ticket.identity {
            let what = "the endpoint is another device now than the one that was written to";
            return Err(Refusal::new(Rule::IdentityChanged, what));
        }
        let value = in_units(&wish.tag, &read.value);
        Ok(Some(value).filter(|value| read.quality.is_good() && !value.is_non_finite()))
    }
}

/// Gives the name of what has no tag: the endpoint and the address.
#[must_use]
pub fn raw_name(endpoint: &str, address: &str) -> String {
    format!("{endpoint}/{address}")
}

/// Says which rule stands against opening a ticket.
fn refused_by_rule(selected: &Selected) -> Option<Refusal> {
    if let Some(check) = selected.denial() {
        let rule = match check.rule.as_str() {
            "value" => Rule::TicketMismatch,
            "before" => Rule::BeforeUnusable,
            "separation" => Rule::SelfApproval,
            "frozen" => Rule::Frozen,
            _ => Rule::Policy,
        };
        return Some(Refusal::new(rule, format!("{}: {}", check.rule, check.detail)));
    }
    let Verdict { tier, .. } = selected.verdict;
    let is_open = selected.is_allowed() && tier != Tier::Never;
    (!is_open).then(|| Refusal::new(Rule::Policy, "no rule allows it"))
}

/// Tells a demo's record from a plant's.
#[must_use]
pub fn is_relaxed(dossier: &Dossier) -> bool {
    dossier.ticket.separation == Separation::Relaxed
}
