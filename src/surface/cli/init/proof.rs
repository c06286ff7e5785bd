//! Proving an endpoint: it is connected to and something of it is read, before it is saved.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};

use super::Setting;
use super::answers::Given;
use crate::driver::{Ask, Discovery, EndpointSpec, Protocol, Reply};
use crate::model::Tag;
use crate::protocols::opcua::certificates::{self, CertificateState};
use crate::surface::cli::direct::Direct;
use crate::surface::cli::exit::Failure;
use crate::surface::text::escaped;
use crate::tools::setup::{Check, Line, Standard, Verdict, check_line, found_tags};

/// Nodes looked through for tags to offer.
const NODES_MAX: u32 = 5000;
/// The tool's own allowance, and what its answer may take.
const WITHIN: Duration = Duration::from_secs(25);

/// What becomes of an endpoint that could not be proved.
enum Next {
    Again,
    Change,
    SaveUnproved,
    LeaveOut,
}

impl Setting {
    /// Proves it, and gives the tags that were chosen; `None` leaves the endpoint out.
    pub(super) fn prove(
        &mut self,
        protocol: &'static Protocol,
        given: &mut Given,
    ) -> Result<Option<Vec<Arc<Tag>>>, Failure> {
        loop {
            if let Some(other) = self.held_by(protocol, &given.spec)? {
                if self.prove_through(&other)? {
                    return Ok(Some(Vec::new()));
                }
            } else if let Some(tags) = self.prove_directly(protocol, &given.spec)? {
                return Ok(Some(tags));
            }
            match self.next()? {
                Next::Again => {}
                Next::Change => *given = self.answers(protocol, &given.spec.name.clone())?,
                Next::SaveUnproved => return Ok(Some(Vec::new())),
                Next::LeaveOut => return Ok(None),
            }
        }
    }

    /// Names the endpoint whose connection the running collector would share with this one.
    fn held_by(&self, protocol: &Protocol, spec: &EndpointSpec) -> Result<Option<String>, Failure> {
        let Some(key) = (protocol.shared_as)(&spec.settings) else { return Ok(None) };
        let there = self.configured()?;
        let shares = |other: &&EndpointSpec| {
            other.protocol == spec.protocol
                && (protocol.shared_as)(&other.settings).as_ref() == Some(&key)
        };
        let other = there.endpoints.iter().find(shares).map(|other| other.name.to_string());
        Ok(other.filter(|_| self.collector().is_some()))
    }

    /// Asks the collector, which holds the one connection this device may take.
    fn prove_through(&mut self, other: &str) -> Result<bool, Failure> {
        let Some(session) = self.collector() else { return Ok(false) };
        self.talk.say(&format!(
            "The collector holds a connection to this device, for {}: it is asked through that.",
            escaped(other)
        ))?;
        let mut arguments = Map::new();
        arguments.insert("endpoint".into(), json!(other));
        let asked = self.runtime.block_on(session.call("endpoint_probe", arguments, WITHIN));
        match asked {
            Ok(answer) => {
                let checks = answer.get("checks").cloned().unwrap_or_default();
                let checks: Vec<Check> = serde_json::from_value(checks).unwrap_or_default();
                self.show(&checks)
            }
            Err(failure) => {
                self.talk.say(&escaped(&failure.message))?;
                Ok(false)
            }
        }
    }

