//! A row per rule of the gate, and every way of approving one's own wish that came to mind.

use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use super::*;
use crate::model::{
    Approval, Approver, Check, DataType, Quality, Scalar, Selection, Separation, Setpoint, Tag,
    Ticket, Tier, Value, Verdict, WordOrder, hex,
};

const AGENT: u32 = 1601;
const COLLECTOR: u32 = 900;
const OPENED: i64 = 1_790_000_000_000;
const TTL: i64 = 900_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> String {
    hex(key(seed).verifying_key().as_bytes())
}

fn approver(seed: u8, uid: Option<u32>, offline: bool) -> Approver {
    Approver { id: format!("person{seed}"), key: public(seed), uid, offline }
}

/// Everything of a write that is in order.
struct Case {
    selection: Selection,
    ticket: Ticket,
    approvals: Vec<Approval>,
    verdict: Verdict,
    facts: Facts,
    clocks: Clocks,
}

fn ticket() -> Ticket {
    Ticket {
        id: "MOC-1".into(),
        nonce: "00".repeat(16),
        endpoint: "plc".into(),
        identity: "aa".repeat(32),
        tag: "line/speed".into(),
        address: "holding:100".into(),
        unit_id: 1,
        data_type: "uint16".into(),
        order: WordOrder::Abcd,
        scale: None,
        unit: "rpm".into(),
        value: json!(120),
        raw: json!(120),
        before: json!(100),
        before_ms: OPENED,
        tier: Tier::One,
        before_tolerance: 0.0,
        readback_tolerance: 0.0,
        readback_delay_ms: 0,
        revert: true,
        requester_uid: AGENT,
        reason_sha256: String::new(),
        policy_sha256: "bb".repeat(32),
        policy_epoch: 7,
        work_order: String::new(),
        undo_of: None,
        separation: Separation::Strict,
        created_ms: OPENED,
        not_after_ms: OPENED + TTL,
    }
}

fn sign(ticket: &Ticket, seed: u8, uid: u32) -> Approval {
    let signature = hex(&key(seed).sign(&ticket.canonical()).to_bytes());
    Approval { key: public(seed), signature, uid }
}

fn moment(ms: i64) -> Moment {
    Moment { wall_ms: OPENED + ms, uptime_ms: 5_000_u64.saturating_add_signed(ms), boot: 1 }
}

fn selection() -> Selection {
    let mut tag = Tag::new("line/speed", "plc", "holding:100");
    tag.unit = crate::model::UnitId(1);
    let kind = DataType::One(Scalar::UInt16);
    Selection {
        setpoint: Setpoint::fit(&Arc::new(tag), kind, Value::U64(120)).unwrap(),
        identity: "aa".repeat(32),
        before: Value::U64(100),
        quality: Quality::GOOD,
    }
}

fn good() -> Case {
    let ticket = ticket();
    let approvals = vec![sign(&ticket, 1, 1502)];
    let checks = vec![Check { rule: "range".into(), passed: true, detail: String::new() }];
    Case {
        approvals,
        verdict: Verdict {
            checks,
            tier: Tier::One,
            before_tolerance: 0.0,
            readback_tolerance: 0.0,
            readback_delay_ms: 0,
            revert: true,
            ttl_ms: TTL,
            policy_sha256: "bb".repeat(32),
            policy_epoch: 7,
        },
        facts: Facts {
            frozen: None,
            is_unused: true,
            approvers: vec![
                approver(1, Some(1502), false),
                approver(2, Some(1503), false),
                approver(3, Some(AGENT), false),
                approver(4, None, true),
                approver(5, None, false),
                approver(6, Some(1502), false),
            ],
            separation: Separation::Strict,
            collector_uid: COLLECTOR,
        },
        clocks: Clocks { opened: moment(0), now: moment(60_000) },
        selection: selection(),
        ticket,
    }
}

impl Case {
    fn run(self) -> Result<Authorized<Setpoint>, Rule> {
        let Self { selection, ticket, approvals, verdict, facts, clocks } = self;
        authorize(selection, &ticket, &approvals, &verdict, &facts, clocks).map_err(|r| r.rule)
    }

