//! What people do with `otctl` beyond calling tools: they look at a ticket and sign it, make keys,
//! check and sign policies. Keys are opened here, where the person sits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};

use super::certificate::Terminal;
use super::client::Session;
use super::exit::{Exit, Failure};
use super::keyfile;
use super::screen::{Beside, is_value, screen};
use crate::clock;
use crate::govern::keys::{OpenKey, enrolment, statement};
use crate::model::{Approver, Ticket};
use crate::surface::render::{Look, Output, Reader, render};
use crate::surface::state::StateDir;
use crate::tools::Audience;

/// What a call that only looks may take.
const WITHIN: Duration = Duration::from_secs(15);
/// A write, its read-backs and its records.
const OUTCOME_S: u64 = 30;
/// A ticket in a file.
const TICKET_BYTES_MAX: u64 = 256 * 1024;

/// The argument that names a key.
const APPROVER: &str = "ot-approver";

/// One piece of such work.
#[derive(Debug, Clone)]
pub(super) enum Task {
    /// Shows a ticket, signs it, hands the signature in, and waits for the outcome.
    Approve { id: String, key: Option<PathBuf> },
    /// Writes a ticket to a file, for another machine.
    Export { id: String, file: PathBuf },
    /// Shows and signs an exported ticket; nothing is connected to.
    Sign { file: PathBuf, key: Option<PathBuf> },
    /// Hands in the signature of a signed file.
    Import { file: PathBuf },
    /// Prints open tickets as they come.
    Watch,
    /// Makes a key.
    NewKey { id: String, key: Option<PathBuf> },
    /// Enrols an approver with another one's signature.
    Enrol { approver: Approver, key: PathBuf },
    /// Lifts the freeze with an approver's signature.
    Thaw { key: PathBuf },
    /// Trusts a certificate with an approver's signature.
    Trust { arguments: Map<String, Value>, key: PathBuf },
    /// Reads the configuration again with an approver's signature.
    Reload { key: PathBuf },
    /// Checks a policy file.
    CheckPolicy { file: PathBuf },
    /// Signs a policy file.
    SignPolicy { file: PathBuf, key: Option<PathBuf> },
    /// Shows a policy file.
    ShowPolicy { file: PathBuf },
}

pub(super) fn key_arg() -> Arg {
    Arg::new(APPROVER)
        .long("approver")
        .value_name("KEYFILE")
        .value_parser(value_parser!(PathBuf))
        .help("The approver's key; its passphrase is asked for at the terminal")
}

fn file_arg(help: &'static str) -> Arg {
    Arg::new("file").value_parser(value_parser!(PathBuf)).required(true).help(help)
}

fn policy_arg() -> Arg {
    let help = "The policy; else the one beside the configuration";
    Arg::new("file").value_parser(value_parser!(PathBuf)).help(help)
}

/// Adds what people do to a noun that tools have made.
pub(super) fn extend(noun: &str, command: Command) -> Command {
    let verb = |name: &'static str, about: &'static str| Command::new(name).about(about);
    let id = || Arg::new("id").required(true).help("The ticket: MOC-118");
    match noun {
        "moc" => command
            .mut_subcommand("approve", |approve| approve.defer(approve_arguments))
            .mut_subcommand("list", |list| list.defer(list_arguments))
            .subcommand(
                verb("export", "Writes a ticket to a file, to be signed on another machine")
                    .arg(id())
                    .arg(file_arg("Where to; nothing is written over")),
            )
            .subcommand(
                verb("sign", "Shows and signs an exported ticket, without any connection")
                    .arg(file_arg("The exported ticket; the signature goes beside it as .signed"))
                    .arg(key_arg()),
            )
            .subcommand(
                verb("import", "Hands in the signature of a signed ticket")
                    .arg(file_arg("The .signed file")),
            ),
        "approver" => {
            command.mut_subcommand("enrol", |enrol| enrol.defer(enrol_arguments)).subcommand(
                verb("new", "Makes a key under a passphrase, and prints how to enrol it")
                    .arg(Arg::new("id").required(true).help("The person"))
                    .arg(key_arg()),
            )
        }
        "writes" => command.mut_subcommand("thaw", |thaw| thaw.arg(key_arg())),
        "collector" => command.mut_subcommand("reload", |reload| reload.arg(key_arg())),
        "policy" => command
            .subcommand(verb("check", "Checks a policy file").arg(policy_arg()))
            .subcommand(verb("show", "Shows a policy file").arg(policy_arg()))
            .subcommand(
                verb("sign", "Signs a policy file; the signature goes beside it as .sig")
                    .arg(policy_arg())
                    .arg(key_arg()),
            ),
        _ => command,
    }
}

