//! `policy.toml`: default deny, and one rule for each tag that may be written.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::require::{Condition, FRESH_MS, duration_ms};
use super::window::Window;
use crate::model::{Approver, DataType, Tier, hex};

/// Rules of one policy: a plant with more setpoints than this divides its collectors.
const RULES_MAX: usize = 2_000;
/// Conditions, windows or values of one rule.
const PARTS_MAX: usize = 64;
/// A ticket lives a quarter of an hour where nothing else is said.
const TTL_MS: u64 = 15 * 60_000;
/// A value approved yesterday is not what anybody wants today.
const TTL_MS_MAX: u64 = 8 * 3_600_000;
/// A read-back that waits longer than this would hold its endpoint up.
const READBACK_DELAY_MS_MAX: u32 = 10_000;

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFault(pub String);

/// Whether anything may be written at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing.
    #[default]
    ReadOnly,
    /// What a rule allows and people approve.
    Supervised,
}

/// So many writes in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The stretch of time.
    pub within_ms: u64,
    /// Writes in it.
    pub writes: u32,
}

/// What a rule says of its one tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The tag it names.
    pub tag: String,
    /// Who approves.
    pub tier: Tier,
    /// The type the tag must have.
    pub data_type: Option<DataType>,
    /// The least value.
    pub min: Option<f64>,
    /// The greatest value.
    pub max: Option<f64>,
    /// The greatest change at once.
    pub max_step: Option<f64>,
    /// The most changes in a time.
    pub rate: Option<Rate>,
    /// The only values.
    pub values: Vec<serde_json::Value>,
    /// What must hold of other tags.
    pub require: Vec<Condition>,
    /// When it may be written; empty is always.
    pub windows: Vec<Window>,
    /// The value before may have moved by this much.
    pub before_tolerance: f64,
    /// A read-back may differ by this much.
    pub readback_tolerance: f64,
    /// The second read-back comes after this long.
    pub readback_delay_ms: u32,
    /// Whether a write that can't be verified is taken back.
    pub revert: bool,
    /// Whether a work order must be named.
    pub work_order: bool,
}

/// Tags that no rule can open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deny {
    /// A pattern; `*` stands for anything.
    pub tag: String,
    /// Why, for people.
    pub reason: String,
}

/// A policy that was read and checked as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Grows with each change.
    pub epoch: u64,
    /// Whether anything may be written.
    pub mode: Mode,
    /// How long a ticket lives.
    pub ttl_ms: u64,
    /// How old a condition's tag may be.
    pub fresh_ms: u64,
    /// When nothing may be written.
    pub deny_windows: Vec<Window>,
    /// People who may approve.
    pub approvers: Vec<Approver>,
    /// A rule per tag.
    pub rules: Vec<Rule>,
    /// What no rule opens.
    pub denies: Vec<Deny>,
    /// The digest of the file.
    pub sha256: String,
}

