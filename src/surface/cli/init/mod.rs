//! `ot-aiops init`: endpoints by question and answer, each proved by a live read before it is
//! saved.

mod answers;
mod by_hand;
mod choose;
mod proof;
mod save;

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::runtime::Runtime;

use super::client::Session;
use super::exit::{Exit, Failure};
use super::secret::Where;
use super::talk::Talk;
use super::wording::Wording;
use crate::config::{self, Config, LeftOut, Sources};
use crate::driver::Protocol;
use crate::model::counted;
use crate::surface::nearest::nearest;
use crate::surface::state::StateDir;
use crate::surface::text::escaped;
use crate::tools::Audience;

/// Where to write.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The configuration to write or add to; config.toml in $OT_AIOPS_HOME or ~/.ot-aiops
    /// otherwise.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) at: Where,
}

/// What every step needs.
struct Setting {
    protocols: &'static [Protocol],
    state: StateDir,
    target: PathBuf,
    talk: Talk,
    wording: Wording,
    runtime: Runtime,
}

/// Asks, proves, saves, until there are no more endpoints.
pub(super) fn run(protocols: &'static [Protocol], what: &Init) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let env = |name: &str| std::env::var(name).ok();
    let target = config::find(what.config.as_deref(), &env).or_else(|| config::find_home(&env));
    let target = target.ok_or_else(|| usage("no home directory; give --config FILE".into()))?;
    let state = StateDir::find(what.at.state.as_deref()).map_err(|e| usage(e.to_string()))?;
    state.prepare().map_err(|error| usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| usage(error.to_string()))?;
    let talk = Talk::on_stdio(what.at.master_fd);
    let wording = what.at.wording();
    let mut setting = Setting { protocols, state, target, talk, wording, runtime };
    setting.greet()?;
    loop {
        setting.endpoint()?;
        if !setting.talk.agree("Another endpoint", false)? {
            break;
        }
    }
    setting.part()
}

impl Setting {
    fn greet(&mut self) -> Result<(), Failure> {
        let shown = self.target.display();
        if !self.target.exists() {
            return self.talk.say(&format!("This writes {shown}. Ctrl-C ends it at any time."));
        }
        if self.target.extension().is_none_or(|ending| ending != "toml") {
            let message = format!("{shown} is there, and endpoints are added to TOML alone");
            return Err(Failure::new(Exit::Usage, message)
                .hint("ot-aiops config import turns it into config.toml; or give --config FILE"));
        }
        let there = self.configured()?;
        let count = there.endpoints.len() + there.disabled.len();
        let count = counted(count, "endpoint");
        let text = format!("This adds to {shown}, which has {count} and stays as it is.");
        self.talk.say(&text)
    }

    /// Reads what is configured so far, without passwords.
    fn configured(&self) -> Result<Config, Failure> {
        if !self.target.exists() {
            return Ok(Config::default());
        }
        self.load(&self.target)
    }

    fn load(&self, path: &Path) -> Result<Config, Failure> {
        let sources = Sources {
            protocols: self.protocols,
            env: &|_| None,
            // Passwords are not asked of the store here: it is not there.
            state_dir: Path::new("/dev/null"),
            master: None,
        };
        config::load(Some(path), sources).map_err(|problems| {
            let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::new(Exit::Usage, text.join("\n")).hint("correct it first; nothing was written")
        })
    }

    /// Sets up one endpoint.
    fn endpoint(&mut self) -> Result<(), Failure> {
        let protocol = self.protocol()?;
        let name = self.name(protocol)?;
        let mut given = self.answers(protocol, &name)?;
        let Some(tags) = self.prove(protocol, &mut given)? else {
            return self.talk.say("Left out; nothing was written.");
        };
        given.spec.tags = tags;
        self.save(&given)
    }

    fn protocol(&mut self) -> Result<&'static Protocol, Failure> {
        let names: Vec<&str> = self.protocols.iter().map(|protocol| protocol.name).collect();
        for protocol in self.protocols {
            self.talk.say(&format!("  {:<10} {}", protocol.name, protocol.title))?;
        }
        loop {
            let answer = self.talk.ask("Protocol", names.first().copied().unwrap_or_default())?;
            if let Some(found) = self.protocols.iter().find(|protocol| protocol.name == answer) {
                return Ok(found);
            }
            let near = nearest(&answer, names.iter().copied());
            let near = near.first().map_or(String::new(), |near| format!(" Did you mean {near}?"));
            self.talk.say(&format!("There is no such protocol.{near}"))?;
        }
    }

    fn name(&mut self, protocol: &Protocol) -> Result<String, Failure> {
        let there = self.configured()?;
        let taken = |name: &str| {
            let is_left_out = there.left_out.iter().any(
                |left| matches!(left, LeftOut::Endpoint(Some(known)) if known.as_ref() == name),
            );
            let mut all = there.endpoints.iter().chain(&there.disabled);
            is_left_out || all.any(|spec| spec.name.as_ref() == name)
        };
        let default = (1..).map(|n| format!("{}{n}", protocol.name)).find(|name| !taken(name));
        let default = default.unwrap_or_default();
        loop {
            let name = self.talk.ask("Name of the endpoint, such as line1", &default)?;
            if taken(&name) {
                self.talk.say("That name is taken; its endpoint stays as it is.")?;
            } else if name.len() > 128 || name.contains(char::is_control) {
                self.talk.say("A name has at most 128 bytes and no control characters.")?;
            } else {
                return Ok(name);
            }
        }
    }

    /// Opens a session with the collector, where one runs.
    fn collector(&self) -> Option<Session> {
        self.runtime.block_on(Session::open(&self.state, Audience::OperatorsOnly)).ok()
    }

    fn part(&mut self) -> Result<(), Failure> {
        let config = escaped(&self.target.display().to_string());
        let next = "ot-aiops doctor checks it, ot-aiops run collects, otctl status shows the plant";
        self.talk.say(&format!("Done: {config}\nnext: {}", self.wording.text(next)))
    }
}
