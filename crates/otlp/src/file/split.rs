//! From the bytes of a file to its objects.

use super::objects::Object;

/// The start of an object that begins a line.
const START: &[u8] = b"{\"resource";

/// Splits a file into its objects.
///
/// An object ends with its last bracket. A line that does not begin with a bracket is an object by itself. An object
/// that is cut off ends before the next line that begins as an export object does.
#[derive(Debug)]
pub(super) struct Splitter {
    limit: usize,
    bytes: Vec<u8>,
    is_too_large: bool,
    /// Number of open brackets.
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// The first bytes of the line.
    head: Vec<u8>,
    /// Number of the line.
    line: u64,
    /// Number of the line where the object begins.
    first: u64,
}

impl Splitter {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: Vec::new(),
            is_too_large: false,
            depth: 0,
            is_in_string: false,
            is_escaped: false,
            head: Vec::new(),
            line: 1,
            first: 1,
        }
    }

    /// Number of the line that is being read.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Takes a byte. Returns the object that it ends.
    pub(super) fn push(&mut self, byte: u8) -> Option<Object> {
        if byte == b'\n' {
            let object = match self.depth {
                0 => self.end(),
                _ => None,
            };
            if !self.bytes.is_empty() {
                self.keep(byte);
            }
            self.line += 1;
            self.head.clear();
            // A string of JSON ends in its line.
            self.is_in_string = false;
            self.is_escaped = false;
            return object;
        }
        if self.head.len() < START.len() {
            self.head.push(byte);
            if self.head == START && self.first < self.line && !self.bytes.is_empty() {
                // Without the line break before it, which would be the error that a reader finds.
                let end = self.bytes.len().saturating_sub(START.len());
                self.bytes.truncate(end);
                let object = self.end();
                self.first = self.line;
                self.bytes.extend_from_slice(START);
                self.depth = 1;
                self.is_in_string = true;
                return object;
            }
        }
        if self.bytes.is_empty() {
            if byte.is_ascii_whitespace() {
                return None;
            }
            self.first = self.line;
        }
        self.keep(byte);
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_in_string => self.is_escaped = true,
            b'"' => self.is_in_string = !self.is_in_string,
            _ if self.is_in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth <= 1 => return self.end(),
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        None
    }

    fn keep(&mut self, byte: u8) {
        if self.bytes.len() < self.limit {
            self.bytes.push(byte);
        } else {
            self.is_too_large = true;
        }
    }

    /// The object so far, if there is one.
    pub(super) fn end(&mut self) -> Option<Object> {
        self.depth = 0;
        let bytes = std::mem::take(&mut self.bytes);
        let is_too_large = std::mem::take(&mut self.is_too_large);
        (!bytes.is_empty()).then(|| Object {
            line: self.first,
            bytes: (!is_too_large).then(|| bytes.into()),
        })
    }
}

#[cfg(test)]
mod tests;
