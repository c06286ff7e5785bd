//! The rules file of the tool this one replaces, for those who move over: what it would have said,
//! with its holes closed. A missing file asks for an approver, an environment is an endpoint's
//! name, and a tier nobody knows is the strictest.

use serde::Serialize;
use serde_json::Value;

use crate::model::Timestamp;

/// Rules of one file: more is no rules file.
const RULES_MAX: usize = 1_000;
const RISKS: [&str; 4] = ["low", "medium", "high", "critical"];
const TIERS: [&str; 4] = ["none", "confirm", "dual", "review"];
const HIGH: usize = 2;

/// What is asked of the rules.
#[derive(Debug, Clone)]
pub struct Operation<'a> {
    /// The tool's name.
    pub name: &'a str,
    /// `low`, `medium`, `high` or `critical`.
    pub risk: &'a str,
    /// The endpoint; empty where none is named.
    pub endpoint: &'a str,
    /// Words the call carries, such as its tag.
    pub tags: Vec<&'a str>,
    /// The wall clock.
    pub now: Timestamp,
}

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Opinion {
    /// Whether it may go on to an approver, or at once.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: String,
    /// Why, as the file has it.
    pub reason: String,
    /// The approval it takes.
    pub tier: String,
    /// The rule that says so.
    pub tier_rule: String,
    /// Whether a person has to approve.
    pub requires_approver: bool,
}

/// Asks a rules file; `None` is a missing one.
///
/// # Errors
/// It is no rules file.
pub fn ask(rules: Option<&Value>, operation: &Operation<'_>) -> Result<Opinion, String> {
    let risk = RISKS.iter().position(|known| *known == operation.risk).unwrap_or(HIGH);
    let mut opinion = Opinion {
        allowed: true,
        rule: if rules.is_some() { "default_allow" } else { "no_rules" }.to_owned(),
        reason: String::new(),
        tier: "none".to_owned(),
        tier_rule: "no_tiers".to_owned(),
        requires_approver: false,
    };
    let Some(rules) = rules else {
        opinion.requires_approver = risk >= HIGH;
        return Ok(opinion);
    };
    let rules = rules.as_object().ok_or("the rules are no mapping")?;
    for rule in list(rules.get("deny"))? {
        if matches(rule, operation, risk) {
            let name = text(rule, "name", "deny");
            opinion.reason = text(rule, "reason", &format!("Denied by rule: {name}"));
            (opinion.allowed, opinion.rule) = (false, name);
            return Ok(opinion);
        }
    }
    if let Some(window) = rules.get("maintenance_window").filter(|_| risk >= HIGH)
        && let Some(rule) = outside(window, operation.now)
    {
        opinion.allowed = false;
        opinion.reason = "high-risk operations are for the maintenance window".to_owned();
        opinion.rule = rule.to_owned();
        return Ok(opinion);
    }
    decide_tier(list(rules.get("risk_tiers"))?, operation, risk, &mut opinion);
    Ok(opinion)
}

fn decide_tier(rows: &[Value], operation: &Operation<'_>, risk: usize, opinion: &mut Opinion) {
    let mut best: Option<(usize, &Value)> = None;
    for row in rows.iter().filter(|row| matches(row, operation, risk)) {
        let word = text(row, "tier", "none");
        // A tier that nobody knows was meant to hold something back.
        let rank = TIERS.iter().position(|known| *known == word).unwrap_or(TIERS.len() - 1);
        if best.is_none_or(|(known, _)| rank > known) {
            best = Some((rank, row));
        }
    }
    if let Some((rank, row)) = best {
        opinion.tier = TIERS.get(rank).copied().unwrap_or("review").to_owned();
        opinion.tier_rule = text(row, "name", "tier");
        opinion.requires_approver = rank >= HIGH;
    } else if !rows.is_empty() {
        opinion.tier_rule = "no_tier_match".to_owned();
    }
    opinion.requires_approver |= risk >= HIGH;
}

fn list(value: Option<&Value>) -> Result<&[Value], String> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) if items.len() <= RULES_MAX => Ok(items),
        Some(_) => Err("deny and risk_tiers are lists".to_owned()),
    }
}

fn text(rule: &Value, key: &str, or: &str) -> String {
    rule.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).unwrap_or(or).to_owned()
}

