//! What a policy says of a wish: the verdict of every rule, none left out after the first denial.

use super::policy::{Mode, Policy, Rule};
use super::require::Reading;
use super::window::Inside;
use crate::model::{Check, DataType, Tier, Timestamp, Value, Verdict, within};

/// What somebody wishes to write.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The tag's name.
    pub tag: &'a str,
    /// The type the device stores.
    pub data_type: DataType,
    /// The new value, in engineering units.
    pub value: &'a Value,
    /// The value now; `None` where it could not be read.
    pub before: Option<&'a Value>,
    /// The plant's number for the work.
    pub work_order: &'a str,
}

/// What else is so at this moment.
pub struct World<'a> {
    /// The wall clock.
    pub now: Timestamp,
    /// What a tag shows.
    pub reading: &'a dyn Fn(&str) -> Option<Reading>,
    /// How often a tag was written in the last so many milliseconds.
    pub writes: &'a dyn Fn(&str, u64) -> u32,
}

/// Asks every rule.
#[must_use]
pub fn judge(policy: &Policy, wish: &Wish<'_>, world: &World<'_>) -> Verdict {
    let mut checks = Checks::default();
    let supervised = policy.mode == Mode::Supervised;
    checks.add("mode", supervised, || "the policy allows no writes at all".into());
    if let Some(deny) = policy.denies.iter().find(|deny| deny.covers(wish.tag)) {
        checks.add(&format!("deny {}", deny.tag), false, || match deny.reason.as_str() {
            "" => "no rule can open it".into(),
            reason => reason.to_owned(),
        });
    }
    for window in &policy.deny_windows {
        let open = window.contains(world.now) == Inside::No;
        checks.add(&format!("deny_windows {window}"), open, || "nothing is written now".into());
    }
    let rule = policy.rule(wish.tag);
    checks.add("rule", rule.is_some(), || format!("no rule of policy.toml names {}", wish.tag));
    let tier = rule.map_or(Tier::Never, |rule| rule.tier);
    if let Some(rule) = rule {
        checks.add("tier", tier != Tier::Never, || "the tier is never".into());
        of_value(rule, wish, &mut checks);
        of_moment(policy, rule, wish, world, &mut checks);
    }
    Verdict {
        checks: checks.0,
        tier,
        before_tolerance: rule.map_or(0.0, |rule| rule.before_tolerance),
        readback_tolerance: rule.map_or(0.0, |rule| rule.readback_tolerance),
        readback_delay_ms: rule.map_or(0, |rule| rule.readback_delay_ms),
        revert: rule.is_some_and(|rule| rule.revert),
        ttl_ms: i64::try_from(policy.ttl_ms).unwrap_or(i64::MAX),
        policy_sha256: policy.sha256.clone(),
        policy_epoch: policy.epoch,
    }
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, rule: &str, passed: bool, why: impl FnOnce() -> String) {
        let detail = if passed { String::new() } else { why() };
        self.0.push(Check { rule: rule.to_owned(), passed, detail });
    }
}

/// Gives each number of a value; `None` where one is none.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::List(items) => items.iter().map(number).collect(),
        value => Some(vec![number(value)?]),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::I64(_) | Value::U64(_) | Value::F64(_) => value.as_f64(),
        _ => None,
    }
}

/// Asks what the rule says of the value itself.
fn of_value(rule: &Rule, wish: &Wish<'_>, checks: &mut Checks) {
    if let Some(kind) = rule.data_type {
        let same = kind == wish.data_type;
        checks.add("type", same, || format!("the rule is for {kind}, not {}", wish.data_type));
    }
    let is_number = numbers(wish.value).is_some();
    if is_number && rule.values.is_empty() && (rule.min.is_none() || rule.max.is_none()) {
        // A number without both ends is a setpoint that nobody has thought through.
        checks.add("range", false, || "the rule gives no min and max (or enum)".into());
    } else if rule.min.is_some() || rule.max.is_some() {
        let all = numbers(wish.value);
        let inside = all.is_some_and(|all| {
            let fits = |x: &f64| {
                rule.min.is_none_or(|min| *x >= min) && rule.max.is_none_or(|max| *x <= max)
            };
            all.iter().all(fits)
        });
        let ends = [rule.min, rule.max].map(|end| end.map_or("-".to_owned(), |e| e.to_string()));
        checks.add("range", inside, || format!("the rule allows {} to {}", ends[0], ends[1]));
    }
    if !rule.values.is_empty() {
        let mut allowed = rule.values.iter().filter_map(crate::model::wish);
        let listed = allowed.any(|one| within(&one, wish.value, 0.0));
        checks.add("enum", listed, || "the value is none that the rule lists".into());
    }
    if let Some(max) = rule.max_step {
        let step = wish.before.and_then(numbers).zip(numbers(wish.value)).and_then(|(a, b)| {
            let pairs = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
            (a.len() == b.len()).then(|| pairs.fold(0.0, f64::max))
        });
        // The ends of a step are read and written as doubles: their last bit is no step.
        let small = step.is_some_and(|step| step <= max * (1.0 + 1e-12));
        checks.add("step", small, || match step {
            Some(step) => format!("a step of {step} is above {max}"),
            None => "there is no step to be judged: the value before is no number".into(),
        });
    }
}

