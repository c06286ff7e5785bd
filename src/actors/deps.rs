//! Handles for the tools.

/// What a tool may reach.
#[derive(Debug, Clone)]
pub struct Deps {}
