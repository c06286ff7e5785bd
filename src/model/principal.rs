//! Who is asking, and through which door.

/// The socket a caller came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// The agents' socket, or stdio pumped to it.
    Agent,
    /// The operators' socket.
    Operator,
}

/// A caller, as the kernel and the door name it. No request can claim one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The door.
    pub door: Door,
    /// The user id of the peer.
    pub uid: u32,
    /// The group id of the peer.
    pub gid: u32,
    /// The process id of the peer, where the kernel gives one.
    pub pid: Option<i32>,
    /// The session, counted from the start of the collector.
    pub session: u64,
}
