//! F4: what may be asked, one definition per tool.
//!
//! A tool is a typed input, a typed output and an async function. The MCP tool, the `otctl`
//! command, both schemas and the documentation come from the one slice [`TOOLS`].

mod call;
mod define;
mod error;

pub use call::{Call, Progress};
pub use define::{Audience, Effect, Tool, ToolDef, define};
pub use error::{Code, Retry, ToolError};

/// Every tool, in the order of the documentation.
pub const TOOLS: &[ToolDef] = &[];

/// Finds a tool by its MCP name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ToolDef> {
    TOOLS.iter().find(|tool| tool.name == name)
}
