//! What a message holds, as it stands in an answer: bounded, and with nothing that acts on a
//! reader.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::driver::{Content, DriverError, Message, Metric};
use crate::model::{Timestamp, sanitize};
use crate::tools::values;

/// The reference's cut of a text.
const TEXT_MAX: usize = 512;
/// The longest name of a field or metric.
const NAME_MAX: usize = 256;
/// One message takes no more of an answer than this.
const PAYLOAD_BYTES: usize = 12 << 10;
/// The reference's words, with the decoder that it lacks left out.
const BINARY: &str = "Binary payload: neither text nor JSON, and not on a Sparkplug topic.";

/// Writes a message's payload.
pub(super) fn shown(message: &Message) -> Json {
    match &message.content {
        Content::Empty => json!({"encoding": "empty"}),
        Content::Json(document) => of_json(document, message.bytes),
        Content::Text(text) => {
            let mut out = json!({"encoding": "text", "text": sanitize(text, TEXT_MAX)});
            if text.chars().nth(TEXT_MAX).is_some() {
                mark(&mut out, message.bytes);
            }
            out
        }
        Content::Metrics { source_ts, seq, metrics } => of_metrics(*source_ts, *seq, metrics),
        Content::Binary { head, why } => {
            let mut hex = String::with_capacity(2 * head.len());
            for byte in head.iter() {
                // A String takes every write.
                write!(hex, "{byte:02x}").unwrap_or_default();
            }
            let note = why.as_ref().map_or_else(|| BINARY.to_owned(), DriverError::with_hint);
            json!({
                "encoding": "binary",
                "bytes": message.bytes,
                "hex_preview": hex,
                "note": note,
            })
        }
    }
}

/// Says that there is more than is shown.
fn mark(out: &mut Json, bytes: u32) {
    if let Some(fields) = out.as_object_mut() {
        fields.insert("truncated".to_owned(), Json::Bool(true));
        fields.insert("bytes".to_owned(), bytes.into());
    }
}

fn of_json(document: &Json, bytes: u32) -> Json {
    let clean = sanitized(document);
    let text = clean.to_string();
    if text.len() <= PAYLOAD_BYTES {
        return json!({"encoding": "json", "json": clean});
    }
    let mut out = json!({"encoding": "json", "text": sanitize(&text, TEXT_MAX)});
    mark(&mut out, bytes);
    out
}

/// Cleans every text and every name of a document; both are bounded in depth and nodes already.
fn sanitized(document: &Json) -> Json {
    match document {
        Json::String(text) => Json::String(sanitize(text, TEXT_MAX)),
        Json::Array(items) => Json::Array(items.iter().map(sanitized).collect()),
        Json::Object(fields) => {
            let clean =
                |(name, value): (&String, &Json)| (sanitize(name, NAME_MAX), sanitized(value));
            Json::Object(fields.iter().map(clean).collect())
        }
        plain => plain.clone(),
    }
}

fn of_metrics(source_ts: Option<Timestamp>, seq: Option<u64>, metrics: &[Metric]) -> Json {
    let mut shown = Vec::new();
    let mut bytes = 0;
    for metric in metrics {
        let one = of_metric(metric);
        bytes += one.to_string().len();
        if bytes > PAYLOAD_BYTES {
            break;
        }
        shown.push(one);
    }
    let is_cut = shown.len() < metrics.len();
    let mut out = json!({"encoding": "sparkplug_b", "metrics": shown});
    if let Some(fields) = out.as_object_mut() {
        if let Some(at) = source_ts {
            fields.insert("timestamp".to_owned(), at.to_rfc3339().into());
        }
        if let Some(seq) = seq {
            fields.insert("seq".to_owned(), seq.into());
        }
        if is_cut {
            fields.insert("truncated".to_owned(), Json::Bool(true));
            fields.insert("total".to_owned(), metrics.len().into());
        }
    }
    out
}

fn of_metric(metric: &Metric) -> Json {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Json| fields.insert(name.to_owned(), value);
    put("name", sanitize(&metric.name, NAME_MAX).into());
    if let Some(alias) = metric.alias {
        put("alias", alias.into());
    }
    put("datatype", metric.data_type.into());
    put("value", values::json(&metric.value));
    if let Some(at) = metric.source_ts {
        put("timestamp", at.to_rfc3339().into());
    }
    if !metric.quality.is_good() {
        put("quality", metric.quality.name().into());
    }
    if metric.is_historical {
        put("is_historical", Json::Bool(true));
    }
    if let Some(error) = &metric.error {
        put("error", error.with_hint().into());
    }
    Json::Object(fields)
}
