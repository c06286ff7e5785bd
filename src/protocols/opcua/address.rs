//! Addresses: node ids as text (Part 6, 5.1.12), with or without a namespace URI.

use std::str::FromStr;
use std::sync::Arc;

use opcua::types::{Identifier, NodeId};

use crate::driver::{DriverError, ErrorKind};

/// An id is at most 4096 characters (Part 3, 8.2.3); more is no address.
const LENGTH_MAX: usize = 4096;
/// What an address looks like.
const EXAMPLE: &str =
    "write it like ns=2;s=Line1.Temp, ns=2;i=5, i=85 or nsu=urn:plc:app;s=Line1.Temp";

/// A node's address as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// With the namespace's index: it moves when the server is rebuilt.
    Indexed(NodeId),
    /// With the namespace's URI: looked up in the NamespaceArray at each connect.
    Named {
        /// The namespace.
        uri: String,
        /// The rest.
        id: Identifier,
    },
}

fn bad(text: &str) -> DriverError {
    let shown: String = text.chars().take(60).collect();
    DriverError::new(ErrorKind::BadAddress, format!("{shown:?} is no node id")).hint(EXAMPLE)
}

impl Address {
    /// Reads an address.
    pub(super) fn parse(text: &str) -> Result<Self, DriverError> {
        let trimmed = text.trim();
        if trimmed.chars().count() > LENGTH_MAX {
            return Err(bad(text));
        }
        let Some(rest) = trimmed.strip_prefix("nsu=") else {
            return NodeId::from_str(trimmed).map(Self::Indexed).map_err(|_| bad(text));
        };
        // A URI may hold semicolons itself: the id begins at the first one that a kind follows.
        let kinds = [";i=", ";s=", ";g=", ";b="];
        let at = kinds.iter().filter_map(|kind| rest.find(kind)).min().ok_or_else(|| bad(text))?;
        let uri = rest.get(..at).unwrap_or_default();
        let id = rest.get(at + 1..).unwrap_or_default();
        if uri.is_empty() || id.len() < 3 {
            return Err(bad(text));
        }
        // Part 6, 5.1.12 escapes the two characters that the form itself uses.
        let uri = uri.replace("%3B", ";").replace("%25", "%");
        let id = Identifier::from_str(id).map_err(|()| bad(text))?;
        Ok(Self::Named { uri, id })
    }

    /// Finds the node id in a server's namespaces.
    pub(super) fn resolve(&self, namespaces: &[Arc<str>]) -> Result<NodeId, DriverError> {
        match self {
            Self::Indexed(id) => Ok(id.clone()),
            Self::Named { uri, id } => namespaces
                .iter()
                .position(|known| known.as_ref() == uri)
                .and_then(|index| u16::try_from(index).ok())
                .map(|index| NodeId::new(index, id.clone()))
                .ok_or_else(|| {
                    DriverError::new(
                        ErrorKind::BadAddress,
                        format!("the server has no namespace {uri:?}"),
                    )
                    .hint("opcua_server_info lists the namespaces the server has")
                }),
        }
    }
}

/// Writes a node id the way it is read.
pub(super) fn text(id: &NodeId) -> Arc<str> {
    id.to_string().into()
}

/// Writes a node id with its namespace's URI, which stays when the index moves; `None` where
/// there is none that leads back to it.
pub(super) fn lasting(id: &NodeId, namespaces: &[Arc<str>]) -> Option<Arc<str>> {
    let index = usize::from(id.namespace);
    let uri = namespaces.get(index).filter(|_| index > 0)?;
    let escaped = uri.replace('%', "%25").replace(';', "%3B");
    let plain = NodeId::new(0, id.identifier.clone());
    let text = format!("nsu={escaped};{plain}");
    let found = Address::parse(&text).and_then(|address| address.resolve(namespaces));
    (found.ok()? == *id).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back_as_it_is_written() {
        let guid = "ns=3;g=00000000-0000-0000-0000-000000000001";
        for form in ["i=85", "ns=2;i=5", "ns=2;s=Line 1;s=x", guid, "ns=4;b=AP8="] {
            let Address::Indexed(id) = Address::parse(form).unwrap() else { panic!("{form}") };
            assert_eq!(text(&id).as_ref(), form);
        }
    }

    #[test]
    fn a_namespace_uri_is_looked_up() {
        let address = Address::parse("nsu=urn:sim;s=Ramp").unwrap();
        let namespaces: Vec<Arc<str>> =
            vec!["http://opcfoundation.org/UA/".into(), "urn:sim".into()];
        assert_eq!(address.resolve(&namespaces).unwrap(), NodeId::new(1, "Ramp"));
        assert_eq!(address.resolve(&namespaces[..1]).unwrap_err().kind, ErrorKind::BadAddress);
        let odd = Address::parse("nsu=urn:a;b:c%25;i=7").unwrap();
        assert_eq!(odd, Address::Named { uri: "urn:a;b:c%".into(), id: 7u32.into() });
    }

    #[test]
    fn a_node_is_written_with_the_uri_of_its_namespace_where_that_leads_back_to_it() {
        let uris = ["http://opcfoundation.org/UA/", "urn:a;i=1%3B", "urn:b", "urn:b", "", " "];
        let namespaces: Vec<Arc<str>> = uris.map(Arc::from).to_vec();
        let lasting = |index, id: &str| lasting(&NodeId::new(index, id), &namespaces);
        let odd = lasting(1, "x;y").unwrap();
        assert_eq!(odd.as_ref(), "nsu=urn:a%3Bi=1%253B;s=x;y");
        assert_eq!(lasting(2, "x").as_deref(), Some("nsu=urn:b;s=x"));
        for index in [0, 3, 4, 9] {
            assert_eq!(lasting(index, "x"), None, "{index}");
        }
    }

    #[test]
    fn what_is_no_node_id_is_refused_with_an_example() {
        let long = "x".repeat(5000);
        for form in
            ["", "85", "ns=2", "ns=x;i=1", "i=abc", "nsu=urn:x", "nsu=;i=1", "nsu=u;s=", &long]
        {
            let error = Address::parse(form).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadAddress, "{form}");
            assert!(error.hint.contains("ns=2;s="));
        }
    }
}
