//! What a protocol is to the rest of the house.

use std::path::PathBuf;
use std::sync::Arc;

use super::{BlockRef, Driver, DriverError};
use crate::model::{Budget, EndpointName, Secret, Tag};

/// The endpoint's own keys of the configuration, as plain JSON.
pub type Settings = serde_json::Map<String, serde_json::Value>;

/// A setting that can't work, named by its key so that the line can be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SettingError {
    /// The key at fault.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// An address as it goes on the wire, for people: `holding 100..101 unit 3`.
pub type WireAddress = String;

/// One endpoint as the configuration has it.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSpec {
    /// Its name.
    pub name: EndpointName,
    /// The protocol's name.
    pub protocol: &'static str,
    /// The protocol's own keys; `host`, `port`, `unit_id` and the like among them.
    pub settings: Settings,
    /// The password or key, already fetched.
    pub password: Option<Secret>,
    /// The load it may carry.
    pub budget: Budget,
    /// Its tags.
    pub tags: Vec<Arc<Tag>>,
    /// The collector's state directory: certificates live below it.
    pub state_dir: PathBuf,
}

/// A protocol: one line in `PROTOCOLS`, one folder, everything else follows.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What it is called in the field.
    pub title: &'static str,
    /// The library that carries it.
    pub library: &'static str,
    /// Such as `TCP 502`.
    pub transport: &'static str,
    /// How it logs in.
    pub auth: &'static str,
    /// The endpoint keys it understands besides those that every protocol has
    /// (`name protocol password scan_ms budget tags tags_csv enabled`).
    pub keys: &'static [&'static str],
    /// A commented sample for the configuration.
    pub sample: &'static str,
    /// Its page.
    pub readme: &'static str,
    /// What setting up an endpoint asks for, in order.
    pub prompts: &'static [Prompt],
    /// How its tags are found.
    pub discovery: Discovery,
    /// Checks the settings, without I/O. Every error found.
    pub check: fn(&Settings) -> Vec<SettingError>,
    /// Checks a tag's address and type, and says how it goes on the wire.
    pub address: fn(&Tag) -> Result<WireAddress, DriverError>,
    /// Gives the stretch of numbered memory that a tag fills; `None` where the protocol has names
    /// instead, or the tag is a bit among others of a register or byte.
    pub block: fn(&Tag) -> Option<BlockRef>,
    /// Requests one scan of these tags would need, without I/O.
    pub requests: fn(&EndpointSpec) -> Vec<ScanCost>,
    /// Two endpoints with the same key share one connection; `None` never shares.
    pub shared_as: fn(&Settings) -> Option<String>,
    /// Makes a driver.
    pub driver: fn(&EndpointSpec) -> Result<Box<dyn Driver>, DriverError>,
}

/// One question of setting up an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prompt {
    /// The key of the configuration that the answer stands in.
    pub key: &'static str,
    /// The question, in words a plant engineer uses.
    pub question: &'static str,
    /// What an empty answer means; empty leaves the key out, where it is not needed.
    pub default: &'static str,
    /// Whether an endpoint can do without it.
    pub need: Need,
}

/// Whether an answer may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// There is no endpoint without it.
    Required,
    /// An empty answer leaves the key out.
    Optional,
}

/// How the tags of a device are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// [`Ask::Browse`](super::Ask::Browse) from here: variables become tags by their node id.
    Browse {
        /// Where to start.
        root: &'static str,
        /// How many levels below it.
        depth: u8,
    },
    /// The protocol has no names to browse; the text says what to do instead.
    ByHand(&'static str),
}

/// What one scan class of an endpoint costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanCost {
    /// The scan class.
    pub scan_ms: u32,
    /// Protocol messages per scan.
    pub requests: u32,
    /// Tags in it.
    pub tags: u32,
}

impl std::fmt::Debug for Protocol {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Protocol({})", self.name)
    }
}
