//! The edge node: births with names and aliases, data with aliases alone; and the hall's sensors.

use std::collections::BTreeMap;

use prost::Message as _;
use serde_json::{Map, Value as Json};

use crate::clock;
use crate::demo::frame::{Cell, Frame};
use crate::demo::points::{self, Place};
use crate::model::Value;
use crate::protocols::mqtt::proto::{Held, Metric, Payload};

/// The node's group, its name, and the device behind it.
pub(in crate::demo) const GROUP: &str = "demo";
pub(in crate::demo) const NODE: &str = "line1";
pub(in crate::demo) const DEVICE: &str = "inspector";

/// A host that only listens learns the aliases this often, in messages of data.
const BIRTH_EVERY: u32 = 40;

/// A message to be published.
type Outgoing = (String, Vec<u8>);

/// The state of the edge node.
#[derive(Debug, Default)]
pub(super) struct Node {
    seq: u8,
    /// Messages of data until the next birth.
    until_birth: u32,
}

impl Node {
    /// Lets the next messages be births.
    pub(super) fn want_birth(&mut self) {
        self.until_birth = 0;
    }

    /// Gives what is to be published of a frame.
    pub(super) fn messages(&mut self, frame: &Frame) -> Vec<Outgoing> {
        let mut out = plain(frame);
        if self.until_birth == 0 {
            self.until_birth = BIRTH_EVERY;
            self.seq = 0;
            out.push((format!("spBv1.0/{GROUP}/NBIRTH/{NODE}"), self.payload(node_birth())));
            let birth = device(frame, |alias, name, kind, metric| Metric {
                name: Some(name.to_owned()),
                alias: Some(alias),
                datatype: Some(kind),
                ..metric
            });
            let topic = format!("spBv1.0/{GROUP}/DBIRTH/{NODE}/{DEVICE}");
            out.push((topic, self.payload(birth)));
        } else {
            self.until_birth -= 1;
            let data = device(frame, |alias, _, _, metric| Metric { alias: Some(alias), ..metric });
            let topic = format!("spBv1.0/{GROUP}/DDATA/{NODE}/{DEVICE}");
            out.push((topic, self.payload(data)));
        }
        out
    }

    fn payload(&mut self, metrics: Vec<Metric>) -> Vec<u8> {
        let seq = Some(u64::from(self.seq));
        self.seq = self.seq.wrapping_add(1);
        let timestamp = u64::try_from(clock::now().millis()).ok();
        Payload { timestamp, metrics, seq }.encode_to_vec()
    }
}

fn node_birth() -> Vec<Metric> {
    let metric = |name: &str, kind, value| Metric {
        name: Some(name.to_owned()),
        datatype: Some(kind),
        value: Some(value),
        ..Metric::default()
    };
    vec![
        metric("bdSeq", 8, Held::Long(0)),
        metric("Node Control/Rebirth", 11, Held::Truth(false)),
        metric("Properties/Software", 12, Held::Text("ot-aiops demo".to_owned())),
    ]
}

/// Makes a metric of each point behind the node, in the given form.
fn device(frame: &Frame, form: impl Fn(u64, &str, u32, Metric) -> Metric) -> Vec<Metric> {
    let mut metrics = Vec::new();
    for (point, cell) in points::all().zip(&frame.cells) {
        let Place::Metric { metric, kind } = point.place else { continue };
        let alias = u64::try_from(metrics.len()).unwrap_or_default() + 1;
        let bare = Metric {
            timestamp: u64::try_from(cell.source_ts.millis()).ok(),
            value: held(kind, cell),
            ..Metric::default()
        };
        metrics.push(form(alias, metric, kind, bare));
    }
    metrics
}

#[allow(clippy::cast_possible_truncation, reason = "a Float is the nearest binary32")]
fn held(kind: u32, cell: &Cell) -> Option<Held> {
    Some(match (kind, &cell.value) {
        (3, Value::U64(n)) => Held::Int(u32::try_from(*n).ok()?),
        (8, Value::U64(n)) => Held::Long(*n),
        (9, Value::F64(x)) => Held::Float(*x as f32),
        (10, Value::F64(x)) => Held::Double(*x),
        (11, Value::Bool(on)) => Held::Truth(*on),
        (12, Value::Text(text)) => Held::Text(text.to_string()),
        _ => return None,
    })
}

/// Makes the plain topics: a JSON document of the parts that lie in one, or a bare number.
fn plain(frame: &Frame) -> Vec<Outgoing> {
    let mut documents: BTreeMap<&str, Json> = BTreeMap::new();
    for (point, cell) in points::all().zip(&frame.cells) {
        let Place::Topic { topic, part } = point.place else { continue };
        let value = serde_json::to_value(&cell.value).unwrap_or(Json::Null);
        if part.is_empty() {
            documents.insert(topic, value);
            continue;
        }
        let mut here = documents.entry(topic).or_insert_with(|| Json::Object(Map::new()));
        for level in part.split('.') {
            if !here.is_object() {
                *here = Json::Object(Map::new());
            }
            let Json::Object(fields) = here else { break };
            here = fields.entry(level).or_insert(Json::Null);
        }
        *here = value;
    }
    documents.into_iter().map(|(topic, json)| (topic.to_owned(), json.to_string().into())).collect()
}
