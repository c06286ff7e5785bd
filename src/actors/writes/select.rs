//! The select of select-then-operate: reads the value before fresh, and asks every rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::book::writes_within;
use crate::actors::deps::{Deps, age_ms};
use crate::actors::link::Link;
use crate::clock;
use crate::driver::{DriverError, Inspected, Purpose};
use crate::govern::{self, Reading, World, separation};
use crate::model::{
    self, Approver, Check, DataType, Quality, Separation, Setpoint, Tag, Tier, Value, Verdict, hex,
};

/// What somebody wishes to write.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The tag; one of the configuration, or one made of a raw address.
    pub tag: Arc<Tag>,
    /// The value, in engineering units.
    pub value: serde_json::Value,
    /// Why. Untrusted text.
    pub reason: String,
    /// The plant's number for the work; may be empty.
    pub work_order: String,
}

/// A wish, held against the device and every rule.
pub struct Selected {
    /// The connection.
    pub link: Arc<Link>,
    /// What the endpoint is now.
    pub identity: String,
    /// The type the device stores; `None` where it was not read and the tag doesn't say.
    pub data_type: Option<DataType>,
    /// The value now, in engineering units; `Null` where it could not be read.
    pub before: Value,
    /// How far to trust it.
    pub quality: Quality,
    /// When it was read, in milliseconds of UTC since 1970.
    pub before_ms: i64,
    /// Why it could not be read.
    pub read_error: Option<DriverError>,
    /// What would go into the device, where the value fits.
    pub setpoint: Option<Setpoint>,
    /// Every rule that was asked, the policy's among them.
    pub checks: Vec<Check>,
    /// What the policy says.
    pub verdict: Verdict,
    /// Who could approve it.
    pub approvers: Vec<String>,
    /// Messages it cost the device.
    pub requests: u32,
}

impl Selected {
    /// Gives the first rule that stands against it.
    #[must_use]
    pub fn denial(&self) -> Option<&Check> {
        self.checks.iter().find(|check| !check.passed)
    }

    /// Tells whether a ticket could be opened.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.denial().is_none() && self.verdict.is_allowed() && self.setpoint.is_some()
    }
}

fn check(rule: &str, failed: Option<String>) -> Check {
    Check { rule: rule.to_owned(), passed: failed.is_none(), detail: failed.unwrap_or_default() }
}

impl Deps {
    /// Reads the value before and asks every rule; writes nothing.
    ///
    /// # Errors
    /// The endpoint is not served.
    pub async fn select(
        &self,
        wish: &Wish,
        asked_by: u32,
        deadline: Instant,
    ) -> Result<Selected, DriverError> {
        let link = self.link_of(&wish.tag)?;
        let (read, requests) = link.inspect(&wish.tag, Purpose::Demand, deadline).await;
        let before_ms = clock::now().millis();
        let (before, quality, own_type, read_error) = match read {
            Ok(Inspected { value, quality, data_type, .. }) => {
                (in_units(&wish.tag, &value), quality, data_type, None)
            }
            Err(error) => (Value::Null, error.quality(), wish.tag.data_type, Some(error)),
        };
        let data_type = (own_type != DataType::Native).then_some(own_type);
        let value = model::wish(&wish.value);
        let fitted = match (&value, data_type) {
            (Some(value), Some(kind)) => Setpoint::fit(&wish.tag, kind, value.clone())
                .map_err(|misfit| format!("{misfit}; nothing is rounded, cut or converted")),
            (None, _) => Err("null and objects are no values to write".to_owned()),
            (_, None) => Err("the type at the device is none that is written".to_owned()),
        };
        let (fits, setpoint) = match fitted {
            Ok(setpoint) => (None, Some(setpoint)),
            Err(why) => (Some(why), None),
        };
        let usable = usable(&before, quality, read_error.as_ref());
        let verdict = self.judge(wish, data_type, &value.unwrap_or(Value::Null), &before).await;
        let mut checks = vec![check("before", usable), check("value", fits)];
        checks.extend(verdict.checks.iter().cloned());
        let people = self.approvers();
        let own = self.collector_uid();
        let how = self.separation();
        if verdict.tier != Tier::Never {
            let alone = separation::fault(&people, asked_by, own, how, verdict.tier);
            checks.push(check("separation", alone));
        }
        checks.push(check("frozen", self.desk.freeze.why()));
        let eligible = separation::eligible(&people, asked_by, own, how);
        let approvers = eligible.into_iter().map(|approver| approver.id.clone()).collect();
        let identity = self.identity_of(&wish.tag.endpoint, &link);
        Ok(Selected {
            link,
            identity,
            data_type,
            before,
            quality,
            before_ms,
            read_error,
            setpoint,
            checks,
            verdict,
            approvers,
            requests,
        })
    }

    /// Asks the policy of a wish from cached values alone.
    pub async fn test_policy(&self, wish: &Wish) -> Verdict {
        let latest = self.cache.resolve(&wish.tag.name).and_then(|id| self.cache.latest(id));
        let good = latest.filter(|latest| latest.sample.quality.is_good());
        let before = good.map_or(Value::Null, |latest| latest.sample.value);
        let value = model::wish(&wish.value).unwrap_or(Value::Null);
        self.judge(wish, Some(wish.tag.data_type), &value, &before).await
    }

