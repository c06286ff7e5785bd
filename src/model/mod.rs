//! F0: the words of the field. Pure: no I/O, no clock, no runtime.

mod alarm;
mod budget;
mod dossier;
mod endpoint;
mod moc;
mod page;
mod pattern;
mod principal;
mod quality;
mod sample;
mod scale;
mod secret;
mod setpoint;
mod stats;
mod tag;
mod text;
mod time;
mod value;
mod window;

pub use alarm::{ConditionEvent, ConditionId};
pub use budget::Budget;
pub use dossier::{Dossier, MocState};
pub use endpoint::{EndpointName, LinkState, UnitId};
pub use moc::{
    Approval, Approver, Check, Selection, Separation, Ticket, Tier, Verdict, hex, unhex,
};
pub use page::{Column, Pages, ScanPage, StreamPage};
pub use pattern::tag_matches;
pub use principal::{Door, Principal};
pub use quality::Quality;
pub use sample::Sample;
pub use scale::Scale;
pub use secret::Secret;
pub use setpoint::{Misfit, Setpoint, integer, wish, within};
pub use stats::Stats;
pub use tag::{AlarmSettings, DataType, Limits, Scalar, ScanClass, Tag, TagId, TagName, WordOrder};
pub use text::{counted, escape, is_hidden, sanitize, with_article};
pub use time::{TimeError, Timestamp};
pub use value::{VALUE_BYTES_MAX, VALUE_DEPTH_MAX, VALUE_ITEMS_MAX, Value};
pub use window::Window;