/// Asks what the rule says of the moment.
fn of_moment(
    policy: &Policy,
    rule: &Rule,
    wish: &Wish<'_>,
    world: &World<'_>,
    checks: &mut Checks,
) {
    if let Some(rate) = rule.rate {
        let done = (world.writes)(wish.tag, rate.within_ms);
        checks.add("rate", done < rate.writes, || {
            let s = rate.within_ms / 1000;
            format!("{done} writes in the last {s} s, and {} are allowed", rate.writes)
        });
    }
    if !rule.windows.is_empty() {
        let open = rule.windows.iter().any(|w| w.contains(world.now) == Inside::Yes);
        checks.add("windows", open, || {
            let all: Vec<String> = rule.windows.iter().map(ToString::to_string).collect();
            format!("it is written only in: {}", all.join("; "))
        });
    }
    // A condition that says itself how fresh its tag must be sets that for the others on it.
    let fresh_of = |tag: &str| {
        let said = rule.require.iter().filter(|c| c.tag == tag).find_map(|c| c.allowed_age_ms());
        said.unwrap_or(policy.fresh_ms)
    };
    for condition in &rule.require {
        let now = (world.reading)(&condition.tag);
        let holds = condition.holds(now.as_ref(), fresh_of(&condition.tag));
        checks.add(&format!("require {condition}"), holds.is_ok(), || {
            holds.err().unwrap_or_default()
        });
    }
    if rule.work_order {
        let named = !wish.work_order.trim().is_empty();
        checks.add("work_order", named, || "name the work order".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scalar;

    const POLICY: &str = r#"
        version = 1
        epoch = 7
        mode = "supervised"
        [[write]]
        tag = "press/temp"
        tier = "T3"
        type = "float32"
        min = 20.0
        max = 80.0
        max_step = 5.0
        max_per = "10m:1"
        require = ["press/mode == 2", "fresh(press/mode) < 1s"]
        windows = ["Mon-Fri 06:00-14:00"]
        readback = { delay_ms = 100, tol = 0.05 }
        revert = true
        work_order = true
        [[write]]
        tag = "press/recipe"
        tier = "two"
        enum = ["A", "B"]
        [[write]]
        tag = "press/open"
        tier = "one"
        [[write]]
        tag = "press/safety_door"
        tier = "one"
        min = 0
        max = 1
        [[deny]]
        tag = "*/safety_*"
        reason = "safety"
    "#;

    struct Case {
        tag: &'static str,
        value: Value,
        before: Value,
        kind: &'static str,
        order: &'static str,
        mode: u64,
        age_ms: u64,
        writes: u32,
        at: &'static str,
    }

    fn good() -> Case {
        Case {
            tag: "press/temp",
            value: Value::F64(50.0),
            before: Value::F64(47.0),
            kind: "float32",
            order: "WO-7",
            mode: 2,
            age_ms: 10,
            writes: 0,
            at: "2026-06-29T07:00:00Z",
        }
    }

    impl Case {
        fn denied_by(&self) -> Option<String> {
            let policy = Policy::parse(POLICY).unwrap();
            let reading = |tag: &str| {
                let value = Value::U64(self.mode);
                let age_ms = Some(self.age_ms);
                (tag == "press/mode").then_some(Reading { value, is_good: true, age_ms })
            };
            let wish = Wish {
                tag: self.tag,
                data_type: DataType::parse(self.kind).unwrap(),
                value: &self.value,
                before: Some(&self.before),
                work_order: self.order,
            };
            let world = World {
                now: Timestamp::parse(self.at).unwrap(),
                reading: &reading,
                writes: &|_, _| self.writes,
            };
            let verdict = judge(&policy, &wish, &world);
            assert_eq!(verdict.is_allowed(), verdict.denial().is_none());
            verdict.denial().map(|check| check.rule.clone())
        }
    }

    #[test]
    fn each_rule_denies_by_itself() {
        assert_eq!(good().denied_by(), None);
        let rows: Vec<(&str, Case)> = vec![
            ("rule", Case { tag: "press/other", ..good() }),
            ("deny */safety_*", Case { tag: "press/safety_door", value: Value::U64(1), ..good() }),
            ("type", Case { kind: "float64", ..good() }),
            ("range", Case { value: Value::F64(80.1), before: Value::F64(79.0), ..good() }),
            ("range", Case { value: Value::F64(f64::NAN), ..good() }),
            ("range", Case { value: Value::text("50"), ..good() }),
            ("range", Case { tag: "press/open", value: Value::U64(1), ..good() }),
            ("step", Case { value: Value::F64(52.1), ..good() }),
            ("step", Case { before: Value::Null, ..good() }),
            ("rate", Case { writes: 1, ..good() }),
            ("windows", Case { at: "2026-06-28T07:00:00Z", ..good() }),
            ("require press/mode == 2", Case { mode: 3, ..good() }),
            ("require press/mode == 2", Case { age_ms: 1_001, ..good() }),
            ("work_order", Case { order: " ", ..good() }),
            ("enum", Case { tag: "press/recipe", value: Value::text("C"), ..good() }),
        ];
        for (rule, case) in rows {
            assert_eq!(case.denied_by().as_deref(), Some(rule));
        }
        let recipe = Case { tag: "press/recipe", value: Value::text("B"), ..good() };
        assert_eq!(recipe.denied_by(), None);
    }

    #[test]
    fn without_a_policy_nothing_is_allowed() {
        let wish = Wish {
            tag: "a",
            data_type: DataType::One(Scalar::UInt16),
            value: &Value::U64(1),
            before: None,
            work_order: "",
        };
        let now = Timestamp::from_millis(0);
        let world = World { now, reading: &|_| None, writes: &|_, _| 0 };
        let verdict = judge(&Policy::default(), &wish, &world);
        assert!(!verdict.is_allowed());
        let failed: Vec<&str> = verdict.checks.iter().map(|c| c.rule.as_str()).collect();
        assert_eq!(failed, ["mode", "rule"], "both are said");
    }
}
