//! Talking with whoever runs a command: questions at a terminal, or answers from a pipe.

use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::exit::{Exit, Failure};
use crate::config::secret::{self, MASTER_CHARS_MIN, SecretStore};
use crate::model::Secret;

/// The longest line that is an answer.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// How often a wrong master password may be typed.
const TRIES_MAX: u32 = 3;

/// Whether a master password exists already, or is being chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Master {
    /// It opens what is there.
    Known,
    /// It is chosen now, so it is typed twice.
    New,
}

/// The two ends of a talk.
pub(super) struct Talk {
    input: Box<dyn BufRead + Send>,
    output: Box<dyn Write + Send>,
    has_terminal: bool,
    /// Where the master password comes from before anybody is asked.
    fd: Option<u32>,
    env: fn(&str) -> Option<String>,
    /// Told once, it is not asked for again.
    master: Option<Secret>,
}

impl Talk {
    /// Talks on stdin and stderr, so that stdout carries results alone.
    pub(super) fn on_stdio(fd: Option<u32>) -> Self {
        Self {
            input: Box::new(BufReader::new(io::stdin())),
            output: Box::new(io::stderr()),
            has_terminal: io::stdin().is_terminal(),
            fd,
            env: |name| std::env::var(name).ok(),
            master: None,
        }
    }

    /// Tells whether a person answers.
    pub(super) fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    /// Says something.
    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.output, "{text}").map_err(broken)
    }

    /// Asks; an empty answer is the default.
    pub(super) fn ask(&mut self, question: &str, default: &str) -> Result<String, Failure> {
        let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
        write!(self.output, "{question}{shown}: ")
            .and_then(|()| self.output.flush())
            .map_err(broken)?;
        let line = self.line()?;
        let answer = line.trim();
        if !self.has_terminal {
            // Nobody's typing has ended the line.
            self.say("")?;
        }
        Ok(if answer.is_empty() { default } else { answer }.to_owned())
    }

    /// Asks for yes or no.
    pub(super) fn agree(&mut self, question: &str, default: bool) -> Result<bool, Failure> {
        loop {
            let answer = self.ask(question, if default { "yes" } else { "no" })?;
            match answer.to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ => self.say("yes or no, please")?,
            }
        }
    }

    /// Asks for what must not be shown.
    pub(super) fn ask_hidden(&mut self, question: &str) -> Result<Secret, Failure> {
        if self.has_terminal {
            let typed = rpassword::prompt_password(format!("{question}: ")).map_err(broken)?;
            return Ok(Secret::new(typed));
        }
        self.say(&format!("{question}:"))?;
        let line = self.line()?;
        Ok(Secret::new(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Gets the master password: given, or typed.
    pub(super) fn master(&mut self, which: Master) -> Result<Secret, Failure> {
        if let Some(master) = &self.master {
            return Ok(master.clone());
        }
        let master = match (self.given()?, self.has_terminal) {
            (Some(given), _) => given,
            (None, false) => return Err(secret::SecretError::NoMaster.into()),
            (None, true) if which == Master::Known => self.ask_hidden("Master password")?,
            (None, true) => self.new_master()?,
        };
        self.master = Some(master.clone());
        Ok(master)
    }

    /// Tells whether a wrong master password was typed by a person, who may type another.
    pub(super) fn may_try_again(&mut self, error: &secret::SecretError) -> bool {
        let is_wrong = *error == secret::SecretError::WrongPassword;
        let is_typed = self.has_terminal && matches!(self.given(), Ok(None));
        if is_wrong && is_typed {
            self.master = None;
        }
        is_wrong && is_typed
    }

    /// Gets the master password where the state directory has a store: given, or typed. Without
    /// either, whatever needs a secret says so itself; a store that can't be read does too.
    pub(super) fn master_where_needed(
        &mut self,
        state_dir: &Path,
    ) -> Result<Option<Secret>, Failure> {
        if !matches!(SecretStore::find(state_dir), Ok(Some(_))) {
            return Ok(None);
        }
        self.master = self.given()?;
        match self.master {
            None if !self.has_terminal => Ok(None),
            None => self.typed_master(state_dir).map(Some),
            _ => self.master(Master::Known).map(Some),
        }
    }

    /// Asks for the master password until it opens the store, a few times at most: whoever types
    /// a wrong one hears of it here.
    fn typed_master(&mut self, state_dir: &Path) -> Result<Secret, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let master = self.master(Master::Known)?;
            let store = SecretStore::find(state_dir)?;
            match store.map(|store| store.open(&master)) {
                Some(Err(error)) if tries < TRIES_MAX && self.may_try_again(&error) => {
                    self.say(&error.to_string())?;
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(_)) | None => return Ok(master),
            }
        }
    }

    fn given(&self) -> Result<Option<Secret>, Failure> {
        secret::read_master(self.fd, &|name| (self.env)(name))
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }

    /// Asks for a new master password: twice at a terminal, one line of a pipe.
    pub(super) fn new_master(&mut self) -> Result<Secret, Failure> {
        if !self.has_terminal {
            return self.ask_hidden("New master password");
        }
        loop {
            let question = format!("New master password, {MASTER_CHARS_MIN} characters or more");
            let first = self.ask_hidden(&question)?;
            if first.reveal().chars().count() < MASTER_CHARS_MIN {
                self.say("that is too short")?;
            } else if self.ask_hidden("The same again")? == first {
                return Ok(first);
            } else {
                self.say("the two differ")?;
            }
        }
    }

    fn line(&mut self) -> Result<Zeroizing<String>, Failure> {
        let mut line = Zeroizing::new(String::new());
        let read = self.input.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
        match read.map_err(broken)? {
            0 => Err(Failure::new(Exit::Usage, "the answers ended before the questions did")
                .hint("run it at a terminal, or give an answer a line on stdin")),
            _ => Ok(line),
        }
    }
}

fn broken(error: io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("terminal: {error}"))
}

impl From<secret::SecretError> for Failure {
    fn from(error: secret::SecretError) -> Self {
        let exit = match error {
            secret::SecretError::WrongPassword | secret::SecretError::NotPrivate { .. } => {
                Exit::Denied
            }
            _ => Exit::Usage,
        };
        Self::new(exit, error.to_string())
    }
}

#[cfg(test)]
impl Talk {
    /// Answers from a text, as a pipe would.
    pub(super) fn scripted(answers: &'static str) -> Self {
        Self {
            input: Box::new(io::Cursor::new(answers)),
            output: Box::new(io::sink()),
            has_terminal: false,
            fd: None,
            env: |_| None,
            master: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_is_the_default_and_the_end_is_an_error() {
        let mut talk = Talk::scripted("\n 7 \nmaybe\ny\n");
        assert_eq!(talk.ask("port", "502").unwrap(), "502");
        assert_eq!(talk.ask("port", "502").unwrap(), "7");
        assert!(talk.agree("sure", false).unwrap());
        assert_eq!(talk.ask("more", "").unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn without_a_terminal_the_master_password_is_given_or_named_as_missing() {
        let mut talk = Talk::scripted("typed\n");
        let missing = talk.master(Master::Known).unwrap_err();
        assert!(missing.message.contains("OT_AIOPS_MASTER_PASSWORD"), "{}", missing.message);
        talk.env = |name| (name == secret::MASTER_VARIABLE).then(|| "from-env".to_owned());
        assert_eq!(talk.master(Master::Known).unwrap().reveal(), "from-env");
    }
}
