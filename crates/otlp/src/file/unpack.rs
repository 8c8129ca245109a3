//! Files that are compressed by gzip.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;

use crate::failure::Failure;

/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Decompresses a file if it is gzip.
#[derive(Default)]
pub(super) struct Unpacker {
    /// The first byte, until the second one arrives.
    first: Vec<u8>,
    form: Form,
}

#[derive(Default)]
enum Form {
    #[default]
    Unknown,
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    pub(super) fn unpack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut bytes = bytes;
        let mut first;
        if matches!(self.form, Form::Unknown) {
            self.first.extend_from_slice(bytes);
            if self.first.len() < GZIP.len() {
                return Ok(Vec::new());
            }
            first = std::mem::take(&mut self.first);
            self.form = match first.starts_with(&GZIP) {
                true => Form::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
                false => Form::Plain,
            };
            bytes = &mut first;
        }
        match &mut self.form {
            Form::Gzip(decoder) => {
                decoder.write_all(bytes).map_err(|error| bad_gzip(&error))?;
                // What is decompressed otherwise arrives with the next bytes.
                decoder.flush().map_err(|error| bad_gzip(&error))?;
                Ok(std::mem::take(decoder.get_mut()))
            }
            Form::Plain | Form::Unknown => Ok(bytes.to_vec()),
        }
    }

    pub(super) fn end(self) -> Result<Vec<u8>, Failure> {
        match self.form {
            Form::Unknown => Ok(self.first),
            Form::Plain => Ok(Vec::new()),
            Form::Gzip(decoder) => decoder.finish().map_err(|error| bad_gzip(&error)),
        }
    }
}

fn bad_gzip(error: &io::Error) -> Failure {
    Failure::malformed("", &format!("the file is not valid gzip: {error}"))
}
