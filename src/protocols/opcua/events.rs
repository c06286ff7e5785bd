//! Condition events: what is selected, and what a row of it means (Part 9, 5.5 and 5.8).

use std::sync::Arc;

use opcua::types::{
    AttributeId, ContentFilter, ContentFilterBuilder, EventFilter, EventFilterResult,
    ExtensionObject, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId,
    NumericRange, ObjectId, ObjectTypeId, Operand, ReadValueId, SimpleAttributeOperand, StatusCode,
    Variant,
};

use super::inbox::EVENT_HANDLE;
use super::values;
use crate::model::{ConditionEvent, ConditionId, Quality, Timestamp, Value};

/// Events the server keeps for us between two publishes.
const QUEUE_SIZE: u32 = 1000;

/// What is selected of each event, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
enum Column {
    EventType,
    SourceName,
    Time,
    Message,
    Severity,
    Condition,
    Name,
    Branch,
    Retain,
    Quality,
    Active,
    Acknowledged,
}

/// Type and path of each column; an empty path is the condition's own node id.
const COLUMNS: [(ObjectTypeId, &str); 12] = [
    (ObjectTypeId::BaseEventType, "EventType"),
    (ObjectTypeId::BaseEventType, "SourceName"),
    (ObjectTypeId::BaseEventType, "Time"),
    (ObjectTypeId::BaseEventType, "Message"),
    (ObjectTypeId::BaseEventType, "Severity"),
    (ObjectTypeId::ConditionType, ""),
    (ObjectTypeId::ConditionType, "ConditionName"),
    (ObjectTypeId::ConditionType, "BranchId"),
    (ObjectTypeId::ConditionType, "Retain"),
    (ObjectTypeId::ConditionType, "Quality"),
    (ObjectTypeId::AlarmConditionType, "ActiveState/Id"),
    (ObjectTypeId::AcknowledgeableConditionType, "AckedState/Id"),
];

/// Where a column stands on a condition that is a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// At this path below it.
    Property(&'static str),
    /// It is the node's own id.
    Itself,
    /// Nowhere: it belongs to an event.
    Unread,
}

/// Gives each column's place on a node, in the order of a row.
pub(super) fn paths() -> impl Iterator<Item = Path> {
    COLUMNS.iter().map(|(_, path)| match *path {
        "" => Path::Itself,
        "EventType" => Path::Unread,
        path => Path::Property(path),
    })
}

/// Where clauses by what they ask of the server, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// Conditions, and the marks of a refresh.
    ConditionsAndMarks,
    /// Conditions.
    Conditions,
    /// Everything; we sort it out.
    Everything,
}

impl Where {
    /// All of them, in the order to try.
    pub(super) const ALL: [Self; 3] =
        [Self::ConditionsAndMarks, Self::Conditions, Self::Everything];

    fn filter(self) -> ContentFilter {
        let of = |kind: ObjectTypeId| Operand::literal(NodeId::from(kind));
        match self {
            // Some servers take OfType for the very type: the commonest subtype is named too.
            Self::ConditionsAndMarks => ContentFilterBuilder::new()
                .or(Operand::element(1), Operand::element(2))
                .or(Operand::element(3), Operand::element(4))
                .or(Operand::element(5), Operand::element(6))
                .of_type(of(ObjectTypeId::ConditionType))
                .of_type(of(ObjectTypeId::AlarmConditionType))
                .of_type(of(ObjectTypeId::RefreshEndEventType))
                .of_type(of(ObjectTypeId::RefreshRequiredEventType))
                .build(),
            Self::Conditions => {
                ContentFilterBuilder::new().of_type(of(ObjectTypeId::ConditionType)).build()
            }
            Self::Everything => ContentFilter { elements: None },
        }
    }
}

/// Makes the item that listens to the Server object, where all events pass.
pub(super) fn item(wanted: Where) -> MonitoredItemCreateRequest {
    let select = COLUMNS.iter().map(|(kind, path)| match path.is_empty() {
        true => SimpleAttributeOperand {
            type_definition_id: NodeId::from(*kind),
            // Empty and not null: a null one brings some servers down.
            browse_path: Some(Vec::new()),
            attribute_id: AttributeId::NodeId as u32,
            index_range: NumericRange::None,
        },
        false => SimpleAttributeOperand::new_value(*kind, path),
    });
    let filter =
        EventFilter { select_clauses: Some(select.collect()), where_clause: wanted.filter() };
    MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId::new(ObjectId::Server.into(), AttributeId::EventNotifier),
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle: EVENT_HANDLE,
            sampling_interval: 0.0,
            filter: ExtensionObject::from_message(filter),
            queue_size: QUEUE_SIZE,
            discard_oldest: true,
        },
    }
}

