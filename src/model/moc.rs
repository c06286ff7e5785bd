//! Management of change: what is signed before a value may be written, and who signed it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::setpoint::wish;
use super::{DataType, Misfit, Quality, Scale, Setpoint, Tag, UnitId, Value, WordOrder};

/// The first bytes of what is signed, so that no other signature can be taken for an approval.
const DOMAIN: &[u8] = b"ot-aiops approval of a change, form 1\n";

/// How many people have to approve.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// One approver.
    One,
    /// Two distinct ones.
    Two,
    /// Nobody can.
    Never,
}

impl Tier {
    /// Gives how many signatures it takes; `None` where none suffice.
    #[must_use]
    pub const fn approvals(self) -> Option<usize> {
        match self {
            Self::One => Some(1),
            Self::Two => Some(2),
            Self::Never => None,
        }
    }
}

/// Whether requester and approver must be different people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Separation {
    /// By user id, or by a key that is kept apart from this machine.
    Strict,
    /// One user may do both: the demo, on a simulated plant alone.
    Relaxed,
}

/// A change somebody asked for, bound to everything that decides what it does. Signed as a
/// whole; used once. It grants nothing by itself, so it may be read from anywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// What people call it: `MOC-118`.
    pub id: String,
    /// 128 random bits in hexadecimal: a number that comes again is another ticket.
    pub nonce: String,
    /// The endpoint.
    pub endpoint: String,
    /// What the endpoint is: a digest of its settings and of what the device says of itself.
    pub identity: String,
    /// The tag.
    pub tag: String,
    /// The protocol's own address text.
    pub address: String,
    /// The device behind the endpoint.
    pub unit_id: u8,
    /// The type that is written.
    pub data_type: String,
    /// The byte order.
    pub order: WordOrder,
    /// Raw and engineering ends of the scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<[f64; 4]>,
    /// The engineering unit.
    pub unit: String,
    /// The new value, in engineering units.
    pub value: serde_json::Value,
    /// What goes into the device for it.
    pub raw: serde_json::Value,
    /// The value it replaces, in engineering units.
    pub before: serde_json::Value,
    /// When that was read, in milliseconds of UTC since 1970.
    pub before_ms: i64,
    /// Who has to approve.
    pub tier: Tier,
    /// The value before may have moved by this much when the write comes.
    pub before_tolerance: f64,
    /// A read-back may differ by this much.
    pub readback_tolerance: f64,
    /// The second read-back comes after this long.
    pub readback_delay_ms: u32,
    /// Whether a write that can't be verified is taken back.
    pub revert: bool,
    /// The user who asked.
    pub requester_uid: u32,
    /// The digest of the reason given.
    pub reason_sha256: String,
    /// The digest of the policy that allowed it.
    pub policy_sha256: String,
    /// That policy's epoch.
    pub policy_epoch: u64,
    /// The plant's own number for the work; may be empty.
    pub work_order: String,
    /// The ticket this one undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_of: Option<String>,
    /// Whether one person may do both.
    pub separation: Separation,
    /// When it was opened, in milliseconds of UTC since 1970.
    pub created_ms: i64,
    /// When it expires.
    pub not_after_ms: i64,
}

impl Ticket {
    /// Gives the bytes that an approver signs: each field with its length before it.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        let mut put = |bytes: &[u8]| {
            out.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            out.extend(bytes);
        };
        for text in [&self.id, &self.nonce, &self.endpoint, &self.identity, &self.tag] {
            put(text.as_bytes());
        }
        put(self.address.as_bytes());
        put(&[self.unit_id]);
        put(self.data_type.as_bytes());
        put(format!("{:?}", self.order).as_bytes());
        for end in self.scale.iter().flatten() {
            put(&end.to_bits().to_be_bytes());
        }
        put(&[u8::from(self.scale.is_some())]);
        put(self.unit.as_bytes());
        for value in [&self.value, &self.raw, &self.before] {
            put(&exact(value));
        }
        put(&self.before_ms.to_be_bytes());
        put(format!("{:?}", self.tier).as_bytes());
        put(&self.before_tolerance.to_bits().to_be_bytes());
        put(&self.readback_tolerance.to_bits().to_be_bytes());
        put(&self.readback_delay_ms.to_be_bytes());
        put(&[u8::from(self.revert)]);
        put(&self.requester_uid.to_be_bytes());
        for text in [&self.reason_sha256, &self.policy_sha256] {
            put(text.as_bytes());
        }
        put(&self.policy_epoch.to_be_bytes());
        put(self.work_order.as_bytes());
        put(self.undo_of.as_deref().unwrap_or_default().as_bytes());
        put(format!("{:?}", self.separation).as_bytes());
        put(&self.created_ms.to_be_bytes());
        put(&self.not_after_ms.to_be_bytes());
        out
    }

    /// Gives the digest of what is signed, which people compare by its end.
    #[must_use]
    pub fn digest(&self) -> String {
        hex(&Sha256::digest(self.canonical()))
    }

    /// Makes the setpoint that the ticket describes.
    ///
    /// # Errors
    /// The ticket describes none: it was edited, or is of another version.
    pub fn setpoint(&self) -> Result<Setpoint, Misfit> {
        let mut tag = Tag::new(&self.tag, &self.endpoint, &self.address);
        tag.unit = UnitId(self.unit_id);
        tag.order = self.order;
        tag.unit_text = Arc::from(self.unit.as_str());
        if let Some([raw_min, raw_max, eu_min, eu_max]) = self.scale {
            let scale = Scale::new((raw_min, raw_max), (eu_min, eu_max));
            tag.scale = Some(scale.ok_or(Misfit::NotWritable)?);
        }
        let data_type = DataType::parse(&self.data_type).ok_or(Misfit::NotWritable)?;
        tag.data_type = data_type;
        let value = wish(&self.value).ok_or(Misfit::NotWritable)?;
        Setpoint::fit(&Arc::new(tag), data_type, value)
    }

    /// Gives the value before, in engineering units.
    #[must_use]
    pub fn before(&self) -> Value {
        wish(&self.before).unwrap_or(Value::Null)
    }
}