    /// Connects, reads, and lets tags be chosen.
    fn prove_directly(
        &mut self,
        protocol: &'static Protocol,
        spec: &EndpointSpec,
    ) -> Result<Option<Vec<Arc<Tag>>>, Failure> {
        self.talk.say("Connecting...")?;
        let mut line = match Direct::new(spec, protocol) {
            Ok(line) => line,
            Err(error) => {
                self.talk.say(&error.with_hint())?;
                return Ok(None);
            }
        };
        let mut checks = self.runtime.block_on(check_line(&mut line, spec, protocol));
        if matches!(protocol.discovery, Discovery::ByHand(_)) {
            // What is read is asked for next.
            checks.retain(|check| check.check != "read");
        }
        let proved = self.show(&checks)?;
        let refused =
            checks.iter().any(|c| c.check == "certificate" && c.verdict == Verdict::Fault);
        let tags = match protocol.discovery {
            _ if refused => {
                self.trust(spec)?;
                None
            }
            _ if !proved => None,
            Discovery::Browse { root, depth } => Some(self.offer(&mut line, spec, root, depth)?),
            Discovery::ByHand(instead) => self.by_hand(&mut line, protocol, spec, instead)?,
        };
        self.runtime.block_on(line.close());
        Ok(tags)
    }

    /// Shows how checks ended; true where none stands in the way: a wrong clock is said, and the
    /// values are read all the same.
    fn show(&mut self, checks: &[Check]) -> Result<bool, Failure> {
        for check in checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Fault => "FAULT",
                Verdict::Skipped => "-",
            };
            let fix = if check.fix.is_empty() { String::new() } else { format!("; {}", check.fix) };
            let text = escaped(&format!("{}{fix}", check.detail));
            self.talk.say(&format!("  {mark:<8}{:<12}{text}", check.check))?;
        }
        let is_in_the_way =
            |check: &Check| check.verdict == Verdict::Fault && check.check != "clock";
        Ok(!checks.is_empty() && !checks.iter().any(is_in_the_way))
    }

    /// Lists what there is, with its present values, to choose from.
    fn offer(
        &mut self,
        line: &mut Direct,
        spec: &EndpointSpec,
        root: &str,
        depth: u8,
    ) -> Result<Vec<Arc<Tag>>, Failure> {
        self.talk.say("Looking for tags...")?;
        let ask = Ask::Browse { root: root.into(), depth, nodes_max: NODES_MAX, values: true };
        let reply = match self.runtime.block_on(line.ask(ask)) {
            Ok(reply) => reply,
            Err(error) => {
                self.talk.say(&error.with_hint())?;
                return Ok(Vec::new());
            }
        };
        let Reply::Browse { nodes, truncated } = reply.as_ref() else { return Ok(Vec::new()) };
        if *truncated {
            self.talk
                .say(&format!("There are more than {NODES_MAX} nodes; these are the first."))?;
        }
        let found = found_tags(&spec.name, nodes, Standard::Without);
        self.choose(&spec.name, &found.tags)
    }

    /// Lets a person compare and trust the certificate that was refused.
    fn trust(&mut self, spec: &EndpointSpec) -> Result<(), Failure> {
        let all = certificates::list(&spec.state_dir).unwrap_or_default();
        let Some(one) = all.iter().rfind(|one| one.state == CertificateState::Rejected) else {
            return Ok(());
        };
        self.talk.say(&format!(
            "The server shows a certificate that nobody has trusted:\n  {}\n  from {}\n\
             Compare with what the server itself shows. The fingerprint (SHA-256) is\n\n  {}\n",
            escaped(&one.subject),
            escaped(one.endpoint.as_deref().unwrap_or("this server")),
            one.fingerprint
        ))?;
        let last = self.talk.ask("Its last 8 characters, or nothing to leave it", "")?;
        if last.is_empty() {
            return Ok(());
        }
        match certificates::trust(&spec.state_dir, &one.fingerprint, &last) {
            Ok(_) => self.talk.say("Trusted; try again."),
            Err(error) => self.talk.say(&error.to_string()),
        }
    }

    fn next(&mut self) -> Result<Next, Failure> {
        loop {
            let question = "again, change the answers, save it unproved, or leave it out";
            match self.talk.ask(question, "again")?.as_str() {
                "again" | "a" => return Ok(Next::Again),
                "change" | "c" => return Ok(Next::Change),
                "save" | "s" => return Ok(Next::SaveUnproved),
                "leave" | "l" => return Ok(Next::LeaveOut),
                _ => self.talk.say("again, change, save or leave, please")?,
            }
        }
    }
}