fn tool_arguments(name: &str, command: Command) -> Command {
    match crate::tools::TOOLS.iter().find(|tool| tool.name == name) {
        Some(tool) => (tool.arguments)(command),
        None => command,
    }
}

fn approve_arguments(command: Command) -> Command {
    let command = tool_arguments("moc_approve", command).arg(key_arg());
    let free = |arg: Arg| arg.required(false).hide(true);
    command.mut_arg("key", free).mut_arg("signature", free)
}

fn enrol_arguments(command: Command) -> Command {
    tool_arguments("approver_enrol", command).arg(key_arg())
}

fn list_arguments(command: Command) -> Command {
    tool_arguments("moc_list", command).arg(
        Arg::new("ot-watch")
            .long("watch")
            .action(ArgAction::SetTrue)
            .help("Prints open tickets as they come, until interrupted"),
    )
}

/// Reads what the command line asks for, where it is one of these and no plain call.
pub(super) fn task(noun: &str, verb: &str, rest: &ArgMatches) -> Result<Option<Task>, Failure> {
    let text = |name: &str| rest.get_one::<String>(name).cloned().unwrap_or_default();
    let key = || rest.try_get_one::<PathBuf>(APPROVER).ok().flatten().cloned();
    let file = || rest.try_get_one::<PathBuf>("file").ok().flatten().cloned();
    let needed = || file().unwrap_or_default();
    Ok(Some(match (noun, verb) {
        ("moc", "approve") if !rest.contains_id("signature") => {
            Task::Approve { id: text("id"), key: key() }
        }
        ("moc", "list") if rest.get_flag("ot-watch") => Task::Watch,
        ("moc", "export") => Task::Export { id: text("id"), file: needed() },
        ("moc", "sign") => Task::Sign { file: needed(), key: key() },
        ("moc", "import") => Task::Import { file: needed() },
        ("approver", "new") => Task::NewKey { id: text("id"), key: key() },
        ("approver", "enrol") => {
            let Some(key) = key() else { return Ok(None) };
            let approver = Approver {
                id: text("id"),
                key: text("public_key").trim_start_matches("ed25519:").to_ascii_lowercase(),
                uid: rest.get_one::<u32>("uid").copied(),
                offline: rest.get_flag("offline"),
            };
            Task::Enrol { approver, key }
        }
        ("cert", "trust") => {
            let Some(key) = key().filter(|_| rest.contains_id("confirm")) else { return Ok(None) };
            let arguments = json!({"fingerprint": text("fingerprint"), "confirm": text("confirm")});
            Task::Trust { arguments: arguments.as_object().cloned().unwrap_or_default(), key }
        }
        ("writes", "thaw") => match key() {
            Some(key) => Task::Thaw { key },
            None => return Ok(None),
        },
        ("collector", "reload") => match key() {
            Some(key) => Task::Reload { key },
            None => return Ok(None),
        },
        ("policy", "check") => Task::CheckPolicy { file: policy(file())? },
        ("policy", "show") => Task::ShowPolicy { file: policy(file())? },
        ("policy", "sign") => Task::SignPolicy { file: policy(file())?, key: key() },
        _ => return Ok(None),
    }))
}

fn policy(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let beside = || Some(crate::config::find(None, &env)?.with_file_name("policy.toml"));
    given.or_else(beside).ok_or_else(|| {
        Failure::new(Exit::Usage, "no configuration is found").hint("name the policy file")
    })
}

