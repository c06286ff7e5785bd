//! The walk itself, one function a step.

use super::facts::{TraceFacts, TraceFault, TraceLink};
use super::{HopFound, HopState, Trace, TraceHop, WhyVerdict};
use crate::driver::ErrorKind;
use crate::model::{LinkState, Quality, Timestamp};
use crate::net::UNRESOLVED;

/// Qualities that say the device has no such item, or not as asked (OPC UA Part 4, 7.39.2).
const NO_ITEM: [Quality; 8] = [
    Quality::BAD_CONFIGURATION_ERROR,
    Quality::BAD_NODE_ID_UNKNOWN,
    Quality::BAD_NODE_ID_INVALID,
    Quality::BAD_OUT_OF_SERVICE,
    // BadAttributeIdInvalid, BadNotReadable, BadNotSupported, BadTypeMismatch.
    Quality::from_status(0x8035_0000),
    Quality::from_status(0x803A_0000),
    Quality::from_status(0x803D_0000),
    Quality::from_status(0x8074_0000),
];
/// Qualities that say a value came and could not be read: decoding and encoding errors.
const NO_VALUE: [Quality; 2] = [Quality::BAD_DECODING_ERROR, Quality::from_status(0x8006_0000)];
/// Qualities of our own marks for a link or unit that says nothing.
const SILENT: [Quality; 3] = [
    Quality::BAD_NO_COMMUNICATION,
    // BadTimeout, BadNotConnected.
    Quality::from_status(0x800A_0000),
    Quality::from_status(0x808A_0000),
];

/// The first thing that is wrong.
struct Broken {
    verdict: WhyVerdict,
    hop: TraceHop,
    evidence: String,
    hint: String,
}

/// What one step came to.
struct Step {
    state: HopState,
    last_good: Option<Timestamp>,
    detail: String,
    broken: Option<(WhyVerdict, String)>,
}

impl Step {
    fn ok(last_good: Option<Timestamp>, detail: impl Into<String>) -> Self {
        Self { state: HopState::Ok, last_good, detail: detail.into(), broken: None }
    }

    fn unused(detail: impl Into<String>) -> Self {
        Self { state: HopState::Unused, last_good: None, detail: detail.into(), broken: None }
    }

    fn broken(
        verdict: WhyVerdict,
        last_good: Option<Timestamp>,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let broken = Some((verdict, hint.into()));
        Self { state: HopState::Broken, last_good, detail: detail.into(), broken }
    }
}

