//! The clock of this machine, by which times of senders are judged.

use std::time::SystemTime;

/// Time by which the clock of a sender may be ahead, in nanoseconds.
const AHEAD: u64 = 60 * 1_000_000_000;

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos().try_into().unwrap_or(u64::MAX))
}

/// The end of the present, in nanoseconds since 1970. What has a later time is in the future: the clock of its sender
/// is wrong.
pub(crate) fn future() -> u64 {
    now().saturating_add(AHEAD)
}
