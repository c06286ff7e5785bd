//! `modbus_health_summary`.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::mismatched;
use crate::actors::{Deps, age_ms};
use crate::diagnose::{Status, classify, number, overall};
use crate::driver::{Ask, BlockData, BlockRef, NodeReading, RawBlock, Reply};
use crate::model::{DataType, EndpointName, Quality, Tag, UnitId, Value};
use crate::net::words::{self, Decode};
use crate::tools::ask::{MaxAge, ask};
use crate::tools::block::within_sight;
use crate::tools::endpoint::{Target, pick};
use crate::tools::health::Counts;
use crate::tools::provenance::Provenance;
use crate::tools::thresholds::{Thresholds, bounds};
use crate::tools::{Call, Tool, ToolError};

/// As many addresses as the reference takes; more are an error, not silently dropped.
const ADDRESSES_MAX: usize = 100;
/// Registers asked for in one question, as many as the driver takes.
const REFS_MAX: usize = 100;

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
    /// How far the value can be trusted.
    #[schemars(with = "String")]
    quality: Quality,
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
    const READS_BLOCKS: bool = true;
    const PROTOCOL: Option<&'static str> = Some("modbus");
    const COMMAND: Option<[&'static str; 2]> = Some(["modbus", "health"]);
    type Input = HealthInput;
    type Output = HealthOutput;

    async fn call(deps: &Deps, call: Call, input: Self::Input) -> Result<Self::Output, ToolError> {
        let target = pick(deps, input.endpoint.as_deref(), "modbus")?;
        let max_age_s = MaxAge { max_age_s: input.max_age_s }.checked()?;
        let addresses = asked(deps, &target, &input)?;
        let unit = super::unit(&target, None)?;
        let mut provenance = Provenance::cache(None);
        let mut points: Vec<Point> = Vec::with_capacity(addresses.len());
        for address in &addresses {
            let tag = tag_at(&target, *address, input.register_type);
            let mut point = Point::new(tag, *address, unit);
            within_sight(deps, &target, &point.block(input.register_type))?;
            if let Some((reading, part)) = tag.and_then(|tag| from_cache(deps, tag, max_age_s)) {
                provenance.join(&part);
                point.reading = Some(reading);
            }
            points.push(point);
        }
        let (target, call) = (&target, &call);
        let source = Source { deps, target, call, register_type: input.register_type, max_age_s };
        read(source, &mut points, &mut provenance).await?;
        let mut ignored = Vec::new();
        let mut results = Vec::with_capacity(addresses.len());
        for point in points {
            let address = point.address;
            let bounds = bounds(input.thresholds.as_ref(), &address.to_string(), point.tag);
            ignored.extend(bounds.ignored);
            let (value, quality) = point.reading.unwrap_or((None, Quality::BAD));
            let value = value.filter(|value| value.is_finite());
            let status = classify(&bounds.limits, value);
            results.push(Judged { address, label: bounds.label, value, status, quality });
        }
        let offends = |judged: &&Judged| matches!(judged.status, Status::Warn | Status::Alarm);
        Ok(HealthOutput {
            endpoint: target.name.clone(),
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
fn asked(deps: &Deps, target: &Target, input: &HealthInput) -> Result<Vec<u16>, ToolError> {
    let addresses = match &input.addresses {
        Some(given) => given.clone(),
        None => {
            let tags = target.spec().tags.iter().filter(|tag| deps.shows(&tag.name));
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

/// A number with its quality; a Bad one is no number.
type Numbered = (Option<f64>, Quality);

/// One register, or the registers of a configured tag.
struct Point<'a> {
    address: u16,
    tag: Option<&'a Tag>,
    unit: UnitId,
    decode: Decode,
    reading: Option<Numbered>,
}

impl<'a> Point<'a> {
    fn new(tag: Option<&'a Tag>, address: u16, unit: UnitId) -> Self {
        let decode = match tag.map(|tag| tag.data_type) {
            Some(DataType::One(scalar)) => Decode::of(scalar).unwrap_or_default(),
            _ => Decode::default(),
        };
        let unit = tag.map_or(unit, |tag| tag.unit);
        Self { address, tag, unit, decode, reading: None }
    }

    /// Tells whether its registers make one number.
    fn is_number(&self) -> bool {
        self.tag.is_none_or(|tag| match tag.data_type {
            DataType::Native => true,
            DataType::One(scalar) => Decode::of(scalar).is_some(),
            DataType::Array(..) | DataType::Text(_) => false,
        })
    }

    /// Gives the registers it is made of.
    fn block(&self, register_type: RegisterType) -> BlockRef {
        BlockRef {
            unit: self.unit,
            area: register_type.word(),
            section: 0,
            address: self.address.into(),
            count: self.decode.registers().into(),
        }
    }

    fn refs(&self, register_type: RegisterType) -> impl Iterator<Item = Arc<str>> {
        let (word, unit) = (register_type.word(), self.unit.0);
        let last = self.address.saturating_add(self.decode.registers() - 1);
        (self.address..=last).map(move |address| format!("{word}:{address}@{unit}").into())
    }

    /// Makes the number of registers that were read one by one.
    fn number_of(&self, registers: &[NodeReading]) -> Numbered {
        if let Some(bad) = registers.iter().find(|r| r.quality.is_bad()) {
            return (None, bad.quality);
        }
        let word = |reading: &NodeReading| match reading.value {
            Value::U64(word) => u16::try_from(word).ok(),
            _ => None,
        };
        match registers.iter().map(word).collect::<Option<Vec<u16>>>() {
            Some(words) => self.number(&words),
            None => (None, Quality::BAD_DECODING_ERROR),
        }
    }

    /// Makes the number that the tag would report out of its registers.
    fn number(&self, registers: &[u16]) -> Numbered {
        let order = self.tag.map(|tag| tag.order).unwrap_or_default();
        let value = words::value(registers, self.decode, order);
        let value = value.map(|value| match self.tag.and_then(|tag| tag.scale) {
            Some(scale) => scale.apply(&value),
            None => value,
        });
        match value.as_ref().and_then(number).filter(|x| x.is_finite()) {
            Some(x) => (Some(x), Quality::GOOD),
            None => (None, Quality::BAD_DECODING_ERROR),
        }
    }
}

/// Gives a scanned tag's number.
fn from_cache(deps: &Deps, tag: &Tag, max_age_s: Option<f64>) -> Option<(Numbered, Provenance)> {
    let latest = deps.cache.latest(deps.resolve(&tag.name)?)?;
    let age = age_ms(&latest);
    #[allow(clippy::cast_precision_loss, reason = "ages in seconds are compared, not counted")]
    let is_new =
        max_age_s.is_none_or(|max| max > 0.0 && age.is_some_and(|ms| ms as f64 <= max * 1000.0));
    let quality = latest.sample.quality;
    let value = (!quality.is_bad()).then(|| number(&latest.sample.value)).flatten();
    let mut provenance = Provenance::cache(age);
    provenance.clock_skew = age.is_none();
    is_new.then_some(((value, quality), provenance))
}

/// Reads what the cache had not: one question per unit, so that each rests by itself, and as many
/// registers at once as a call takes.
async fn read(
    source: Source<'_>,
    points: &mut [Point<'_>],
    provenance: &mut Provenance,
) -> Result<(), ToolError> {
    for point in points.iter_mut().filter(|p| p.reading.is_none() && !p.is_number()) {
        point.reading = Some((None, Quality::BAD_DECODING_ERROR));
    }
    let mut missing: Vec<&mut Point> = points.iter_mut().filter(|p| p.reading.is_none()).collect();
    missing.sort_by_key(|point| (point.unit, point.address));
    let mut rest = missing.as_mut_slice();
    while let Some(unit) = rest.first().map(|point| point.unit) {
        let mut room = REFS_MAX;
        let fits = rest.iter().take_while(|point| {
            let width = usize::from(point.decode.registers());
            let fits = point.unit == unit && width <= room;
            room = room.saturating_sub(width);
            fits
        });
        let count = fits.count();
        let (part, after) = rest.split_at_mut(count);
        source.read_part(unit, part, provenance).await?;
        rest = after;
    }
    Ok(())
}

/// Where registers are read from.
#[derive(Clone, Copy)]
struct Source<'a> {
    deps: &'a Deps,
    target: &'a Target,
    call: &'a Call,
    register_type: RegisterType,
    max_age_s: Option<f64>,
}

impl Source<'_> {
    /// Reads registers of one unit.
    async fn read_part(
        self,
        unit: UnitId,
        part: &mut [&mut Point<'_>],
        provenance: &mut Provenance,
    ) -> Result<(), ToolError> {
        let Self { deps, target, call, register_type, max_age_s } = self;
        let refs = part.iter().flat_map(|point| point.refs(register_type)).collect();
        let question = Ask::Read { refs, unit: Some(unit) };
        let (reply, footing) = ask(deps, target, call, question, max_age_s, None).await?;
        provenance.join(&footing);
        let Reply::Readings(readings) = reply.as_ref() else { return Err(mismatched()) };
        let mut rest = readings.as_slice();
        for point in part {
            let width = usize::from(point.decode.registers());
            let (own, after) = rest.split_at_checked(width).ok_or_else(mismatched)?;
            rest = after;
            let at = own.first().map(|first| first.received_ts);
            let is_whole = own.iter().all(|reading| Some(reading.received_ts) == at);
            let is_bad = own.iter().any(|r| r.quality.is_bad());
            point.reading = Some(if is_whole || is_bad {
                point.number_of(own)
            } else {
                self.read_whole(point, provenance).await?
            });
        }
        Ok(())
    }

    /// Reads a number's registers in one request: two halves of different times make no number.
    async fn read_whole(
        self,
        point: &Point<'_>,
        provenance: &mut Provenance,
    ) -> Result<Numbered, ToolError> {
        let question = Ask::Block(point.block(self.register_type));
        let Self { deps, target, call, max_age_s, .. } = self;
        let (reply, footing) = ask(deps, target, call, question, max_age_s, None).await?;
        provenance.join(&footing);
        match reply.as_ref() {
            Reply::Block(RawBlock { data: BlockData::Registers(words), .. }) => {
                Ok(point.number(words))
            }
            _ => Err(mismatched()),
        }
    }
}
