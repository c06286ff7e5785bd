//! `alarm_bad_actors`.

use serde::{Deserialize, Serialize};

use super::a_minute;
use super::limit_events::own_events;
use super::list::{List, list_from_file};
use crate::actors::Deps;
use crate::clock;
use crate::diagnose::alarms::{AlarmEvent, AlarmQuestion, BadActors as Found, analyse, bad_actors};
use crate::tools::provenance::Provenance;
use crate::tools::tag::Span;
use crate::tools::{Call, Code, Tool, ToolError};

fn a_day() -> f64 {
    86_400.0
}

fn ten() -> i64 {
    10
}

fn a_shift() -> String {
    "-8h".to_owned()
}

/// Finds who makes the alarms and whether an operator can keep up: floods, chattering, standing,
/// Pareto. A given log, or the cache's own limit crossings and conditions.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlarmsInput {
    /// [{source, timestamp, state?, priority?}]; the first 5000 count.
    #[arg(long = "input", value_name = "FILE", value_parser = list_from_file)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<List>,
    /// The time the log covers; by its own times where left out.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_minutes: Option<f64>,
    /// Three activations within this chatter.
    #[arg(long, default_value_t = 60.0)]
    #[serde(default = "a_minute")]
    pub chatter_window_s: f64,
    /// Active for longer is standing.
    #[arg(long, default_value_t = 86_400.0)]
    #[serde(default = "a_day")]
    pub standing_s: f64,
    /// Offenders in the answer.
    #[arg(long, default_value_t = 10)]
    #[serde(default = "ten")]
    pub top_n: i64,
    /// Without a log: from when the cache's own events count.
    #[arg(long, default_value = "-8h", allow_hyphen_values = true)]
    #[serde(default = "a_shift")]
    pub since: String,
}

/// Where the events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Log {
    /// The call carried them.
    Given,
    /// Limit crossings and conditions that the cache holds.
    Cache,
}

/// What the log shows.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct AlarmsOutput {
    log: Log,
    #[serde(flatten)]
    found: Found,
    /// Where the cache's own events come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
}

/// The tool.
pub(in crate::tools) struct BadActors;

/// Offenders in one answer, at most.
const TOP_MAX: usize = 100;

impl Tool for BadActors {
    const NAME: &'static str = "alarm_bad_actors";
    const TITLE: &'static str = "Find alarm bad actors";
    const CORE: bool = true;
    const COMMAND: Option<[&'static str; 2]> = Some(["diag", "alarms"]);
    type Input = AlarmsInput;
    type Output = AlarmsOutput;

    async fn call(deps: &Deps, _call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let window = input.window_minutes;
        if window.is_some_and(|minutes| !minutes.is_finite() || minutes < 0.0) {
            return Err(ToolError::argument("window_minutes must be 0 or more"));
        }
        let question = AlarmQuestion {
            window_minutes: window,
            looked_minutes: None,
            chatter_window_s: input.chatter_window_s,
            standing_s: input.standing_s,
            top_n: usize::try_from(input.top_n).unwrap_or(1).clamp(1, TOP_MAX),
            now: clock::now(),
        };
        if let Some(List(items)) = &input.events {
            let events: Vec<AlarmEvent> = items.iter().filter_map(AlarmEvent::read).collect();
            let found = bad_actors(&events, &question).ok_or_else(|| {
                let text = "No events. Pass a list of {source, timestamp, priority?} dicts.";
                ToolError::argument(text)
            })?;
            return Ok(AlarmsOutput { log: Log::Given, found, provenance: None });
        }
        let own = own_events(deps, Span::parse(&input.since, None)?);
        if own.oldest.is_none() && own.events.is_empty() {
            return Err(ToolError::new(
                Code::NotFound,
                "no configured tag has limits and history, and no condition is active",
                "give tags warn_high, alarm_high, warn_low or alarm_low, or pass events",
            ));
        }
        let age = own.oldest.map(|oldest| clock::now().millis_since(oldest));
        let mut provenance = Provenance::cache(age.and_then(|ms| u64::try_from(ms).ok()));
        provenance.truncated = own.truncated;
        // The cache knows how long it has looked: its silence is evidence, too.
        #[allow(clippy::cast_precision_loss, reason = "minutes of a shift")]
        let looked_minutes = age.map(|ms| ms as f64 / 60_000.0);
        let question = AlarmQuestion { looked_minutes, ..question };
        let found = analyse(&own.events, &question);
        Ok(AlarmsOutput { log: Log::Cache, found, provenance: Some(provenance) })
    }
}
