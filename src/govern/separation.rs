//! Whether requester and approver can be different people here.

use crate::model::{Approver, Separation, Tier};

/// Lists who could approve what a user asks for.
#[must_use]
pub fn eligible<'a>(
    approvers: &'a [Approver],
    asked_by: u32,
    collector_uid: u32,
    separation: Separation,
) -> Vec<&'a Approver> {
    let is_other = |approver: &&Approver| {
        separation == Separation::Relaxed
            || approver.offline
            || (asked_by != 0 && asked_by != collector_uid && approver.uid != Some(asked_by))
    };
    approvers.iter().filter(is_other).collect()
}

/// Says why what a user asks for can't be approved by another person; `None` where it can.
#[must_use]
pub fn fault(
    approvers: &[Approver],
    asked_by: u32,
    collector_uid: u32,
    separation: Separation,
    tier: Tier,
) -> Option<String> {
    let needed = tier.approvals()?;
    let there = eligible(approvers, asked_by, collector_uid, separation).len();
    if there >= needed {
        return None;
    }
    if asked_by == collector_uid || asked_by == 0 {
        return Some(format!(
            "user {asked_by} asks, and runs the collector or is root: nobody on this machine can \
             be told apart from it. Give agents a user of their own (doors.agent_group), or enrol an \
             approver whose key is kept on another machine (offline = true)"
        ));
    }
    Some(format!(
        "{there} of the {needed} approvers it takes are other people than user {asked_by}; enrol \
         one: otctl approver new, then otctl approver enrol"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approver(id: &str, uid: Option<u32>, offline: bool) -> Approver {
        Approver { id: id.into(), key: id.into(), uid, offline }
    }

    #[test]
    fn one_user_who_runs_everything_is_told_so() {
        let own = [approver("a", Some(1000), false)];
        let fault_of = |people: &[Approver], asked: u32, separation, tier| {
            fault(people, asked, 1000, separation, tier).is_some()
        };
        assert!(fault_of(&own, 1000, Separation::Strict, Tier::One));
        assert!(fault_of(&own, 0, Separation::Strict, Tier::One));
        assert!(!fault_of(&own, 1000, Separation::Relaxed, Tier::One));
        assert!(!fault_of(&own, 1601, Separation::Strict, Tier::One));
        assert!(fault_of(&own, 1601, Separation::Strict, Tier::Two));
        let offline = [approver("b", None, true)];
        assert!(!fault_of(&offline, 1000, Separation::Strict, Tier::One));
        assert!(fault_of(&[], 1601, Separation::Strict, Tier::One));
    }
}
