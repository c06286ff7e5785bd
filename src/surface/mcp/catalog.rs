//! What is on offer: the tools by door and by toolset.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::LazyLock;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};

use super::schema;
use crate::model::Door;
use crate::surface::nearest::nearest;
use crate::tools::{Audience, Code, Effect, TOOLS, ToolDef, ToolError};

/// The request metadata in which the bridge says which toolset its user wants. It chooses among
/// what the door offers and adds nothing.
pub(crate) const TOOLSET_KEY: &str = "ot-aiops/toolset";

/// A choice of tools, by what `tools/list` may cost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Toolset {
    /// The tools that cross protocols and answer most questions.
    Core,
    /// Those of the configured protocols, and all that cross protocols.
    #[default]
    Auto,
    /// All that the door offers.
    All,
    /// Tools or nouns by name.
    Names(BTreeSet<String>),
}

impl FromStr for Toolset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "core" => return Ok(Self::Core),
            "auto" | "" => return Ok(Self::Auto),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let names: BTreeSet<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let known = |name: &str| TOOLS.iter().any(|tool| is_named(tool, name));
        match names.iter().find(|name| !known(name)) {
            None => Ok(Self::Names(names)),
            Some(unknown) => {
                let near = nearest(unknown, TOOLS.iter().map(|tool| tool.name));
                let near = near.first().map_or(String::new(), |name| format!("; nearest: {name}"));
                Err(format!("no tool or noun {unknown:?}{near} (or: core, auto, all)"))
            }
        }
    }
}

impl std::fmt::Display for Toolset {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Core => out.write_str("core"),
            Self::Auto => out.write_str("auto"),
            Self::All => out.write_str("all"),
            Self::Names(names) => {
                out.write_str(&names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
            }
        }
    }
}

fn is_named(tool: &ToolDef, name: &str) -> bool {
    tool.name == name || tool.name.split_once('_').is_some_and(|(noun, _)| noun == name)
}

/// Every tool, with its schemas made once.
pub(crate) struct Catalog {
    entries: Vec<(ToolDef, Tool)>,
}

/// The tools of this build.
pub(crate) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::new(TOOLS));

impl Catalog {
    /// Makes a catalogue of a table.
    pub(crate) fn new(tools: &[ToolDef]) -> Self {
        Self { entries: tools.iter().map(|tool| (*tool, as_mcp(tool))).collect() }
    }

    /// Lists what a door offers out of a toolset, in the order of the table.
    pub(crate) fn list(&self, door: Door, toolset: &Toolset, protocols: &[&str]) -> Vec<Tool> {
        let wanted = |tool: &ToolDef| match toolset {
            Toolset::Core => tool.core,
            Toolset::Auto => tool.protocol.is_none_or(|protocol| protocols.contains(&protocol)),
            Toolset::All => true,
            Toolset::Names(names) => names.iter().any(|name| is_named(tool, name)),
        };
        let listed = self.entries.iter().filter(|(tool, _)| offers(door, tool) && wanted(tool));
        listed.map(|(_, tool)| tool.clone()).collect()
    }

    /// Finds a tool for a call, whatever toolset is shown: a toolset saves room, it guards nothing.
    ///
    /// # Errors
    /// `unknown_tool`, or `denied` where only operators may.
    pub(crate) fn find(
        &self,
        door: Door,
        name: &str,
    ) -> Result<(&ToolDef, &JsonObject), ToolError> {
        let found = self.entries.iter().find(|(tool, _)| tool.name == name);
        match found {
            Some((tool, mcp)) if offers(door, tool) => Ok((tool, &mcp.input_schema)),
            Some((tool, _)) => {
                let message = format!("{} is for operators", tool.name);
                Err(ToolError::new(Code::Denied, message, "ask an operator to run it with otctl"))
            }
            None => {
                let offered = self.entries.iter().filter(|(tool, _)| offers(door, tool));
                let near = nearest(name, offered.map(|(tool, _)| tool.name));
                let hint = "tools/list names what is on offer";
                let message = format!("no tool is called {name:?}");
                Err(ToolError::new(Code::UnknownTool, message, hint).did_you_mean(near))
            }
        }
    }
}

