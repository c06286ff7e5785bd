//! The one integration binary: the built programs against servers and clients that others wrote.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics says where and why"
)]

mod golden;
mod peer;
mod tidy;
mod wait;
