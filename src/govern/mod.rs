//! F2: who may change what, under which conditions: policy, approvers' keys, budgets. Pure but for
//! the reading of files.

pub mod breaker;
pub mod file;
pub mod keys;
mod policy;
pub mod reference;
mod require;
pub mod separation;
mod window;
mod worth;

pub use policy::{Deny, Mode, Policy, PolicyFault, Rate, Rule};
pub use require::{Condition, Reading};
pub use window::Window;
pub use worth::{Wish, World, judge};