/// Does it; nothing is left to print where it has printed itself.
pub(super) async fn run(
    state: &StateDir,
    task: Task,
    output: Output,
) -> Result<Option<Value>, Failure> {
    match task {
        Task::Approve { id, key } => approve(state, &id, key.as_ref()).await.map(Some),
        Task::Export { id, file } => {
            let session = Session::open(state, Audience::Everyone).await?;
            let shown = shown(&session, &id).await?;
            let text = serde_json::to_string_pretty(&shown).unwrap_or_default();
            keyfile::write_new(&file, text.as_bytes())?;
            Ok(Some(json!({"moc_id": id, "file": file, "digest": shown.get("digest")})))
        }
        Task::Sign { file, key } => sign(&file, key.as_ref()).await.map(Some),
        Task::Import { file } => {
            let signed = keyfile::read(&file, TICKET_BYTES_MAX)?;
            let session = Session::open(state, Audience::OperatorsOnly).await?;
            hand_in(&session, object(&signed)?).await.map(Some)
        }
        Task::Watch => watch(state, output).await.map(|()| None),
        Task::NewKey { id, key } => {
            let path = keyfile::place(key.as_ref())?;
            let made = keyfile::make(&path, &id)?;
            Ok(Some(json!({
                "id": made.id, "file": path, "public_key": made.public,
                "enrol": format!("otctl approver enrol {} {}", made.id, made.public),
                "policy": format!("key = \"ed25519:{}\"", made.public),
            })))
        }
        Task::Enrol { approver, key } => {
            let arguments = json!({
                "id": approver.id, "public_key": approver.key, "uid": approver.uid,
                "offline": approver.offline,
            });
            let what = ("enrol", enrolment(&approver), "approver_enrol");
            stated(state, &key, what, arguments).await.map(Some)
        }
        Task::Thaw { key } => {
            let what = ("thaw", "writes".to_owned(), "writes_thaw");
            stated(state, &key, what, json!({})).await.map(Some)
        }
        Task::Reload { key } => {
            let what = ("reload", "budgets".to_owned(), "collector_reload");
            stated(state, &key, what, json!({})).await.map(Some)
        }
        Task::Trust { arguments, key } => {
            let subject = arguments.get("fingerprint").and_then(Value::as_str).unwrap_or_default();
            let what = ("trust", subject.to_owned(), "cert_trust");
            stated(state, &key, what, Value::Object(arguments)).await.map(Some)
        }
        Task::CheckPolicy { file } => super::policy::check(&file).map(Some),
        Task::ShowPolicy { file } => super::policy::show(&file).map(Some),
        Task::SignPolicy { file, key } => super::policy::sign(&file, key.as_ref()).await.map(Some),
    }
}

fn object(text: &str) -> Result<Map<String, Value>, Failure> {
    let unreadable = || Failure::new(Exit::Usage, "the file holds no JSON object");
    serde_json::from_str(text).map_err(|_| unreadable())
}

async fn shown(session: &Session, id: &str) -> Result<Value, Failure> {
    let arguments = json!({"id": id, "ticket": true});
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    session.call("moc_status", arguments, WITHIN).await
}

/// Reads the very ticket that is signed out of what is shown of it.
fn ticket_of(shown: &Value) -> Result<Ticket, Failure> {
    let ticket = shown.get("ticket").cloned().unwrap_or_default();
    serde_json::from_value(ticket).map_err(|error| {
        Failure::new(Exit::Usage, format!("this is no ticket that can be signed: {error}"))
            .hint("the collector may be of another version than this otctl")
    })
}

async fn approve(state: &StateDir, id: &str, key: Option<&PathBuf>) -> Result<Value, Failure> {
    let terminal = Terminal::open()?;
    let path = keyfile::place(key)?;
    let session = Session::open(state, Audience::OperatorsOnly).await?;
    let shown = shown(&session, id).await?;
    let ticket = ticket_of(&shown)?;
    let history = json!({"tag": ticket.tag, "since": "-24h", "max_points": 60});
    let history = history.as_object().cloned().unwrap_or_default();
    // A tag without history has no plot, and can be approved all the same.
    let day = session.call("tag_history", history, WITHIN).await.ok();
    confirm(terminal, &shown, &ticket, day.as_ref()).await?;
    let key = keyfile::open(&path).await?;
    let approval = approval(&ticket, &key);
    hand_in(&session, approval).await
}

fn approval(ticket: &Ticket, key: &OpenKey) -> Map<String, Value> {
    let signature = key.sign(&ticket.canonical());
    let approval = json!({"id": ticket.id, "key": key.public(), "signature": signature});
    approval.as_object().cloned().unwrap_or_default()
}

