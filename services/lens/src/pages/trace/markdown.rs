//! A trace as Markdown, for a ticket.

use std::fmt::{self, Write as _};

use super::{marks, view::View};
use crate::{
    analysis::{Collapsed, Item, Node, Row},
    pages::{format, text, value},
    store::{SpanId, SpanView, StoredLog, TraceSpan},
};

/// Maximum number of rows of the tree.
const ROWS: usize = 200;

/// Maximum number of spans with an error that are described.
const ERRORS: usize = 20;

/// Maximum number of attributes of a span.
const ATTRIBUTES: usize = 40;

/// Maximum number of log records.
const LOGS: usize = 100;

/// Maximum length of a value, in characters.
const VALUE: usize = 500;

/// Maximum number of levels of indentation.
const LEVELS: usize = 24;

/// The trace as Markdown. Its size is bounded, and it says what is left out.
pub(super) fn write(view: &View<'_>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = document(&mut text, view);
    text
}

fn document(out: &mut String, view: &View<'_>) -> fmt::Result {
    match view.top() {
        Some((service, name)) => writeln!(out, "# {} {}\n", code(service), code(name))?,
        None => writeln!(out, "# Log records of a trace\n")?,
    }
    writeln!(out, "- Trace: `{}`", view.id)?;
    if let Some(range) = view.full.range() {
        writeln!(out, "- Start: {}", format::timestamp(range.start))?;
        let duration = format::duration(range.end - range.start);
        let root = view.root_duration().map(format::duration);
        match root.filter(|root| *root != duration) {
            Some(root) => writeln!(out, "- Duration: {duration} (root {root})")?,
            None => writeln!(out, "- Duration: {duration}")?,
        }
    }
    let spans = view.full.spans();
    let errors: Vec<usize> = (0..spans.len())
        .filter(|&number| spans[number].error)
        .collect();
    writeln!(
        out,
        "- Spans: {}, {} with an error",
        format::count(spans.len() as u64),
        format::count(errors.len() as u64)
    )?;
    if view.outline.is_some_and(|outline| outline.evicted_spans()) || view.evicted_logs() {
        writeln!(
            out,
            "- Parts of this trace were evicted from the store of lens."
        )?;
    }
    if view.has_spans() {
        tree(out, view)?;
    }
    failures(out, view, &errors)?;
    logs(out, view)
}

fn tree(out: &mut String, view: &View<'_>) -> fmt::Result {
    let window = view.full.rows(0, ROWS, &Collapsed::default());
    let mut lines = String::new();
    for row in &window.rows {
        let indent = "  ".repeat(row.depth.min(LEVELS));
        writeln!(lines, "{indent}{}", line(view, row))?;
    }
    let rest = window.total - window.rows.len();
    if rest > 0 {
        writeln!(lines, "... {} more rows", format::count(rest as u64))?;
    }
    writeln!(out, "\n## Spans\n\n{}", block(&lines))
}

fn line(view: &View<'_>, row: &Row) -> String {
    match row.item {
        Item::Span(node) => match view.full.span(node) {
            Some(span) => span_line(view, node, span),
            None => String::new(),
        },
        Item::Missing(node) => format!("(span {} is not stored)", view.full.id(node)),
        Item::Group(group) => {
            let name = view.full.span(group.first).map(named).unwrap_or_default();
            let errors = match group.errors {
                0 => String::new(),
                errors => format!(", {errors} ERRORS"),
            };
            format!(
                "{} x {name}: {} in total, longest {}{errors}",
                group.count,
                format::duration(group.total),
                format::duration(group.longest)
            )
        }
    }
}

fn span_line(view: &View<'_>, node: Node, span: &SpanView<'_>) -> String {
    let mut line = named(span);
    if span.start != 0 {
        let _ = write!(
            line,
            ": {} at {}",
            format::duration(span.duration),
            view.scale.offset(span.start)
        );
    }
    if span.error {
        line.push_str(", ERROR");
    }
    for mark in marks::of(view.full.marks(node), None) {
        if !mark.is_common {
            let _ = write!(line, ", {}", mark.short);
        }
    }
    line
}

