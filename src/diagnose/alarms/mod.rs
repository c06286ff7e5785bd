//! Alarms: their lives, floods, sequences and the figures of a shift (ISA-18.2, EEMUA 191).

mod bad_actors;
mod crossing;
mod desk;
mod event;
mod flood;
mod kpi;
mod life;
mod sequence;

pub use bad_actors::{
    AlarmQuestion, BadActors, EVENTS_MAX, FloodAnswer, FloodVerdict, Isa182, Offender,
    SequenceAnswer, analyse, bad_actors,
};
pub use crossing::LimitAlarm;
pub use desk::{AlarmDesk, AlarmState, JOURNAL_MAX};
pub use event::{AlarmEvent, Change};
pub use flood::{FLOOD_END, FLOOD_START, FLOOD_WINDOW_S, Flood, Floods, floods};
pub use kpi::{SHIFT_S, Shift, is_acceptable, shifts};
pub use life::Life;
pub use sequence::{Pair, pairs};
