//! Whole configurations.

use super::*;
use crate::model::{DataType, Scalar, UnitId, WordOrder};

/// The example of the contract, every key of it.
const EXAMPLE: &str = r#"
[[endpoints]]
name = "plc2"
protocol = "modbus"
host = "10.0.0.5"
port = 502
framing = "tcp"
unit_id = 1
scan_ms = 1000
password = "env:PLC2"
[endpoints.budget]
requests_per_s = 20
burst = 10
connections = 1
on_demand_share = 0.2
[[endpoints.tags]]
name = "site/line1/press/temp"
was = ["old/name"]
ref = "holding:100"
unit_id = 3
type = "float32"
order = "CDAB"
path = "a.b[3]"
scan_ms = 500
scale = { raw = [0, 27648], eu = [0.0, 100.0] }
unit = "degC"
description = "press oil temperature"
area = "line1"
deadband = 0.1
warn_low = 10
warn_high = "80"
alarm_low = ""
alarm_high = 95.5
alarm_delay_s = 5
alarm_hysteresis = 0.5
priority = "High"
label = "Oil"
[[endpoints.tags]]
ref = 7
[history]
keep_days = 30
keep_bytes = 2147483648
commit_ms = 10000
[doors]
agent_group = "agents"
operator_group = "operators"
"#;

#[test]
fn every_key_of_the_example_arrives() {
    let plant = Plant::new();
    let path = plant.write("c.toml", EXAMPLE);
    let env = |name: &str| (name == "PLC2").then(|| "pw".to_owned());
    let config = load_with(&path, &PROTOCOLS, &env).unwrap();
    assert_eq!(config.problems, [], "{:#?}", config.problems);
    assert_eq!(config.history, History { keep_days: 30, keep_bytes: 1 << 31, commit_ms: 10_000 });
    assert_eq!(config.doors.operator_group.as_deref(), Some("operators"));
    let plc = &config.endpoints[0];
    assert_eq!((plc.name.as_ref(), plc.protocol), ("plc2", "modbus"));
    assert_eq!(plc.password.as_ref().unwrap().reveal(), "pw");
    assert_eq!(
        serde_json::to_value(&plc.settings).unwrap(),
        serde_json::json!({"host": "10.0.0.5", "port": 502, "framing": "tcp", "unit_id": 1})
    );
    let tag = &plc.tags[0];
    assert_eq!(tag.name.as_ref(), "site/line1/press/temp");
    assert_eq!(tag.was[0].as_ref(), "old/name");
    assert_eq!((tag.unit, tag.scan.scan_ms), (UnitId(3), 500));
    assert_eq!(tag.data_type, DataType::One(Scalar::Float32));
    assert_eq!((tag.order, tag.path.as_deref()), (WordOrder::Cdab, Some("a.b[3]")));
    assert_eq!(tag.scale.unwrap().eu, (0.0, 100.0));
    assert_eq!(tag.limits.warn_low, Some(10.0));
    assert_eq!(tag.limits.warn_high, Some(80.0));
    assert_eq!(tag.limits.alarm_low, None);
    assert_eq!(tag.limits.alarm_high, Some(95.5));
    assert_eq!((tag.alarm.delay_s, tag.alarm.hysteresis), (Some(5.0), Some(0.5)));
    assert_eq!(tag.alarm.priority.as_deref(), Some("high"));
    assert_eq!((tag.unit_text.as_ref(), tag.label.as_ref()), ("degC", "Oil"));
    let bare = &plc.tags[1];
    assert_eq!((bare.name.as_ref(), bare.address.as_ref()), ("plc2/7", "7"));
    assert_eq!((bare.unit, bare.scan.scan_ms), (UnitId(1), 1000));
    assert_eq!(bare.data_type, DataType::Native);
}

#[test]
fn yaml_and_toml_of_the_same_plant_are_the_same_configuration() {
    let config = yaml(
        "endpoints:\n- name: p\n  protocol: modbus\n  host: h\n  tags:\n  - ref: holding:1\n    \
         scale: {raw: [0, 10], eu: [0, 1.5]}\n    warn_high: 1e3\n  budget: {burst: 3}\n",
    );
    let other = toml(
        "[[endpoints]]\nname = 'p'\nprotocol = 'modbus'\nhost = 'h'\nbudget = {burst = 3}\n\
         [[endpoints.tags]]\nref = 'holding:1'\nscale = {raw=[0,10], eu=[0,1.5]}\nwarn_high=1000",
    );
    assert_eq!(config.problems, []);
    assert_eq!(diff(&config, &other), [Change::Unchanged("p".into())]);
    assert_eq!(config.endpoints[0].budget.burst, 3);
}

