//! The encoded records of one segment, compressed in blocks.

use std::ops::Range;

/// Size of a block before compression, in bytes. The last record of a block may exceed it. A larger block compresses
/// better, but is unpacked as a whole to read one record.
const BLOCK: usize = 64 * 1024;

/// Encoded messages, one after the other. Full blocks are compressed.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    blocks: Vec<Block>,
    /// The compressed blocks. They are one allocation, because an allocator reuses the memory of many small ones worse.
    packed: Vec<u8>,
    /// The messages after the last block.
    tail: Vec<u8>,
    /// Size of the blocks before compression, in bytes.
    start: u32,
}

#[derive(Clone, Debug)]
struct Block {
    /// Place of its bytes in the uncompressed arena.
    range: Range<u32>,
    /// Place of its bytes in `packed`.
    packed: Range<u32>,
}

impl Arena {
    /// Adds an encoded message and returns the place of its end in the uncompressed arena.
    pub(super) fn push(&mut self, message: &[u8], scratch: &mut Vec<u8>) -> u32 {
        if self.tail.capacity() == 0 {
            self.tail.reserve_exact(BLOCK + BLOCK / 16);
        }
        self.tail.extend_from_slice(message);
        // Protobuf messages are below 2 GiB, and a segment above its size takes no further message.
        let end = self.start + self.tail.len() as u32;
        if self.tail.len() >= BLOCK {
            self.pack(scratch);
        }
        end
    }

    fn pack(&mut self, scratch: &mut Vec<u8>) {
        scratch.resize(lz4_flex::block::get_maximum_output_size(self.tail.len()), 0);
        let len = lz4_flex::block::compress_into(&self.tail, scratch)
            .expect("the output has the maximum size");
        let start = self.packed.len() as u32;
        self.packed.extend_from_slice(&scratch[..len]);
        let end = self.start + self.tail.len() as u32;
        self.blocks.push(Block {
            range: self.start..end,
            packed: start..start + len as u32,
        });
        self.start = end;
        // A large message must not leave its buffer behind.
        if self.tail.capacity() > 3 * BLOCK {
            self.tail = Vec::new();
            *scratch = Vec::new();
        }
        self.tail.clear();
    }

    /// Compresses the rest, and frees what only [`Self::push`] needs.
    pub(super) fn seal(&mut self, scratch: &mut Vec<u8>) {
        if !self.tail.is_empty() {
            self.pack(scratch);
        }
        self.tail = Vec::new();
        self.blocks.shrink_to_fit();
        self.packed.shrink_to_fit();
    }

    /// Size of the messages before compression, in bytes.
    pub(super) fn len(&self) -> usize {
        self.start as usize + self.tail.len()
    }

    /// Size of the allocations, in bytes.
    pub(super) fn size(&self) -> usize {
        self.packed.capacity() + size_of::<Block>() * self.blocks.capacity() + self.tail.capacity()
    }

    /// Places of the blocks in the uncompressed arena.
    pub(super) fn blocks(&self) -> impl DoubleEndedIterator<Item = Range<u32>> {
        let tail = self.start..self.len() as u32;
        // Messages may be empty, and all of them in an arena without bytes.
        let has_tail = !tail.is_empty() || self.blocks.is_empty();
        self.blocks
            .iter()
            .map(|block| block.range.clone())
            .chain(has_tail.then_some(tail))
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader {
            arena: self,
            buffer: Vec::new(),
            unpacked: None,
        }
    }
}

/// Reads an arena. It keeps one block unpacked, so reads are fastest in order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    arena: &'a Arena,
    buffer: Vec<u8>,
    /// The number of the block in `buffer`.
    unpacked: Option<usize>,
}

impl Reader<'_> {
    /// The bytes at a place of the uncompressed arena, which must not cross a block.
    pub(super) fn read(&mut self, range: Range<u32>) -> &[u8] {
        let arena = self.arena;
        if range.start >= arena.start {
            let from = (range.start - arena.start) as usize;
            return &arena.tail[from..from + range.len()];
        }
        let number = arena
            .blocks
            .partition_point(|block| block.range.end <= range.start);
        let block = &arena.blocks[number];
        if self.unpacked != Some(number) {
            self.buffer.resize(block.range.len(), 0);
            let packed = &arena.packed[block.packed.start as usize..block.packed.end as usize];
            lz4_flex::block::decompress_into(packed, &mut self.buffer)
                .expect("the block is as it was packed");
            self.unpacked = Some(number);
        }
        let from = (range.start - block.range.start) as usize;
        &self.buffer[from..from + range.len()]
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn messages_are_read_back_from_blocks_and_from_the_tail() {
        let mut arena = Arena::default();
        let mut scratch = Vec::new();
        let messages: Vec<String> = (0..3000)
            .map(|number| format!("message {number} {}", "x".repeat(number % 90)))
            // A message that is larger than a block.
            .chain([format!("large {}", "y".repeat(3 * BLOCK)), "last".into()])
            .collect();
        let mut ends = Vec::new();
        for message in &messages {
            ends.push(arena.push(&message.encode_to_vec(), &mut scratch));
        }
        assert!(arena.blocks.len() > 2 && !arena.tail.is_empty());
        assert!(arena.size() < arena.len() / 2);
        for seal in [false, true] {
            if seal {
                arena.seal(&mut scratch);
            }
            let mut reader = arena.reader();
            let mut start = 0;
            for (message, &end) in messages.iter().zip(&ends) {
                let bytes = reader.read(start..end);
                assert_eq!(&String::decode(bytes).unwrap(), message);
                start = end;
            }
        }
        assert_eq!(arena.blocks().last().unwrap().end as usize, arena.len());
    }
}
