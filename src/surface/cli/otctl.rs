//! `otctl`: every tool as a command, and a few short forms.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use serde_json::Value;

use super::asked::{Asked, asked, command};
use super::certificate::{self, Terminal};
use super::client::Session;
use super::discover::discover;
use super::exit::{Exit, Failure, judge};
use super::people::{self, Task};
use super::refused::refused;
use super::tail::tail;
use super::wording::Wording;
use super::{audit, finding, plot, replay};
use crate::surface::render::{Look, Output, Reader, render};
use crate::surface::state::StateDir;
use crate::tools::{Audience, TOOLS};

/// What an answer may take beyond the tool's own allowance.
const SPARE: Duration = Duration::from_secs(5);

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let matches = match command(TOOLS).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            return refused(&error);
        }
    };
    let output = *matches.get_one::<Output>("ot-output").unwrap_or(&Output::Table);
    let wording = Wording::new(matches.get_one::<PathBuf>("ot-state").map(PathBuf::as_path));
    match run(&matches, output, &wording) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if let (Some(answer), Output::Json | Output::Jsonl) = (&failure.answer, output) {
                println!("{answer}");
            }
            if failure.exit != Exit::Fine {
                failure.report(&wording);
            }
            failure.exit.into()
        }
    }
}

fn run(matches: &ArgMatches, output: Output, wording: &Wording) -> Result<Exit, Failure> {
    let asked = asked(TOOLS, matches)?;
    if let Asked::Replay(question) = &asked {
        let report = render(&replay::run(question)?, output, Look::of_stdout(), &Reader::here());
        return write(report.as_bytes()).map(|()| Exit::Fine);
    }
    let wants_der = output == Output::Table && asked.wants_der();
    if wants_der {
        certificate::refuse_terminal()?;
    }
    let state = StateDir::find(matches.get_one::<PathBuf>("ot-state").map(PathBuf::as_path))
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Unreachable, error.to_string()))?;
    let is_endless =
        matches!(asked, Asked::Tail { .. } | Asked::Watch { .. } | Asked::Task(Task::Watch));
    let shape = Shape::of(&asked);
    let done = runtime.block_on(async {
        tokio::select! {
            done = answered(&state, asked, output, wording) => done,
            _ = tokio::signal::ctrl_c() => match is_endless {
                true => Ok(None),
                false => Err(interrupted()),
            },
        }
    });
    // A question that Ctrl-C has ended may still wait for its line.
    runtime.shutdown_background();
    let Some(answer) = done? else { return Ok(Exit::Fine) };
    let bytes = match wants_der {
        true => certificate::der(&answer)?,
        false => written(&answer, shape, output, wording).into_bytes(),
    };
    write(&bytes)?;
    let words = matches.get_many::<String>("ot-fail-on").into_iter().flatten();
    Ok(judge(&answer, &words.cloned().collect::<Vec<_>>()))
}

/// What an answer looks like to eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Table,
    Plot,
    Finding,
    Audit,
}

impl Shape {
    fn of(asked: &Asked) -> Self {
        match asked {
            Asked::Plot { .. } => Self::Plot,
            Asked::Call { name, .. } if *name == finding::SHOW => Self::Finding,
            Asked::Call { name, .. } if *name == audit::TAIL => Self::Audit,
            _ => Self::Table,
        }
    }
}

fn written(answer: &Value, shape: Shape, output: Output, wording: &Wording) -> String {
    let (look, reader) = (Look::of_stdout(), Reader::here());
    let worded;
    let answer = match output {
        Output::Table | Output::Wide => {
            worded = wording.answer(answer);
            &worded
        }
        Output::Json | Output::Jsonl | Output::Csv => answer,
    };
    let page = match shape {
        Shape::Table => None,
        Shape::Plot => plot::page(answer, output, look, &reader),
        Shape::Finding => finding::page(answer, output, look, &reader),
        Shape::Audit => audit::page(answer, output, look, &reader),
    };
    page.unwrap_or_else(|| render(answer, output, look, &reader))
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Usage, format!("stdout: {error}"))
                .hint("is the disk full, or the file closed?"))
        }
        _ => Ok(()),
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Unreachable, "interrupted before the answer came")
        .hint("the collector may have done what was asked all the same")
}

async fn answered(
    state: &StateDir,
    asked: Asked,
    output: Output,
    wording: &Wording,
) -> Result<Option<Value>, Failure> {
    match asked {
        Asked::Call { name, audience, within, arguments } => {
            let session = Session::open(state, audience).await?;
            let answer = session.call(name, arguments, within + SPARE).await?;
            match (name, output) {
                ("tag_read", Output::Wide) => plot::with_trends(&session, answer).await.map(Some),
                (finding::SHOW, Output::Table | Output::Wide) => {
                    plot::with_history(&session, answer).await.map(Some)
                }
                _ => Ok(Some(answer)),
            }
        }
        Asked::Plot { tag, since } => {
            let session = Session::open(state, Audience::Everyone).await?;
            let answer = plot::history(&session, &tag, &since).await?;
            match output {
                Output::Table | Output::Wide => {
                    plot::with_present(&session, answer).await.map(Some)
                }
                _ => Ok(Some(answer)),
            }
        }
        Asked::Watch { arguments } => {
            let session = Session::open(state, Audience::Everyone).await?;
            finding::watch(&session, &arguments, output).await.map(|()| None)
        }
        Asked::Tail { pattern, polls } => {
            let session = Session::open(state, Audience::Everyone).await?;
            tail(&session, &pattern, output, polls).await.map(|()| None)
        }
        Asked::Task(task) => people::run(state, task, output).await,
        Asked::Discover { what, within } => {
            let session = Session::open(state, Audience::OperatorsOnly).await?;
            discover(&session, &what, within + SPARE, wording).await.map(Some)
        }
        Asked::Trust { fingerprint } => {
            let hint = "compare the fingerprint at the server, then give --confirm LAST8";
            let terminal = Terminal::open().map_err(|failure| failure.hint(hint))?;
            let session = Session::open(state, Audience::OperatorsOnly).await?;
            certificate::trust(&session, &fingerprint, terminal).await.map(Some)
        }
        Asked::Replay(question) => replay::run(&question).map(Some),
    }
}
