//! The OPC UA half: a variable per point below `Objects/Line1`, anonymous and unsecured.
//!
//! It has no certificate: making a key takes seconds, and the demo must be up at once.

use std::path::Path;
use std::sync::Arc;

use chrono::DateTime as ChronoTime;
use opcua::nodes::VariableBuilder;
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{Server, ServerBuilder, ServerHandle};
use opcua::types::{
    DataTypeId, DataValue, DateTime, EUInformation, ExtensionObject, NodeId, ObjectId,
    QualifiedName, Range, StatusCode, VariableTypeId, Variant,
};

use super::alarms::{self, Change};
use super::frame::{Cell, Frame};
use super::points::{self, NodeKind, Place, Point};
use crate::model::{Timestamp, Value};

/// The namespace of the nodes. It must differ from the application's URI, whose namespace
/// belongs to the server's own diagnostics.
pub(crate) const NAMESPACE: &str = "urn:ot-aiops:demo";
const APPLICATION: &str = "urn:ot-aiops:demo:server";
/// The folder of all others.
pub(crate) const ROOT: &str = "Line1";

/// Why the server can't be made, in the library's words.
pub(crate) type Refused = String;

/// The running server's nodes.
pub(crate) struct Nodes {
    handle: ServerHandle,
    manager: Arc<SimpleNodeManager>,
    namespace: u16,
    /// Where a point stands in a frame, what it is, and its node.
    variables: Vec<(usize, NodeKind, NodeId)>,
}

/// Builds a server that will listen on this loopback port.
///
/// # Errors
/// The library refuses the settings.
pub(crate) fn build(port: u16, pki_dir: &Path) -> Result<(Server, Nodes), Refused> {
    let (server, handle) = ServerBuilder::new_anonymous("ot-aiops demo line")
        .application_uri(APPLICATION)
        .product_uri("urn:ot-aiops")
        .host("127.0.0.1")
        .port(port)
        .pki_dir(pki_dir)
        .with_node_manager(simple_node_manager(
            NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() },
            "demo",
        ))
        .build()?;
    let manager = handle
        .node_managers()
        .get_of_type::<SimpleNodeManager>()
        .ok_or("the node manager just added is missing")?;
    let namespace =
        handle.get_namespace_index(NAMESPACE).ok_or("the namespace just added is missing")?;
    let variables = {
        let mut space = manager.address_space().write();
        plant_tree(&mut space, namespace)
    };
    Ok((server, Nodes { handle, manager, namespace, variables }))
}

/// Gives the text of a node's string id: `Line1.Mixer.Level` for `Mixer/Level`.
pub(crate) fn id_text(path: &str) -> String {
    format!("{ROOT}.{}", path.replace('/', "."))
}

fn plant_tree(space: &mut AddressSpace, namespace: u16) -> Vec<(usize, NodeKind, NodeId)> {
    let root = NodeId::new(namespace, ROOT);
    space.add_folder(&root, ROOT, ROOT, &NodeId::from(ObjectId::ObjectsFolder));
    let mut variables = Vec::new();
    for (index, point) in points::all().enumerate() {
        let Place::Node { path, kind } = point.place else { continue };
        let Some((folder, name)) = path.split_once('/') else { continue };
        let parent = NodeId::new(namespace, id_text(folder));
        if !space.node_exists(&parent) {
            space.add_folder(&parent, folder, folder, &root);
        }
        let id = NodeId::new(namespace, id_text(path));
        variable(&id, name, kind, point).component_of(parent).insert(space);
        if kind == NodeKind::Double {
            analog(space, &id, &id_text(path), point);
        }
        variables.push((index, kind, id));
    }
    variables
}

fn variable(id: &NodeId, name: &str, kind: NodeKind, point: &Point) -> VariableBuilder {
    let plain = VariableTypeId::BaseDataVariableType;
    let (data_type, rank, type_definition) = match kind {
        NodeKind::Boolean => (DataTypeId::Boolean, -1, plain),
        NodeKind::Int32 => (DataTypeId::Int32, -1, plain),
        NodeKind::UInt64 => (DataTypeId::UInt64, -1, plain),
        NodeKind::Double => (DataTypeId::Double, -1, VariableTypeId::AnalogItemType),
        NodeKind::Text => (DataTypeId::String, -1, plain),
        NodeKind::Doubles => (DataTypeId::Double, 1, plain),
    };
    VariableBuilder::new(id, name, name)
        .description(point.description)
        .data_type(data_type)
        .value_rank(rank)
        .has_type_definition(type_definition)
        .value(Variant::Empty)
}