/// Which columns a server really sends.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// The places of the clauses it accepted; empty where it said nothing.
    accepted: Vec<usize>,
    /// What the rows have passed.
    passed: Where,
}

/// What a row turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Condition(ConditionEvent),
    /// Everything there is to refresh has been sent.
    RefreshEnd,
    /// The server has lost track and asks us to refresh.
    RefreshRequired,
    /// Something else: a mark, or an event that is no condition.
    Other,
}

impl Columns {
    /// Takes the server's word on each clause (Part 4, 7.22.3).
    pub(super) fn from_result(result: &ExtensionObject, passed: Where) -> Self {
        let results = result
            .inner_as::<EventFilterResult>()
            .and_then(|result| result.select_clause_results.as_deref())
            .unwrap_or_default();
        let accepted = results.iter().enumerate().filter(|(_, status)| !status.is_bad());
        Self { accepted: accepted.map(|(place, _)| place).collect(), passed }
    }

    /// Understands whole rows that are known to be of conditions.
    pub(super) fn whole() -> Self {
        Self { accepted: Vec::new(), passed: Where::Conditions }
    }

    /// Finds a column in a row: some servers send a null for a clause they refused, others drop
    /// the whole column.
    fn cell<'a>(&self, row: &'a [Variant], column: Column) -> Option<&'a Variant> {
        let place = column as usize;
        let place = if row.len() == COLUMNS.len() {
            place
        } else if row.len() == self.accepted.len() {
            self.accepted.iter().position(|accepted| *accepted == place)?
        } else {
            return None;
        };
        row.get(place).filter(|cell| !cell.is_empty())
    }

    /// Tells whether a row can be understood at all.
    fn fits(&self, row: &[Variant]) -> bool {
        row.len() == COLUMNS.len() || (!row.is_empty() && row.len() == self.accepted.len())
    }

    /// Says what a row means; `None` where its columns can't be told apart.
    pub(super) fn read(&self, row: &[Variant], received_ts: Timestamp) -> Option<Event> {
        if !self.fits(row) {
            return None;
        }
        let cell = |column| self.cell(row, column);
        let event_type = match cell(Column::EventType) {
            Some(Variant::NodeId(id)) => Some(id.as_ref()),
            _ => None,
        };
        let is = |kind: ObjectTypeId| event_type == Some(&NodeId::from(kind));
        if is(ObjectTypeId::RefreshEndEventType) {
            return Some(Event::RefreshEnd);
        }
        if is(ObjectTypeId::RefreshRequiredEventType) {
            return Some(Event::RefreshRequired);
        }
        if is(ObjectTypeId::RefreshStartEventType) {
            return Some(Event::Other);
        }
        let name = values::text(cell(Column::Name));
        let condition = node_text(cell(Column::Condition));
        let retain = cell(Column::Retain);
        // Where the server does not sort, other events come too: they have none of these.
        let is_bare = name.is_empty() && condition.is_empty() && retain.is_none();
        if is_bare && self.passed == Where::Everything {
            return Some(Event::Other);
        }
        Some(Event::Condition(self.condition(row, condition, name, received_ts)))
    }

    fn condition(
        &self,
        row: &[Variant],
        condition: Arc<str>,
        name: Arc<str>,
        received_ts: Timestamp,
    ) -> ConditionEvent {
        let cell = |column| self.cell(row, column);
        let truth = |column| match cell(column) {
            Some(Variant::Boolean(truth)) => Some(*truth),
            _ => None,
        };
        let source = bounded(&values::text(cell(Column::SourceName)));
        let mut name = bounded(&name);
        if name.is_empty() {
            name = node_text(cell(Column::EventType));
        }
        let condition = match condition.is_empty() {
            true => Arc::from(format!("{source}/{name}")),
            false => condition,
        };
        let quality = match cell(Column::Quality) {
            Some(Variant::StatusCode(status)) => status.bits(),
            // Nothing was said of it, so nothing is vouched for.
            _ => StatusCode::Uncertain.bits(),
        };
        ConditionEvent {
            id: ConditionId { condition, branch: node_text(cell(Column::Branch)) },
            name,
            source,
            active: truth(Column::Active),
            acknowledged: truth(Column::Acknowledged),
            retain: truth(Column::Retain).unwrap_or(false),
            severity: severity(cell(Column::Severity)),
            message: bounded(&values::text(cell(Column::Message))),
            quality: Quality::from_status(quality),
            source_ts: match cell(Column::Time) {
                Some(Variant::DateTime(time)) => values::instant(time),
                _ => None,
            },
            received_ts,
        }
    }
}

