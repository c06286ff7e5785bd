//! The questions of a protocol, and settings made of their answers.

use serde_json::Value;

use super::Setting;
use crate::driver::{EndpointSpec, Need, Prompt, Protocol, SettingError, Settings};
use crate::model::{Budget, Secret};
use crate::surface::cli::exit::Failure;
use crate::surface::text::escaped;

/// The setting whose answer makes a password likely.
const USER: &str = "username";

/// An endpoint as it was answered.
pub(super) struct Given {
    /// The endpoint, its password included.
    pub(super) spec: EndpointSpec,
}

impl Setting {
    /// Asks what the protocol wants to know, until it has nothing to say against it.
    pub(super) fn answers(
        &mut self,
        protocol: &'static Protocol,
        name: &str,
    ) -> Result<Given, Failure> {
        let mut settings = Settings::new();
        let mut wanted: Vec<Prompt> = protocol.prompts.to_vec();
        loop {
            for prompt in &wanted {
                self.one(prompt, &mut settings)?;
            }
            let faults = (protocol.check)(&settings);
            if faults.is_empty() {
                break;
            }
            wanted = self.again(protocol, &faults)?;
        }
        let password = if settings.contains_key(USER) {
            let password = self.talk.ask_hidden("Password, empty for none")?;
            Some(password).filter(|password| !password.reveal().is_empty())
        } else {
            None
        };
        Ok(Given { spec: self.spec(protocol, name, settings, password) })
    }

    fn spec(
        &self,
        protocol: &Protocol,
        name: &str,
        settings: Settings,
        password: Option<Secret>,
    ) -> EndpointSpec {
        EndpointSpec {
            name: name.into(),
            protocol: protocol.name,
            settings,
            password,
            budget: Budget::default(),
            tags: Vec::new(),
            state_dir: self.state.path().to_path_buf(),
        }
    }

    fn one(&mut self, prompt: &Prompt, settings: &mut Settings) -> Result<(), Failure> {
        loop {
            let answer = self.talk.ask(prompt.question, prompt.default)?;
            let answer = spelt_out(prompt, answer);
            if answer.is_empty() && prompt.need == Need::Required {
                self.talk.say("It can't be left out.")?;
                continue;
            }
            match value(&answer) {
                Some(value) => settings.insert(prompt.key.to_owned(), value),
                None => settings.remove(prompt.key),
            };
            return Ok(());
        }
    }

    /// Says what is wrong, and gives the questions to ask again: all, where it is none of theirs.
    fn again(
        &mut self,
        protocol: &Protocol,
        faults: &[SettingError],
    ) -> Result<Vec<Prompt>, Failure> {
        for fault in faults {
            self.talk.say(&format!("{}: {}", fault.key, escaped(&fault.message)))?;
        }
        let is_at_fault = |prompt: &&Prompt| faults.iter().any(|fault| fault.key == prompt.key);
        let some: Vec<Prompt> = protocol.prompts.iter().filter(is_at_fault).copied().collect();
        Ok(if some.is_empty() { protocol.prompts.to_vec() } else { some })
    }
}

/// Spells out the short form of yes and no, where that is the question.
fn spelt_out(prompt: &Prompt, answer: String) -> String {
    let is_truth = matches!(value(prompt.default), Some(Value::Bool(_)));
    match answer.to_ascii_lowercase().as_str() {
        "y" | "yes" if is_truth => "yes".to_owned(),
        "n" | "no" if is_truth => "no".to_owned(),
        _ => answer,
    }
}

/// Takes an answer as the number or truth value it looks like; anything else is text.
fn value(answer: &str) -> Option<Value> {
    if answer.is_empty() {
        return None;
    }
    let number = answer.parse::<i64>().ok().filter(|number| number.to_string() == answer);
    Some(match (number, answer) {
        (Some(number), _) => number.into(),
        (None, "true" | "yes") => true.into(),
        (None, "false" | "no") => false.into(),
        (None, text) => text.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_an_answer_to_yes_or_no_alone() {
        let prompt = |default| Prompt { key: "k", question: "q", default, need: Need::Optional };
        let spelt = |default, answer: &str| spelt_out(&prompt(default), answer.to_owned());
        assert_eq!((spelt("no", "Y").as_str(), spelt("no", "n").as_str()), ("yes", "no"));
        assert_eq!((spelt("", "y").as_str(), spelt("502", "n").as_str()), ("y", "n"));
    }

    #[test]
    fn an_answer_is_what_it_looks_like() {
        assert_eq!(value(""), None);
        assert_eq!(value("502"), Some(502.into()));
        assert_eq!(value("yes"), Some(true.into()));
        for text in ["007", "10.0.0.5", "None", "spBv1.0/#"] {
            assert_eq!(value(text), Some(text.into()));
        }
    }
}