    /// Asks the policy of a wish as things are now.
    pub(super) async fn judge(
        &self,
        wish: &Wish,
        data_type: Option<DataType>,
        value: &Value,
        before: &Value,
    ) -> Verdict {
        let done = self.desk.book.lock().await.writes_of(&wish.tag.name);
        self.judge_with(wish, data_type, value, before, &done)
    }

    /// As [`Deps::judge`], with the writes to the tag at hand: it waits for nothing.
    pub(super) fn judge_with(
        &self,
        wish: &Wish,
        data_type: Option<DataType>,
        value: &Value,
        before: &Value,
        done: &[super::book::Done],
    ) -> Verdict {
        let policy = self.desk.rulebook.policy();
        let asked = govern::Wish {
            tag: &wish.tag.name,
            data_type: data_type.unwrap_or(DataType::Native),
            value,
            before: (!matches!(before, Value::Null)).then_some(before),
            work_order: &wish.work_order,
        };
        let moment = self.desk.moment();
        let world = World {
            now: clock::now(),
            reading: &|tag| self.reading(tag),
            writes: &|_, within_ms| writes_within(done, within_ms, moment),
        };
        govern::judge(&policy, &asked, &world)
    }

    fn reading(&self, tag: &str) -> Option<Reading> {
        let latest = self.cache.latest(self.cache.resolve(tag)?)?;
        Some(Reading {
            age_ms: age_ms(&latest),
            is_good: latest.sample.quality.is_good(),
            value: latest.sample.value,
        })
    }

    /// Finds the connection of a tag.
    pub(super) fn link_of(&self, tag: &Tag) -> Result<Arc<Link>, DriverError> {
        self.directory.find(&tag.endpoint).ok_or_else(|| {
            let what = format!("no endpoint {} is configured", tag.endpoint);
            DriverError::new(crate::driver::ErrorKind::Settings, what).hint("see plant_overview")
        })
    }

    /// Gives everybody who may approve: those of the policy and those enrolled here.
    #[must_use]
    pub fn approvers(&self) -> Vec<Approver> {
        let mut all = self.desk.rulebook.policy().approvers.clone();
        let known = |all: &[Approver], key: &str| all.iter().any(|a| a.key == key);
        for (approver, is_revoked) in self.desk.people.lock().iter() {
            match is_revoked {
                true => all.retain(|a| a.key != approver.key),
                false if !known(&all, &approver.key) => all.push(approver.clone()),
                false => {}
            }
        }
        all
    }

    /// Tells whether requester and approver must be different people.
    #[must_use]
    pub fn separation(&self) -> Separation {
        if self.is_demo() { Separation::Relaxed } else { Separation::Strict }
    }

    /// Gives the user this collector runs as.
    #[must_use]
    pub fn collector_uid(&self) -> u32 {
        rustix::process::getuid().as_raw()
    }

    /// Says why what this collector's own user asks for could never be approved by somebody else;
    /// `None` where it could, or where nothing may be written anyway.
    #[must_use]
    pub fn separation_fault(&self) -> Option<String> {
        let policy = self.desk.rulebook.policy();
        let own = self.collector_uid();
        let fault = || separation::fault(&self.approvers(), own, own, self.separation(), Tier::One);
        if policy.opens_anything() { fault() } else { None }
    }

    /// Digests what an endpoint is: its settings, and what the device says of itself that doesn't
    /// change while it runs.
    pub(super) fn identity_of(&self, endpoint: &str, link: &Link) -> String {
        let config = self.config.read().clone();
        let spec = config.endpoints.iter().find(|spec| spec.name.as_ref() == endpoint);
        let spec = spec.unwrap_or(&link.spec);
        let settings: BTreeMap<&String, &serde_json::Value> = spec.settings.iter().collect();
        let says = link.report().identity.unwrap_or_default();
        let mut hash = Sha256::new();
        let mut put = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        };
        [endpoint, spec.protocol].into_iter().for_each(&mut put);
        for (key, value) in settings {
            put(key);
            put(&value.to_string());
        }
        [&says.product, &says.manufacturer, &says.version].into_iter().for_each(|s| put(s));
        says.details.iter().for_each(|(name, text)| {
            put(name);
            put(text);
        });
        hex(&hash.finalize())
    }
}

/// Gives a value as the tag shows it.
pub(super) fn in_units(tag: &Tag, raw: &Value) -> Value {
    tag.scale.map_or_else(|| raw.clone(), |scale| scale.apply(raw))
}

fn usable(before: &Value, quality: Quality, error: Option<&DriverError>) -> Option<String> {
    match error {
        Some(error) => Some(format!("it could not be read: {}", error.with_hint())),
        None if !quality.is_good() => Some(format!("it is {}", quality.name())),
        None if matches!(before, Value::Null) || before.is_non_finite() => {
            Some("the device has no value there".to_owned())
        }
        None => None,
    }
}
