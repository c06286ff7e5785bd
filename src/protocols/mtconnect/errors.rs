//! Failures in words, each with the address that was asked and what to do about it.

use super::xml::{AgentError, Fault};
use crate::driver::{DriverError, ErrorKind, Reaction};
use crate::net::tls::{self, TlsFault};

/// Makes an error about one address. HTTP multiplexes: only a lost connection ends the session.
fn about(url: &str, kind: ErrorKind, what: impl std::fmt::Display) -> DriverError {
    let error = DriverError::new(kind, format!("MTConnect agent at {url}: {what}"));
    match kind {
        ErrorKind::Unreachable | ErrorKind::LinkLost => error,
        _ => error.reacting(Reaction::FailTag),
    }
}

/// A request that brought no answer.
pub(super) fn request(url: &str, error: &reqwest::Error) -> DriverError {
    match tls::fault_in(error) {
        Some(TlsFault::Certificate(what)) => {
            return about(url, ErrorKind::CertificateRejected, what).hint(
                "name the authority that signed it as ca_file; check that the host of agent_url \
                 is a name in the certificate, and both clocks",
            );
        }
        Some(TlsFault::Protocol(what)) => {
            return about(url, ErrorKind::Protocol, what)
                .hint("write http:// in agent_url, or the port that speaks TLS");
        }
        None => {}
    }
    if error.is_connect() {
        return about(url, ErrorKind::Unreachable, "no connection")
            .hint("check host and port, that the agent runs, and the firewall between");
    }
    if error.is_timeout() {
        return silent(url);
    }
    if error.is_decode() {
        return about(url, ErrorKind::Protocol, "the answer is damaged: its compression is broken")
            .hint("what stands between here and the agent alters its answers");
    }
    about(
        url,
        ErrorKind::LinkLost,
        "the connection ended before the answer was complete, or what came is no HTTP",
    )
    .hint("check that an MTConnect agent listens there, and nothing else")
}

/// No whole answer in time.
pub(super) fn silent(url: &str) -> DriverError {
    about(url, ErrorKind::Timeout, "no whole answer in time")
        .hint("the agent or the line to it is slow: raise timeout_ms, or ask less of it")
}

/// An answer without end.
pub(super) fn oversized(url: &str, bytes_max: usize) -> DriverError {
    let what = format!("the answer is larger than {} MiB, unpacked: refused", bytes_max >> 20);
    about(url, ErrorKind::Protocol, what)
        .hint("set device = \"NAME\" to ask for one machine instead of all")
}

/// An agent that sends its clients elsewhere.
pub(super) fn redirected(url: &str) -> DriverError {
    about(url, ErrorKind::Protocol, "it redirects to another host: refused")
        .hint("write the address that really answers as agent_url, if you trust it")
}

/// Redirects without end.
pub(super) fn circling(url: &str) -> DriverError {
    about(url, ErrorKind::Protocol, "it redirects again and again")
        .hint("write the address that really answers as agent_url")
}

/// An answer that is no success, without a document that says why.
pub(super) fn status(url: &str, status: u16) -> DriverError {
    let kind = match status {
        401 | 403 => ErrorKind::LoginRefused,
        404 => ErrorKind::BadAddress,
        _ => ErrorKind::DeviceFault,
    };
    about(url, kind, format!("HTTP status {status}")).hint(match status {
        401 | 403 => "the agent asks for a login, which this collector does not give",
        404 => "check the path of agent_url and the name of device; old agents have no assets",
        _ => "see the agent's own log",
    })
}

/// A document that can't be taken.
pub(super) fn document(url: &str, fault: Fault) -> DriverError {
    let Fault::Agent(code) = fault else {
        return about(url, ErrorKind::Protocol, format!("the answer {fault}")).hint(match fault {
            Fault::Dtd | Fault::Entity => "MTConnect carries neither: what answers is no agent",
            Fault::Stranger => "check agent_url: the answer is some other document or page",
            _ => "the agent or something between here and it damages its answers",
        });
    };
    agent(url, code)
}

fn agent(url: &str, code: AgentError) -> DriverError {
    let (kind, hint) = match code.0 {
        "NO_DEVICE" => (ErrorKind::BadAddress, "see mtconnect_probe for the devices there are"),
        "ASSET_NOT_FOUND" | "INVALID_URI" | "INVALID_XPATH" => {
            (ErrorKind::BadAddress, "check the path of agent_url and the name of device")
        }
        "UNAUTHORIZED" => (ErrorKind::LoginRefused, "the agent refuses this client"),
        "UNSUPPORTED" => (ErrorKind::Unsupported, "the agent can't do it"),
        "OUT_OF_RANGE" => (ErrorKind::DeviceFault, "the agent's buffer no longer holds it"),
        _ => (ErrorKind::DeviceFault, "see the agent's own log"),
    };
    about(url, kind, format!("it answers with the error {code}")).hint(hint)
}

/// A stream that has gone quiet: not even its heartbeat comes.
pub(super) fn quiet(url: &str, seconds: u64) -> DriverError {
    about(url, ErrorKind::Timeout, format!("not even a heartbeat for {seconds} s"))
        .hint("the agent has stopped, or the line to it is cut")
        .reacting(Reaction::DropSession)
}

/// A stream that ended.
pub(super) fn ended(url: &str) -> DriverError {
    about(url, ErrorKind::LinkLost, "it ended its stream")
        .hint("the agent was stopped, or drops slow clients")
}

/// A stream that is none.
pub(super) fn multipart(url: &str, what: &str) -> DriverError {
    about(url, ErrorKind::Protocol, format!("its stream is damaged: {what}"))
        .hint("what stands between here and the agent alters its answers")
        .reacting(Reaction::DropSession)
}

/// The agent began anew, maybe with other machines.
pub(super) fn restarted(url: &str) -> DriverError {
    about(url, ErrorKind::LinkLost, "the agent has begun anew: its model is read again")
        .hint("nothing need be done; what it had not sent before is lost, and counted")
}

/// An agent that streamed and no longer does, or the other way round.
pub(super) fn changed(url: &str) -> DriverError {
    about(url, ErrorKind::LinkLost, "it no longer gives its observations the way it did")
        .hint("nothing need be done: the session begins anew")
}

/// Nothing is open.
pub(super) fn closed() -> DriverError {
    DriverError::new(ErrorKind::Closed, "the session is closed")
}
