mod plots;
mod scales;

const SECOND: u64 = 1_000_000_000;

/// 2026-01-02T03:04:00Z.
const START: u64 = 1_767_323_040 * SECOND;
