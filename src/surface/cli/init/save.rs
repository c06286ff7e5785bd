//! Saving an endpoint: its secret, then its part of the configuration, then a word to the
//! collector.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Setting;
use super::answers::Given;
use crate::config::secret::{SecretStore, edit};
use crate::config::{Severity, endpoint_toml};
use crate::model::counted;
use crate::surface::cli::exit::{Exit, Failure};
use crate::surface::cli::new_file::Draft;
use crate::surface::cli::talk::Master;
use crate::surface::text::escaped;

/// A reload closes sessions and opens others.
const RELOAD_MAX: Duration = Duration::from_secs(20);

impl Setting {
    /// Saves what was proved, and says where.
    pub(super) fn save(&mut self, given: &Given) -> Result<(), Failure> {
        let name = &given.spec.name;
        let before = match std::fs::read_to_string(&self.target) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let text = format!("{} can't be read: {error}", self.target.display());
                return Err(Failure::new(Exit::Usage, text));
            }
        };
        let block = block(given);
        let gap = match before.as_str() {
            "" => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        let draft = Draft::write(&self.target, &format!("{before}{gap}{block}"))?;
        if let Err(failure) = self.holds(given, &draft) {
            self.talk.say(&format!("This would be added:\n\n{block}"))?;
            return Err(failure);
        }
        self.keep_secret(given)?;
        draft.settle()?;
        self.talk.say(&format!(
            "Saved {} with {} to {}.",
            escaped(name),
            counted(given.spec.tags.len(), "tag"),
            self.target.display()
        ))?;
        self.tell_collector()
    }

    /// Makes sure that the new file holds this endpoint as it was proved, before it counts.
    fn holds(&self, given: &Given, draft: &Draft) -> Result<(), Failure> {
        let failed = |what: String| Failure::new(Exit::Usage, what).hint("nothing was written");
        let config = self.load(draft.path()).map_err(|failure| failed(failure.message))?;
        let ours = config.endpoints.iter().find(|spec| spec.name == given.spec.name);
        let errors = config.problems.iter().filter(|problem| {
            problem.severity == Severity::Error
                && problem.endpoint.as_deref() == Some(given.spec.name.as_ref())
        });
        let errors: Vec<String> = errors.map(|problem| problem.message.clone()).collect();
        match ours {
            Some(ours) if errors.is_empty() && ours.tags.len() == given.spec.tags.len() => Ok(()),
            _ => Err(failed(format!("the file would not hold it: {}", errors.join("; ")))),
        }
    }

    /// Puts the password into the store; a master password is asked for only now.
    fn keep_secret(&mut self, given: &Given) -> Result<(), Failure> {
        let Some(password) = &given.spec.password else { return Ok(()) };
        let which = match SecretStore::find(self.state.path())? {
            Some(_) => Master::Known,
            None => Master::New,
        };
        if which == Master::New {
            self.talk.say("The password goes into the secret store, under a master password.")?;
        }
        loop {
            let master = self.talk.master(which)?;
            let name = &given.spec.name;
            match edit(self.state.path(), &master, |store| store.set(name, password.clone())) {
                Err(error) if self.talk.may_try_again(&error) => {
                    self.talk.say(&error.to_string())?;
                }
                done => return Ok(done?),
            }
        }
    }

    fn tell_collector(&mut self) -> Result<(), Failure> {
        let Some(session) = self.collector() else { return Ok(()) };
        if !self.talk.agree("A collector runs here. Shall it read its configuration again", true)? {
            return Ok(());
        }
        let call = session.call("collector_reload", Map::new(), RELOAD_MAX);
        match self.runtime.block_on(call) {
            Ok(answer) => {
                let names =
                    |key: &str| answer.get(key).and_then(Value::as_array).map_or(0, Vec::len);
                let text = format!("{} added, {} changed", names("added"), names("changed"));
                let problems = answer.get("problems").and_then(Value::as_array);
                self.talk.say(&text)?;
                for problem in problems.into_iter().flatten().filter_map(Value::as_str) {
                    let problem = self.wording.text(problem);
                    self.talk.say(&format!("  {}", escaped(&problem)))?;
                }
                Ok(())
            }
            Err(failure) => self.talk.say(&escaped(&failure.message)),
        }
    }
}

fn block(given: &Given) -> String {
    let text = endpoint_toml(&given.spec);
    match &given.spec.password {
        None => text,
        // An endpoint uses the secret of its own name by itself.
        Some(_) => format!("# Its password is the secret {:?}.\n{text}", given.spec.name),
    }
}
