//! Panics that one request, and not the process, pays for.

use std::any::Any;

/// The text of a panic that was caught.
#[must_use]
pub fn reason(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown")
}
