//! The asset tools: what tags are like together is learnt from a sound stretch, and judged from
//! then on.

mod forget;
mod learn;
mod list;
mod measured;

pub(super) use forget::Forget;
pub(super) use learn::Learn;
pub(super) use list::List;
pub(super) use measured::{Measured, measured};
