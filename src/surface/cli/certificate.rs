//! What `otctl cert` does beyond calling its tools: it asks before it trusts, and writes bytes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::time::Duration;

use clap::Command;
use serde_json::{Map, Value, json};

use super::client::Session;
use super::exit::{Exit, Failure};
use crate::surface::render::{Look, Output, Reader, render};
use crate::tools::TOOLS;

/// The tool that trusts.
pub(super) const TRUST: &str = "cert_trust";
/// The tool that gives our own.
pub(super) const OWN: &str = "cert_own";
/// What listing and trusting may take: file work.
const WITHIN: Duration = Duration::from_secs(15);
/// Digits that name a certificate; fewer would name many.
const DIGITS_MIN: usize = 8;
/// The longest line somebody types for eight characters.
const LINE_BYTES_MAX: u64 = 200;

/// Where a person sits.
pub(super) struct Terminal {
    input: Box<dyn BufRead + Send>,
    output: Box<dyn Write + Send>,
}

impl Terminal {
    /// Finds the terminal of this session, wherever stdin and stdout go.
    pub(super) fn open() -> Result<Self, Failure> {
        let tty = || -> io::Result<Self> {
            let input = File::open("/dev/tty")?;
            let output = File::options().write(true).open("/dev/tty")?;
            Ok(Self { input: Box::new(BufReader::new(input)), output: Box::new(output) })
        };
        match tty() {
            Ok(terminal) => Ok(terminal),
            Err(_) if io::stdin().is_terminal() => Ok(Self {
                input: Box::new(BufReader::new(io::stdin())),
                output: Box::new(io::stderr()),
            }),
            Err(_) => Err(Failure::new(Exit::Usage, "no terminal is there to confirm it at")
                .hint("run it where somebody sits")),
        }
    }

    pub(super) fn ask(&mut self, text: &str) -> Result<String, Failure> {
        let failed = |error: io::Error| {
            Failure::new(Exit::Usage, format!("terminal: {error}"))
                .hint("run it where somebody sits")
        };
        self.output.write_all(text.as_bytes()).map_err(failed)?;
        self.output.flush().map_err(failed)?;
        let mut line = String::new();
        self.input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line).map_err(failed)?;
        Ok(line.trim().to_owned())
    }
}

/// Adds the arguments of the tool that trusts; what is not confirmed yet is asked for.
pub(super) fn trust_arguments(command: Command) -> Command {
    let tool = TOOLS.iter().find(|tool| tool.name == TRUST);
    let command = match tool {
        Some(tool) => (tool.arguments)(command),
        None => command,
    };
    command.arg(super::people::key_arg()).mut_arg("confirm", |confirm| {
        confirm
            .required(false)
            .help("The last 8 characters of the fingerprint, read at the server; asked for else")
    })
}

/// Shows a certificate, asks for the end of its fingerprint, and trusts it.
pub(super) async fn trust(
    session: &Session,
    fingerprint: &str,
    mut terminal: Terminal,
) -> Result<Value, Failure> {
    let list = session.call("cert_list", Map::new(), WITHIN).await?;
    let (full, certificate) = chosen(&list, fingerprint)?;
    let question = question(&full, certificate);
    // Off this thread: the session and Ctrl-C go on while somebody walks to the server.
    let asked = tokio::task::spawn_blocking(move || terminal.ask(&question)).await;
    let confirm = asked.map_err(|error| {
        Failure::new(Exit::Usage, format!("terminal: {error}")).hint("give --confirm LAST8")
    })??;
    if confirm.is_empty() {
        return Err(Failure::new(Exit::Usage, "not confirmed; nothing has changed")
            .hint("type the last 8 characters of the fingerprint that the server shows"));
    }
    let mut arguments = Map::new();
    arguments.insert("fingerprint".into(), json!(full));
    arguments.insert("confirm".into(), json!(confirm));
    session.call(TRUST, arguments, WITHIN).await
}

fn question(fingerprint: &str, certificate: &Value) -> String {
    let facts = render(certificate, Output::Table, Look::PLAIN, &Reader::here());
    format!(
        "{facts}\nCompare with what the server itself shows. The fingerprint (SHA-256) is\n\n  \
            {fingerprint}\n\nIts last 8 characters, or nothing to leave it: "
    )
}

