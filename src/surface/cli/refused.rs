//! A command line that can't be parsed.

use std::process::ExitCode;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::{Exit, Failure};
use super::wording::Wording;

/// Answers what clap refuses, or help where that was asked for.
pub(super) fn refused(error: &Error) -> ExitCode {
    let is_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if !is_help {
        failure(error).report(&Wording::new(None));
        return Exit::Usage.into();
    }
    match error.print() {
        Ok(()) if error.exit_code() == 0 => Exit::Fine.into(),
        _ => Exit::Usage.into(),
    }
}

/// Says it as every other failure: one line what, one line what to do.
fn failure(error: &Error) -> Failure {
    let text = error.to_string();
    let what = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let what = what.collect::<Vec<_>>().join(" ");
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let usage = text.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let hint = match (suggested(error), usage) {
        (near, _) if !near.is_empty() => format!("did you mean {}?", near.join(" or ")),
        (_, Some(usage)) => format!("usage: {usage}"),
        _ => "see --help".to_owned(),
    };
    Failure::new(Exit::Usage, what).hint(hint)
}

fn suggested(error: &Error) -> Vec<String> {
    let kinds =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let found = kinds.iter().find_map(|kind| error.get(*kind));
    match found {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::asked::command;
    use super::*;
    use crate::surface::testing::TEST_TOOLS;

    fn refusal(line: &str) -> (String, String) {
        let error = command(TEST_TOOLS).try_get_matches_from(line.split_whitespace()).unwrap_err();
        let failure = failure(&error);
        assert_eq!(failure.exit, Exit::Usage);
        (failure.message, failure.hint.unwrap())
    }

    #[test]
    fn a_refusal_is_one_line_what_and_one_line_what_to_do() {
        let (what, hint) = refusal("otctl statsu");
        assert_eq!(what, "unrecognized subcommand 'statsu'");
        assert!(hint.starts_with("did you mean") && hint.contains("status"), "{hint}");
        let (what, hint) = refusal("otctl test echo");
        assert!(what.contains("<TEXT>") && !what.contains('\n'), "{what}");
        assert!(hint.starts_with("usage: otctl test echo"), "{hint}");
        let (what, hint) = refusal("otctl test echo a --count b");
        assert!(what.contains("'b'") && !hint.contains('\n'), "{what} {hint}");
    }
}
