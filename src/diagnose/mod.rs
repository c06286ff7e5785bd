//! Diagnoses: pure functions over values and windows.

mod alarm_name;
mod limits;
mod number;
mod outliers;

pub use alarm_name::names_an_alarm;
pub use limits::{Status, classify, overall};
pub use number::{bound, number, number_from_text};
pub use outliers::{Outliers, outliers};