/// Finds the one certificate that a fingerprint or its beginning names.
fn chosen<'a>(list: &'a Value, fingerprint: &str) -> Result<(String, &'a Value), Failure> {
    let none = |message: &str| Failure::new(Exit::Usage, message).hint("see otctl cert list");
    let digits: String = fingerprint.chars().filter(|c| !": ".contains(*c)).collect();
    let digits = digits.to_lowercase();
    if digits.len() < DIGITS_MIN {
        return Err(none("a fingerprint, or 8 of its digits or more, are needed"));
    }
    let full = |certificate: &Value| {
        let given = certificate.get("fingerprint").and_then(Value::as_str).unwrap_or_default();
        given.starts_with(&digits).then(|| given.to_owned())
    };
    let all = list.get("certificates").and_then(Value::as_array).into_iter().flatten();
    let is_own = |one: &Value| one.get("state").and_then(Value::as_str) == Some("own");
    let mut found = all.filter(|one| !is_own(one)).filter_map(|one| Some((full(one)?, one)));
    let first = found.next().ok_or_else(|| none("no server has shown such a certificate"))?;
    if found.any(|(other, _)| other != first.0) {
        return Err(none("several certificates begin like this"));
    }
    Ok(first)
}

/// Refuses to write bytes where a person reads.
pub(super) fn refuse_terminal() -> Result<(), Failure> {
    match io::stdout().is_terminal() {
        false => Ok(()),
        true => Err(Failure::new(Exit::Usage, "a certificate is binary and stdout a terminal")
            .hint("redirect it: otctl cert own --der > ot-aiops.der")),
    }
}

/// Gives the bytes of our own certificate.
pub(super) fn der(answer: &Value) -> Result<Vec<u8>, Failure> {
    let hex = answer.get("der_hex").and_then(Value::as_str).unwrap_or_default();
    let bytes: Option<Vec<u8>> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
        Failure::new(Exit::Unreachable, "the collector's answer holds no certificate")
            .hint("it may be of another version than this otctl")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Value {
        json!({"certificates": [
            {"state": "own", "fingerprint": "00112233aa"},
            {"state": "rejected", "fingerprint": "a1b2c3d4e5f6", "subject": "CN=plc\u{1b}[2J"},
            {"state": "trusted", "fingerprint": "a1b2c3d4e5f6"},
            {"state": "rejected", "fingerprint": "ffffffff01"},
            {"state": "rejected", "fingerprint": "ffffffff02"}
        ]})
    }

    #[test]
    fn a_beginning_names_one_certificate_of_a_server_or_none() {
        let list = list();
        assert_eq!(chosen(&list, "A1:B2:C3:D4").unwrap().0, "a1b2c3d4e5f6");
        for wrong in ["a1b2", "00112233", "ffffffff", "0000000000"] {
            assert_eq!(chosen(&list, wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn the_question_shows_the_whole_fingerprint_and_no_controls() {
        let list = list();
        let (full, certificate) = chosen(&list, "a1b2c3d4").unwrap();
        let text = question(&full, certificate);
        assert!(text.contains("\n  a1b2c3d4e5f6\n") && text.contains("CN=plc"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_terminal_is_asked_for_one_line() {
        let input = Box::new(io::Cursor::new(" e5f6a1b2 \nmore"));
        let mut terminal = Terminal { input, output: Box::new(io::sink()) };
        assert_eq!(terminal.ask("?").unwrap(), "e5f6a1b2");
        assert_eq!(terminal.ask("?").unwrap(), "more");
        assert_eq!(terminal.ask("?").unwrap(), "");
    }

    #[test]
    fn hexadecimal_becomes_bytes_or_a_failure() {
        assert_eq!(der(&json!({"der_hex": "3082ff00"})).unwrap(), [0x30, 0x82, 0xff, 0]);
        for wrong in [json!({}), json!({"der_hex": ""}), json!({"der_hex": "3g"})] {
            assert_eq!(der(&wrong).unwrap_err().exit, Exit::Unreachable);
        }
    }

    #[test]
    fn trust_may_be_asked_for_without_its_confirmation() {
        let command = trust_arguments(Command::new("trust"));
        assert!(command.clone().try_get_matches_from(["trust", "a1b2c3d4"]).is_ok());
        assert!(command.try_get_matches_from(["trust"]).is_err());
    }
}
