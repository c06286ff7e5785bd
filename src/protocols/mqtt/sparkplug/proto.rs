//! Sparkplug's payload as prost writes it: what nodes, hosts and tests send.
//!
//! Written by hand after the published schema (Sparkplug 3.0, 6.4); reading has its own bounded
//! way.

/// A payload.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    /// When it was made, in milliseconds.
    #[prost(uint64, optional, tag = "1")]
    pub(crate) timestamp: Option<u64>,
    /// Its metrics.
    #[prost(message, repeated, tag = "2")]
    pub(crate) metrics: Vec<Metric>,
    /// Its number, 0 to 255.
    #[prost(uint64, optional, tag = "3")]
    pub(crate) seq: Option<u64>,
}

/// A metric.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metric {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    /// The number that stands for it.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) alias: Option<u64>,
    /// When it was so, in milliseconds.
    #[prost(uint64, optional, tag = "3")]
    pub(crate) timestamp: Option<u64>,
    /// The number of its type.
    #[prost(uint32, optional, tag = "4")]
    pub(crate) datatype: Option<u32>,
    /// It is from the past.
    #[prost(bool, optional, tag = "5")]
    pub(crate) is_historical: Option<bool>,
    /// It has no value.
    #[prost(bool, optional, tag = "7")]
    pub(crate) is_null: Option<bool>,
    /// Its value.
    #[prost(oneof = "Held", tags = "10, 11, 12, 13, 14, 15, 16")]
    pub(crate) value: Option<Held>,
}

/// A metric's value.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Held {
    /// Whole numbers of up to 32 bits, in two's complement.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Whole numbers of 64 bits, in two's complement, and instants.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// Float.
    #[prost(float, tag = "12")]
    Float(f32),
    /// Double.
    #[prost(double, tag = "13")]
    Double(f64),
    /// Boolean.
    #[prost(bool, tag = "14")]
    Truth(bool),
    /// String, Text and UUID.
    #[prost(string, tag = "15")]
    Text(String),
    /// Bytes, File and arrays.
    #[prost(bytes = "vec", tag = "16")]
    Bytes(Vec<u8>),
}
