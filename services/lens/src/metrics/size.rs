//! Sizes of allocations, for the byte budget.

/// The bytes that an allocation of this size takes.
///
/// The malloc of glibc adds a header of 8 bytes, rounds up to 16 bytes, and takes 32 bytes at least.
pub(super) const fn block(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=24 => 32,
        _ => (bytes + 8).next_multiple_of(16),
    }
}

/// The bytes of a slice or vector with room for this number of items.
pub(super) const fn items<T>(capacity: usize) -> usize {
    block(capacity * size_of::<T>())
}

/// The bytes of a hash table that reports this capacity.
///
/// The table of the standard library has a power of two of slots, fills 7/8 of them, and has a control
/// byte for each slot.
pub(super) fn table<K, V>(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let slots = (capacity * 8 / 7).next_power_of_two();
    block(slots * (size_of::<(K, V)>() + 1) + 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blocks_take_32_bytes() {
        assert_eq!([0, 1, 24, 25, 40, 41].map(block), [0, 32, 32, 48, 48, 64]);
    }

    #[test]
    fn tables_count_their_free_slots() {
        assert_eq!(table::<u64, u64>(0), 0);
        // 8 slots of 16 bytes and their control bytes.
        assert_eq!(table::<u64, u64>(7), block(8 * 17 + 16));
        assert_eq!(table::<u64, u64>(14), block(16 * 17 + 16));
    }
}
