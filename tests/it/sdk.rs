//! The official SDK clients, each in a process of its own, on the far side of `ot-aiops mcp`.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::golden::matches;
use crate::peer::{node, node_path, python};
use crate::wait::PATIENCE;
use crate::wire::Answer;

/// Which client, and which generation of the protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    /// Python, with the `initialize` handshake.
    PythonLegacy,
    /// Python, without a handshake where the server knows that generation.
    PythonModern,
    /// TypeScript.
    TypeScript,
}

impl Sdk {
    /// Every client that answers are tried through.
    pub(crate) const ALL: [Self; 3] = [Self::PythonLegacy, Self::PythonModern, Self::TypeScript];
}

/// A session of an official client.
pub(crate) struct SdkClient {
    /// What the client says of the session.
    pub(crate) session: Value,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl SdkClient {
    /// Starts a client whose server is the command.
    pub(crate) async fn start(sdk: Sdk, server: &[String]) -> Self {
        let mut words = match sdk {
            Sdk::TypeScript => node("mcp_client.mjs"),
            _ => python("mcp", "mcp_client.py"),
        };
        match sdk {
            Sdk::PythonLegacy => words.push("legacy".to_owned()),
            Sdk::PythonModern => words.push("auto".to_owned()),
            Sdk::TypeScript => {}
        }
        words.extend(server.iter().cloned());
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env("NODE_PATH", node_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut client = Self { session: Value::Null, input, output, _child: child };
        client.session = client.hear().await;
        client
    }

    async fn hear(&mut self) -> Value {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("the client answers");
        let line = line.unwrap().expect("the client goes on");
        serde_json::from_str(&line).unwrap()
    }

    /// Asks the client to do one thing; what the SDK raises fails the test.
    pub(crate) async fn ask(&mut self, what: Value) -> Value {
        self.input.write_all(format!("{what}\n").as_bytes()).await.unwrap();
        let answer = self.hear().await;
        assert!(answer["raised"].is_null(), "the SDK refuses the answer to {what}: {answer}");
        answer
    }

    /// Calls a tool.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        let answer = self.ask(json!({"tool": tool, "arguments": arguments})).await;
        let value = answer["structuredContent"].clone();
        assert!(value.is_object(), "{tool}: no structured content: {answer}");
        let text: Value = serde_json::from_str(answer["text"][0].as_str().unwrap()).unwrap();
        // JavaScript has one kind of number: 100.0 comes back as 100.
        let same = text == value || matches(&text, &value).is_ok();
        assert!(same, "{tool}: the text {text} and the structured content {value} differ");
        Answer { is_error: answer["isError"] == true, value }
    }

    /// Lists the tools.
    pub(crate) async fn tools(&mut self) -> Vec<Value> {
        self.ask(json!({"list": "tools"})).await["items"].as_array().unwrap().clone()
    }
}
