//! F4: what may be asked, one definition per tool.
//!
//! A tool is a typed input, a typed output and an async function. The MCP tool, the `otctl`
//! command, both schemas and the documentation come from the one slice [`TOOLS`].

mod ask;
mod asset;
mod audit;
mod block;
mod call;
mod certificate;
mod collector;
mod define;
mod diagnose;
mod endpoint;
mod endpoint_status;
mod error;
mod finding;
mod health;
mod mc;
mod modbus;
mod mqtt;
mod mtconnect;
mod opcua;
mod plant_overview;
mod protocols;
mod provenance;
mod roadmap;
mod s7;
pub mod setup;
mod tag;
mod thresholds;
mod values;
mod write;

pub use call::{Call, Progress};
pub use define::{Audience, Effect, Tool, ToolDef, define};
pub use error::{Code, Retry, ToolError};

/// Every tool, in the order of the documentation.
pub const TOOLS: &[ToolDef] = &[
    define::<plant_overview::Overview>(),
    define::<endpoint_status::Status>(),
    define::<tag::Find>(),
    define::<tag::Read>(),
    define::<tag::History>(),
    define::<tag::Stats>(),
    define::<tag::Watch>(),
    define::<write::Request>(),
    define::<write::Status>(),
    define::<write::List>(),
    define::<tag::Why>(),
    define::<finding::List>(),
    define::<finding::Show>(),
    define::<finding::Shelve>(),
    define::<protocols::Protocols>(),
    define::<opcua::ServerInfo>(),
    define::<opcua::Browse>(),
    define::<opcua::ReadNode>(),
    define::<opcua::ReadMany>(),
    define::<opcua::SubscribeSample>(),
    define::<opcua::ReadAlarms>(),
    define::<health::Health>(),
    define::<opcua::AnomalyScan>(),
    define::<modbus::ReadHolding>(),
    define::<modbus::ReadInput>(),
    define::<modbus::ReadCoils>(),
    define::<modbus::ReadDiscrete>(),
    define::<modbus::Health>(),
    define::<s7::CpuInfo>(),
    define::<s7::ReadArea>(),
    define::<s7::ReadDb>(),
    define::<s7::ReadMany>(),
    define::<s7::WriteDb>(),
    define::<mc::CpuStatus>(),
    define::<mc::ReadWords>(),
    define::<mc::ReadBits>(),
    define::<mc::ReadMany>(),
    define::<mc::WriteWords>(),
    define::<mtconnect::Probe>(),
    define::<mtconnect::Current>(),
    define::<mtconnect::Sample>(),
    define::<mtconnect::Assets>(),
    define::<mtconnect::OeeSnapshot>(),
    define::<mqtt::ReadTopic>(),
    define::<mqtt::SubscribeSample>(),
    define::<mqtt::NodeList>(),
    define::<mqtt::UnsBrowse>(),
    define::<mqtt::Publish>(),
    define::<diagnose::DataFlow>(),
    define::<diagnose::Historian>(),
    define::<diagnose::BadActors>(),
    define::<diagnose::Tags>(),
    define::<roadmap::EthernetIp>(),
    define::<roadmap::EtherCat>(),
    define::<certificate::List>(),
    define::<certificate::Trust>(),
    define::<certificate::Reject>(),
    define::<certificate::Own>(),
    define::<collector::Reload>(),
    define::<diagnose::Backtested>(),
    define::<asset::Learn>(),
    define::<asset::List>(),
    define::<asset::Forget>(),
    define::<write::Approve>(),
    define::<write::Reject>(),
    define::<write::Undo>(),
    define::<write::Enrol>(),
    define::<write::Approvers>(),
    define::<write::Revoke>(),
    define::<write::PolicyTest>(),
    define::<write::Freeze>(),
    define::<write::Thaw>(),
    define::<audit::AuditTail>(),
    define::<audit::AuditVerify>(),
    define::<audit::AuditExport>(),
    define::<setup::Probe>(),
    define::<setup::Discover>(),
];

/// Finds a tool by its MCP name.
#[must_use]
pub fn find(name: &str) -> Option<&'static ToolDef> {
    TOOLS.iter().find(|tool| tool.name == name)
}
