//! The text that tells a client why data points were rejected.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
};

use crate::metrics::{
    decode::{Reason, Rejections},
    state::State,
};

/// Characters of a metric's name that a message quotes.
const QUOTED: usize = 100;

/// The message of an answer. Empty if there is nothing to say.
pub(super) fn write(rejections: &Rejections, state: &State) -> String {
    let mut message = String::new();
    for (reason, count) in rejections {
        // Writing to a string cannot fail.
        let _ = sentence(&mut message, *reason, *count, state);
    }
    message
}

fn sentence(message: &mut String, reason: Reason, count: u64, state: &State) -> fmt::Result {
    let message = separated(message);
    write!(message, "{} rejected: ", points(count))?;
    match reason {
        Reason::TooManySeries => {
            let limit = state.series_limit();
            write!(
                message,
                "they are of new series, and the limit of {limit} series for a budget of {} bytes is \
                 reached",
                state.limit(),
            )?;
            largest(message, state)
        }
        Reason::IdentitiesTooLarge => {
            write!(
                message,
                "they are of new series, and the names and attributes of all series take half of the \
                 budget of {} bytes",
                state.limit(),
            )?;
            largest(message, state)
        }
        Reason::TooLarge => write!(
            message,
            "each takes more than 1/16 of the budget of {} bytes",
            state.limit(),
        ),
        Reason::Collision => message.write_str("the id of their series is that of another series"),
        Reason::Invalid(what) => message.write_str(what),
    }
}

/// Names the metric with the most series, which is what a client should look at.
fn largest(message: &mut String, state: &State) -> fmt::Result {
    let mut series = HashMap::<&str, usize>::new();
    for (_, one) in state.all() {
        *series.entry(&one.metric.name).or_default() += 1;
    }
    let largest = series.iter().max_by_key(|(name, count)| (**count, **name));
    match largest {
        Some((name, count)) => write!(message, " ({count} of them: {})", quoted(name)),
        None => Ok(()),
    }
}

fn separated(message: &mut String) -> &mut String {
    if !message.is_empty() {
        message.push_str("; ");
    }
    message
}

fn points(count: u64) -> String {
    match count {
        1 => "1 data point".to_owned(),
        _ => format!("{count} data points"),
    }
}

fn quoted(name: &str) -> String {
    let short = name.chars().take(QUOTED).collect::<String>();
    let rest = if short.len() < name.len() { "…" } else { "" };
    format!("\"{short}{rest}\"")
}
