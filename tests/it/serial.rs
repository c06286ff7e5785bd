//! A serial line, which has no transaction id: a late answer could pass for the next one's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::collector::{Collector, good_tags};
use crate::peer;
use crate::plant::{Endpoint, plant};

/// So many answers come late, before the slave gets better.
const LATE: u16 = 6;

/// The CRC of a serial frame (Modbus over Serial Line V1.02, 6.2.2).
fn crc(frame: &[u8]) -> [u8; 2] {
    let step = |crc: u16, _| if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
    let byte = |crc: u16, byte: &u8| (0..8).fold(crc ^ u16::from(*byte), step);
    frame.iter().fold(0xFFFF, byte).to_le_bytes()
}

/// Answers the k-th request with the number k in every register, the first ones late.
async fn slave(mut line: TcpStream, requests: Arc<AtomicU16>, late_by: Duration) {
    let mut request = [0_u8; 8];
    while line.read_exact(&mut request).await.is_ok() {
        assert_eq!(request[6..], crc(&request[..6]), "a whole request, and nothing between");
        let number = requests.fetch_add(1, SeqCst) + 1;
        if number <= LATE {
            sleep(late_by).await;
        }
        let count = u16::from_be_bytes([request[4], request[5]]);
        let mut answer = vec![request[0], request[1], u8::try_from(count * 2).unwrap()];
        for _ in 0..count {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(crc(&answer));
        if line.write_all(&answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_one_and_a_half_timeouts_late_never_becomes_a_value() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicU16::new(0));
    let counted = requests.clone();
    let serving = tokio::spawn(async move {
        let (line, _) = listener.accept().await.unwrap();
        slave(line, counted, Duration::from_millis(300)).await;
    });
    let line = peer::terminal_before(port);
    let endpoint = Endpoint::serial("line", &line.near)
        .with("timeout_ms = 200")
        .tag("first", "holding:0", "")
        .tag("second", "input:5", "");
    let collector = Collector::start(&plant(&[endpoint])).await;
    let client = collector.agent().await;
    good_tags(&client, &["first", "second"]).await;
    assert!(requests.load(SeqCst) > LATE);
    for tag in ["first", "second"] {
        let ask = json!({"tag": tag, "since": "-1h", "max_points": 400});
        let history = client.call("tag_history", ask).await.good();
        for point in history["points"].as_array().unwrap() {
            let value = point["value"].as_u64();
            let prompt = value.is_none_or(|number| number > u64::from(LATE));
            assert!(prompt, "{tag}: a late answer became a value: {point}");
        }
    }
    serving.abort();
}
