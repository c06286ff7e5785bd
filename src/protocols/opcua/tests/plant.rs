//! A server in this process, async-opcua's own, with variables and an alarm.

use std::sync::Arc;

use opcua::core_namespace::events::AlarmConditionType;
use opcua::crypto::SecurityPolicy;
use opcua::server::address_space::Variable;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{Limits, ServerBuilder, ServerEndpoint, ServerHandle, ServerUserToken};
use opcua::types::{DataValue, MessageSecurityMode, NodeId, ObjectId, ObjectTypeId};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::super::testing;
use super::{NAMESPACE, VARIABLES};

/// The server; it ends when this is dropped.
pub(super) struct Plant {
    pub(super) port: u16,
    pub(super) handle: ServerHandle,
    pub(super) nodes: Arc<SimpleNodeManager>,
    pub(super) namespace: u16,
    _home: TempDir,
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.handle.cancel();
    }
}

impl Plant {
    pub(super) async fn start(limits: impl FnOnce(&mut Limits)) -> Self {
        let home = testing::home();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let users = ["ANONYMOUS".to_owned(), "operator".to_owned()];
        let none =
            ServerEndpoint::new("/", SecurityPolicy::None, MessageSecurityMode::None, &users);
        let sealed = ServerEndpoint::new(
            "/",
            SecurityPolicy::Basic256Sha256,
            MessageSecurityMode::SignAndEncrypt,
            &users,
        );
        let token = ServerUserToken {
            user: "operator".to_owned(),
            pass: Some("secret".to_owned()),
            ..Default::default()
        };
        let uri = testing::certificate().0.application_uri.clone().unwrap();
        let metadata = NamespaceMetadata { namespace_uri: NAMESPACE.into(), ..Default::default() };
        let mut builder = ServerBuilder::new()
            .application_name("plant")
            .application_uri(uri)
            .host("127.0.0.1")
            .port(port)
            .pki_dir(home.path().join("pki"))
            .certificate_path("own/cert.der")
            .private_key_path("own/key.pem")
            .trust_client_certs(true)
            .add_user_token("operator", token)
            .add_endpoint("none", none)
            .add_endpoint("sealed", sealed)
            .discovery_urls(vec!["/".to_owned()])
            .with_node_manager(simple_node_manager(metadata, "plant"));
        limits(builder.limits_mut());
        let (server, handle) = builder.build().unwrap();
        let nodes = handle.node_managers().get_of_type::<SimpleNodeManager>().unwrap();
        let namespace = handle.get_namespace_index(NAMESPACE).unwrap();
        let objects = NodeId::from(ObjectId::ObjectsFolder);
        {
            let mut space = nodes.address_space().write();
            for number in 0..VARIABLES {
                let (id, name) =
                    (NodeId::new(namespace, format!("V{number}")), format!("V{number}"));
                let variable = Variable::new(&id, name.as_str(), name.as_str(), f64::from(number));
                space.add_variables(vec![variable], &objects);
            }
        }
        tokio::spawn(server.run_with(listener));
        Self { port, handle, nodes, namespace, _home: home }
    }

    pub(super) fn id(&self, number: u32) -> NodeId {
        NodeId::new(self.namespace, format!("V{number}"))
    }

    pub(super) fn set(&self, number: u32, value: DataValue) {
        let subscriptions = self.handle.subscriptions();
        self.nodes.set_value(subscriptions, &self.id(number), None, value).unwrap();
    }
}

impl Plant {
    /// Raises an alarm on the Server object.
    pub(super) fn alarm(&self, name: &str, severity: u16) {
        let kind = NodeId::from(ObjectTypeId::AlarmConditionType);
        let id = opcua::types::ByteString::from(vec![1, 2, 3]);
        let namespaces = opcua::nodes::NamespaceMap::default();
        let mut alarm = AlarmConditionType::new_event_now(kind, id, "too high", &namespaces);
        alarm.active_state.id = true;
        let condition = &mut alarm.base.base;
        condition.condition_name = name.into();
        condition.retain = true;
        condition.base.source_name = "Tank".into();
        condition.base.severity = severity;
        let event: &dyn opcua::nodes::Event = &alarm;
        let server = NodeId::from(ObjectId::Server);
        self.handle.subscriptions().notify_events(std::iter::once((event, &server)));
    }
}
