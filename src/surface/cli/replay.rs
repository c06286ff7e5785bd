//! `otctl diagnose replay`: detectors on labelled files, without a collector.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::Value;

use super::exit::{Exit, Failure};
use crate::diagnose::asset::ASSET;
use crate::diagnose::detect::DETECTORS;
use crate::diagnose::trained::TRAINED;
use crate::replay::{Corpus, Train, report};

/// The noun it stands under.
pub(super) const NOUN: &str = "diagnose";
/// Its verb.
pub(super) const VERB: &str = "replay";
/// The bounds on false alarms that settings are chosen by, percent.
const BOUNDS_PCT: [&str; 2] = ["20", "15"];

/// What is to be played.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    path: PathBuf,
    train: Train,
    only: Option<String>,
    bounds_pct: Vec<f64>,
}

/// Makes the command.
pub(super) fn command() -> Command {
    let running = DETECTORS.iter().map(|detector| detector.name);
    let names = TRAINED.iter().map(|kind| kind.name).chain([ASSET]).chain(running);
    Command::new(VERB)
        .about("Plays labelled files through a cache and scores every detector on them")
        .long_about(
            "Plays labelled files through a cache and scores every detector on them, beside the \
             plain rule of three deviations on the same values: those that learn from the first \
             rows, and those that run by themselves in a collector, over the newest window. A \
             file is a CSV with the time first, a column for each signal, and a column \
             `anomaly`; or without that column, beside a JSON file of windows: {\"file.csv\": \
             [[\"from\", \"to\"]]}. Each detector learns from the first rows of a file; each \
             folder is scored with the setting that is best on the other folders, each file \
             where there is one folder. No collector is asked.",
        )
        .arg(
            Arg::new("path")
                .required(true)
                .value_name("FILE|DIR")
                .value_parser(value_parser!(PathBuf))
                .help("A labelled file, or a folder of them"),
        )
        .arg(
            Arg::new("train")
                .long("train")
                .value_name("ROWS|SHARE%")
                .default_value("400")
                .value_parser(Train::parse)
                .help("What is learnt from: the first 400 rows, or the first 15%"),
        )
        .arg(
            Arg::new("detector")
                .long("detector")
                .value_name("NAME")
                .value_parser(clap::builder::PossibleValuesParser::new(names))
                .help("This detector alone"),
        )
        .arg(
            Arg::new("false-alarms")
                .long("false-alarms")
                .value_name("PERCENT")
                .value_delimiter(',')
                .default_values(BOUNDS_PCT)
                .value_parser(value_parser!(f64))
                .help("The most false alarms that a setting may give on the other folders"),
        )
}

/// Takes the command's arguments.
pub(super) fn question(matches: &ArgMatches) -> Question {
    Question {
        path: matches.get_one::<PathBuf>("path").cloned().unwrap_or_default(),
        train: matches.get_one::<Train>("train").copied().unwrap_or(Train::Rows(400)),
        only: matches.get_one::<String>("detector").cloned(),
        bounds_pct: matches
            .get_many::<f64>("false-alarms")
            .into_iter()
            .flatten()
            .copied()
            .collect(),
    }
}

/// Plays, and gives the report.
pub(super) fn run(question: &Question) -> Result<Value, Failure> {
    let failed = |message: String| Failure::new(Exit::Usage, message);
    let corpus = Corpus::read(&question.path).map_err(|error| failed(error.to_string()))?;
    let only = question.only.as_deref();
    let report = report(&corpus, question.train, only, &question.bounds_pct);
    serde_json::to_value(report).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Question, clap::Error> {
        command().try_get_matches_from(line.split_whitespace()).map(|matches| question(&matches))
    }

    #[test]
    fn the_usual_question_has_a_path_and_no_more() {
        let usual = asked("replay data").unwrap();
        assert_eq!(usual.train, Train::Rows(400));
        assert_eq!((usual.only, usual.bounds_pct), (None, vec![20.0, 15.0]));
        let own = asked("replay data --train 15% --detector level --false-alarms 10").unwrap();
        assert_eq!((own.train, own.bounds_pct), (Train::Percent(15.0), vec![10.0]));
        assert!(asked("replay").is_err());
        assert!(asked("replay data --detector none").is_err());
        assert!(asked("replay data --train 0%").is_err());
    }

    #[test]
    fn what_is_not_there_is_a_usage_error_that_names_it() {
        let failure = run(&asked("replay /nowhere/at/all").unwrap()).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("/nowhere"), "{}", failure.message);
    }
}