fn failures(out: &mut String, view: &View<'_>, errors: &[usize]) -> fmt::Result {
    if errors.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Spans with an error")?;
    let first = &errors[..errors.len().min(ERRORS)];
    let decoded = view.read_spans(first.to_vec());
    for span in first
        .iter()
        .filter_map(|&number| view.full.spans().get(number))
    {
        writeln!(out, "\n### {} {}\n", code(span.service), code(span.name))?;
        if let Some(decoded) = decoded.get(&span.span) {
            failure(out, span.span, decoded)?;
        }
    }
    match errors.len() - first.len() {
        0 => Ok(()),
        rest => writeln!(out, "\nAnd {} more.", format::count(rest as u64)),
    }
}

fn failure(out: &mut String, id: SpanId, decoded: &TraceSpan) -> fmt::Result {
    let span = &decoded.span;
    writeln!(out, "- span: `{id}`")?;
    let message = span.status.as_ref().map_or("", |status| &status.message);
    if !message.is_empty() {
        writeln!(out, "- status: {}", code(message))?;
    }
    for attribute in span.attributes.iter().take(ATTRIBUTES) {
        let value = value::plain(attribute.value.as_ref());
        writeln!(out, "- {}: {}", code(&attribute.key), code(&value))?;
    }
    for event in span.events.iter().take(ATTRIBUTES) {
        writeln!(out, "- event {}", code(&event.name))?;
        for attribute in event.attributes.iter().take(ATTRIBUTES) {
            let value = value::plain(attribute.value.as_ref());
            writeln!(out, "  - {}: {}", code(&attribute.key), code(&value))?;
        }
    }
    Ok(())
}

fn logs(out: &mut String, view: &View<'_>) -> fmt::Result {
    let count = view.log_count();
    if count == 0 {
        return Ok(());
    }
    let first: Vec<usize> = (0..count.min(LOGS)).collect();
    let mut lines = String::new();
    for log in view.read_logs(&first) {
        writeln!(lines, "{}", log_line(view, &log))?;
    }
    if count > LOGS {
        writeln!(lines, "... {} more", format::count((count - LOGS) as u64))?;
    }
    writeln!(out, "\n## Log records\n\n{}", block(&lines))
}

fn log_line(view: &View<'_>, log: &StoredLog) -> String {
    let level = format::level(log.record.severity_number).unwrap_or("LOG");
    let time = match log.time {
        0 => "no time".to_owned(),
        time => view.scale.offset(time),
    };
    let body = value::plain(log.record.body.as_ref());
    let text = cut(&body);
    format!("{time} {level} {} {text}", cut(&log.source.service))
}

fn named(span: &SpanView<'_>) -> String {
    format!("{} {}", cut(span.service), cut(span.name))
}

/// A text on one line, at most 500 characters.
fn cut(text: &str) -> String {
    let (start, rest) = text::split(text, VALUE);
    match rest {
        0 => text::line(start).into_owned(),
        _ => format!("{}…", text::line(start)),
    }
}

/// A text as code on one line. It cannot end the code, whatever it contains.
fn code(text: &str) -> String {
    let text = cut(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    // Spaces keep backticks at the ends apart from the fence. Markdown removes them.
    match text.trim().is_empty() {
        true => "(empty)".to_owned(),
        false if text.starts_with('`') || text.ends_with('`') => format!("{fence} {text} {fence}"),
        false => format!("{fence}{text}{fence}"),
    }
}

/// Lines as a block of code.
fn block(lines: &str) -> String {
    let fence = "`".repeat(longest_run(lines).max(2) + 1);
    format!("{fence}text\n{lines}{fence}")
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`')
        .map(str::len)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_cannot_be_ended() {
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code("a\n# title"), "`a # title`");
        assert_eq!(code(" "), "(empty)");
        assert_eq!(block("a ``` b\n"), "````text\na ``` b\n````");
    }
}
