//! What devices may be asked and agents may cost: lowered by whoever writes the configuration,
//! raised only with an approver's signature wherever a write rule exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::people::{ONE, put};
use crate::actors::deps::Deps;
use crate::actors::sight::allowance_of;
use crate::config::{Agent, Config, Problem, Severity};
use crate::govern::breaker::Allowance;
use crate::ledger::Document;
use crate::model::Budget;

/// The kind of the document that keeps them.
pub(super) const GRANTED: &str = "granted";

/// Whether a reload may raise what devices may be asked and agents may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budgets {
    /// Not where a write rule exists.
    Kept,
    /// An approver signed it.
    Opened,
}

/// What was granted so far. It outlives the run and the endpoint, so that neither a restart nor
/// leaving an endpoint out for a while raises anything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Granted {
    endpoints: BTreeMap<String, Budget>,
    agents: BTreeMap<u32, Allowance>,
}

impl Granted {
    /// Lowers what a configuration asks for to what was granted, and says where.
    fn hold(&self, config: &mut Config, file: &Path) -> Vec<Problem> {
        let mut kept = Vec::new();
        for spec in &mut config.endpoints {
            let Some(was) = self.endpoints.get(spec.name.as_ref()) else { continue };
            let lower = lower_budget(*was, spec.budget);
            if lower != spec.budget {
                spec.budget = lower;
                kept.push(stays(file, &format!("endpoint {}", spec.name)));
            }
        }
        let named = config.agents.iter().map(|agent| agent.uid);
        let users: BTreeSet<u32> = named.chain(self.agents.keys().copied()).collect();
        for uid in users {
            let was = self.agents.get(&uid).copied().unwrap_or_default();
            let asked = allowance_of(config, uid);
            let lower = lower_allowance(was, asked);
            if lower != asked {
                allow(config, uid, lower);
                kept.push(stays(file, &format!("user {uid}")));
            }
        }
        kept
    }

    /// Notes what a configuration has: it is what is granted from here on.
    fn note(&mut self, config: &Config) {
        let budgets = config.endpoints.iter().map(|spec| (spec.name.to_string(), spec.budget));
        self.endpoints.extend(budgets);
        let agents = config.agents.iter().map(|agent| (agent.uid, allowance_of(config, agent.uid)));
        self.agents.extend(agents);
    }
}

fn lower_budget(was: Budget, will: Budget) -> Budget {
    Budget {
        requests_per_s: will.requests_per_s.min(was.requests_per_s),
        burst: will.burst.min(was.burst),
        connections: will.connections.min(was.connections),
        on_demand_share: will.on_demand_share.min(was.on_demand_share),
    }
}

fn lower_allowance(was: Allowance, will: Allowance) -> Allowance {
    Allowance {
        calls_per_min: will.calls_per_min.min(was.calls_per_min),
        bytes_per_min: will.bytes_per_min.min(was.bytes_per_min),
        tickets_per_hour: will.tickets_per_hour.min(was.tickets_per_hour),
        tickets_open: will.tickets_open.min(was.tickets_open),
    }
}

/// Sets what a user's agents may cost; one that is named no more stays bounded.
fn allow(config: &mut Config, uid: u32, allowed: Allowance) {
    let place = config.agents.iter().position(|agent| agent.uid == uid);
    let place = place.unwrap_or_else(|| {
        let is_closed = config.strangers_see_nothing;
        config.agents.push(Agent {
            user: uid.to_string(),
            uid,
            tags: is_closed.then(Vec::new),
            free_reads: !is_closed,
            calls_per_min: None,
            bytes_per_min: None,
            tickets_per_hour: None,
            tickets_open: None,
        });
        config.agents.len() - 1
    });
    if let Some(agent) = config.agents.get_mut(place) {
        agent.calls_per_min = Some(allowed.calls_per_min);
        agent.bytes_per_min = Some(allowed.bytes_per_min);
        agent.tickets_per_hour = Some(allowed.tickets_per_hour);
        agent.tickets_open = Some(allowed.tickets_open);
    }
}

fn stays(file: &Path, whose: &str) -> Problem {
    Problem {
        severity: Severity::Warning,
        file: file.to_owned(),
        line: 0,
        column: 0,
        key: "budget".to_owned(),
        endpoint: None,
        tag: None,
        message: format!(
            "{whose}: raising a budget needs an approver's signature, so it stays as it was"
        ),
        hint: "otctl collector reload --approver KEYFILE".to_owned(),
    }
}

impl Deps {
    /// Holds a configuration to the budgets that were granted; gives what keeps them, to be
    /// recorded with it. What was not granted stands among the configuration's problems.
    pub(crate) fn hold_budgets(&self, config: &mut Config, budgets: Budgets) -> Document {
        let file = self.setup.config.clone().unwrap_or_default();
        let mut granted = self.desk.granted.lock();
        match budgets {
            Budgets::Kept if self.needs_statement() => {
                let kept = granted.hold(config, &file);
                config.problems.extend(kept);
            }
            Budgets::Kept | Budgets::Opened => *granted = Granted::default(),
        }
        granted.note(config);
        put(GRANTED, ONE, &*granted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::driver::EndpointSpec;

    fn config(requests_per_s: f64, burst: u32, calls_per_min: Option<u32>) -> Config {
        let budget = Budget { requests_per_s, burst, ..Budget::default() };
        let endpoint = EndpointSpec {
            name: "plc".into(),
            protocol: "modbus",
            settings: serde_json::Map::new(),
            password: None,
            budget,
            tags: Vec::new(),
            state_dir: std::path::PathBuf::new(),
        };
        let agent = Agent {
            user: "linebot".to_owned(),
            uid: 1601,
            tags: Some(vec![Arc::from("line1/**")]),
            free_reads: false,
            calls_per_min,
            bytes_per_min: None,
            tickets_per_hour: None,
            tickets_open: None,
        };
        Config { endpoints: vec![endpoint], agents: vec![agent], ..Config::default() }
    }

    #[test]
    fn what_is_higher_stays_and_what_is_lower_holds() {
        let mut granted = Granted::default();
        granted.note(&config(20.0, 10, Some(12)));
        let mut wished = config(40.0, 5, Some(100));
        let kept = granted.hold(&mut wished, Path::new("config.toml"));
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.iter().all(|problem| problem.hint.contains("--approver")));
        let budget = wished.endpoints[0].budget;
        assert_eq!((budget.requests_per_s, budget.burst), (20.0, 5));
        assert_eq!(allowance_of(&wished, 1601).calls_per_min, 12);
        granted.note(&wished);
        let mut again = config(20.0, 10, Some(12));
        assert_eq!(granted.hold(&mut again, Path::new("config.toml")).len(), 1, "the burst");
    }

    #[test]
    fn leaving_it_out_for_a_while_raises_nothing() {
        let mut granted = Granted::default();
        granted.note(&config(20.0, 10, Some(12)));
        let mut without = Config::default();
        assert_eq!(granted.hold(&mut without, Path::new("")).len(), 1, "the user's calls stay");
        assert_eq!(allowance_of(&without, 1601).calls_per_min, 12);
        granted.note(&without);
        let mut back = config(1000.0, 10, None);
        assert_eq!(granted.hold(&mut back, Path::new("")).len(), 2);
        assert_eq!(back.endpoints[0].budget.requests_per_s, 20.0);
        assert_eq!(allowance_of(&back, 1601).calls_per_min, 12);
        // Narrowed all the same.
        assert_eq!(back.agents[0].tags.as_deref().map(<[_]>::len), Some(1));
    }
}
