//! Caught panics. A caught panic fails one request or event, and not the process.

use std::any::Any;

/// The text of a caught panic.
#[must_use]
pub fn reason(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown")
}
