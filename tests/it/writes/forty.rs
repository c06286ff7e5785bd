//! The ways in which an agent might approve for itself, tried one by one at a collector's doors,
//! on its command line and on its files: each is refused, and nothing goes to the device.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::people::{AGENT, APPROVER, agent_of, is_root, policy_of_people, site};
use super::walk::PHRASE;
use super::{OFFLINE, Person, opened, proved, records, status};
use crate::collector::Collector;
use crate::counter::{Counter, Framing};
use crate::peer::{self, package};
use crate::wire::Client;

/// How one is tried.
enum Way {
    /// A tool at the agents' door.
    Agent(&'static str, Value),
    /// Any request at the agents' door.
    Request(&'static str, Value),
    /// A tool at the operators' door, by an agent's user that is in their group by mistake.
    Operator(&'static str, Value),
    /// A script of the agent's user, in the operators' group by mistake.
    Script(&'static str),
    /// A script that the kernel stops, where the agent's user is another than the collector's.
    Kernel(&'static str),
}

/// One attempt, and a word of what refuses it.
struct Attempt(&'static str, Way, &'static str);

/// What the attempts are made of.
struct Loot {
    id: String,
    /// An approval of the ticket by a key of the agent's own.
    own: Value,
    /// The approver's true approval of the ticket, come by somehow.
    stolen: Value,
    /// The approver's true approval of another ticket.
    other: Value,
    /// What another approver signed to enrol somebody else.
    enrolment: Value,
    shown: Value,
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    object[field] = value;
    object
}

/// At the agents' own door: tools, spellings, requests, and fields that no request has.
fn at_the_agents_door(loot: &Loot) -> Vec<Attempt> {
    use Way::{Agent, Request};
    let Loot { id, own, stolen, .. } = loot;
    let me = json!({"id": "me", "public_key": own["key"], "offline": true});
    let ask = json!({"tag": "line/speed", "value": 122});
    let field = |name: &str, value: Value| Agent("moc_request", with(ask.clone(), name, value));
    let called = json!({"name": "moc_approve", "arguments": stolen,
        "_meta": {"role": "operator", "uid": APPROVER}});
    vec![
        Attempt("approves with a key of its own", Agent("moc_approve", own.clone()), "denied"),
        Attempt("hands another's approval in", Agent("moc_approve", stolen.clone()), "denied"),
        Attempt("approves with nothing", Agent("moc_approve", json!({"id": id})), "denied"),
        Attempt("enrols itself", Agent("approver_enrol", me), "denied"),
        Attempt(
            "removes who refuses",
            Agent("approver_revoke", json!({"id": "offline"})),
            "denied",
        ),
        Attempt("undoes instead", Agent("moc_undo", json!({"id": id})), "denied"),
        Attempt("lifts a freeze", Agent("writes_thaw", json!({})), "denied"),
        Attempt("has the policy read anew", Agent("collector_reload", json!({})), "denied"),
        Attempt("spells it otherwise", Agent("MOC_APPROVE", stolen.clone()), "unknown_tool"),
        Attempt("says in passing who it is", Request("tools/call", called), "denied"),
        Attempt("makes a method of it", Request("moc/approve", stolen.clone()), "-32601"),
        Attempt(
            "makes a resource of it",
            Request("resources/read", json!({"uri": format!("ot://moc/{id}/approve")})),
            "-32",
        ),
        Attempt("asks for it approved", field("approved", json!(true)), "bad_arguments"),
        Attempt("names an approver", field("approver", json!("m.kovacs")), "bad_arguments"),
        Attempt("brings the approval", field("approvals", json!([stolen])), "bad_arguments"),
        Attempt("says who asks", field("requester_uid", json!(APPROVER)), "bad_arguments"),
        Attempt("says who is enough", field("tier", json!("none")), "bad_arguments"),
        Attempt("asks as in a demo", field("separation", json!("relaxed")), "bad_arguments"),
        Attempt(
            "sets the state while it looks",
            Agent("moc_status", json!({"id": id, "state": "approved"})),
            "bad_arguments",
        ),
    ]
}

/// At the operators' door, with the rights of an operator: whose signature, and over what.
fn at_the_operators_door(loot: &Loot) -> Vec<Attempt> {
    use Way::Operator;
    let Loot { own, stolen, other, enrolment, shown, .. } = loot;
    let (me, approver) = (Person::new(3), Person::new(1));
    let approve = |approval: Value| Operator("moc_approve", approval);
    let signed = |signature: String| approve(with(stolen.clone(), "signature", json!(signature)));
    let mut edited = shown["ticket"].clone();
    edited["value"] = json!(1000);
    let edited: ot_aiops::model::Ticket = serde_json::from_value(edited).unwrap();
    let digest = shown["digest"].as_str().unwrap();
    let enrol = json!({"id": "me", "public_key": me.public(), "offline": true});
    let by_itself = {
        let subject = ot_aiops::govern::keys::enrolment(&ot_aiops::model::Approver {
            id: "me".into(),
            key: me.public(),
            uid: None,
            offline: true,
        });
        let after = enrolment["after"].as_u64().unwrap();
        let signature = me.sign(&ot_aiops::govern::keys::statement("enrol", &subject, after));
        let signed = json!({"key": me.public(), "signature": signature, "after": after});
        with(enrol.clone(), "signed", signed)
    };
    let of_another = with(enrol.clone(), "signed", enrolment.clone());
    let twice = json!({"id": "m.kovacs2", "public_key": approver.public(), "offline": true});
    let prefixed = with(stolen.clone(), "key", json!(format!("ed25519:{}", approver.public())));
    vec![
        Attempt("is the one who asked", approve(stolen.clone()), "self_approval"),
        Attempt("has a key nobody knows", approve(own.clone()), "unknown_key"),
        Attempt("writes the key otherwise", approve(prefixed), "unknown_key"),
        Attempt(
            "takes another's name for a key",
            approve(with(own.clone(), "key", json!("m.kovacs"))),
            "unknown_key",
        ),
        Attempt(
            "signs under another's key",
            signed(own["signature"].as_str().unwrap().into()),
            "bad_signature",
        ),
        Attempt(
            "replays another ticket's",
            signed(other["signature"].as_str().unwrap().into()),
            "bad_signature",
        ),
        Attempt(
            "has another value signed",
            signed(approver.sign(&edited.canonical())),
            "bad_signature",
        ),
        Attempt("has the digest signed", signed(approver.sign(digest.as_bytes())), "bad_signature"),
        Attempt(
            "has an enrolment signed",
            signed(enrolment["signature"].as_str().unwrap().into()),
            "bad_signature",
        ),
        Attempt("signs with zeros", signed("00".repeat(64)), "bad_signature"),
        Attempt("enrols itself unsigned", Operator("approver_enrol", enrol), "not_approved"),
        Attempt("enrols itself by itself", Operator("approver_enrol", by_itself), "unknown_key"),
        Attempt(
            "enrols itself as another",
            Operator("approver_enrol", of_another),
            "bad_signature",
        ),
        Attempt(
            "makes another's key an offline one",
            Operator("approver_enrol", twice),
            "name and a key of its own",
        ),
    ]
}

/// What every script begins with.
const PRELUDE: &str = r#"otctl() { "$OTCTL" --state "$STATE" "$@"; }
"#;

/// With a shell.
const WITH_A_SHELL: [Attempt; 19] = [
    Attempt(
        "pipes the passphrase",
        Way::Script(
            r#"printf '120\n%s\n' "$PHRASE" |
            setsid -w "$OTCTL" --state "$STATE" moc approve "$ID" --approver "$OWN/key""#,
        ),
        "terminal",
    ),
    Attempt(
        "has a terminal and a key of its own",
        Way::Script(
            r#"python3 "$TYPED" "$NEW" "$OTCTL" approver new me --approver "$OWN/key" >&2 &&
            python3 "$TYPED" "$SIGN" "$OTCTL" --state "$STATE" \
                moc approve "$ID" --approver "$OWN/key""#,
        ),
        "unknown_key",
    ),
    Attempt(
        "forges a signed file",
        Way::Script(r#"otctl moc import "$OWN/forged.signed""#),
        "unknown_key",
    ),
    Attempt(
        "plants a link for the other door",
        Way::Script(
            r#"mkdir -p "$OWN/state/run" &&
            ln -sf "$STATE/run/agent.sock" "$OWN/state/run/operator.sock" &&
            "$OTCTL" --state "$OWN/state" call moc_approve --json "$STOLEN""#,
        ),
        "denied",
    ),
    Attempt(
        "asks for another door",
        Way::Script(r#""$AIOPS" mcp --attach --state "$STATE" --door operator"#),
        "unexpected argument",
    ),
    Attempt(
        "exports the reference's approver",
        Way::Script(
            r#"export OPCUA_AUDIT_APPROVED_BY=m.kovacs
            otctl -o json moc request line/speed 123 && otctl -o json moc status MOC-3 && exit 1"#,
        ),
        r#""state": "requested""#,
    ),
    Attempt(
        "exports the reference's bypass",
        Way::Script(r#"OPCUA_POLICY_DISABLED=1 otctl moc request line/speed 2000"#),
        "denied",
    ),
    Attempt(
        "goes to the other door",
        Way::Kernel(r#"otctl call moc_approve --json "$STOLEN""#),
        "permission",
    ),
    Attempt(
        "opens the other socket",
        Way::Kernel(
            r#"python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$STATE/run/operator.sock""#,
        ),
        "Permission denied",
    ),
    Attempt(
        "starts a collector on the same state",
        Way::Kernel(r#""$AIOPS" run --config "$OWN/config.toml" --state "$STATE""#),
        "error",
    ),
    Attempt(
        "starts a demo on the same state",
        Way::Kernel(r#""$AIOPS" demo --state "$STATE""#),
        "error",
    ),
    Attempt("tells the collector to reload", Way::Kernel(r#"kill -HUP "$PID""#), "not permitted"),
    Attempt(
        "writes into the collector",
        Way::Kernel(r#"printf x | dd of="/proc/$PID/mem" conv=notrunc"#),
        "Permission denied",
    ),
    Attempt(
        "edits the policy",
        Way::Kernel(r#"echo '[[write]]' >> "$PLACE/policy.toml""#),
        "Permission denied",
    ),
    Attempt(
        "signs the policy",
        Way::Kernel(r#"echo '{}' > "$PLACE/policy.toml.sig""#),
        "Permission denied",
    ),
    Attempt(
        "puts another policy in its place",
        Way::Kernel(r#"cp "$OWN/config.toml" "$OWN/p" && mv -f "$OWN/p" "$PLACE/policy.toml""#),
        "Permission denied",
    ),
    Attempt(
        "links the configuration elsewhere",
        Way::Kernel(r#"ln -sf "$OWN/config.toml" "$PLACE/config.toml""#),
        "Permission denied",
    ),
    Attempt(
        "edits the audit",
        Way::Kernel(r#"echo x >> "$STATE/audit.redb""#),
        "Permission denied",
    ),
    Attempt(
        "reads the key of the audit",
        Way::Kernel(r#"cat "$STATE/audit.key""#),
        "Permission denied",
    ),
];

/// Where attempts are made from.
struct Bench<'a> {
    collector: &'a Collector,
    agent: &'a Client,
    /// A folder that the agent's user may write to.
    own: &'a Path,
    exported: Vec<(&'static str, String)>,
}

impl<'a> Bench<'a> {
    fn new(collector: &'a Collector, agent: &'a Client, own: &'a Path, loot: &Loot) -> Self {
        let state = collector.state();
        let pid = std::fs::read_to_string(state.join("run/collector.pid")).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        std::fs::set_permissions(own, std::fs::Permissions::from_mode(0o777)).unwrap();
        std::fs::write(own.join("config.toml"), "").unwrap();
        std::fs::write(own.join("forged.signed"), loot.own.to_string()).unwrap();
        let exported = vec![
            ("OTCTL", env!("CARGO_BIN_EXE_otctl").to_owned()),
            ("AIOPS", env!("CARGO_BIN_EXE_ot-aiops").to_owned()),
            ("TYPED", text(&package("tests/peers/typed.py"))),
            ("STATE", text(&state)),
            ("PLACE", text(collector.home())),
            ("OWN", text(own)),
            ("HOME", text(own)),
            ("PID", pid.trim().to_owned()),
            ("ID", loot.id.clone()),
            ("PHRASE", PHRASE.to_owned()),
            ("STOLEN", loot.stolen.to_string()),
            ("NEW", json!([["10 characters", PHRASE], ["Once more", PHRASE]]).to_string()),
            ("SIGN", json!([["Type the new value", "120"], ["Passphrase", PHRASE]]).to_string()),
        ];
        Self { collector, agent, own, exported }
    }

    /// Runs a script as the agent's user. Gives what it said, and whether it came through.
    async fn script(&self, group: u32, script: &str) -> (bool, String) {
        let mut command = Command::new(if is_root() { "setpriv" } else { "sh" });
        if is_root() {
            let (user, group) = (format!("--reuid={AGENT}"), format!("--regid={group}"));
            command.args([&user, &group, "--clear-groups", "--", "sh"]);
        }
        command
            .arg("-c")
            .arg(format!("{PRELUDE}{script}"))
            .current_dir(self.own)
            .envs(self.exported.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        child.stdin.take().unwrap().shutdown().await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Makes an attempt; `None` where this machine's users don't allow it to be made.
    async fn make(&self, way: &Way) -> Option<(bool, String)> {
        Some(match way {
            Way::Agent(tool, arguments) => {
                let answer = self.agent.call(tool, arguments.clone()).await;
                (!answer.is_error, answer.value.to_string())
            }
            Way::Request(method, parameters) => {
                let answer = self.agent.request(method, parameters.clone()).await;
                let failed = answer["error"].is_object() || answer["result"]["isError"] == true;
                (!failed, answer.to_string())
            }
            Way::Operator(tool, arguments) => {
                let script = format!("otctl -o json call {tool} --json '{arguments}'");
                self.script(APPROVER, &script).await
            }
            Way::Script(script) => self.script(APPROVER, script).await,
            Way::Kernel(script) if is_root() => self.script(AGENT, script).await,
            Way::Kernel(_) => return None,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_ways_to_approve_for_oneself_are_refused() {
    let server = peer::pymodbus();
    let counter = Counter::before(server.port, Framing::Modbus).await;
    let collector = site(&counter, &policy_of_people()).await;
    let agent = match is_root() {
        true => agent_of(AGENT, &collector.state()).await,
        false => collector.agent().await,
    };
    let (operator, approver) = (collector.operator().await, Person::new(1));
    let id = opened(&agent, "line/speed", &json!(120)).await;
    let second = opened(&agent, "line/speed", &json!(121)).await;
    let shown = status(&agent, &id, 0).await;
    let loot = Loot {
        own: Person::new(3).approval(&shown),
        stolen: approver.approval(&shown),
        other: approver.approval(&status(&agent, &second, 0).await),
        enrolment: Person::new(OFFLINE)
            .stated(&operator, "enrol", "somebody else", json!({}))
            .await["signed"]
            .clone(),
        id,
        shown,
    };
    let own = tempfile::tempdir().unwrap();
    let bench = Bench::new(&collector, &agent, own.path(), &loot);
    let mut attempts = at_the_agents_door(&loot);
    attempts.extend(at_the_operators_door(&loot));
    attempts.extend(WITH_A_SHELL);
    let (mut refused, mut left_out) = (0, 0);
    for Attempt(name, way, word) in &attempts {
        let Some((came_through, said)) = bench.make(way).await else {
            left_out += 1;
            continue;
        };
        assert!(!came_through && said.contains(word), "an agent that {name}: {said}");
        let now = status(&operator, &loot.id, 0).await;
        assert_eq!((&now["state"], &now["approvals"]), (&json!("requested"), &json!(0)), "{name}");
        assert_eq!(counter.writes(), 0, "{name}");
        refused += 1;
    }
    eprintln!("{refused} attempts refused, {left_out} left out, 0 writes at the server");
    assert!(refused + left_out >= 40 && (left_out == 0 || !is_root()), "{refused}, {left_out}");
    for what in ["ticket_approved", "approver_enrolled", "approver_revoked", "write_intent"] {
        assert_eq!(records(&operator, what).await, Vec::<Value>::new());
    }
    assert_eq!(records(&operator, "policy_changed").await.len(), 1, "the one of the start");
    proved(bench.collector, &counter).await;
}
