//! Raw history as the server keeps it (Part 11, 6.4.3).

use std::sync::Arc;

use opcua::client::HistoryReadAction;
use opcua::types::{
    ByteString, DataValue, HistoryData, HistoryReadResult, HistoryReadValueId, NumericRange,
    QualifiedName, ReadRawModifiedDetails,
};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::errors;
use super::read;
use super::requests::Caller;
use super::values::{self, Converter};
use crate::driver::{DriverError, ErrorKind, HistoryPage, Reaction, Reply};
use crate::model::{Sample, Timestamp, Value};

/// Samples of one answer.
const SAMPLES_MAX: u32 = 100_000;
/// Samples asked for at once; more make messages that small servers can't encode.
const PAGE: u32 = 1000;

/// What is asked of the past.
pub(super) struct Past {
    pub(super) item: Arc<str>,
    /// Inclusive.
    pub(super) since: Timestamp,
    /// Exclusive.
    pub(super) until: Timestamp,
    pub(super) samples_max: u32,
}

fn action(past: &Past, page: u32) -> HistoryReadAction {
    HistoryReadAction::ReadRawModifiedDetails(ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: values::date_time(past.since),
        end_time: values::date_time(past.until),
        num_values_per_node: page,
        return_bounds: false,
    })
}

/// Takes the data values out of a result; no data is an empty list, not a failure.
fn data(result: HistoryReadResult) -> Result<(Vec<DataValue>, ByteString), DriverError> {
    if result.status_code.is_bad() {
        return Err(
            errors::from_status("reading history", result.status_code).reacting(Reaction::FailTag)
        );
    }
    if result.history_data.is_null() {
        return Ok((Vec::new(), result.continuation_point));
    }
    match result.history_data.into_inner_as::<HistoryData>() {
        Some(history) => Ok((history.data_values.unwrap_or_default(), result.continuation_point)),
        None => Err(DriverError::new(
            ErrorKind::Protocol,
            "reading history: the server answered no history data",
        )
        .reacting(Reaction::FailTag)),
    }
}

/// Reads history, page by page, oldest first.
pub(super) async fn history(
    caller: Caller,
    past: Past,
    cancel: CancellationToken,
) -> Result<Reply, DriverError> {
    let node_id = Address::parse(&past.item)?.resolve(&caller.live.namespaces)?;
    let wanted = usize::try_from(past.samples_max.clamp(1, SAMPLES_MAX)).unwrap_or(1);
    let mut node = HistoryReadValueId {
        node_id,
        index_range: NumericRange::None,
        data_encoding: QualifiedName::null(),
        continuation_point: ByteString::null(),
    };
    let mut found: Vec<DataValue> = Vec::new();
    let page = past.samples_max.saturating_add(1).min(PAGE);
    let truncated = loop {
        let answer = caller.history(action(&past, page), &node).await;
        let (values, point) = match answer.and_then(data) {
            Ok(answer) => answer,
            Err(error) => {
                give_back(&caller, &past, node).await;
                return Err(error);
            }
        };
        let came = values.len();
        found.extend(values.into_iter().filter(|value| is_inside(value, &past)));
        caller.toll.report_progress(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let is_last = point.is_null_or_empty();
        // A server that sends continuation points and no data would hold us for ever.
        let is_stuck = came == 0;
        node.continuation_point = point;
        if found.len() > wanted || is_last || is_stuck || cancel.is_cancelled() {
            break found.len() > wanted || (!is_last && is_stuck);
        }
    };
    give_back(&caller, &past, node).await;
    found.truncate(wanted);
    read::learn(&caller, found.iter().filter_map(|value| value.value.as_ref())).await;
    Ok(Reply::History(HistoryPage { window: window(&caller, &found), truncated }))
}

async fn give_back(caller: &Caller, past: &Past, node: HistoryReadValueId) {
    if !node.continuation_point.is_null_or_empty() {
        caller.release_history(action(past, 1), &node).await;
    }
}

fn is_inside(value: &DataValue, past: &Past) -> bool {
    let at = value.source_timestamp.as_ref().and_then(values::instant);
    at.is_none_or(|at| at >= past.since && at < past.until)
}

fn window(caller: &Caller, found: &[DataValue]) -> crate::model::Window {
    let mut window = crate::model::Window::default();
    for value in found {
        let source_ts = value.source_timestamp.as_ref().and_then(values::instant);
        let server_ts = value.server_timestamp.as_ref().and_then(values::instant);
        // A historian's samples were received when the server says so; one without any time
        // has no place in a history.
        let Some(received_ts) = source_ts.or(server_ts) else { continue };
        let mut converter = Converter::new(&caller.live.structures);
        window.push(Sample {
            value: value.value.as_ref().map_or(Value::Null, |v| converter.value(v)),
            quality: values::quality(value),
            source_ts,
            received_ts,
        });
    }
    window
}