/// Gives a list of words; `None` where the key is missing.
fn words<'a>(rule: &'a Value, key: &str) -> Option<Vec<&'a str>> {
    let items = rule.get(key)?.as_array()?;
    Some(items.iter().filter_map(Value::as_str).collect())
}

fn matches(rule: &Value, operation: &Operation<'_>, risk: usize) -> bool {
    let least = rule.get("min_risk_level").and_then(Value::as_str);
    if least.and_then(|word| RISKS.iter().position(|known| *known == word)) > Some(risk) {
        return false;
    }
    let names = words(rule, "operations");
    if names.is_some_and(|names| !names.iter().any(|name| glob(name, operation.name))) {
        return false;
    }
    let places = words(rule, "environments").filter(|places| !places.is_empty());
    if places.is_some_and(|places| !places.iter().any(|p| glob(p, operation.endpoint))) {
        return false;
    }
    let tags = words(rule, "tags").filter(|tags| !tags.is_empty());
    let any = |wanted: &&str| operation.tags.iter().any(|tag| glob(wanted, tag));
    tags.is_none_or(|tags| tags.iter().any(any))
}

/// `*` stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    super::policy::Deny { tag: pattern.to_owned(), reason: String::new() }.covers(name)
}

/// Tells why a moment is outside the maintenance window; what can't be read is.
fn outside(window: &Value, now: Timestamp) -> Option<&'static str> {
    let ends = ["start", "end"].map(|key| window.get(key).and_then(Value::as_str));
    let [Some(start), Some(end)] = ends else { return Some("maintenance_window_malformed") };
    match super::Window::parse(&format!("{start}-{end} UTC")) {
        Err(_) => Some("maintenance_window_malformed"),
        Ok(window) if window.contains(now) == super::window::Inside::Yes => None,
        Ok(_) => Some("maintenance_window"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches_expectation(expect: &Value, got: &Value) -> bool {
        if let Some(any) = expect.get("$any").and_then(Value::as_array) {
            return any.iter().any(|one| matches_expectation(one, got));
        }
        let fields = expect.as_object().unwrap();
        fields.iter().all(|(key, want)| got.get(key) == Some(want))
    }

    #[test]
    fn the_golden_vectors_hold() {
        let file: Value =
            serde_json::from_str(include_str!("../../tests/golden/policy.json")).unwrap();
        let now = file["generated_with_now"].as_str().unwrap();
        let mut seen = 0;
        for vector in file["vectors"].as_array().unwrap() {
            let input = &vector["input"];
            let operation = Operation {
                name: input["operation"].as_str().unwrap(),
                risk: input["risk_level"].as_str().unwrap(),
                endpoint: input["env"].as_str().unwrap(),
                tags: Vec::new(),
                now: Timestamp::parse(now).unwrap(),
            };
            let rules = [&input["rules"], &input["raw"]].into_iter().find(|v| !v.is_null());
            let name = vector["name"].as_str().unwrap();
            match (ask(rules, &operation), vector["expect"].get("$error")) {
                (Ok(opinion), None) => {
                    let got = serde_json::to_value(&opinion).unwrap();
                    assert!(matches_expectation(&vector["expect"], &got), "{name}: {got}");
                }
                (Err(_), Some(_)) => {}
                (got, want) => panic!("{name}: {got:?}, {want:?}"),
            }
            seen += 1;
        }
        assert_eq!(seen, 9);
    }

    #[test]
    fn an_environment_is_an_endpoint_and_no_rule_fails_open() {
        let at = |endpoint: &'static str, rules: &Value| {
            let now = Timestamp::parse("2026-06-30T12:00:00Z").unwrap();
            let (name, risk, tags) = ("s7_write_db", "high", Vec::new());
            ask(Some(rules), &Operation { name, risk, endpoint, tags, now }).unwrap()
        };
        let prod = json!({"deny": [{"name": "p", "environments": ["prod*"]}]});
        assert!(!at("prod1", &prod).allowed);
        assert!(at("lab", &prod).allowed && at("lab", &prod).requires_approver);
        let window = json!({"maintenance_window": {"start": "22:00", "end": "04:00"}});
        assert_eq!(at("a", &window).rule, "maintenance_window");
        let malformed = json!({"maintenance_window": {"start": "22h"}});
        assert_eq!(at("a", &malformed).rule, "maintenance_window_malformed");
    }
}
