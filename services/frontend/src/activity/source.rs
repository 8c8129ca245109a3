//! The state of the source of events.

/// Whether events can arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// No broker is configured, so no events will arrive.
    Off,
    /// The broker does not answer. The kept events are shown.
    Silent,
    /// Events arrive as they happen.
    Live,
}
