//! `modbus_health_summary`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::mismatched;
use crate::actors::{Deps, age_ms};
use crate::diagnose::{Status, classify, number, overall};
use crate::driver::{Ask, Reply};
use crate::model::{EndpointName, Quality, Tag, UnitId, Value};
use crate::tools::ask::{MaxAge, ask};
use crate::tools::endpoint::{Target, pick};
use crate::tools::health::Counts;
use crate::tools::provenance::Provenance;
use crate::tools::thresholds::{Thresholds, bounds};
use crate::tools::{Call, Tool, ToolError};

/// As many addresses as the reference takes; more are an error, not silently dropped.
const ADDRESSES_MAX: usize = 100;

/// Which registers a bare address means.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum RegisterType {
    /// Holding registers, FC03.
    #[default]
    Holding,
    /// Input registers, FC04.
    Input,
}

impl RegisterType {
    fn word(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }
}

/// An address as a number, or as a number in text.
fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u16>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u16),
        Text(String),
    }
    let given: Option<Vec<Either>> = Option::deserialize(from)?;
    let read = |either| match either {
        Either::Number(n) => Ok(n),
        Either::Text(text) => text.trim().parse().map_err(|_| {
            serde::de::Error::custom(format!("address {text:?} is no number from 0 to 65535"))
        }),
    };
    given.map(|all| all.into_iter().map(read).collect()).transpose()
}

/// Judges registers against their limits; without addresses, the endpoint's configured tags.
#[derive(Debug, Serialize, Deserialize, schemars::JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthInput {
    /// The endpoint; may be left out where only one speaks Modbus.
    #[arg(short, long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// 0-based addresses, at most 100. A configured tag's type and scale are honoured.
    #[arg(long = "address")]
    #[serde(default, deserialize_with = "addresses", skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<u16>>,
    /// Limits by address: {"5": {"alarm_high": 90}}. They replace the configured ones.
    #[arg(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Thresholds>,
    /// Which registers the addresses mean.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub register_type: RegisterType,
    /// Takes a cached answer no older than this many seconds; 0 asks the device now.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
}

/// One judged register.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub(super) struct Judged {
    address: u16,
    label: String,
    value: Option<f64>,
    status: Status,
}

/// The registers' health.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct HealthOutput {
    endpoint: EndpointName,
    register_type: RegisterType,
    overall: Status,
    counts: Counts,
    evaluated: usize,
    offenders: Vec<Judged>,
    results: Vec<Judged>,
    /// Bounds of the call that are no number and so don't hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_bounds: Vec<String>,
    provenance: Provenance,
}

/// The tool.
pub(in crate::tools) struct Health;

impl Tool for Health {
    const NAME: &'static str = "modbus_health_summary";
    const TITLE: &'static str = "Judge registers against limits";
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["modbus", "health"]);
    type Input = HealthInput;
    type Output = HealthOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "modbus")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let addresses = asked(&target, &input)?;
        let unit = super::unit(&target, None)?;
        let mut provenance = Provenance::cache(None);
        let mut values = Vec::with_capacity(addresses.len());
        let mut unscanned: Vec<Arc<str>> = Vec::new();
        for address in &addresses {
            let tag = tag_at(&target, *address, input.register_type);
            match tag.and_then(|tag| from_cache(deps, tag, max_age_s)) {
                Some((value, part)) => {
                    provenance.join(&part);
                    values.push(Some(value));
                }
                None => {
                    unscanned.push(wire_ref(tag, *address, input.register_type, unit));
                    values.push(None);
                }
            }
        }
        if !unscanned.is_empty() {
            let read = read(deps, &target, &call, unscanned, max_age_s).await?;
            provenance.join(&read.1);
            let mut read = read.0.into_iter();
            for value in values.iter_mut().filter(|value| value.is_none()) {
                *value = read.next();
            }
        }
        let mut ignored = Vec::new();
        let mut results = Vec::with_capacity(addresses.len());
        for (address, value) in addresses.iter().zip(values) {
            let tag = tag_at(&target, *address, input.register_type);
            let bounds = bounds(input.thresholds.as_ref(), &address.to_string(), tag);
            ignored.extend(bounds.ignored);
            let value = value.flatten().filter(|v: &f64| v.is_finite());
            let status = classify(&bounds.limits, value);
            results.push(Judged { address: *address, label: bounds.label, value, status });
        }
        let offends = |judged: &&Judged| matches!(judged.status, Status::Warn | Status::Alarm);
        Ok(HealthOutput {
            endpoint: target.name,
            register_type: input.register_type,
            overall: overall(results.iter().map(|judged| judged.status)),
            counts: Counts::of(results.iter().map(|judged| judged.status)),
            evaluated: results.len(),
            offenders: results.iter().filter(offends).cloned().collect(),
            results,
            ignored_bounds: ignored,
            provenance,
        })
    }
}