/// Adds the properties of an AnalogItemType (Part 8, 5.3.2.3).
fn analog(space: &mut AddressSpace, id: &NodeId, text: &str, point: &Point) {
    let range = Range { low: point.range.0, high: point.range.1 };
    let units = EUInformation { display_name: point.unit.into(), ..Default::default() };
    let properties = [
        ("EURange", DataTypeId::Range, ExtensionObject::from_message(range)),
        ("EngineeringUnits", DataTypeId::EUInformation, ExtensionObject::from_message(units)),
    ];
    for (name, data_type, value) in properties {
        let property = NodeId::new(id.namespace, format!("{text}.{name}"));
        VariableBuilder::new(&property, QualifiedName::new(0, name), name)
            .data_type(data_type)
            .has_type_definition(VariableTypeId::PropertyType)
            .value(Variant::from(value))
            .property_of(id.clone())
            .insert(space);
    }
}

impl Nodes {
    /// Shows a frame to readers and subscribers.
    ///
    /// # Errors
    /// A node has gone from the address space.
    pub(crate) fn show(&self, frame: &Frame, now: Timestamp) -> Result<(), StatusCode> {
        let values = self.variables.iter().filter_map(|(index, kind, id)| {
            let cell = frame.cells.get(*index)?;
            Some((id, None, data_value(cell, *kind, now)))
        });
        self.manager.set_values(self.handle.subscriptions(), values)
    }

    /// Reports conditions that have changed to whoever listens to the server's events.
    pub(crate) fn report(&self, changes: &[Change], now: Timestamp) {
        let server = NodeId::from(ObjectId::Server);
        for change in changes {
            let source = NodeId::new(self.namespace, id_text(change.condition.source_path()));
            let types = self.handle.type_tree().read();
            let event = alarms::event(*change, &source, time(now), types.namespaces());
            drop(types);
            self.handle.subscriptions().notify_events(std::iter::once((&*event, &server)));
        }
    }

    /// Asks the server to close its sessions and end.
    pub(crate) fn stop(&self) {
        self.handle.cancel();
    }
}

/// The server's own time goes on even where the source's stands still.
fn data_value(cell: &Cell, kind: NodeKind, now: Timestamp) -> DataValue {
    let status = cell.status.map_or(StatusCode::Good, StatusCode::from);
    DataValue {
        value: (!status.is_bad()).then(|| variant(&cell.value, kind)),
        status: Some(status),
        source_timestamp: Some(time(cell.source_ts)),
        server_timestamp: Some(time(now)),
        ..Default::default()
    }
}

fn variant(value: &Value, kind: NodeKind) -> Variant {
    match (kind, value) {
        (NodeKind::Boolean, Value::Bool(truth)) => Variant::Boolean(*truth),
        (NodeKind::Int32, Value::I64(number)) => {
            i32::try_from(*number).map_or(Variant::Empty, Variant::Int32)
        }
        (NodeKind::UInt64, Value::U64(number)) => Variant::UInt64(*number),
        (NodeKind::Double, Value::F64(number)) => Variant::Double(*number),
        (NodeKind::Text, Value::Text(text)) => Variant::String(text.as_ref().into()),
        (NodeKind::Doubles, Value::List(items)) => {
            items.iter().filter_map(Value::as_f64).collect::<Vec<f64>>().into()
        }
        _ => Variant::Empty,
    }
}

