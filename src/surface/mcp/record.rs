//! The record of a call: one per call, whatever becomes of it.

use std::sync::Arc;

use rmcp::model::JsonObject;
use serde_json::Value;
use tokio::time::Instant;

use crate::actors::Deps;
use crate::ledger::{Event, Ledger, LedgerError, Outcome, What, repeat_key};
use crate::model::Principal;
use crate::tools::{Code, Effect, ToolDef, ToolError};

/// A call that is under way. Dropped before its end, it was cut off, and is recorded as that.
pub(super) struct CallRecord {
    ledger: Arc<Ledger>,
    principal: Principal,
    tool: String,
    arguments: Value,
    began: Instant,
    ended: bool,
}

impl CallRecord {
    pub(super) fn begin(
        deps: &Deps,
        principal: &Principal,
        tool: &str,
        arguments: &JsonObject,
    ) -> Self {
        Self {
            ledger: deps.ledger.clone(),
            principal: principal.clone(),
            tool: tool.to_owned(),
            arguments: Value::Object(arguments.clone()),
            began: Instant::now(),
            ended: false,
        }
    }

    /// Records how the call ended. What can change something, and every denial, is durable
    /// before this returns.
    ///
    /// # Errors
    /// It could not be recorded, and had to be.
    pub(super) async fn end(
        mut self,
        tool: Option<&ToolDef>,
        answer: &Result<Value, ToolError>,
    ) -> Result<(), LedgerError> {
        self.ended = true;
        let cost = Cost::of(answer);
        let is_denied = matches!(answer, Err(error) if error.code == Code::Denied);
        if is_denied || tool.is_some_and(|tool| tool.effect != Effect::Read) {
            let event = self.event(answer, &cost);
            return self.ledger.append_durable(event).await.map(drop);
        }
        // A failure may have cost the device, and says more than that it happened.
        if answer.is_err() || cost.device_requests > 0 {
            self.ledger.append_soon(self.event(answer, &cost));
            return Ok(());
        }
        let key = repeat_key(self.principal.session, &self.tool, &self.arguments.to_string());
        if !self.ledger.again(key, cost.device_requests) {
            self.ledger.append_counting(key, self.event(answer, &cost));
        }
        Ok(())
    }

    fn event(&self, answer: &Result<Value, ToolError>, cost: &Cost<'_>) -> Event {
        let mut event = Event::new(What::ToolCall).by(&self.principal).tool(&self.tool);
        event = match answer {
            Ok(_) => event.ended(Outcome::Ok, ""),
            Err(error) => {
                let code = serde_json::to_value(error.code).unwrap_or_default();
                event.ended(outcome_of(error.code), code.as_str().unwrap_or("internal"))
            }
        };
        if let Some(endpoint) = cost.endpoint {
            event = event.at(endpoint, "");
        }
        event.device_requests = Some(cost.device_requests);
        if self.arguments.as_object().is_some_and(|arguments| !arguments.is_empty()) {
            event = event.with("arguments", self.arguments.clone());
        }
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        event.with("ms", ms)
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        if !self.ended {
            let event = Event::new(What::ToolCall).by(&self.principal).tool(&self.tool);
            let event = event.ended(Outcome::Error, "cut_off");
            self.ledger.append_soon(event.with("arguments", self.arguments.clone()));
        }
    }
}

/// What an answer says of its cost.
struct Cost<'a> {
    endpoint: Option<&'a str>,
    device_requests: u64,
}

impl<'a> Cost<'a> {
    fn of(answer: &'a Result<Value, ToolError>) -> Self {
        match answer {
            Ok(answer) => {
                let provenance = answer.get("provenance");
                let spent = provenance.and_then(|p| p.get("device_requests")?.as_u64());
                let endpoint = answer.get("endpoint").and_then(Value::as_str);
                Self { endpoint, device_requests: spent.unwrap_or_default() }
            }
            Err(error) => Self { endpoint: None, device_requests: error.device_requests() },
        }
    }
}

/// Tells what was refused from what failed.
fn outcome_of(code: Code) -> Outcome {
    match code {
        Code::Denied | Code::UnknownTool | Code::BudgetExhausted | Code::Busy => Outcome::Refused,
        _ => Outcome::Error,
    }
}

/// Says that a call could not be recorded, which had to be.
pub(super) fn unrecorded(tool: &str, error: &LedgerError) -> ToolError {
    let message = format!("{tool} was not recorded, so its answer is withheld: {error}");
    let hint = "what it did stands; mend the audit, then look before calling again";
    ToolError::new(Code::Storage, message, hint)
}