#[test]
fn a_configuration_of_the_reference_loads_unchanged() {
    let config = yaml(
        r#"# written by ot-aiops init
targets:
  - name: line1
    endpoint_url: opc.tcp://10.0.0.2:4840
    username: ~
    tags:
      - {node_id: "ns=2;i=5", label: Oil, warn_high: "70", alarm_high: 90}
      - ref: ns=2;s=Level
  - name: plc2
    protocol: modbus
    host: 10.0.0.5
    port: "1502"
    unit_id: 0
    use_tls: no
    tags:
      - address: 40
  - name: broker
    protocol: mqtt
    broker: 10.0.0.9
"#,
    );
    let opcua = &config.endpoints[0];
    assert_eq!(opcua.protocol, "opcua");
    assert_eq!(opcua.tags[0].address.as_ref(), "ns=2;i=5");
    assert_eq!(opcua.tags[0].limits.warn_high, Some(70.0));
    let modbus = &config.endpoints[1];
    assert_eq!(modbus.settings["port"], 1502);
    assert_eq!(modbus.settings["unit_id"], 0);
    assert_eq!(modbus.tags[0].unit, UnitId(0));
    let waiting = only(&config);
    assert_eq!((waiting.severity, waiting.line), (Severity::Warning, 18));
    assert!(waiting.message.contains("mqtt is not in this build"), "{waiting}");
}

#[test]
fn anchors_aliases_and_merge_keys_of_yaml_are_followed() {
    let config = yaml(
        "endpoints:\n- &base\n  name: a\n  protocol: modbus\n  host: h\n- <<: *base\n  name: b\n",
    );
    assert_eq!(config.problems, []);
    assert_eq!(config.endpoints[1].name.as_ref(), "b");
    assert_eq!(config.endpoints[1].settings["host"], "h");
}

#[test]
fn an_empty_file_and_no_file_are_an_empty_configuration_that_says_so() {
    for text in ["", "\n# nothing yet\n", "\u{FEFF}"] {
        let problem = line(only(&toml(text)));
        assert!(problem.contains("Warning endpoints: no endpoints are configured"), "{problem}");
        assert_eq!(problem, line(only(&yaml(text))));
    }
    let none = load(
        None,
        Sources { protocols: &[], env: &|_| None, state_dir: Path::new("/s"), master: None },
    );
    assert_eq!(only(&none.unwrap()).severity, Severity::Warning);
}

#[test]
fn a_problem_prints_its_file_line_column_and_what_to_do() {
    let config = toml("[histroy]\nkeep_days = 1\n[[endpoints]]\nname='a'\nendpoint_url='u'");
    let printed = only(&config).to_string();
    assert!(
        printed.ends_with(
            "c.toml:1:2: unknown key `histroy` in the configuration; \
             the nearest known key is `history`"
        ),
        "{printed}"
    );
}

#[test]
fn an_overloaded_scan_plan_is_a_warning_with_its_real_scan_time() {
    let config = toml(
        "[[endpoints]]\nname='a'\nprotocol='modbus'\nhost='h'\nscan_ms=100\n\
         budget={requests_per_s=10}\ntags=[{ref=1},{ref=2},{ref=3, scan_ms=10000}]\n\
         [[endpoints]]\nname='b'\nprotocol='modbus'\nhost='h'\ntags=[{ref=9, scan_ms=1000}]\n\
         [[endpoints]]\nname='c'\nprotocol='modbus'\nhost='other'\ntags=[{ref=8}]",
    );
    let [a, b, c] = check(&config, &PROTOCOLS).try_into().unwrap();
    assert!((a.requests_per_s_needed - 20.1).abs() < 1e-9);
    // Both read one device over one connection: the strictest budget holds for both.
    assert_eq!((a.budget_requests_per_s, b.budget_requests_per_s), (10.0, 10.0));
    assert_eq!((a.shares_with[0].as_ref(), b.shares_with[0].as_ref()), ("b", "a"));
    assert!(a.over_budget && b.over_budget && !c.over_budget);
    let real: Vec<u32> = a.scan_classes.iter().map(|class| class.real_scan_ms).collect();
    // 10 a second less 1.1 for the slower scans leave 8.9 for two requests.
    assert_eq!(real, [225, 10_000]);
    assert_eq!(b.scan_classes[0].real_scan_ms, 1000);
    assert_eq!(c.scan_classes[0].real_scan_ms, 1000);
    let warning = &config.problems[0];
    assert!(warning.message.contains("scans of 100 ms will take 225 ms"), "{warning}");
    assert_eq!((warning.severity, warning.line), (Severity::Warning, 2));
}
