//! Each verdict out of the facts that lead to it.

use super::*;
use crate::diagnose::skew::skew;
use crate::driver::ErrorKind;
use crate::model::{LinkState, Quality, Tag, Timestamp, UnitId};

fn at(s: i64) -> Timestamp {
    Timestamp::from_millis(s * 1000)
}

fn fault(kind: ErrorKind, message: &str) -> TraceFault {
    TraceFault { kind, message: message.into(), hint: "do this".into(), at: at(90) }
}

fn tag() -> Tag {
    let mut tag = Tag::new("line 1/temp", "plc", "holding:1");
    tag.unit = UnitId(3);
    tag
}

fn sound(tag: &Tag) -> TraceFacts<'_> {
    let link = TraceLink {
        state: LinkState::Up,
        since: at(10),
        opened: 1,
        last_good: Some(at(100)),
        is_by_address: false,
        fault: None,
        unit_fault: None,
        lost: None,
    };
    TraceFacts {
        tag,
        protocol: "modbus",
        link: Some(link),
        item_fault: None,
        sample: Some(TraceSample {
            quality: Quality::GOOD,
            source: None,
            received: at(100),
            age_ms: Some(40),
        }),
        last_good: Some(at(100)),
        stopped: None,
        skew: None,
        store: TraceStore { last_commit: Some(at(99)), ..TraceStore::default() },
    }
}

