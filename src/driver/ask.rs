//! Demands: what may be asked of a device, and what it answers.

use std::sync::Arc;

use super::{Asset, BlockRef, DriverError, ModelDevice, Observations, RawBlock};
use crate::model::{ConditionEvent, Quality, Timestamp, UnitId, Value, Window};

/// A question for a device. Equal questions under way at once cost one request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Connects and logs in where needed, and nothing more.
    Connect,
    /// Reads a stretch of registers, bits or bytes.
    Block(BlockRef),
    /// Reads items by the protocol's own address text.
    Read {
        /// The items, in the order of the answer. Modbus takes a unit behind an `@`.
        refs: Vec<Arc<str>>,
        /// The unit they all belong to, where the protocol has several: it may be left alone.
        unit: Option<UnitId>,
    },
    /// Asks who the device is and how it is.
    Identify,
    /// Walks the address space, depth first.
    Browse {
        /// Where to start.
        root: Arc<str>,
        /// How many levels below it.
        depth: u8,
        /// The most nodes to answer.
        nodes_max: u32,
        /// Whether to read the value of each variable too.
        values: bool,
    },
    /// Reads the device's own history of one item.
    History {
        /// The item.
        item: Arc<str>,
        /// From, inclusive.
        since: Timestamp,
        /// To, exclusive.
        until: Timestamp,
        /// The most samples to answer.
        samples_max: u32,
    },
    /// Listens to one item for a while.
    Listen {
        /// The item.
        item: Arc<str>,
        /// Ends after this many samples.
        samples: u32,
        /// The sampling interval asked for.
        interval_ms: u32,
    },
    /// Asks for the present state of every condition that wants attention.
    Conditions,
    /// Asks what machines there are and what they report.
    Model,
    /// Asks for the newest observation of everything.
    Current,
    /// Asks for the newest so many observations that the device keeps.
    Recent {
        /// How many.
        count: u32,
    },
    /// Asks for the tools, files and fixtures that the device knows.
    Assets,
    /// Collects published messages: those heard already first, then what arrives.
    Messages {
        /// Which: the protocol's own filter of topics.
        filter: Arc<str>,
        /// Ends after this many messages.
        count: u32,
        /// The most of one topic that were heard already.
        per_topic: u32,
        /// Ends after this long; at once where the filter has been listened to for that long.
        wait_ms: u32,
    },
}

/// One item's reading on demand.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReading {
    /// The item as asked.
    pub item: Arc<str>,
    /// The value; `Null` where there is none.
    pub value: Value,
    /// The protocol's name of its type, such as `Double`; empty where it has none.
    pub data_type: Arc<str>,
    /// How far to trust it.
    pub quality: Quality,
    /// The device's time.
    pub source_ts: Option<Timestamp>,
    /// Ours.
    pub received_ts: Timestamp,
    /// Why there is no value, in our own words.
    pub error: Option<DriverError>,
}

/// One node of an address space.
#[derive(Debug, Clone, PartialEq)]
pub struct BrowseNode {
    /// Its id.
    pub node_id: Arc<str>,
    /// What a configuration should call it, where its id does not outlast a change of the server.
    pub address: Option<Arc<str>>,
    /// Its name without the namespace. Untrusted text.
    pub browse_name: Arc<str>,
    /// Such as `Object` or `Variable`.
    pub node_class: Arc<str>,
    /// The id of the node it was reached from; empty for the root.
    pub parent: Arc<str>,
    /// Levels below the root.
    pub depth: u8,
    /// Its value where values were asked for and it is a variable.
    pub value: Option<Value>,
}

/// What the device says of itself. Untrusted text throughout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// The product's name.
    pub product: Arc<str>,
    /// Who made it.
    pub manufacturer: Arc<str>,
    /// The version of its software.
    pub version: Arc<str>,
    /// The server's state as it numbers it (OPC UA: 0 is running).
    pub state: Option<i64>,
    /// Since when it runs.
    pub started: Option<Timestamp>,
    /// What time it has.
    pub device_time: Option<Timestamp>,
    /// The namespaces of its address space.
    pub namespaces: Vec<Arc<str>>,
    /// What else it says, by our own names.
    pub details: Vec<(&'static str, Arc<str>)>,
}

/// A stretch of the device's own history.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistoryPage {
    /// The samples; `received` holds the device's times.
    pub window: Window,
    /// The device has more.
    pub truncated: bool,
}

/// A published message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Where it was published. Untrusted text.
    pub topic: Arc<str>,
    /// What it holds.
    pub content: Content,
    /// Its bytes.
    pub bytes: u32,
    /// The quality of service it came with.
    pub qos: u8,
    /// The broker had kept it: it may be old.
    pub retain: bool,
    /// When it arrived here.
    pub received_ts: Timestamp,
    /// The same, in [`crate::clock::uptime_ms`].
    pub seen_uptime_ms: u64,
}

/// What a message holds. Untrusted text throughout.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing.
    Empty,
    /// A JSON object or array, bounded in depth and nodes.
    Json(Arc<serde_json::Value>),
    /// Text.
    Text(Arc<str>),
    /// Named values.
    Metrics {
        /// When the sender says it was made.
        source_ts: Option<Timestamp>,
        /// Its number among the sender's messages.
        seq: Option<u64>,
        /// The values, in the sender's order.
        metrics: Arc<[Metric]>,
    },
    /// Bytes of no kind that is known, the first of them.
    Binary {
        /// The first of them.
        head: Arc<[u8]>,
        /// Why they are not read, where they should be something.
        why: Option<DriverError>,
    },
}

/// One named value of a message. Untrusted text throughout.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name; empty where it is not known.
    pub name: Arc<str>,
    /// The number that stands for its name.
    pub alias: Option<u64>,
    /// The protocol's name of its type.
    pub data_type: &'static str,
    /// Its value; `Null` where there is none.
    pub value: Value,
    /// How far to trust it.
    pub quality: Quality,
    /// The sender's time.
    pub source_ts: Option<Timestamp>,
    /// It is from the past, and no present value.
    pub is_historical: bool,
    /// Why there is no value.
    pub error: Option<DriverError>,
}

/// The answer to an [`Ask`], variant by variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Ask::Connect`].
    Connected,
    /// To [`Ask::Block`].
    Block(RawBlock),
    /// To [`Ask::Read`] and [`Ask::Listen`].
    Readings(Vec<NodeReading>),
    /// To [`Ask::Identify`].
    Identity(Identity),
    /// To [`Ask::Browse`].
    Browse {
        /// The nodes, the root first.
        nodes: Vec<BrowseNode>,
        /// There are more.
        truncated: bool,
    },
    /// To [`Ask::History`].
    History(HistoryPage),
    /// To [`Ask::Conditions`].
    Conditions(Vec<ConditionEvent>),
    /// To [`Ask::Model`].
    Model(Vec<ModelDevice>),
    /// To [`Ask::Current`] and [`Ask::Recent`].
    Observations(Observations),
    /// To [`Ask::Assets`].
    Assets(Vec<Asset>),
    /// To [`Ask::Messages`].
    Messages {
        /// The messages, as they arrived.
        messages: Vec<Message>,
        /// There were more, or longer ones, than an answer holds.
        truncated: bool,
    },
}
