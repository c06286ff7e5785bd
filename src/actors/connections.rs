//! Endpoints that share one physical connection.

use std::collections::HashMap;
use std::sync::Arc;

use crate::driver::{EndpointSpec, Planned, Protocol};
use crate::model::{Budget, EndpointName, Tag, TagId};

/// One connection to be served by one poller.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The endpoints that share it, in the order of the configuration.
    pub(crate) names: Vec<EndpointName>,
    /// The settings of the first, the tags of all, the strictest budget.
    pub(crate) spec: EndpointSpec,
    pub(crate) protocol: &'static Protocol,
    pub(crate) tags: Vec<Planned>,
}

impl Connection {
    /// Tells whether nothing about it has changed.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let ids = |c: &Self| c.tags.iter().map(|p| p.id).collect::<Vec<_>>();
        self.names == other.names && self.spec == other.spec && ids(self) == ids(other)
    }
}

/// Gathers endpoints into connections.
///
/// Two Modbus endpoints with one address are one connection: a gateway that takes a single
/// client would throw one of them out.
pub(crate) fn connections(
    endpoints: &[EndpointSpec],
    protocols: &'static [Protocol],
    id_of: &dyn Fn(&Tag) -> Option<TagId>,
) -> Vec<Connection> {
    let mut made: Vec<Connection> = Vec::new();
    let mut shared: HashMap<(&str, String), usize> = HashMap::new();
    for spec in endpoints {
        let Some(protocol) = protocols.iter().find(|p| p.name == spec.protocol) else { continue };
        let plan = |tag: &Arc<Tag>| Some(Planned { id: id_of(tag)?, tag: tag.clone() });
        let tags: Vec<Planned> = spec.tags.iter().filter_map(plan).collect();
        let key = (protocol.shared_as)(&spec.settings).map(|key| (protocol.name, key));
        let known = key.as_ref().and_then(|key| shared.get(key)).copied();
        match known.and_then(|at| made.get_mut(at)) {
            Some(connection) => {
                connection.names.push(spec.name.clone());
                connection.spec.tags.extend(spec.tags.iter().cloned());
                connection.spec.budget = strictest(connection.spec.budget, spec.budget);
                connection.tags.extend(tags);
            }
            None => {
                if let Some(key) = key {
                    shared.insert(key, made.len());
                }
                let names = vec![spec.name.clone()];
                made.push(Connection { names, spec: spec.clone(), protocol, tags });
            }
        }
    }
    made
}

fn strictest(a: Budget, b: Budget) -> Budget {
    Budget {
        requests_per_s: a.requests_per_s.min(b.requests_per_s),
        burst: a.burst.min(b.burst),
        connections: a.connections.min(b.connections),
        on_demand_share: a.on_demand_share.min(b.on_demand_share),
    }
}