impl Default for Policy {
    /// The policy of a collector without one: nothing is ever written.
    fn default() -> Self {
        Self {
            epoch: 0,
            mode: Mode::ReadOnly,
            ttl_ms: TTL_MS,
            fresh_ms: FRESH_MS,
            deny_windows: Vec::new(),
            approvers: Vec::new(),
            rules: Vec::new(),
            denies: Vec::new(),
            sha256: hex(&Sha256::digest(b"")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    epoch: u64,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    defaults: Defaults,
    #[serde(default)]
    approver: Vec<ApproverRow>,
    #[serde(default)]
    write: Vec<WriteRow>,
    #[serde(default)]
    deny: Vec<DenyRow>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Defaults {
    on_error: Option<String>,
    ticket_ttl: Option<String>,
    fresh: Option<String>,
    #[serde(default)]
    deny_windows: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApproverRow {
    id: String,
    key: String,
    uid: Option<u32>,
    #[serde(default)]
    offline: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DenyRow {
    tag: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Readback {
    delay_ms: Option<u32>,
    #[serde(alias = "tol")]
    tolerance: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteRow {
    tag: String,
    tier: String,
    #[serde(rename = "type")]
    data_type: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    max_step: Option<f64>,
    max_per: Option<String>,
    #[serde(rename = "enum", default)]
    values: Vec<serde_json::Value>,
    #[serde(default)]
    require: Vec<String>,
    #[serde(default)]
    windows: Vec<String>,
    before_tolerance: Option<f64>,
    readback: Option<Readback>,
    #[serde(default)]
    revert: bool,
    #[serde(default)]
    work_order: bool,
}

impl Policy {
    /// Reads a policy as a whole: one fault anywhere, and there is none.
    ///
    /// # Errors
    /// The first fault, with where it stands.
    pub fn parse(text: &str) -> Result<Self, PolicyFault> {
        let fault = |what: String| PolicyFault(what);
        let file: File = toml::from_str(text).map_err(|e| fault(e.to_string()))?;
        if file.version != 1 {
            return Err(fault(format!("version = {} is not known here; write 1", file.version)));
        }
        if file.defaults.on_error.as_deref().is_some_and(|word| word != "deny") {
            return Err(fault("defaults.on_error can only be \"deny\"".to_owned()));
        }
        if file.write.len() > RULES_MAX || file.deny.len() > RULES_MAX {
            return Err(fault(format!("more than {RULES_MAX} rules")));
        }
        let mut policy = Self {
            epoch: file.epoch,
            mode: file.mode,
            sha256: hex(&Sha256::digest(text.as_bytes())),
            ..Self::default()
        };
        if let Some(ttl) = &file.defaults.ticket_ttl {
            let ms = duration_ms(ttl).filter(|ms| (1_000..=TTL_MS_MAX).contains(ms));
            policy.ttl_ms = ms.ok_or_else(|| fault("defaults.ticket_ttl is 1s to 8h".into()))?;
        }
        if let Some(fresh) = &file.defaults.fresh {
            let ms = duration_ms(fresh).ok_or_else(|| fault("defaults.fresh is like 2s".into()))?;
            policy.fresh_ms = ms;
        }
        policy.deny_windows = windows(&file.defaults.deny_windows, "defaults")?;
        for row in file.approver {
            policy.approvers.push(approver(row, &policy.approvers)?);
        }
        for row in file.write {
            policy.rules.push(rule(row, &policy.rules)?);
        }
        policy.denies =
            file.deny.into_iter().map(|row| Deny { tag: row.tag, reason: row.reason }).collect();
        Ok(policy)
    }

    /// Finds the rule that names a tag.
    #[must_use]
    pub fn rule(&self, tag: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.tag == tag)
    }

    /// Tells whether anything could ever be written under it.
    #[must_use]
    pub fn opens_anything(&self) -> bool {
        self.mode == Mode::Supervised && self.rules.iter().any(|rule| rule.tier != Tier::Never)
    }
}

impl Deny {
    /// Tells whether the pattern covers a name; `*` stands for anything, slashes too.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let mut parts = self.tag.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let mut ends_open = !self.tag.contains('*');
        let parts: Vec<&str> = parts.collect();
        for (nth, part) in parts.iter().enumerate() {
            if nth + 1 == parts.len() {
                return rest.ends_with(part);
            }
            match rest.find(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
            ends_open = true;
        }
        ends_open && rest.is_empty()
    }
}

fn approver(row: ApproverRow, known: &[Approver]) -> Result<Approver, PolicyFault> {
    let key = row.key.strip_prefix("ed25519:").unwrap_or(&row.key).to_ascii_lowercase();
    if crate::gate::key_of(&key).is_none() {
        return Err(PolicyFault(format!("approver {}: key is no ed25519 public key", row.id)));
    }
    if row.id.trim().is_empty() || known.iter().any(|a| a.id == row.id || a.key == key) {
        return Err(PolicyFault(format!(
            "approver {:?}: each has an id and key of its own",
            row.id
        )));
    }
    Ok(Approver { id: row.id, key, uid: row.uid, offline: row.offline })
}

fn windows(texts: &[String], of: &str) -> Result<Vec<Window>, PolicyFault> {
    if texts.len() > PARTS_MAX {
        return Err(PolicyFault(format!("{of}: more than {PARTS_MAX} windows")));
    }
    let read = |text: &String| Window::parse(text).map_err(|e| PolicyFault(format!("{of}: {e}")));
    texts.iter().map(read).collect()
}

fn rule(row: WriteRow, known: &[Rule]) -> Result<Rule, PolicyFault> {
    let of = format!("write {:?}", row.tag);
    let fault = |what: &str| PolicyFault(format!("{of}: {what}"));
    if row.tag.is_empty() || row.tag.contains('*') {
        return Err(fault("a rule names one tag; patterns are for deny"));
    }
    if known.iter().any(|rule| rule.tag == row.tag) {
        return Err(fault("the tag has a rule already"));
    }
    let tier = match row.tier.as_str() {
        "T3" | "one" => Tier::One,
        "T4" | "two" => Tier::Two,
        "T5" | "never" => Tier::Never,
        _ => return Err(fault("tier is \"one\", \"two\" or \"never\"")),
    };
    let data_type = row.data_type.as_deref().map(|text| {
        DataType::parse(text).ok_or_else(|| fault("type is none that tags have, such as float32"))
    });
    let readback = row.readback.unwrap_or(Readback { delay_ms: None, tolerance: None });
    let tolerances = [row.before_tolerance, readback.tolerance, row.max_step];
    if tolerances.iter().flatten().any(|t| !t.is_finite() || *t < 0.0) {
        return Err(fault("tolerances and max_step are numbers, 0 or more"));
    }
    if [row.min, row.max].iter().flatten().any(|bound| !bound.is_finite())
        || matches!((row.min, row.max), (Some(min), Some(max)) if min > max)
    {
        return Err(fault("min and max are numbers, min not above max"));
    }
    let delay = readback.delay_ms.unwrap_or(500);
    if delay > READBACK_DELAY_MS_MAX {
        return Err(fault("readback.delay_ms is at most 10000"));
    }
    if row.require.len() > PARTS_MAX || row.values.len() > PARTS_MAX {
        return Err(fault("more than 64 conditions or values"));
    }
    let require: Result<Vec<Condition>, String> =
        row.require.iter().map(|text| Condition::parse(text)).collect();
    Ok(Rule {
        tier,
        data_type: data_type.transpose()?,
        min: row.min,
        max: row.max,
        max_step: row.max_step,
        rate: row
            .max_per
            .as_deref()
            .map(|text| {
                rate(text).ok_or_else(|| fault("max_per is a time and a number, such as \"10m:1\""))
            })
            .transpose()?,
        require: require.map_err(|e| fault(&e))?,
        windows: windows(&row.windows, &of)?,
        values: row.values,
        before_tolerance: row.before_tolerance.unwrap_or(0.0),
        readback_tolerance: readback.tolerance.unwrap_or(0.0),
        readback_delay_ms: delay,
        revert: row.revert,
        work_order: row.work_order,
        tag: row.tag,
    })
}

fn rate(text: &str) -> Option<Rate> {
    let (time, writes) = text.split_once(':')?;
    let writes = writes.parse().ok().filter(|n| *n > 0)?;
    Some(Rate { within_ms: duration_ms(time).filter(|ms| *ms > 0)?, writes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_pattern_covers_what_it_says() {
        for (pattern, name, want) in [
            ("*/safety_*", "press1/safety_door", true),
            ("*/safety_*", "press1/speed", false),
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a*", "abc", true),
            ("*", "anything/at all", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*b*c", "axbyc", true),
        ] {
            let deny = Deny { tag: pattern.into(), reason: String::new() };
            assert_eq!(deny.covers(name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn one_fault_anywhere_and_there_is_no_policy() {
        let head = "version = 1\nepoch = 1\nmode = \"supervised\"\n";
        assert!(Policy::parse(head).is_ok());
        let rule = "[[write]]\ntag = \"a\"\ntier = \"one\"\n";
        assert!(Policy::parse(&format!("{head}{rule}")).unwrap().opens_anything());
        for wrong in [
            "",
            "version = 1",
            "version = 2\nepoch = 1",
            "- a\n- b\n",
            &format!("{head}surprise = 1\n"),
            &format!("{head}{rule}{rule}"),
            &format!("{head}{rule}max_stepp = 1"),
            &format!("{head}{rule}min = nan"),
            &format!("{head}{rule}min = 2\nmax = 1"),
            &format!("{head}{rule}require = [\"b\"]"),
            &format!("{head}{rule}windows = [\"22h\"]"),
            &format!("{head}{rule}max_per = \"1\""),
            &format!("{head}{rule}type = \"float\""),
            &format!("{head}[[write]]\ntag = \"a\"\ntier = \"approve\""),
            &format!("{head}[[write]]\ntag = \"a/*\"\ntier = \"one\""),
            &format!("{head}[[approver]]\nid = \"x\"\nkey = \"ed25519:00\""),
            &format!("{head}[defaults]\non_error = \"allow\""),
            &format!("{head}[defaults]\nticket_ttl = \"9h\""),
        ] {
            assert!(Policy::parse(wrong).is_err(), "{wrong}");
        }
    }
}