    /// Signs the ticket as it now stands, so that only the change itself is at fault.
    fn resign(&mut self) {
        self.approvals = vec![sign(&self.ticket, 1, 1502)];
    }
}

#[test]
fn a_write_that_is_in_order_is_authorised() {
    let authorised = good().run().unwrap();
    assert_eq!(authorised.get().raw, Value::U64(120));
}

/// A change to a case.
type Change = fn(&mut Case);

/// What is changed in a good case, and the rule that must refuse it.
const BROKEN: &[(&str, Rule, Change)] = &[
    ("frozen", Rule::Frozen, |c| c.facts.frozen = Some("by hand".into())),
    ("replayed", Rule::TicketUsed, |c| c.facts.is_unused = false),
    ("expired by both", Rule::TicketExpired, |c| c.clocks.now = moment(TTL + 1)),
    ("clock set back", Rule::TicketExpired, |c| {
        c.clocks.now = Moment { wall_ms: OPENED + 1, ..moment(TTL + 1) };
    }),
    ("clock set forward", Rule::TicketExpired, |c| {
        c.clocks.now = Moment { wall_ms: OPENED + TTL + 1, ..moment(1) };
    }),
    ("clock set back a little", Rule::ClockSuspect, |c| {
        c.clocks.now = Moment { wall_ms: OPENED - 6_000, ..moment(1) };
    }),
    ("clock set forward a little", Rule::ClockSuspect, |c| {
        c.clocks.now = Moment { wall_ms: OPENED + 66_001, ..moment(60_000) };
    }),
    ("another run", Rule::TicketExpired, |c| c.clocks.now.boot = 2),
    ("time edited", Rule::TicketMismatch, |c| {
        c.ticket.created_ms += 1;
        c.resign();
    }),
    ("policy hash", Rule::PolicyChanged, |c| c.verdict.policy_sha256 = "cc".repeat(32)),
    ("policy epoch", Rule::PolicyChanged, |c| c.verdict.policy_epoch = 8),
    ("terms", Rule::PolicyChanged, |c| c.verdict.readback_tolerance = 1.0),
    ("tier", Rule::PolicyChanged, |c| c.verdict.tier = Tier::Two),
    ("a rule fails", Rule::Policy, |c| c.verdict.checks[0].passed = false),
    ("no rule", Rule::Policy, |c| c.verdict.checks.clear()),
    ("never", Rule::Policy, |c| {
        c.verdict.tier = Tier::Never;
        c.ticket.tier = Tier::Never;
        c.resign();
    }),
    ("no approval", Rule::NotApproved, |c| c.approvals.clear()),
    ("another device", Rule::IdentityChanged, |c| c.selection.identity = "ff".repeat(32)),
    ("before moved", Rule::Precondition, |c| c.selection.before = Value::U64(101)),
    ("before bad", Rule::BeforeUnusable, |c| c.selection.quality = Quality::BAD),
    ("before uncertain", Rule::BeforeUnusable, |c| {
        c.selection.quality = Quality::UNCERTAIN_LAST_USABLE;
    }),
    ("before missing", Rule::BeforeUnusable, |c| c.selection.before = Value::Null),
    ("another tag", Rule::TicketMismatch, |c| {
        c.ticket.tag = "line/other".into();
        c.resign();
    }),
    ("another address", Rule::TicketMismatch, |c| {
        c.ticket.address = "holding:101".into();
        c.resign();
    }),
    ("another endpoint", Rule::TicketMismatch, |c| {
        c.ticket.endpoint = "plc2".into();
        c.resign();
    }),
    ("another unit", Rule::TicketMismatch, |c| {
        c.ticket.unit_id = 2;
        c.resign();
    }),
    ("another value", Rule::TicketMismatch, |c| {
        c.ticket.value = json!(121);
        c.ticket.raw = json!(121);
        c.resign();
    }),
    ("raw edited", Rule::TicketMismatch, |c| {
        c.ticket.raw = json!(121);
        c.resign();
    }),
    ("value no number", Rule::TicketMismatch, |c| {
        c.ticket.value = json!({});
        c.resign();
    }),
];

