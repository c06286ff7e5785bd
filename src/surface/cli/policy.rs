//! `otctl policy check`, `show` and `sign`: the file itself, wherever it lies.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::certificate::Terminal;
use super::exit::{Exit, Failure};
use super::keyfile;
use crate::gate::verify;
use crate::govern::{Policy, file};
use crate::model::counted;

/// A policy is some kilobytes.
const POLICY_BYTES_MAX: u64 = 1 << 20;

fn fault(error: crate::govern::PolicyFault) -> Failure {
    Failure::new(Exit::Finding, error.0)
        .hint("until it is mended, reads go on and writes are frozen")
}

fn found(path: &Path) -> Result<file::Found, Failure> {
    let own = rustix::process::getuid().as_raw();
    file::load(path, own).map_err(fault)?.ok_or_else(|| {
        let text = format!("{}: there is no policy, so nothing is written", path.display());
        Failure::new(Exit::Finding, text).hint("write one; ot-aiops demo has an example")
    })
}

/// Checks a policy.
pub(super) fn check(path: &Path) -> Result<Value, Failure> {
    let found = found(path)?;
    let signed_by = found.signature.as_ref().map(|by| {
        let is_good = verify(&by.key, &found.signed, &by.signature);
        if is_good { by.key.clone() } else { "a signature over another text".to_owned() }
    });
    let policy = &found.policy;
    Ok(json!({
        "file": path, "epoch": policy.epoch, "sha256": policy.sha256,
        "opens_anything": policy.opens_anything(), "rules": policy.rules.len(),
        "approvers": policy.approvers.len(), "denies": policy.denies.len(),
        "signed_by": signed_by,
    }))
}

/// Shows what a policy opens.
pub(super) fn show(path: &Path) -> Result<Value, Failure> {
    let policy = found(path)?.policy;
    let rules: Vec<Value> = policy
        .rules
        .iter()
        .map(|rule| {
            let require: Vec<String> = rule.require.iter().map(ToString::to_string).collect();
            json!({
                "tag": rule.tag, "tier": rule.tier, "min": rule.min, "max": rule.max,
                "max_step": rule.max_step, "enum": rule.values, "require": require,
                "revert": rule.revert, "work_order": rule.work_order,
            })
        })
        .collect();
    let approvers: Vec<Value> = policy.approvers.iter().map(|a| json!(a)).collect();
    let denies: Vec<&str> = policy.denies.iter().map(|deny| deny.tag.as_str()).collect();
    Ok(json!({"epoch": policy.epoch, "rules": rules, "approvers": approvers, "denies": denies}))
}

/// Signs a policy: the text as it lies there.
pub(super) async fn sign(path: &Path, key: Option<&PathBuf>) -> Result<Value, Failure> {
    let mut terminal = Terminal::open()?;
    let text = keyfile::read(path, POLICY_BYTES_MAX)?;
    let policy = Policy::parse(&text).map_err(fault)?;
    let question = format!(
        "{}\n  epoch {}, {}, {}\nType the epoch to sign it, or nothing: ",
        path.display(),
        policy.epoch,
        counted(policy.rules.len(), "rule"),
        counted(policy.approvers.len(), "approver")
    );
    let asked = tokio::task::spawn_blocking(move || terminal.ask(&question)).await;
    let typed = asked.map_err(|error| Failure::new(Exit::Usage, error.to_string()))??;
    if typed.parse() != Ok(policy.epoch) {
        return Err(Failure::new(Exit::Usage, "not signed: that is not its epoch"));
    }
    let key = keyfile::open(&keyfile::place(key)?).await?;
    let signature = file::PolicySignature {
        key: key.public(),
        signature: key.sign(&file::signed_bytes(&text)),
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    let beside = PathBuf::from(beside);
    let text = serde_json::to_string(&signature).unwrap_or_default();
    // An older signature is over an older text.
    std::fs::write(&beside, text)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", beside.display())))?;
    Ok(json!({"file": path, "epoch": policy.epoch, "signed": beside, "by": signature.key}))
}
