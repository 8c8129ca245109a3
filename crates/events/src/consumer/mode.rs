//! How a consumer reads its topics.

/// Where a group begins in a partition for which it has no committed offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// With the oldest event that the broker keeps.
    Earliest,
    /// With the next event.
    Latest,
    /// With this number of the newest events.
    Tail(u32),
}

/// How a client gets its partitions.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// The group assigns them.
    Member { group: String, start: Start },
    /// The client takes all partitions, and begins with their last events.
    Follower { name: String, last: u32 },
}

impl Mode {
    /// The group that commits offsets, if there is one.
    pub(crate) fn group(&self) -> Option<&str> {
        match self {
            Self::Member { group, .. } => Some(group),
            Self::Follower { .. } => None,
        }
    }
}