/// A walk under way.
pub(super) struct Walk<'a> {
    facts: &'a TraceFacts<'a>,
    hops: Vec<HopFound>,
    broken: Option<Broken>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(facts: &'a TraceFacts<'a>) -> Self {
        Self { facts, hops: Vec::new(), broken: None }
    }

    pub(super) fn walked(mut self) -> Trace {
        self.take(TraceHop::Endpoint, Self::endpoint);
        self.take(TraceHop::Name, Self::name);
        self.take(TraceHop::Connection, Self::connection);
        self.take(TraceHop::Login, Self::login);
        self.take(TraceHop::Item, Self::item);
        self.take(TraceHop::Answer, Self::answer);
        self.take(TraceHop::Decode, Self::decode);
        self.take(TraceHop::Scale, Self::scale);
        self.take(TraceHop::Deadband, Self::deadband);
        self.take(TraceHop::Cache, Self::cache);
        self.take(TraceHop::Store, Self::store);
        self.take(TraceHop::Sink, |_| Step::unused("no sink is configured"));
        let tag = quoted(&self.facts.tag.name);
        let Some(Broken { verdict, hop, evidence, hint }) = self.broken else {
            let evidence = "every step works".to_owned();
            let next = format!("otctl tail {tag}");
            let (verdict, broken, hint) = (WhyVerdict::Ok, None, String::new());
            return Trace { verdict, broken, evidence, hint, next, hops: self.hops };
        };
        let next = next(verdict, self.facts, &tag);
        Trace { verdict, broken: Some(hop), evidence, hint, next, hops: self.hops }
    }

    /// Takes one step. The disk has its own state, whatever the device does; else nothing can
    /// be said of what lies behind a step that is broken.
    fn take(&mut self, hop: TraceHop, step: impl FnOnce(&TraceFacts<'_>) -> Step) {
        let mut step = step(self.facts);
        let before = self.broken.as_ref().filter(|_| hop != TraceHop::Store);
        if let (Some(broken), false) = (before, step.state == HopState::Unused) {
            if step.state == HopState::Ok {
                // What it says of itself holds only where the way to it does.
                step.detail = format!("not known while the {} is broken", broken.hop.word());
            }
            step.state = HopState::Unknown;
        }
        if let (None, Some((verdict, hint))) = (&self.broken, step.broken) {
            self.broken = Some(Broken { verdict, hop, evidence: step.detail.clone(), hint });
        }
        let (state, last_good, detail) = (step.state, step.last_good, step.detail);
        self.hops.push(HopFound { hop, state, last_good, detail });
    }

    fn endpoint(facts: &TraceFacts<'_>) -> Step {
        let name = &facts.tag.endpoint;
        let down =
            |detail: String, hint: &str| Step::broken(WhyVerdict::EndpointDown, None, detail, hint);
        match &facts.link {
            None => down(
                format!("no connection serves the endpoint {name}"),
                "its configuration is faulty, or it is switched off: see ot-aiops config check",
            ),
            Some(link) if link.state == LinkState::Disabled => down(
                format!("the endpoint {name} is switched off"),
                "set enabled = true for it and reload",
            ),
            Some(link) if link.state == LinkState::Quarantined => down(
                format!("the endpoint {name} was stopped after too many faults of its driver"),
                "report the log of this endpoint; a changed configuration starts it again",
            ),
            Some(_) => Step::ok(None, format!("{name} speaks {}", facts.protocol)),
        }
    }

    fn name(facts: &TraceFacts<'_>) -> Step {
        let Some(link) = &facts.link else { return Step::unused("") };
        match &link.fault {
            _ if link.is_by_address => Step::unused("an address is given, no name"),
            Some(fault) if fault.message.contains(UNRESOLVED) => {
                Step::broken(WhyVerdict::EndpointDown, link.last_good, &fault.message, &fault.hint)
            }
            // A failure to connect may hide one of the name: it does not say.
            Some(fault) if is_of_connection(fault.kind) => Step {
                state: HopState::Unknown,
                last_good: link.last_good,
                detail: "the failure to connect does not tell".to_owned(),
                broken: None,
            },
            _ => Step::ok(link.last_good, "the name has an address"),
        }
    }

    fn connection(facts: &TraceFacts<'_>) -> Step {
        let Some(link) = &facts.link else { return Step::unused("") };
        match &link.fault {
            Some(fault) if is_of_connection(fault.kind) => {
                Step::broken(WhyVerdict::EndpointDown, link.last_good, &fault.message, &fault.hint)
            }
            _ if link.state == LinkState::Up => {
                let times = if link.opened == 1 { "once" } else { "anew" };
                Step::ok(link.last_good, format!("up, opened {times}"))
            }
            _ => Step::ok(link.last_good, format!("{:?}", link.state).to_lowercase()),
        }
    }

    fn login(facts: &TraceFacts<'_>) -> Step {
        let Some(link) = &facts.link else { return Step::unused("") };
        let broken = |verdict: WhyVerdict, fault: &TraceFault| {
            Step::broken(verdict, link.last_good, &fault.message, &fault.hint)
        };
        match &link.fault {
            Some(fault) if fault.kind == ErrorKind::CertificateRejected => {
                broken(WhyVerdict::CertificateRejected, fault)
            }
            Some(fault) if fault.kind == ErrorKind::LoginRefused => {
                broken(WhyVerdict::EndpointDown, fault)
            }
            // Settings that allow no session, or a server that can't open one.
            Some(fault) if !is_of_connection(fault.kind) => broken(WhyVerdict::EndpointDown, fault),
            _ if link.opened == 0 => Step {
                state: HopState::Unknown,
                last_good: None,
                detail: "no session has been opened yet".to_owned(),
                broken: None,
            },
            _ => Step::ok(link.last_good, "a session stands"),
        }
    }

    fn item(facts: &TraceFacts<'_>) -> Step {
        let address = &facts.tag.address;
        if let Some(fault) = &facts.item_fault {
            let detail = fault.message.clone();
            return Step::broken(WhyVerdict::BadAddress, facts.last_good, detail, &fault.hint);
        }
        match facts.sample.map(|sample| sample.quality).filter(|quality| names_no_item(*quality)) {
            Some(quality) => Step::broken(
                WhyVerdict::BadAddress,
                facts.last_good,
                format!("the device refuses {address}: {}", quality.name()),
                "compare the address and the type with the device's own list, then reload",
            ),
            None => Step::ok(facts.last_good, format!("{address} is accepted")),
        }
    }

    fn answer(facts: &TraceFacts<'_>) -> Step {
        let unit = facts.tag.unit.0;
        if let Some((fault, failures)) = facts.link.as_ref().and_then(|l| l.unit_fault.as_ref()) {
            let times =
                if *failures > 1 { format!(", {failures} times in a row") } else { "".into() };
            let detail = format!("{}{times}", fault.message);
            return Step::broken(WhyVerdict::UnitDead, facts.last_good, detail, &fault.hint);
        }
        let quality = facts.sample.map(|sample| sample.quality);
        if quality.is_some_and(|quality| is(&SILENT, quality)) {
            let detail = format!("unit {unit} does not answer for it");
            let hint = "check that the device is there and switched on, and its cabling";
            return Step::broken(WhyVerdict::UnitDead, facts.last_good, detail, hint);
        }
        let is_waiting = |quality| is(&[Quality::BAD_WAITING_FOR_INITIAL_DATA], quality);
        let is_known = |quality| is(&NO_VALUE, quality) || is_waiting(quality);
        if let Some(quality) = quality.filter(|q| q.is_bad() && !is_known(*q)) {
            let detail = format!("the device itself says {}", quality.name());
            let hint = "look at the sensor, its module and its wiring";
            return Step::broken(WhyVerdict::SourceStopped, facts.last_good, detail, hint);
        }
        match &facts.stopped {
            Some(stop) => Step::broken(
                WhyVerdict::SourceStopped,
                Some(stop.since),
                &stop.evidence,
                "the device answers, and what feeds this value has stopped: look at its program, \
                 its gateway or its sensor",
            ),
            None => Step::ok(facts.last_good, "the device answers"),
        }
    }

    fn decode(facts: &TraceFacts<'_>) -> Step {
        let tag = facts.tag;
        if let Some(sample) = facts.sample.filter(|sample| is(&NO_VALUE, sample.quality)) {
            let (name, data_type) = (sample.quality.name(), tag.data_type);
            return Step::broken(
                WhyVerdict::BadAddress,
                facts.last_good,
                format!("what stands at {} is no finite {data_type}: {name}", tag.address),
                "check type, order and address; otctl config check prints both readings",
            );
        }
        match &facts.skew {
            Some(skew) if skew.is_wrong() => Step::broken(
                WhyVerdict::ClockWrong,
                facts.last_good,
                format!("the device's clock is {}", skew.words()),
                "set the device's clock and zone, or give it an NTP server; ages here are by our \
                 own clock and stay right",
            ),
            Some(_) => Step::ok(facts.last_good, "value and time are read"),
            None => {
                Step::ok(facts.last_good, "the value is read; too few times to judge the clock")
            }
        }
    }

    fn scale(facts: &TraceFacts<'_>) -> Step {
        match &facts.tag.scale {
            None => Step::unused("none is configured"),
            Some(scale) => {
                let ((a, b), (c, d)) = (scale.raw, scale.eu);
                Step::ok(facts.last_good, format!("{a}..{b} becomes {c}..{d}"))
            }
        }
    }

    fn deadband(facts: &TraceFacts<'_>) -> Step {
        match facts.tag.deadband {
            None => Step::unused("none is configured"),
            Some(band) => {
                Step::ok(facts.last_good, format!("changes below {band} keep the value before"))
            }
        }
    }

    fn cache(facts: &TraceFacts<'_>) -> Step {
        let lost = facts.link.as_ref().and_then(|link| link.lost);
        let is_waiting = |quality| is(&[Quality::BAD_WAITING_FOR_INITIAL_DATA], quality);
        match (facts.sample, lost) {
            (None, _) => Step::broken(
                WhyVerdict::NeverRead,
                None,
                "nothing has come yet",
                "wait for one scan; endpoint_status has the scan plan",
            ),
            (Some(sample), _) if is_waiting(sample.quality) => Step::broken(
                WhyVerdict::NeverRead,
                None,
                "the device has no first value for it yet",
                "look at what writes this value in the device",
            ),
            (Some(_), Some((at, lost))) => Step::broken(
                WhyVerdict::QueueFull,
                Some(at),
                format!("{lost} samples were lost on the way in, the last just now"),
                "scan less often or fewer tags, or give the device a longer queue",
            ),
            (Some(sample), None) if sample.quality.is_uncertain() => {
                Step::ok(facts.last_good, format!("the value is kept as {}", sample.quality.name()))
            }
            (Some(_), None) => Step::ok(facts.last_good, "the newest sample is there"),
        }
    }

    fn store(facts: &TraceFacts<'_>) -> Step {
        let store = &facts.store;
        let full = |detail: String| {
            Step::broken(
                WhyVerdict::QueueFull,
                store.last_commit,
                detail,
                "look at the space and the health of the disk that holds the state directory",
            )
        };
        match (&store.fault, store.lost) {
            (Some(fault), _) => full(format!("history waits and is not being stored: {fault}")),
            (None, Some((_, lost))) => {
                full(format!("{lost} samples were overwritten before they could be stored"))
            }
            (None, None) => Step::ok(store.last_commit, "history is being stored"),
        }
    }
}

