//! What messages have in common.

/// Length from which a word with a digit is an id, in characters.
const ID: usize = 16;

/// Length from which a word of hexadecimal digits is an id, in characters.
const HEX: usize = 8;

/// A message with `#` in place of each id and number, so that messages of the same kind are equal.
///
/// A word is a run of letters, digits, `-` and `_`. A word with a digit is an id if it has 16 characters, if it has 8
/// and all are hexadecimal digits or `-`, or if it begins with `0x`. Other words lose their numbers, except for digits
/// that follow a letter in a word that begins with one: `http2` and `v1` are names.
pub(super) fn shape(message: &str) -> String {
    let mut shape = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(first.len_utf8()));
        match is_id(word) {
            true => shape.push('#'),
            false => push_without_numbers(&mut shape, word),
        }
        rest = after;
    }
    // Numbers with a fraction, and addresses.
    while shape.contains("#.#") {
        shape = shape.replace("#.#", "#");
    }
    shape
}

fn is_part(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_')
}

fn is_id(word: &str) -> bool {
    let is_hex = || {
        word.chars()
            .all(|char| char.is_ascii_hexdigit() || char == '-')
    };
    let has_digit = word.contains(|char: char| char.is_ascii_digit());
    has_digit && (word.len() >= ID || word.starts_with("0x") || (word.len() >= HEX && is_hex()))
}

fn push_without_numbers(shape: &mut String, word: &str) {
    let is_number = word.starts_with(|char: char| char.is_ascii_digit());
    let mut last = '-';
    for char in word.chars() {
        let is_digit = char.is_ascii_digit();
        match (is_digit, last) {
            (true, '#') => {}
            (true, last_char) if is_number || !last_char.is_alphanumeric() => {
                shape.push('#');
                last = '#';
            }
            _ => {
                shape.push(char);
                last = char;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_numbers_are_left_out() {
        for (message, expected) in [
            ("", ""),
            ("timed out after 1500ms", "timed out after #ms"),
            ("timed out after 1.5 s", "timed out after # s"),
            ("user-17 not found", "user-# not found"),
            ("user_17_x2", "user_#_x2"),
            ("GET /v1/users/42", "GET /v1/users/#"),
            ("http2: stream 9 of 12", "http2: stream # of #"),
            ("no 550e8400-e29b-41d4-a716-446655440000.", "no #."),
            ("trace 0af7651916cd43dd8448eb211c80319c", "trace #"),
            ("commit a1b2c3d4, deadbeef", "commit #, deadbeef"),
            ("at 0x7f3a", "at #"),
            ("order V1StGXR8_Z5jdHi6B", "order #"),
            ("größer als 7 µs é9", "größer als # µs é9"),
            ("at 2026-11-27T07:45:19Z", "at #-#-#T#:#:#Z"),
            ("10.0.0.1:8080 # 7", "#:# # #"),
        ] {
            assert_eq!(shape(message), expected, "{message}");
        }
    }
}