/// Breaks sound facts and gives what the walk says.
fn broken(change: impl FnOnce(&mut TraceFacts<'_>)) -> Trace {
    let tag = tag();
    let mut facts = sound(&tag);
    change(&mut facts);
    trace(&facts)
}

fn with_link(change: impl FnOnce(&mut TraceLink)) -> Trace {
    broken(|facts| change(facts.link.as_mut().unwrap()))
}

fn state(trace: &Trace, hop: TraceHop) -> HopState {
    trace.hops.iter().find(|found| found.hop == hop).unwrap().state
}

#[test]
fn a_sound_way_is_ok_in_all_its_twelve_steps() {
    let found = broken(|_| ());
    assert_eq!((found.verdict, found.broken), (WhyVerdict::Ok, None));
    assert_eq!(found.hops.len(), 12);
    assert!(found.hops.iter().all(|hop| matches!(hop.state, HopState::Ok | HopState::Unused)));
    assert_eq!(found.next, "otctl tail 'line 1/temp'");
}

#[test]
fn a_link_that_is_down_is_the_first_step_that_fails_and_hides_those_behind() {
    let refused = fault(ErrorKind::Unreachable, "plc:502 refused the connection");
    let found = with_link(|link| {
        link.state = LinkState::Backoff;
        link.fault = Some(refused);
    });
    assert_eq!(found.verdict, WhyVerdict::EndpointDown);
    assert_eq!(found.broken, Some(TraceHop::Connection));
    assert_eq!(
        (found.evidence.as_str(), found.hint.as_str()),
        ("plc:502 refused the connection", "do this")
    );
    assert_eq!(found.next, "otctl endpoint status plc");
    assert_eq!(state(&found, TraceHop::Endpoint), HopState::Ok);
    assert_eq!(state(&found, TraceHop::Item), HopState::Unknown);
    assert_eq!(state(&found, TraceHop::Store), HopState::Ok);
}

#[test]
fn each_failure_of_the_link_is_laid_to_its_own_step() {
    use WhyVerdict::{CertificateRejected, EndpointDown};
    for (kind, message, verdict, hop) in [
        (ErrorKind::Unreachable, "the name x has no address", EndpointDown, TraceHop::Name),
        (ErrorKind::Timeout, "silent", EndpointDown, TraceHop::Connection),
        (ErrorKind::LoginRefused, "refused", EndpointDown, TraceHop::Login),
        (ErrorKind::CertificateRejected, "untrusted", CertificateRejected, TraceHop::Login),
    ] {
        let found = with_link(|link| {
            link.state = LinkState::Backoff;
            link.fault = Some(fault(kind, message));
        });
        assert_eq!((found.verdict, found.broken), (verdict, Some(hop)), "{kind:?}");
    }
    for state in [LinkState::Disabled, LinkState::Quarantined] {
        let found = with_link(|link| link.state = state);
        assert_eq!(found.broken, Some(TraceHop::Endpoint), "{state:?}");
    }
    let gone = broken(|facts| facts.link = None);
    assert_eq!((gone.verdict, gone.broken), (WhyVerdict::EndpointDown, Some(TraceHop::Endpoint)));
}

#[test]
fn a_dead_unit_and_a_refused_address_are_told_apart() {
    let found = with_link(|link| {
        link.unit_fault = Some((fault(ErrorKind::Timeout, "no whole answer of unit 3"), 4));
    });
    assert_eq!((found.verdict, found.broken), (WhyVerdict::UnitDead, Some(TraceHop::Answer)));
    assert_eq!(found.evidence, "no whole answer of unit 3, 4 times in a row");
    let found = broken(|facts| {
        facts.item_fault = Some(fault(ErrorKind::BadAddress, "exception 2"));
    });
    assert_eq!((found.verdict, found.broken), (WhyVerdict::BadAddress, Some(TraceHop::Item)));
    let by_quality =
        |quality| broken(|facts| facts.sample.as_mut().unwrap().quality = quality).verdict;
    for (quality, verdict) in [
        (Quality::BAD_CONFIGURATION_ERROR, WhyVerdict::BadAddress),
        (Quality::BAD_NODE_ID_UNKNOWN, WhyVerdict::BadAddress),
        (Quality::BAD_DECODING_ERROR, WhyVerdict::BadAddress),
        (Quality::BAD_NO_COMMUNICATION, WhyVerdict::UnitDead),
        (Quality::BAD_DEVICE_FAILURE, WhyVerdict::SourceStopped),
        (Quality::BAD_WAITING_FOR_INITIAL_DATA, WhyVerdict::NeverRead),
        (Quality::from_status(0x808C_0000), WhyVerdict::SourceStopped),
        (Quality::UNCERTAIN_LAST_USABLE, WhyVerdict::Ok),
    ] {
        assert_eq!(by_quality(quality), verdict, "{}", quality.name());
    }
}

#[test]
fn a_clock_that_is_off_and_a_source_that_stands_are_named() {
    let found = broken(|facts| facts.skew = skew(&[7_200_000; 4], 1000));
    assert_eq!((found.verdict, found.broken), (WhyVerdict::ClockWrong, Some(TraceHop::Decode)));
    assert!(
        found.evidence.contains("2 h ahead of ours: a time-zone mistake"),
        "{}",
        found.evidence
    );
    let evidence = "its time has stood for 40 s".to_owned();
    let found = broken(|facts| facts.stopped = Some(TraceStop { since: at(60), evidence }));
    assert_eq!((found.verdict, found.broken), (WhyVerdict::SourceStopped, Some(TraceHop::Answer)));
    assert_eq!(found.hops[5].last_good, Some(at(60)));
}

#[test]
fn losses_on_the_way_in_and_before_the_disk_are_full_queues() {
    let found = with_link(|link| link.lost = Some((at(95), 7)));
    assert_eq!((found.verdict, found.broken), (WhyVerdict::QueueFull, Some(TraceHop::Cache)));
    let found = broken(|facts| facts.store.fault = Some("no space".into()));
    assert_eq!((found.verdict, found.broken), (WhyVerdict::QueueFull, Some(TraceHop::Store)));
    assert_eq!(found.next, "otctl status");
}

#[test]
fn nothing_that_came_yet_is_never_read_and_no_fault() {
    let found = broken(|facts| {
        (facts.sample, facts.last_good) = (None, None);
        let link = facts.link.as_mut().unwrap();
        (link.state, link.opened) = (LinkState::Connecting, 0);
    });
    assert_eq!((found.verdict, found.broken), (WhyVerdict::NeverRead, Some(TraceHop::Cache)));
    assert_eq!(state(&found, TraceHop::Login), HopState::Unknown);
}