/// Shows a ticket, and wants the new value typed.
async fn confirm(
    mut terminal: Terminal,
    shown: &Value,
    ticket: &Ticket,
    day: Option<&Value>,
) -> Result<(), Failure> {
    let reason = shown.get("untrusted_reason").and_then(Value::as_str).unwrap_or_default();
    let beside = Beside { reason, limits: shown.get("limits"), day };
    let text = format!(
        "{}\nType the new value to approve it, or nothing to leave it: ",
        screen(ticket, &beside, clock::now())
    );
    let asked = tokio::task::spawn_blocking(move || terminal.ask(&text)).await;
    let typed = asked.map_err(|error| Failure::new(Exit::Usage, error.to_string()))??;
    if is_value(&typed, ticket) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "not approved: what was typed is not the new value")
        .hint("type the value as it stands under `after`, without the unit"))
}

/// Hands a signature in, and waits for what becomes of the ticket.
async fn hand_in(session: &Session, approval: Map<String, Value>) -> Result<Value, Failure> {
    let id = approval.get("id").cloned().unwrap_or_default();
    let approved = session.call("moc_approve", approval, WITHIN).await?;
    let is_done = approved.get("state").and_then(Value::as_str) != Some("requested");
    if !is_done {
        return Ok(approved);
    }
    let wait = json!({"id": id, "wait_s": OUTCOME_S});
    let wait = wait.as_object().cloned().unwrap_or_default();
    session.call("moc_status", wait, WITHIN + Duration::from_secs(OUTCOME_S)).await
}

async fn sign(file: &Path, key: Option<&PathBuf>) -> Result<Value, Failure> {
    let terminal = Terminal::open()?;
    let text = keyfile::read(file, TICKET_BYTES_MAX)?;
    let shown = Value::Object(object(&text)?);
    let ticket = ticket_of(&shown)?;
    confirm(terminal, &shown, &ticket, None).await?;
    let key = keyfile::open(&keyfile::place(key)?).await?;
    let approval = Value::Object(approval(&ticket, &key));
    let mut beside = file.as_os_str().to_owned();
    beside.push(".signed");
    let beside = PathBuf::from(beside);
    let text = serde_json::to_string_pretty(&approval).unwrap_or_default();
    keyfile::write_new(&beside, text.as_bytes())?;
    Ok(json!({"moc_id": ticket.id, "signed": beside, "digest": ticket.digest()}))
}

/// Signs what widens authority, and calls the tool that does it.
async fn stated(
    state: &StateDir,
    key: &Path,
    (action, subject, tool): (&str, String, &str),
    arguments: Value,
) -> Result<Value, Failure> {
    let session = Session::open(state, Audience::OperatorsOnly).await?;
    let key = keyfile::open(key).await?;
    let list = session.call("approver_list", Map::new(), WITHIN).await?;
    let after = list.get("after").and_then(Value::as_u64).unwrap_or_default();
    let mut arguments = arguments.as_object().cloned().unwrap_or_default();
    arguments.retain(|_, value| !value.is_null());
    let signature = key.sign(&statement(action, &subject, after));
    let signed = json!({"key": key.public(), "signature": signature, "after": after});
    arguments.insert("signed".into(), signed);
    session.call(tool, arguments, WITHIN).await
}

/// Prints open tickets as they come.
async fn watch(state: &StateDir, output: Output) -> Result<(), Failure> {
    let session = Session::open(state, Audience::Everyone).await?;
    let arguments = json!({"open": true, "limit": 100});
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let mut before = Value::Null;
    loop {
        let list = session.call("moc_list", arguments.clone(), WITHIN).await?;
        // How long each still has changes with every look.
        let ids = |list: &Value| -> Vec<(Value, Value)> {
            let rows = list.get("tickets").and_then(Value::as_array).cloned().unwrap_or_default();
            let field = |row: &Value, name: &str| row.get(name).cloned().unwrap_or_default();
            rows.iter().map(|row| (field(row, "moc_id"), field(row, "state"))).collect()
        };
        if before.is_null() || ids(&list) != ids(&before) {
            let is_none = ids(&list).is_empty() && output == Output::Table;
            match is_none {
                true => println!("no open tickets"),
                false => print!("{}", render(&list, output, Look::of_stdout(), &Reader::here())),
            }
            before = list;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
