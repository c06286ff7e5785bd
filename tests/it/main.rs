//! The one integration binary: the built programs against servers and clients that others wrote.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that panics says where and why"
)]

mod agent;
mod audit;
mod bad_input;
mod breaks;
mod broker;
mod certificates;
mod cli;
mod collector;
mod conformance;
mod counter;
mod demand;
mod device;
mod doors;
mod faults;
mod finding_commands;
mod findings;
mod golden;
mod home;
mod lifetime;
mod mc;
mod meddler;
mod modbus;
mod mqtt;
mod mtconnect;
mod opcua;
mod peer;
mod plant;
mod planted;
mod s7;
mod sdk;
mod sdk_tools;
mod secrets;
mod serial;
mod setup;
mod terminal;
mod tidy;
mod unasked;
mod wait;
mod wire;
mod writes;