/// Gives the addresses the call is about.
fn asked(target: &Target, input: &HealthInput) -> Result<Vec<u16>, ToolError> {
    let addresses = match &input.addresses {
        Some(given) => given.clone(),
        None => {
            let tags = target.spec().tags.iter();
            tags.filter_map(|tag| bare_address(tag, input.register_type)).collect()
        }
    };
    if addresses.is_empty() {
        return Err(ToolError::argument(
            "No addresses to evaluate. Pass addresses or add numeric 'tags' to the endpoint's \
             config entry.",
        ));
    }
    if addresses.len() > ADDRESSES_MAX && input.addresses.is_some() {
        let text = format!("{} addresses, at most {ADDRESSES_MAX} at once", addresses.len());
        return Err(ToolError::argument(text));
    }
    Ok(addresses.into_iter().take(ADDRESSES_MAX).collect())
}

/// Gives the address of a tag whose reference names one register of that type.
fn bare_address(tag: &Tag, register_type: RegisterType) -> Option<u16> {
    let text = tag.address.trim();
    if register_type == RegisterType::Holding
        && let Ok(address) = text.parse()
    {
        return Some(address);
    }
    text.strip_prefix(register_type.word())?.strip_prefix(':')?.parse().ok()
}

fn tag_at(target: &Target, address: u16, register_type: RegisterType) -> Option<&Tag> {
    let at = |tag: &&Arc<Tag>| bare_address(tag, register_type) == Some(address);
    target.spec().tags.iter().find(at).map(AsRef::as_ref)
}

/// Gives a scanned tag's number; a Bad one is no number.
fn from_cache(deps: &Deps, tag: &Tag, max_age_s: Option<f64>) -> Option<(Option<f64>, Provenance)> {
    let latest = deps.cache.latest(deps.cache.resolve(&tag.name)?)?;
    let age = age_ms(&latest);
    #[allow(clippy::cast_precision_loss, reason = "ages in seconds are compared, not counted")]
    let is_new = max_age_s.is_none_or(|max| age.is_some_and(|ms| ms as f64 <= max * 1000.0));
    let is_bad = latest.sample.quality.is_bad();
    let value = (!is_bad).then(|| number(&latest.sample.value)).flatten();
    is_new.then(|| (value, Provenance::cache(age)))
}

fn wire_ref(
    tag: Option<&Tag>,
    address: u16,
    register_type: RegisterType,
    unit: UnitId,
) -> Arc<str> {
    let unit = tag.map_or(unit, |tag| tag.unit);
    format!("{}:{address}@{}", register_type.word(), unit.0).into()
}

async fn read(
    deps: &Deps,
    target: &Target,
    call: &Call,
    refs: Vec<Arc<str>>,
    max_age_s: Option<f64>,
) -> Result<(Vec<Option<f64>>, Provenance), ToolError> {
    let question = Ask::Read { refs };
    let (reply, provenance) = ask(deps, target, call, question, max_age_s, None).await?;
    let Reply::Readings(readings) = reply.as_ref() else { return Err(mismatched()) };
    let value =
        |value: &Value, quality: Quality| (!quality.is_bad()).then(|| number(value)).flatten();
    Ok((readings.iter().map(|r| value(&r.value, r.quality)).collect(), provenance))
}