#[test]
fn each_rule_stands_by_itself() {
    for (name, rule, change) in BROKEN {
        let mut case = good();
        change(&mut case);
        assert_eq!(case.run().unwrap_err(), *rule, "{name}");
    }
}

#[test]
fn a_value_off_by_one_ulp_is_another_value() {
    let mut case = good();
    let kind = DataType::One(Scalar::Float64);
    let fit = |x: f64| Setpoint::fit(&case.selection.setpoint.tag, kind, Value::F64(x)).unwrap();
    let (near, exact) = (fit(f64::from_bits(120.0_f64.to_bits() + 1)), fit(120.0));
    case.ticket.data_type = "float64".into();
    (case.ticket.value, case.ticket.raw) = (json!(120.0), json!(120.0));
    case.resign();
    case.selection.setpoint = near;
    assert_eq!(case.run().unwrap_err(), Rule::TicketMismatch);
    let mut case = good();
    case.ticket.data_type = "float64".into();
    (case.ticket.value, case.ticket.raw) = (json!(120.0), json!(120.0));
    case.selection.setpoint = exact;
    case.resign();
    assert!(case.run().is_ok());
}

#[test]
fn every_field_of_a_ticket_is_under_the_signature() {
    let good = good();
    let signed = serde_json::to_value(&good.ticket).unwrap();
    let mut fields = 0;
    for (name, value) in signed.as_object().unwrap() {
        let mut edited = signed.clone();
        edited[name] = match value {
            serde_json::Value::String(text) => match name.as_str() {
                "tier" => json!("two"),
                "separation" => json!("relaxed"),
                "order" => json!("CDAB"),
                _ => json!(format!("{text}x")),
            },
            serde_json::Value::Number(n) if n.is_f64() => json!(n.as_f64().unwrap() + 1.0),
            serde_json::Value::Number(n) => json!(n.as_i64().unwrap() + 1),
            serde_json::Value::Bool(b) => json!(!b),
            other => other.clone(),
        };
        let edited: Ticket = serde_json::from_value(edited).unwrap();
        let Approval { key, signature, .. } = &good.approvals[0];
        assert!(!verify(key, &edited.canonical(), signature), "{name} is not signed");
        fields += 1;
    }
    for (scale, undo_of) in [(Some([0.0, 1.0, 0.0, 1.0]), None), (None, Some("MOC-0".into()))] {
        let edited = Ticket { scale, undo_of, ..good.ticket.clone() };
        let Approval { key, signature, .. } = &good.approvals[0];
        assert!(!verify(key, &edited.canonical(), signature));
    }
    assert!(fields >= 26, "{fields}");
}

/// How an agent might approve for itself: who asked, what was handed in, whether two are needed.
struct Attempt {
    name: &'static str,
    asked_by: u32,
    tier: Tier,
    /// Seed of the key, user who hands it in.
    by: &'static [(u8, u32)],
    rule: Rule,
}

const fn attempt(
    name: &'static str,
    asked_by: u32,
    tier: Tier,
    by: &'static [(u8, u32)],
    rule: Rule,
) -> Attempt {
    Attempt { name, asked_by, tier, by, rule }
}

