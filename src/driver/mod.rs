//! F1: what a protocol must be able to do, and what it may be asked.
//!
//! A driver owns the session, framing, address grammar, request grouping, bytes to [`Value`],
//! protocol status to [`Quality`]. It does not own retry, back-off, schedules, scaling,
//! deadband, the cache or authority: the poller does.
//!
//! [`Value`]: crate::model::Value
//! [`Quality`]: crate::model::Quality

mod ask;
mod batch;
mod error;
mod keys;
mod meter;
mod observation;
mod protocol;

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use ask::{
    Ask, BrowseNode, Content, HistoryPage, Identity, Message, Metric, NodeReading, Reply,
};
pub use batch::{Batch, BlockData, BlockRef, Hearing, RawBlock, Reading};
pub use error::{DriverError, ErrorKind, Reaction};
pub use keys::Keys;
pub use meter::{Meter, MeterReport, Purpose, Toll};
pub use observation::{
    Asset, Category, ConditionReport, Level, ModelComponent, ModelDevice, ModelItem, Observation,
    Observations,
};
pub use protocol::{
    Discovery, EndpointSpec, Need, Prompt, Protocol, ScanCost, SettingError, Settings, WireAddress,
};

use crate::gate::Authorized;
use crate::model::{DataType, Quality, Setpoint, Tag, TagId, Timestamp, UnitId, Value};

/// A tag with the number the cache knows it by.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its number.
    pub id: TagId,
    /// Its definition.
    pub tag: Arc<Tag>,
}

/// Names one slice of a plan; valid until the next plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SliceId(pub u32);

/// How a slice's samples come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// The poller asks every so many milliseconds.
    Polled {
        /// From the start of one scan to the start of the next.
        scan_ms: u32,
    },
    /// The poller asks that often for what has changed since, and takes each change in its
    /// order: what has not come has not changed.
    Followed {
        /// From the start of one scan to the start of the next.
        scan_ms: u32,
    },
    /// The device sends each change; `wake` says when something has come, and as long as the
    /// session lives silence says that nothing has changed.
    Pushed,
    /// As `Pushed`, by senders that send when they like: silence says nothing.
    Published,
}

impl Cadence {
    /// Gives how often the poller asks; `None` where the device sends.
    #[must_use]
    pub fn scan_ms(self) -> Option<u32> {
        match self {
            Self::Polled { scan_ms } | Self::Followed { scan_ms } => Some(scan_ms),
            Self::Pushed | Self::Published => None,
        }
    }
}

/// Tags of one unit that come in together.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Its name in this plan.
    pub id: SliceId,
    /// The device behind the endpoint.
    pub unit: UnitId,
    /// Asked or pushed.
    pub cadence: Cadence,
    /// Its tags, in the order their readings come.
    pub tags: Vec<TagId>,
    /// Protocol messages one scan of it needs as planned now.
    pub requests: u32,
}

/// What a driver made of the configured tags.
#[derive(Debug, Clone, Default)]
pub struct PlanReport {
    /// The work to be done.
    pub slices: Vec<Slice>,
    /// Tags that can't be read as they are defined, each with the reason.
    pub rejected: Vec<(TagId, DriverError)>,
}

/// An answer under way.
pub enum Asking<'a> {
    /// It needs the session for itself: nothing else runs meanwhile.
    Here(BoxFuture<'a, Result<Reply, DriverError>>),
    /// As `Here`, for so long as the budget allows: with `None` it lets the scans go on, and
    /// asked again on the same account it goes on where it stopped.
    InTurns(BoxFuture<'a, Result<Option<Reply>, DriverError>>),
    /// The protocol multiplexes: it may run beside scans and other asks.
    Beside(BoxFuture<'static, Result<Reply, DriverError>>),
}

/// One tag as the device has it now, for a write's sake.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// The value as the device stores it, before any scale.
    pub value: Value,
    /// How far to trust it.
    pub quality: Quality,
    /// When it arrived here.
    pub received_ts: Timestamp,
    /// The type the device stores; [`DataType::Native`] where it is none that is ever written.
    pub data_type: DataType,
}

/// One live session with one endpoint. Owned by one poller, never shared.
///
/// Every protocol message is paid for with [`Toll::spend`] before it is sent, so that counts
/// are exact and the device's budget holds inside long work such as a browse.
#[async_trait]
pub trait Driver: Send {
    /// Resolves addresses into the fewest requests within the limits learnt; a bad address
    /// fails its tag alone. No I/O. Called before the first `open` and again after each.
    fn plan(&mut self, tags: &[Planned]) -> PlanReport;

    /// Connects, logs in and reads the limits.
    ///
    /// # Errors
    /// What went wrong, with what to do about it.
    async fn open(
        &mut self,
        wake: Arc<Notify>,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<Identity, DriverError>;

    /// Fills `out` with one scan of a polled slice, or with what a pushed one has received.
    ///
    /// A tag that failed alone is a Bad reading in `out`, and the scan goes on.
    ///
    /// # Errors
    /// The unit or the session failed; [`DriverError::reaction`] says which.
    async fn acquire(
        &mut self,
        slice: SliceId,
        out: &mut Batch,
        toll: &Toll,
        deadline: Instant,
    ) -> Result<(), DriverError>;

    /// Asks the device on demand.
    fn ask(&mut self, ask: Ask, toll: Toll, deadline: Instant) -> Asking<'_>;

    /// Reads one tag from the device now, as it is defined.
    ///
    /// # Errors
    /// As [`Driver::acquire`]; [`ErrorKind::Unsupported`] where nothing can be written anyway.
    async fn inspect(
        &mut self,
        _tag: &Tag,
        _toll: &Toll,
        _deadline: Instant,
    ) -> Result<Inspected, DriverError> {
        Err(never_written())
    }

    /// Writes once: exactly one protocol message, never sent again by any layer.
    ///
    /// # Errors
    /// The device refused it, or nobody knows: only reading back tells what became of it.
    async fn operate(
        &mut self,
        _setpoint: Authorized<Setpoint>,
        _toll: &Toll,
        _deadline: Instant,
    ) -> Result<(), DriverError> {
        Err(never_written())
    }

    /// Ends the session properly.
    async fn close(&mut self, deadline: Instant);
}

/// Says that a protocol, or this build, writes nothing.
fn never_written() -> DriverError {
    DriverError::new(ErrorKind::Unsupported, "this protocol is only read, or this build is")
        .hint("ot-aiops --version says whether this build can write")
}
