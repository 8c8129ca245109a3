//! From the bytes of a protobuf file to its messages.

use super::objects::Object;
use crate::failure::Failure;

/// The first byte of an export message: the tag of its only field. As the first byte of a length, it would mean more
/// than 160 MiB.
const TAG: u8 = 0x0a;

/// Size of the length before a message.
const LENGTH: usize = 4;

/// Splits a file into its messages.
///
/// The file is one message, or has the length of each message before it, in 4 bytes, most significant first.
#[derive(Debug)]
pub(super) struct Frames {
    limit: usize,
    part: Part,
    /// The part so far.
    bytes: Vec<u8>,
    is_too_large: bool,
    /// Number of the message.
    number: u64,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// The start of the file.
    Start,
    /// The length of a message.
    Length,
    /// A message of which this many bytes are left.
    Message(usize),
    /// The only message of the file.
    Single,
}

impl Frames {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            part: Part::Start,
            bytes: Vec::new(),
            is_too_large: false,
            number: 1,
        }
    }

    /// Number of the message that is being read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Takes bytes up to the end of a message.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Object> {
        while let Some(&first) = bytes.first() {
            match self.part {
                Part::Start if first == TAG => self.part = Part::Single,
                Part::Start => self.part = Part::Length,
                Part::Length => {
                    self.keep(bytes, LENGTH - self.bytes.len());
                    if let Ok(length) = <[u8; LENGTH]>::try_from(&*self.bytes) {
                        self.bytes.clear();
                        self.part = Part::Message(u32::from_be_bytes(length) as usize);
                    }
                }
                Part::Message(left) => {
                    let left = left - self.keep(bytes, left);
                    self.part = Part::Message(left);
                }
                Part::Single => {
                    self.keep(bytes, usize::MAX);
                }
            }
            if matches!(self.part, Part::Message(0)) {
                self.part = Part::Length;
                return Some(self.take());
            }
        }
        None
    }

    /// The message that ends with the file.
    pub(super) fn end(&mut self) -> Result<Option<Object>, Failure> {
        match self.part {
            Part::Single => Ok(Some(self.take())),
            Part::Start => Ok(None),
            Part::Length if self.bytes.is_empty() => Ok(None),
            Part::Length | Part::Message(_) => {
                Err(Failure::malformed("", &"the file ends within this message"))
            }
        }
    }

    /// Keeps up to `count` of the bytes, within the limit. Returns their number.
    fn keep(&mut self, bytes: &mut &[u8], count: usize) -> usize {
        let count = count.min(bytes.len());
        let (taken, rest) = bytes.split_at(count);
        *bytes = rest;
        self.is_too_large |= self.bytes.len() + count > self.limit;
        if self.is_too_large {
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(taken);
        }
        count
    }

    fn take(&mut self) -> Object {
        let line = self.number;
        self.number += 1;
        let bytes = std::mem::take(&mut self.bytes);
        let is_too_large = std::mem::take(&mut self.is_too_large);
        Object {
            line,
            bytes: (!is_too_large).then(|| bytes.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number and bytes of a message. Those of a too large one are missing.
    type Message = (u64, Option<Vec<u8>>);

    /// The messages of a file that arrives in pieces of this size.
    fn messages(file: &[u8], piece: usize) -> Result<Vec<Message>, Failure> {
        let mut frames = Frames::new(100);
        let mut objects = Vec::new();
        for mut piece in file.chunks(piece) {
            while let Some(object) = frames.next(&mut piece) {
                objects.push(object);
            }
            assert!(piece.is_empty());
        }
        objects.extend(frames.end()?);
        let object = |object: Object| (object.line, object.bytes.map(Into::into));
        Ok(objects.into_iter().map(object).collect())
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&length, message].concat()
    }

    #[test]
    fn messages_follow_their_length() {
        let file = [
            framed(b"\x0aone"),
            framed(b""),
            framed(&[7; 101]),
            framed(b"two"),
        ];
        for piece in [1, 2, 3, 1000] {
            let expected = [
                (1, Some(b"\x0aone".to_vec())),
                (2, Some(Vec::new())),
                (3, None),
                (4, Some(b"two".to_vec())),
            ];
            assert_eq!(messages(&file.concat(), piece).unwrap(), expected);
        }
        assert_eq!(messages(b"", 1).unwrap(), []);
    }

    #[test]
    fn a_file_may_be_one_message() {
        for piece in [1, 1000] {
            let file = b"\x0a\x02\x12\x00";
            assert_eq!(messages(file, piece).unwrap(), [(1, Some(file.to_vec()))]);
            assert_eq!(messages(&[TAG; 101], piece).unwrap(), [(1, None)]);
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let file = [framed(b"one"), framed(b"two")].concat();
        for end in [1, 4, 6, 8, 13] {
            let failure = messages(&file[..end], 2).unwrap_err();
            assert!(failure.to_string().contains("ends within"), "{end}");
        }
    }
}