const ATTEMPTS: &[Attempt] = &[
    attempt("nobody", AGENT, Tier::One, &[], Rule::NotApproved),
    attempt("own enrolled key", AGENT, Tier::One, &[(3, AGENT)], Rule::SelfApproval),
    attempt("own key by another", AGENT, Tier::One, &[(3, 1502)], Rule::SelfApproval),
    attempt("another's key by oneself", AGENT, Tier::One, &[(1, AGENT)], Rule::SelfApproval),
    attempt("own key as root", AGENT, Tier::One, &[(3, 0)], Rule::SelfApproval),
    attempt("another's key as root", AGENT, Tier::One, &[(1, 0)], Rule::UnknownKey),
    attempt("another's key as collector", AGENT, Tier::One, &[(1, COLLECTOR)], Rule::UnknownKey),
    attempt("another's key by a third", AGENT, Tier::One, &[(1, 1503)], Rule::UnknownKey),
    attempt("unbound key by oneself", AGENT, Tier::One, &[(5, AGENT)], Rule::SelfApproval),
    attempt("unknown key", AGENT, Tier::One, &[(9, 1502)], Rule::UnknownKey),
    attempt("unknown key by oneself", AGENT, Tier::One, &[(9, AGENT)], Rule::UnknownKey),
    attempt("asks as collector", COLLECTOR, Tier::One, &[(1, 1502)], Rule::SelfApproval),
    attempt("asks as root", 0, Tier::One, &[(1, 1502)], Rule::SelfApproval),
    attempt("asks as the approver", 1502, Tier::One, &[(1, 1502)], Rule::SelfApproval),
    attempt("asks as the approver, unbound", 1502, Tier::One, &[(5, 1502)], Rule::SelfApproval),
    attempt("asks as collector, unbound", COLLECTOR, Tier::One, &[(5, 1)], Rule::SelfApproval),
    attempt("one of two", AGENT, Tier::Two, &[(1, 1502)], Rule::NotApproved),
    attempt("one twice", AGENT, Tier::Two, &[(1, 1502), (1, 1502)], Rule::SamePerson),
    attempt("one user, two keys", AGENT, Tier::Two, &[(1, 1502), (6, 1502)], Rule::SamePerson),
    attempt("one user, unbound", AGENT, Tier::Two, &[(1, 1502), (5, 1502)], Rule::SamePerson),
    attempt("offline twice", AGENT, Tier::Two, &[(4, 1502), (4, 1503)], Rule::SamePerson),
    attempt("second is own", AGENT, Tier::Two, &[(1, 1502), (3, AGENT)], Rule::SelfApproval),
    attempt("first is own", AGENT, Tier::Two, &[(3, AGENT), (1, 1502)], Rule::SelfApproval),
    attempt("second unknown", AGENT, Tier::Two, &[(1, 1502), (9, 1503)], Rule::UnknownKey),
    attempt("second by oneself", AGENT, Tier::Two, &[(1, 1502), (2, AGENT)], Rule::SelfApproval),
    attempt("never, by all", AGENT, Tier::Never, &[(1, 1502), (2, 1503)], Rule::Policy),
];

/// A change to an approval.
type Forge = fn(&mut Approval);

/// What else an agent might hand in as an approval.
const FORGERIES: &[(&str, Rule, Forge)] = &[
    ("empty signature", Rule::BadSignature, |a| a.signature.clear()),
    ("zeros", Rule::BadSignature, |a| a.signature = "00".repeat(64)),
    ("short", Rule::BadSignature, |a| a.signature.truncate(126)),
    ("long", Rule::BadSignature, |a| a.signature.push_str("00")),
    ("no hexadecimal", Rule::BadSignature, |a| a.signature = "zz".repeat(64)),
    ("a bit", Rule::BadSignature, |a| {
        let flipped = if a.signature.starts_with('0') { "1" } else { "0" };
        a.signature.replace_range(0..1, flipped);
    }),
    ("another's key", Rule::BadSignature, |a| {
        a.key = public(2);
        a.uid = 1503;
    }),
    ("over another ticket", Rule::BadSignature, |a| {
        let other = Ticket { id: "MOC-2".into(), ..ticket() };
        *a = sign(&other, 1, 1502);
    }),
    ("over another value", Rule::BadSignature, |a| {
        let other = Ticket { value: json!(119), raw: json!(119), ..ticket() };
        *a = sign(&other, 1, 1502);
    }),
    ("over another device", Rule::BadSignature, |a| {
        let other = Ticket { identity: "ee".repeat(32), ..ticket() };
        *a = sign(&other, 1, 1502);
    }),
    ("over a longer life", Rule::BadSignature, |a| {
        let other = Ticket { not_after_ms: i64::MAX, ..ticket() };
        *a = sign(&other, 1, 1502);
    }),
    ("the digest instead", Rule::BadSignature, |a| {
        a.signature = hex(&key(1).sign(ticket().digest().as_bytes()).to_bytes());
    }),
    ("the words true", Rule::UnknownKey, |a| a.key = "true".into()),
    ("a weak key", Rule::UnknownKey, |a| a.key = "00".repeat(32)),
    ("a name as key", Rule::UnknownKey, |a| a.key = "person1".into()),
];