fn time(at: Timestamp) -> DateTime {
    DateTime::from(ChronoTime::from_timestamp_nanos(at.nanos()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opcua::client::{ClientBuilder, IdentityToken, Session, SubscriptionCallbacks};
    use opcua::types::{
        AttributeId, EventFilter, MessageSecurityMode, MonitoredItemCreateRequest, MonitoringMode,
        MonitoringParameters, ObjectTypeId, ReadValueId, SimpleAttributeOperand,
        TimestampsToReturn, UserTokenPolicy,
    };
    use tokio::net::TcpListener;

    use super::super::alarms::Condition;
    use super::super::faults;
    use super::super::frame::Line;
    use super::*;

    struct Served {
        nodes: Nodes,
        session: Arc<Session>,
        namespace: u16,
        _pki: tempfile::TempDir,
    }

    /// A server that shows the given frame, and a client's session with it.
    async fn served(frame: &Frame, now: Timestamp) -> Served {
        let pki = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (server, nodes) = build(port, &pki.path().join("server")).unwrap();
        nodes.show(frame, now).unwrap();
        tokio::spawn(server.run_with(listener));
        let mut client = ClientBuilder::new()
            .application_name("test")
            .application_uri("urn:test")
            .pki_dir(pki.path().join("client"))
            .session_retry_limit(0)
            .client()
            .unwrap();
        let url = format!("opc.tcp://127.0.0.1:{port}/");
        let endpoint =
            (url.as_str(), "None", MessageSecurityMode::None, UserTokenPolicy::anonymous());
        let (session, looping) =
            client.connect_to_matching_endpoint(endpoint, IdentityToken::Anonymous).await.unwrap();
        looping.spawn();
        let up = tokio::time::timeout(Duration::from_secs(60), session.wait_for_connection());
        assert!(up.await.unwrap());
        let namespace = session.get_namespace_index(NAMESPACE).await.unwrap();
        Served { nodes, session, namespace, _pki: pki }
    }

    impl Served {
        async fn read(&self, path: &str) -> DataValue {
            let node = ReadValueId {
                node_id: NodeId::new(self.namespace, id_text(path)),
                attribute_id: AttributeId::Value as u32,
                ..Default::default()
            };
            let mut values =
                self.session.read(&[node], TimestampsToReturn::Both, 0.0).await.unwrap();
            values.remove(0)
        }
    }

    fn shown(frame: &Frame, name: &str) -> Value {
        let index = points::all().position(|point| point.name == name).unwrap();
        frame.cells[index].value.clone()
    }

    #[tokio::test]
    async fn nodes_have_the_values_types_and_times_of_their_sensors() {
        let at = Timestamp::from_millis(1_767_225_600_123);
        let frame = Line::new(&[], 1).next(at);
        let served = served(&frame, at).await;
        assert!(served.namespace > 1, "1 belongs to the application");
        let mut read = 0;
        for (point, cell) in points::all().zip(&frame.cells) {
            let Place::Node { path, kind } = point.place else { continue };
            let value = served.read(path).await;
            assert_eq!(value.value, Some(variant(&cell.value, kind)), "{path}");
            assert_ne!(value.value, Some(Variant::Empty), "{path}");
            assert!(value.status.is_none_or(|status| status == StatusCode::Good));
            assert_eq!(value.source_timestamp, Some(time(at)), "{path}");
            read += 1;
        }
        assert!(read > 30);
        served.nodes.stop();
    }

    #[tokio::test]
    async fn a_stale_node_is_good_with_an_old_source_time() {
        let fault = faults::by_name("stale-good").unwrap();
        let mut line = Line::new(&[fault], 1);
        let mut last = (Frame::default(), Timestamp::default());
        for tick in 0..600 {
            let at = Timestamp::from_millis(1_767_225_600_000 + 100 * tick);
            last = (line.next(at), at);
        }
        let served = served(&last.0, last.1).await;
        let level = served.read("Mixer/Level").await;
        let other = served.read("Mixer/Temperature").await;
        assert_eq!(level.server_timestamp, other.server_timestamp);
        assert!(level.source_timestamp < other.source_timestamp);
        assert!(level.status.is_none_or(|status| status == StatusCode::Good));
        assert_eq!(level.value, Some(variant(&shown(&last.0, "mixer/level"), NodeKind::Double)));
        served.nodes.stop();
    }

    #[tokio::test]
    async fn a_condition_reaches_whoever_listens_to_the_servers_events() {
        let at = Timestamp::from_millis(1_767_225_600_123);
        let served = served(&Line::new(&[], 1).next(at), at).await;
        let (sender, mut heard) = tokio::sync::mpsc::channel(4);
        let callbacks = SubscriptionCallbacks::new(
            |_| {},
            |_, _| {},
            move |event, _| sender.try_send(event).expect("one event fits"),
        );
        let every = Duration::from_millis(100);
        let subscription =
            served.session.create_subscription(every, 60, 20, 0, 0, true, callbacks).await.unwrap();
        let select = |kind, path| SimpleAttributeOperand::new_value(kind, path);
        let filter = EventFilter {
            select_clauses: Some(vec![
                select(ObjectTypeId::ConditionType, "ConditionName"),
                select(ObjectTypeId::AlarmConditionType, "ActiveState/Id"),
                select(ObjectTypeId::ConditionType, "Retain"),
                select(ObjectTypeId::BaseEventType, "Severity"),
                select(ObjectTypeId::BaseEventType, "SourceName"),
            ]),
            where_clause: Default::default(),
        };
        let item = MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: ObjectId::Server.into(),
                attribute_id: AttributeId::EventNotifier as u32,
                ..Default::default()
            },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                queue_size: 10,
                filter: ExtensionObject::from_message(filter),
                ..Default::default()
            },
        };
        let made = served
            .session
            .create_monitored_items(subscription, TimestampsToReturn::Both, vec![item])
            .await
            .unwrap();
        assert_eq!(made[0].result.status_code, StatusCode::Good);

        let change = Change { condition: Condition::Accumulation, active: true, number: 1 };
        served.nodes.report(&[change], at);
        let event = heard.recv().await.unwrap().unwrap();
        assert_eq!(event[0], Variant::from("AccumulationHigh"));
        assert_eq!(event[1], Variant::Boolean(true));
        assert_eq!(event[2], Variant::Boolean(true));
        assert_eq!(event[3], Variant::UInt16(400));
        assert_eq!(event[4], Variant::from("Conveyor/Accumulation"));
        served.nodes.stop();
    }
}