/// Encodes a JSON value so that different values never have the same bytes.
fn exact(value: &serde_json::Value) -> Vec<u8> {
    use serde_json::Value as Json;
    match value {
        Json::Null => b"n".to_vec(),
        Json::Bool(b) => vec![b'b', u8::from(*b)],
        Json::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(f) => [&b"f"[..], &f.to_bits().to_be_bytes()].concat(),
            None => format!("i{n}").into_bytes(),
        },
        Json::String(s) => [&b"s"[..], s.as_bytes()].concat(),
        Json::Array(items) => {
            let mut out = b"l".to_vec();
            for item in items {
                let bytes = exact(item);
                out.extend(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
                out.extend(bytes);
            }
            out
        }
        Json::Object(_) => [&b"o"[..], value.to_string().as_bytes()].concat(),
    }
}

/// Writes bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('?', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads hexadecimal; `None` where it is none.
#[must_use]
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Somebody who may approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// The person.
    pub id: String,
    /// The public ed25519 key, in hexadecimal.
    pub key: String,
    /// The user the person has on this machine.
    pub uid: Option<u32>,
    /// The key lives on another machine, so its signature proves another person by itself.
    pub offline: bool,
}

/// One approval as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The public key it is by, in hexadecimal.
    pub key: String,
    /// The signature over [`Ticket::canonical`], in hexadecimal.
    pub signature: String,
    /// The user who handed it in, as the kernel says.
    pub uid: u32,
}

/// The fresh truth a write is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The setpoint as the configuration has it now.
    pub setpoint: Setpoint,
    /// What the endpoint is now.
    pub identity: String,
    /// The value now, in engineering units.
    pub before: Value,
    /// How far to trust that.
    pub quality: Quality,
}

/// What one rule says of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The rule, such as `range` or `require press1/mode == 2`.
    pub rule: String,
    /// Whether the wish passes it.
    pub passed: bool,
    /// Why.
    pub detail: String,
}

/// What the policy says of a wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Every rule that was asked.
    pub checks: Vec<Check>,
    /// Who has to approve.
    pub tier: Tier,
    /// The value before may have moved by this much.
    pub before_tolerance: f64,
    /// A read-back may differ by this much.
    pub readback_tolerance: f64,
    /// The second read-back comes after this long.
    pub readback_delay_ms: u32,
    /// Whether a write that can't be verified is taken back.
    pub revert: bool,
    /// How long a ticket lives.
    pub ttl_ms: i64,
    /// The policy's digest.
    pub policy_sha256: String,
    /// Its epoch.
    pub policy_epoch: u64,
}

impl Verdict {
    /// Tells whether every rule passes; a wish that no rule speaks of is denied.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.tier != Tier::Never && !self.checks.is_empty() && self.checks.iter().all(|c| c.passed)
    }

    /// Gives the first rule that fails.
    #[must_use]
    pub fn denial(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_are_signed_differently() {
        use serde_json::json;
        let values = [
            json!(1),
            json!(1.0),
            json!("1"),
            json!(true),
            json!(null),
            json!([1]),
            json!([[1]]),
            json!(["1"]),
            json!(1.000_000_000_000_000_2),
            json!(-0.0),
            json!(0.0),
            json!([]),
        ];
        for (i, a) in values.iter().enumerate() {
            for b in values.iter().skip(i + 1) {
                assert_ne!(exact(a), exact(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn hexadecimal_reads_back() {
        assert_eq!(unhex(&hex(&[0, 0xA5, 0xFF])), Some(vec![0, 0xA5, 0xFF]));
        for wrong in ["0", "0g", "\u{e4}\u{e4}"] {
            assert_eq!(unhex(wrong), None);
        }
    }
}