#[test]
fn every_self_approval_attempt_is_refused() {
    const { assert!(ATTEMPTS.len() + FORGERIES.len() >= 40) };
    for one in ATTEMPTS {
        let mut case = good();
        case.ticket.requester_uid = one.asked_by;
        (case.ticket.tier, case.verdict.tier) = (one.tier, one.tier);
        case.approvals = one.by.iter().map(|(key, uid)| sign(&case.ticket, *key, *uid)).collect();
        assert_eq!(case.run().unwrap_err(), one.rule, "{}", one.name);
    }
    for (name, rule, forge) in FORGERIES {
        let mut case = good();
        forge(&mut case.approvals[0]);
        assert_eq!(case.run().unwrap_err(), *rule, "{name}");
    }
}

#[test]
fn an_offline_key_proves_another_person_and_the_demo_may_do_without() {
    let mut case = good();
    case.ticket.requester_uid = COLLECTOR;
    case.approvals = vec![sign(&case.ticket, 4, COLLECTOR)];
    assert!(case.run().is_ok());

    let mut case = good();
    case.facts.separation = Separation::Relaxed;
    assert_eq!(case.run().unwrap_err(), Rule::PolicyChanged, "the ticket says strict");

    let mut case = good();
    case.facts.separation = Separation::Relaxed;
    case.ticket.separation = Separation::Relaxed;
    case.approvals = vec![sign(&case.ticket, 3, AGENT)];
    assert!(case.run().is_ok());
}

#[test]
fn two_people_approve_what_takes_two() {
    let mut case = good();
    (case.ticket.tier, case.verdict.tier) = (Tier::Two, Tier::Two);
    case.approvals = vec![sign(&case.ticket, 1, 1502), sign(&case.ticket, 2, 1503)];
    assert!(case.run().is_ok());
}

#[test]
fn a_write_is_taken_back_only_while_the_value_is_ours() {
    let facts = good().facts;
    let revert = |written: u64, now: u64, allowed: bool| {
        let ticket = Ticket { revert: allowed, ..ticket() };
        let (written, now) = (Value::U64(written), Value::U64(now));
        authorize_revert(&ticket, &selection().setpoint.tag, &written, &now, &facts)
            .map_err(|refusal| refusal.rule)
    };
    assert_eq!(revert(110, 110, true).unwrap().get().raw, Value::U64(100), "clamped on the way");
    assert_eq!(revert(110, 110, false).unwrap_err(), Rule::Policy);
    assert_eq!(revert(120, 117, true).unwrap_err(), Rule::NotOurs, "somebody wrote after us");
    assert_eq!(revert(130, 130, true).unwrap_err(), Rule::NotOurs, "beyond what we asked for");
    assert_eq!(revert(100, 100, true).unwrap_err(), Rule::NotOurs, "nothing has changed");
    let frozen = Facts { frozen: Some("by hand".into()), ..facts };
    let (a, b) = (Value::U64(110), Value::U64(110));
    let refused = authorize_revert(&ticket(), &selection().setpoint.tag, &a, &b, &frozen);
    assert_eq!(refused.unwrap_err().rule, Rule::Frozen);
}

#[test]
fn a_positive_value_of_a_signed_type_is_the_one_that_was_signed() {
    let mut case = good();
    let kind = DataType::One(Scalar::Int16);
    let tag = case.selection.setpoint.tag.clone();
    case.selection.setpoint = Setpoint::fit(&tag, kind, Value::U64(120)).unwrap();
    case.ticket.data_type = "int16".into();
    case.resign();
    assert!(case.run().is_ok());
}