fn offers(door: Door, tool: &ToolDef) -> bool {
    match tool.audience {
        Audience::Everyone => true,
        Audience::OperatorsOnly => door == Door::Operator,
    }
}

fn as_mcp(tool: &ToolDef) -> Tool {
    let (description, input) = schema::input((tool.input)());
    let hints = match tool.effect {
        // The other two hints mean something of what changes things alone.
        Effect::Read => ToolAnnotations::new().read_only(true),
        Effect::Administer => {
            ToolAnnotations::new().read_only(false).destructive(false).idempotent(false)
        }
        Effect::Write => {
            ToolAnnotations::new().read_only(false).destructive(true).idempotent(false)
        }
    };
    Tool::new(tool.name, description, input)
        .with_title(tool.title)
        .with_raw_output_schema(schema::output((tool.output)()))
        // The plant is a closed world: no tool reaches beyond the configured endpoints.
        .with_annotations(hints.open_world(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::testing::TEST_TOOLS;

    fn names(list: &[Tool]) -> Vec<&str> {
        list.iter().map(|tool| tool.name.as_ref()).collect()
    }

    #[test]
    fn each_door_and_toolset_offers_its_own_list() {
        let catalog = Catalog::new(TEST_TOOLS);
        let agent = catalog.list(Door::Agent, &Toolset::All, &[]);
        assert!(names(&agent).contains(&"test_echo"));
        assert!(!names(&agent).contains(&"test_administer"));
        let operator = catalog.list(Door::Operator, &Toolset::All, &[]);
        assert!(names(&operator).contains(&"test_administer"));
        assert_eq!(names(&catalog.list(Door::Agent, &Toolset::Core, &[])), ["test_echo"]);
        let auto = catalog.list(Door::Agent, &Toolset::Auto, &[]);
        assert!(!names(&auto).contains(&"modbus_test"));
        let auto = catalog.list(Door::Agent, &Toolset::Auto, &["modbus"]);
        assert!(names(&auto).contains(&"modbus_test"));
        let named = Toolset::Names(["modbus".to_owned()].into());
        assert_eq!(names(&catalog.list(Door::Agent, &named, &[])), ["modbus_test"]);
    }

    #[test]
    fn annotations_follow_from_the_effect() {
        let catalog = Catalog::new(TEST_TOOLS);
        for tool in catalog.list(Door::Operator, &Toolset::All, &[]) {
            let hints = tool.annotations.unwrap();
            let reads = tool.name != "test_administer";
            assert_eq!(hints.read_only_hint, Some(reads));
            assert_eq!(hints.idempotent_hint, (!reads).then_some(false));
            assert_eq!(hints.destructive_hint, (!reads).then_some(false));
            assert_eq!(hints.open_world_hint, Some(false));
        }
    }

    #[test]
    fn the_lists_fit_an_agents_context() {
        let tokens = |list: &[Tool]| serde_json::to_string(list).unwrap().len() / 4;
        let every = ["opcua", "modbus", "s7", "mc", "mtconnect", "mqtt"];
        for (toolset, tokens_max) in [(Toolset::Core, 4_000), (Toolset::Auto, 16_000)] {
            let tokens = tokens(&CATALOG.list(Door::Agent, &toolset, &every));
            assert!(tokens <= tokens_max, "{toolset}: {tokens}, at most {tokens_max}");
        }
    }

    #[test]
    fn tool_names_are_unique_and_their_inputs_closed() {
        let unique: BTreeSet<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        assert_eq!(unique.len(), TOOLS.len());
        for (tool, mcp) in CATALOG.entries.iter().chain(&Catalog::new(TEST_TOOLS).entries) {
            let closed = mcp.input_schema.get("additionalProperties");
            assert_eq!(closed, Some(&serde_json::Value::Bool(false)), "{}", tool.name);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let error = Catalog::new(TEST_TOOLS).find(Door::Agent, "test_ecko").err().unwrap();
        assert_eq!(error.code, Code::UnknownTool);
        assert_eq!(error.did_you_mean.first().unwrap(), "test_echo");
        let error = Catalog::new(TEST_TOOLS).find(Door::Agent, "test_administer").err().unwrap();
        assert_eq!(error.code, Code::Denied);
    }
}
