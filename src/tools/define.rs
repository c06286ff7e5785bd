//! The definition of a tool, and the table row made of it.

use std::future::Future;
use std::time::Duration;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Call, ToolError};
use crate::actors::Deps;

/// What calling a tool can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing; it may read from a device within its budget.
    Read,
    /// The collector's own state.
    Administer,
    /// A device, once people have approved it.
    Write,
}

/// Who is offered a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Agents and operators.
    Everyone,
    /// Only the operators' door.
    OperatorsOnly,
}

/// A tool: the one place where its name, shape and work are said.
pub trait Tool: 'static {
    /// The MCP name; its first underscore splits the noun from the verb of the command.
    const NAME: &'static str;
    /// A few words for people.
    const TITLE: &'static str;
    /// What calling it can change.
    const EFFECT: Effect = Effect::Read;
    /// Who is offered it.
    const AUDIENCE: Audience = Audience::Everyone;
    /// Part of the smallest toolset.
    const CORE: bool = false;
    /// It reads stretches of numbered memory, and holds each against the tags its caller is shown.
    const READS_BLOCKS: bool = false;
    /// The protocol it belongs to; `None` crosses protocols.
    const PROTOCOL: Option<&'static str> = None;
    /// The reference's command, where it differs from the name: `["opcua", "read"]`.
    const COMMAND: Option<[&'static str; 2]> = None;
    /// Arguments. Its doc comment is the tool's description; `deny_unknown_fields` always.
    type Input: DeserializeOwned + Serialize + JsonSchema + Args + Send;
    /// The answer.
    type Output: Serialize + JsonSchema + Send;

    /// Gives how long a call with this input may take.
    fn allowance(_input: &Self::Input) -> Duration {
        Duration::from_secs(10)
    }

    /// Does the work.
    fn call(
        deps: &Deps,
        call: Call,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, ToolError>> + Send;
}

/// Makes a call out of its circumstances and its arguments.
type Run = for<'a> fn(&'a Deps, Call, Value) -> BoxFuture<'a, Result<Value, ToolError>>;

/// A tool as a row of the table: plain functions, no generics left.
#[derive(Clone, Copy)]
pub struct ToolDef {
    /// The MCP name.
    pub name: &'static str,
    /// A few words for people.
    pub title: &'static str,
    /// What calling it can change.
    pub effect: Effect,
    /// Who is offered it.
    pub audience: Audience,
    /// Part of the smallest toolset.
    pub core: bool,
    /// It holds what it reads against the tags its caller is shown.
    pub reads_blocks: bool,
    /// The protocol it belongs to.
    pub protocol: Option<&'static str>,
    /// Its command: noun and verb. The verb has hyphens.
    pub command: Option<[&'static str; 2]>,
    /// The schema of its arguments.
    pub input: fn() -> Schema,
    /// The schema of its answer.
    pub output: fn() -> Schema,
    /// Adds its arguments to a command.
    pub arguments: fn(Command) -> Command,
    /// Turns parsed arguments into the JSON that MCP would carry.
    pub parse: fn(&ArgMatches) -> Result<Value, clap::Error>,
    /// Gives how long a call with these arguments may take.
    pub allowance: fn(&Value) -> Duration,
    /// Checks the arguments and does the work.
    pub run: Run,
}

/// Makes the table row of a tool.
#[must_use]
pub const fn define<T: Tool>() -> ToolDef {
    ToolDef {
        name: T::NAME,
        title: T::TITLE,
        effect: T::EFFECT,
        audience: T::AUDIENCE,
        core: T::CORE,
        reads_blocks: T::READS_BLOCKS,
        protocol: T::PROTOCOL,
        command: T::COMMAND,
        input: || schema::<T::Input>(SchemaSettings::draft2020_12().for_deserialize()),
        // As it is written: a field that may be left out is not required.
        output: || schema::<T::Output>(SchemaSettings::draft2020_12().for_serialize()),
        arguments: |command| T::Input::augment_args(command),
        parse: |matches| {
            let input = T::Input::from_arg_matches(matches)?;
            serde_json::to_value(input).map_err(|e| {
                clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{e}\n"))
            })
        },
        allowance: |arguments| match serde_json::from_value::<T::Input>(arguments.clone()) {
            Ok(input) => T::allowance(&input),
            // Arguments that don't parse are answered at once by `run`.
            Err(_) => Duration::from_secs(10),
        },
        run: |deps, call, arguments| {
            Box::pin(async move {
                let input = serde_json::from_value::<T::Input>(arguments)
                    .map_err(|e| ToolError::argument(e.to_string()))?;
                let output = T::call(deps, call, input).await?;
                let mut answer = serde_json::to_value(output).map_err(|e| {
                    ToolError::new(super::Code::Internal, e.to_string(), "report this")
                })?;
                if deps.is_demo()
                    && let Some(fields) = answer.as_object_mut()
                {
                    fields.insert("demo".to_owned(), Value::Bool(true));
                }
                Ok(answer)
            })
        },
    }
}

/// Makes a schema with nothing referred to elsewhere: some clients don't follow references.
fn schema<T: JsonSchema>(mut settings: SchemaSettings) -> Schema {
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    SchemaGenerator::new(settings).into_root_schema_for::<T>()
}