fn is_of_connection(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unreachable
            | ErrorKind::Timeout
            | ErrorKind::LinkLost
            | ErrorKind::Protocol
            | ErrorKind::Closed
    )
}

/// Compares what the codes say; the low half holds flags (Part 4, 7.39.1).
fn is(list: &[Quality], quality: Quality) -> bool {
    list.iter().any(|known| known.status() >> 16 == quality.status() >> 16)
}

/// Tells whether a quality says that the device has no such item, or not as asked.
#[must_use]
pub fn names_no_item(quality: Quality) -> bool {
    is(&NO_ITEM, quality)
}

/// Gives the command to run next.
fn next(verdict: WhyVerdict, facts: &TraceFacts<'_>, tag: &str) -> String {
    let endpoint = quoted(&facts.tag.endpoint);
    match verdict {
        WhyVerdict::CertificateRejected => "otctl cert list".to_owned(),
        WhyVerdict::BadAddress if facts.protocol == "opcua" => {
            format!("otctl opcua browse -e {endpoint}")
        }
        WhyVerdict::BadAddress => "ot-aiops config check".to_owned(),
        WhyVerdict::SourceStopped => format!("otctl plot {tag}"),
        WhyVerdict::QueueFull if facts.link.as_ref().is_none_or(|l| l.lost.is_none()) => {
            "otctl status".to_owned()
        }
        WhyVerdict::Ok => format!("otctl tail {tag}"),
        _ => format!("otctl endpoint status {endpoint}"),
    }
}

/// Quotes a name for a shell where it needs to be.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.:".contains(c);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

impl TraceLink {
    /// Tells whether a failure has been overcome since.
    #[must_use]
    pub fn is_overcome(
        state: LinkState,
        since: Timestamp,
        good: Option<Timestamp>,
        at: Timestamp,
    ) -> bool {
        state == LinkState::Up && (since >= at || good.is_some_and(|good| good > at))
    }
}
