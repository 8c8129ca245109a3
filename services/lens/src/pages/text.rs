//! Text of others in a page: names, attributes and log records.
//!
//! It can contain anything. Control characters and marks that change the direction of text are shown by their
//! number, so that they cannot disguise what is there, and each text has a direction of its own.

use std::{borrow::Cow, fmt::Write as _};

use maud::{Markup, Render, html};

/// Maximum number of characters of a text in a page. OTLP JSON has the whole text.
const LONGEST: usize = 4_000;

/// Number of characters that a name without spaces may have, so that it is not cut to the width that there is.
const UNBROKEN: usize = 60;

/// Maximum number of characters of a title.
const TITLE: usize = 1_000;

/// A text on one line, at most `limit` characters.
pub(super) fn short(text: &str, limit: usize) -> Markup {
    let (start, rest) = split(text, limit);
    html! { bdi { (line(start)) @if rest > 0 { "…" } } }
}

/// A name on one line, or words for an empty one.
pub(super) fn name(text: &str, empty: &str) -> Markup {
    match text.is_empty() {
        true => html! { em { (empty) } },
        false if is_unbroken(text) => unbroken(text, short_text(text, 200)),
        false => short(text, 200),
    }
}

/// Whether a name would widen what it is in: it is long, and has no space to break at.
pub(super) fn is_unbroken(text: &str) -> bool {
    let (start, rest) = split(text, UNBROKEN);
    rest > 0 && !start.contains(char::is_whitespace)
}

/// A name that is cut to the width that there is. Its title has more of it.
pub(super) fn unbroken(text: &str, shown: impl Render) -> Markup {
    html! { bdi.long title=(short_text(text, TITLE)) { (shown) } }
}

fn short_text(text: &str, limit: usize) -> String {
    let (start, rest) = split(text, limit);
    format!("{}{}", line(start), if rest > 0 { "…" } else { "" })
}

/// A text with its line breaks, and how much of it is left out.
pub(super) fn long(text: &str) -> Markup {
    let (start, rest) = split(text, LONGEST);
    html! {
        bdi.text { (visible(start, true)) }
        @if rest > 0 {
            " " span.hint { "… and " (super::format::bytes(rest as u64)) " more" }
        }
    }
}

/// A text on one line, as a part of a plain text.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    visible(text, false)
}

/// The first `limit` characters, and the size of the rest in bytes.
pub(super) fn split(text: &str, limit: usize) -> (&str, usize) {
    let end = text
        .char_indices()
        .nth(limit)
        .map_or(text.len(), |(end, _)| end);
    (&text[..end], text.len() - end)
}

fn visible(text: &str, lines: bool) -> Cow<'_, str> {
    let is_shown = |character: char| match character {
        '\n' | '\t' => lines,
        other => !other.is_control() && !is_direction(other),
    };
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            _ if is_shown(character) => shown.push(character),
            '\n' | '\t' | '\r' => shown.push(' '),
            _ => {
                let _ = write!(shown, "⟨U+{:04X}⟩", u32::from(character));
            }
        }
    }
    Cow::Owned(shown)
}

/// Whether a character changes the direction of the text after it.
fn is_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(line("a\u{202e}b\u{1b}[31m"), "a⟨U+202E⟩b⟨U+001B⟩[31m");
        assert_eq!(line("one\ntwo\0"), "one two⟨U+0000⟩");
        assert_eq!(visible("one\n\ttwo", true), "one\n\ttwo");
        assert!(matches!(line("Grüße, שלום"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_name_without_spaces_is_cut_by_its_width() {
        let text = name(&"s".repeat(5_000), "").into_string();
        assert!(
            text.starts_with(r#"<bdi class="long" title="sss"#),
            "{text}"
        );
        assert!(text.len() < 1_300, "{text}");
        for usual in [
            "SELECT * FROM users WHERE id = $1 AND name = $2 AND deleted_at IS NULL",
            "a.b/c",
        ] {
            assert!(name(usual, "").into_string().starts_with("<bdi>"));
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(short("äöü", 2).into_string(), "<bdi>äö…</bdi>");
        let text = long(&"ä".repeat(600_000)).into_string();
        assert!(text.len() < 10_000);
        assert!(text.contains("and 1.1 MiB more"), "{}", &text[8000..]);
        assert_eq!(
            long("<b>").into_string(),
            r#"<bdi class="text">&lt;b&gt;</bdi>"#
        );
    }
}
