//! Lines of configurations that apply to some starts alone.
//!
//! Such a line is a comment that begins with a mark, such as `#ipv6 `. preflight removes the mark where the line applies.
//! So the file is valid without preflight too, and shows everything that it can become.

/// The mark of the lines about profiles, which apply if Pyroscope runs.
pub(crate) const PROFILES: &str = "#profiles ";

/// Removes the marks that apply.
pub(crate) fn remove(text: &str, marks: &[(&str, bool)]) -> String {
    let mut removed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches(' ');
        let applies = marks
            .iter()
            .filter(|(_, applies)| *applies)
            .find_map(|(mark, _)| trimmed.strip_prefix(mark));
        match applies {
            Some(rest) => {
                removed.push_str(&line[..line.len() - trimmed.len()]);
                removed.push_str(rest);
            }
            None => removed.push_str(line),
        }
    }
    removed
}
