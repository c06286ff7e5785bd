//! What the births said: the names behind aliases, and the types behind names.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::errors::decode;
use super::metric::{RawMetric, RawPayload, name, type_name};
use crate::driver::{Content, DriverError, Metric};
use crate::model::{Quality, Value};

/// The metrics of one birth.
#[derive(Debug, Default)]
pub(in super::super) struct Names {
    aliases: HashMap<u64, Arc<str>>,
    kinds: HashMap<Arc<str>, u32>,
}

/// A metric whose name and type are known.
pub(in super::super) struct Named<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) kind: u32,
    /// The message itself says both, so that no birth is needed to trust it.
    pub(in super::super) is_self_told: bool,
}

impl Names {
    /// Learns from a birth.
    pub(in super::super) fn of_birth(payload: &RawPayload<'_>) -> Self {
        let mut names = Self::default();
        for metric in &payload.metrics {
            let Some(text) = metric.name else { continue };
            let known = name(text);
            if let Some(alias) = metric.alias {
                names.aliases.insert(alias, known.clone());
            }
            names.kinds.insert(known, metric.kind.unwrap_or_default());
        }
        names
    }

    /// Gives how many there are.
    pub(in super::super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Lists the names.
    pub(in super::super) fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.kinds.keys()
    }

    /// Tells whether the birth named it.
    pub(in super::super) fn has(&self, name: &str) -> bool {
        self.kinds.contains_key(name)
    }

    /// Gives the type of a metric and its alias, for a command.
    #[cfg(feature = "writes")]
    pub(in super::super) fn kind(&self, name: &str) -> Option<u32> {
        self.kinds.get(name).copied().filter(|kind| *kind > 0)
    }

    /// Finds a metric's name and type.
    ///
    /// # Errors
    /// Its alias is one that no birth has named, or it has neither name nor alias.
    pub(in super::super) fn find<'a>(
        &'a self,
        metric: &RawMetric<'a>,
    ) -> Result<Named<'a>, DriverError> {
        let own = metric.kind.filter(|kind| *kind > 0);
        if let Some(name) = metric.name {
            let is_self_told = own.is_some() || metric.raw.own_kind().is_some();
            let known = own.or_else(|| self.kinds.get(name).copied().filter(|kind| *kind > 0));
            let kind = known.or(metric.raw.own_kind()).unwrap_or_default();
            return Ok(Named { name, kind, is_self_told });
        }
        let Some(alias) = metric.alias else {
            return Err(decode("a metric has neither name nor alias"));
        };
        let Some(name) = self.aliases.get(&alias) else {
            return Err(decode(format!("alias {alias} is one that no birth has named"))
                .hint("ask the node for a rebirth, or set rebirth = true on this endpoint"));
        };
        let kind = own.or_else(|| self.kinds.get(name).copied()).unwrap_or_default();
        Ok(Named { name, kind, is_self_told: false })
    }
}

/// Shows a whole payload, with the names that are known.
pub(in super::super) fn shown(bytes: &[u8], names: &Names) -> Result<Content, DriverError> {
    let payload = RawPayload::read(bytes)?;
    let metrics: Vec<Metric> = payload.metrics.iter().map(|metric| one(metric, names)).collect();
    Ok(Content::Metrics {
        source_ts: payload.timestamp.and_then(super::metric::instant),
        seq: payload.seq,
        metrics: metrics.into(),
    })
}

fn one(metric: &RawMetric<'_>, names: &Names) -> Metric {
    let found = names.find(metric);
    let (text, kind) = found.as_ref().map_or(("", 0), |named| (named.name, named.kind));
    let read = match &found {
        Ok(_) => metric.value(kind),
        Err(error) => Err(error.clone()),
    };
    let (value, quality, error) = match read {
        Ok((value, quality)) => (value, quality, None),
        Err(error) => (Value::Null, Quality::BAD_DECODING_ERROR, Some(error)),
    };
    Metric {
        name: name(text),
        alias: metric.alias,
        data_type: type_name(kind),
        value,
        quality,
        source_ts: metric.source_ts(),
        is_historical: metric.is_historical,
        error,
    }
}
