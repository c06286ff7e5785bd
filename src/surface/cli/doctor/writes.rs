//! Whether the policy of writes can be used, and whether two people can be told apart here.

use super::{Facts, Row};
use crate::govern::{file, separation};
use crate::model::{Separation, Tier, counted};
use crate::tools::setup::{Check, Verdict};

/// Reads the policy beside the configuration as the collector would.
pub(super) fn policy(facts: &Facts) -> Vec<Row> {
    let Some(path) = facts.path.as_ref().map(|path| path.with_file_name("policy.toml")) else {
        return Vec::new();
    };
    let own = rustix::process::getuid().as_raw();
    let policy = match file::load(&path, own) {
        Ok(None) => return Vec::new(),
        Ok(Some(found)) => found.policy,
        Err(fault) => {
            let check = Check::new("policy", Verdict::Fault, fault.to_string());
            let fix = "mend it, then otctl policy check; until then writes are frozen";
            return vec![Row::new("writes", check.fix(fix))];
        }
    };
    let text = format!(
        "{}: epoch {}, {}",
        path.display(),
        policy.epoch,
        counted(policy.rules.len(), "rule")
    );
    let mut rows = vec![Row::new("writes", Check::new("policy", Verdict::Ok, text))];
    let has_own_users = facts.config.as_ref().is_ok_and(|c| c.doors.agent_group.is_some());
    let alone = separation::fault(&policy.approvers, own, own, Separation::Strict, Tier::One);
    if let Some(why) = alone.filter(|_| policy.opens_anything() && !has_own_users) {
        let check = Check::new("separation", Verdict::Fault, why);
        let fix = "set doors.agent_group, or name an approver with offline = true";
        rows.push(Row::new("writes", check.fix(fix)));
    }
    rows
}
