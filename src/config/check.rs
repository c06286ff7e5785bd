//! What the configured scans ask of each device, against what it may be asked.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;

use super::Config;
use crate::driver::{EndpointSpec, Protocol, ScanCost};
use crate::model::EndpointName;

/// The scan plan of one endpoint, without a request to the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointCheck {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Its protocol.
    pub protocol: &'static str,
    /// How many tags it has.
    pub tags: usize,
    /// Requests a second its own tags need.
    pub requests_per_s_needed: f64,
    /// Requests a second the device may be asked: the strictest budget of those that share its
    /// connection.
    pub budget_requests_per_s: f64,
    /// The endpoints that share its connection and that budget.
    pub shares_with: Vec<EndpointName>,
    /// Its scan classes, fastest first.
    pub scan_classes: Vec<ScanClassCheck>,
    /// Whether its connection is asked for more than the budget, so that scans are stretched.
    pub over_budget: bool,
}

/// One scan class of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ScanClassCheck {
    /// Milliseconds from scan to scan, as configured.
    pub scan_ms: u32,
    /// Milliseconds from scan to scan that the budget allows.
    pub real_scan_ms: u32,
    /// Requests of one scan.
    pub requests: u32,
    /// Tags of one scan.
    pub tags: u32,
}

/// Works out the scan plan of every enabled endpoint, in the order of the file.
#[must_use]
pub fn check(config: &Config, protocols: &[Protocol]) -> Vec<EndpointCheck> {
    let plans: Vec<Plan<'_>> =
        config.endpoints.iter().filter_map(|spec| Plan::of(spec, protocols)).collect();
    let mut groups: HashMap<(&str, &str), Vec<&Plan<'_>>> = HashMap::new();
    for plan in &plans {
        groups.entry(plan.connection()).or_default().push(plan);
    }
    let alone = Vec::new();
    let judge = |plan: &Plan<'_>| plan.judge(groups.get(&plan.connection()).unwrap_or(&alone));
    plans.iter().map(judge).collect()
}

/// An endpoint with what its scans cost.
struct Plan<'c> {
    spec: &'c EndpointSpec,
    costs: Vec<ScanCost>,
    shared_as: Option<String>,
}

impl<'c> Plan<'c> {
    fn of(spec: &'c EndpointSpec, protocols: &[Protocol]) -> Option<Self> {
        let protocol = protocols.iter().find(|protocol| protocol.name == spec.protocol)?;
        let mut costs = (protocol.requests)(spec);
        costs.retain(|cost| cost.scan_ms > 0);
        costs.sort_by_key(|cost| cost.scan_ms);
        Some(Self { spec, costs, shared_as: (protocol.shared_as)(&spec.settings) })
    }

    /// Tells connections apart: the protocol with its own key, or the endpoint alone.
    fn connection(&self) -> (&str, &str) {
        match &self.shared_as {
            Some(key) => (self.spec.protocol, key),
            None => ("", &self.spec.name),
        }
    }

    fn judge(&self, group: &[&Plan<'_>]) -> EndpointCheck {
        let budgets = group.iter().map(|plan| plan.spec.budget.requests_per_s);
        let budget = budgets.fold(self.spec.budget.requests_per_s, f64::min);
        let mut all: Vec<ScanCost> =
            group.iter().flat_map(|plan| plan.costs.iter().copied()).collect();
        all.sort_by_key(|cost| cost.scan_ms);
        let cycle_ms = cycle_ms(&all, budget);
        let class = |cost: &ScanCost| ScanClassCheck {
            scan_ms: cost.scan_ms,
            real_scan_ms: cycle_ms.map_or(cost.scan_ms, |cycle| cycle.max(cost.scan_ms)),
            requests: cost.requests,
            tags: cost.tags,
        };
        let others =
            group.iter().map(|plan| &plan.spec.name).filter(|name| **name != self.spec.name);
        EndpointCheck {
            endpoint: self.spec.name.clone(),
            protocol: self.spec.protocol,
            tags: self.spec.tags.len(),
            requests_per_s_needed: self.costs.iter().map(needed_per_s).sum(),
            budget_requests_per_s: budget,
            shares_with: others.cloned().collect(),
            scan_classes: self.costs.iter().map(class).collect(),
            over_budget: cycle_ms.is_some(),
        }
    }
}

fn needed_per_s(cost: &ScanCost) -> f64 {
    f64::from(cost.requests) * 1000.0 / f64::from(cost.scan_ms)
}

/// Gives the shortest scan time that a budget allows, where it doesn't allow what is configured.
///
/// The scan that is longest overdue goes first, so slow classes keep their time and the fast
/// ones share what is left at one common cycle. `classes` stand fastest first.
fn cycle_ms(classes: &[ScanCost], budget_per_s: f64) -> Option<u32> {
    if classes.iter().map(needed_per_s).sum::<f64>() <= budget_per_s {
        return None;
    }
    let mut requests = 0.0;
    for (i, class) in classes.iter().enumerate() {
        requests += f64::from(class.requests);
        let slower = || classes.iter().skip(i + 1);
        let left_per_s = budget_per_s - slower().map(needed_per_s).sum::<f64>();
        let next_ms = slower().next().map_or(f64::INFINITY, |next| f64::from(next.scan_ms));
        let cycle_ms = requests * 1000.0 / left_per_s;
        if left_per_s > 0.0 && cycle_ms <= next_ms {
            let cycle = Duration::try_from_secs_f64(cycle_ms.ceil() / 1000.0);
            let whole = cycle.map_or(u128::MAX, |cycle| cycle.as_millis());
            return Some(u32::try_from(whole).unwrap_or(u32::MAX));
        }
    }
    Some(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(scan_ms: u32, requests: u32) -> ScanCost {
        ScanCost { scan_ms, requests, tags: requests }
    }

    #[test]
    fn a_plan_within_its_budget_keeps_its_scan_times() {
        assert_eq!(cycle_ms(&[class(100, 1), class(1000, 10)], 20.0), None);
        assert_eq!(cycle_ms(&[], 20.0), None);
    }

    #[test]
    fn one_class_over_its_budget_takes_as_long_as_its_requests_do() {
        assert_eq!(cycle_ms(&[class(100, 10)], 20.0), Some(500));
        assert_eq!(cycle_ms(&[class(10, 1)], 30.0), Some(34));
    }

    #[test]
    fn slow_classes_keep_their_time_while_fast_ones_are_stretched() {
        // 10 a second go to the slow class, so the fast one has 10 left for its 5 requests.
        assert_eq!(cycle_ms(&[class(100, 5), class(1000, 10)], 20.0), Some(500));
        // Both are stretched to the same cycle where the slow one alone asks too much.
        assert_eq!(cycle_ms(&[class(100, 5), class(1000, 35)], 20.0), Some(2000));
    }

    #[test]
    fn a_budget_next_to_nothing_is_no_overflow() {
        assert_eq!(cycle_ms(&[class(10, u32::MAX)], f64::MIN_POSITIVE), Some(u32::MAX));
    }
}