fn bounded(text: &str) -> Arc<str> {
    match Value::text(text) {
        Value::Text(text) => text,
        _ => Arc::from(""),
    }
}

fn node_text(cell: Option<&Variant>) -> Arc<str> {
    match cell {
        Some(Variant::NodeId(id)) if !id.is_null() => super::address::text(id),
        _ => Arc::from(""),
    }
}

fn severity(cell: Option<&Variant>) -> u16 {
    match cell {
        Some(Variant::UInt16(severity)) => *severity,
        // Some servers send a wider integer.
        Some(other) => other.clone().try_cast_to::<u16>().unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{LocalizedText, UAString};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn row() -> Vec<Variant> {
        vec![
            NodeId::from(ObjectTypeId::ExclusiveLevelAlarmType).into(),
            UAString::from("Tank").into(),
            values::date_time(NOW).into(),
            LocalizedText::new("en", "high").into(),
            700u16.into(),
            NodeId::new(1, "Tank.LevelAlarm").into(),
            UAString::from("LevelAlarm").into(),
            NodeId::null().into(),
            true.into(),
            StatusCode::Good.into(),
            true.into(),
            false.into(),
        ]
    }

    #[test]
    fn a_whole_row_is_a_condition() {
        let Some(Event::Condition(event)) = Columns::whole().read(&row(), NOW) else { panic!() };
        assert_eq!(event.id.condition.as_ref(), "ns=1;s=Tank.LevelAlarm");
        assert_eq!((event.id.branch.as_ref(), event.name.as_ref()), ("", "LevelAlarm"));
        assert_eq!(
            (event.active, event.acknowledged, event.retain),
            (Some(true), Some(false), true)
        );
        assert_eq!((event.severity, event.source_ts), (700, Some(NOW)));
    }

    #[test]
    fn a_server_that_drops_a_refused_column_is_read_by_its_own_word() {
        let mut results = vec![StatusCode::Good; COLUMNS.len()];
        results[Column::Condition as usize] = StatusCode::BadNodeIdUnknown;
        let result = EventFilterResult {
            select_clause_results: Some(results),
            select_clause_diagnostic_infos: None,
            where_clause_result: Default::default(),
        };
        let columns =
            Columns::from_result(&ExtensionObject::from_message(result), Where::Everything);
        let mut short = row();
        short.remove(Column::Condition as usize);
        let Some(Event::Condition(event)) = columns.read(&short, NOW) else { panic!() };
        assert_eq!(event.id.condition.as_ref(), "Tank/LevelAlarm");
        assert_eq!(event.name.as_ref(), "LevelAlarm");
        // A row of another length can't be told apart.
        short.pop();
        assert_eq!(columns.read(&short, NOW), None);
    }

    #[test]
    fn marks_of_a_refresh_are_no_conditions() {
        let mut mark = vec![Variant::Empty; COLUMNS.len()];
        mark[0] = NodeId::from(ObjectTypeId::RefreshEndEventType).into();
        assert_eq!(Columns::whole().read(&mark, NOW), Some(Event::RefreshEnd));
        // Where the server sorted, what is bare is a condition all the same.
        mark[0] = NodeId::from(ObjectTypeId::AlarmConditionType).into();
        let unsorted = Columns { accepted: Vec::new(), passed: Where::Everything };
        assert_eq!(unsorted.read(&mark, NOW), Some(Event::Other));
        let Some(Event::Condition(event)) = Columns::whole().read(&mark, NOW) else { panic!() };
        assert_eq!((event.active, event.retain), (None, false));
    }
}
