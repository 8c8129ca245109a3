//! From the bytes of a file to its objects, in the form of the file.

use bytes::Bytes;

use super::{frames::Frames, split::Splitter};
use crate::{export::Signal, failure::Failure};

/// Number of bytes that show the form of a file.
const HEAD: usize = 64;

/// The first bytes of zstd. The file exporter of the collector compresses the whole file, or each message after its
/// length.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An object of a file.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Object {
    /// Number of the line where it begins, or of the message.
    pub(super) line: u64,
    /// `None` if it is too large.
    pub(super) bytes: Option<Bytes>,
}

/// Splits a file into its objects.
#[derive(Debug)]
pub(super) struct Objects {
    form: Form,
    is_known: bool,
}

#[derive(Debug)]
enum Form {
    Json(Splitter),
    Protobuf(Signal, Frames),
}

impl Objects {
    /// A file of protobuf messages of a signal, or of JSON.
    pub(super) fn new(protobuf: Option<Signal>, limit: usize) -> Self {
        let form = match protobuf {
            None => Form::Json(Splitter::new(limit)),
            Some(signal) => Form::Protobuf(signal, Frames::new(limit)),
        };
        let is_known = false;
        Self { form, is_known }
    }

    /// The signal of protobuf messages.
    pub(super) fn protobuf(&self) -> Option<Signal> {
        match self.form {
            Form::Json(_) => None,
            Form::Protobuf(signal, _) => Some(signal),
        }
    }

    /// Number of the line or message that is being read.
    pub(super) fn line(&self) -> u64 {
        match &self.form {
            Form::Json(splitter) => splitter.line(),
            Form::Protobuf(_, frames) => frames.number(),
        }
    }

    /// Takes bytes up to the end of an object.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Object>, Failure> {
        if !self.is_known && !bytes.is_empty() {
            self.check(&bytes[..bytes.len().min(HEAD)])?;
            self.is_known = true;
        }
        Ok(match &mut self.form {
            Form::Protobuf(_, frames) => frames.next(bytes),
            Form::Json(splitter) => {
                let mut object = None;
                while object.is_none()
                    && let Some((&byte, rest)) = bytes.split_first()
                {
                    *bytes = rest;
                    object = splitter.push(byte);
                }
                object
            }
        })
    }

    /// The object that ends with the file.
    pub(super) fn end(&mut self) -> Result<Option<Object>, Failure> {
        match &mut self.form {
            Form::Json(splitter) => Ok(splitter.end()),
            Form::Protobuf(_, frames) => frames.end(),
        }
    }

    /// Refuses files that have another form, which each of their lines would report.
    fn check(&self, head: &[u8]) -> Result<(), Failure> {
        let has_zstd = |from: usize| head.get(from..).is_some_and(|head| head.starts_with(&ZSTD));
        let is_text = |byte: &u8| *byte >= b' ' || byte.is_ascii_whitespace();
        // A line break is also the first byte of a protobuf message, and a bracket can be its second.
        let is_json = head.starts_with(b"{") || head.trim_ascii_start().starts_with(b"{\"");
        let reason = match &self.form {
            _ if has_zstd(0) || has_zstd(4) => {
                "the file is compressed by zstd, and only gzip can be read"
            }
            Form::Json(_) if !head.iter().all(is_text) => {
                "the file is not JSON; if it has protobuf, name its signal: traces, metrics or logs"
            }
            Form::Protobuf(..) if is_json => {
                "the file is JSON, which names its signals itself: import it without a signal"
            }
            _ => return Ok(()),
        };
        Err(Failure::malformed("", &reason))
    }
}
