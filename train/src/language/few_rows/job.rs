//! A product, as every kernel gets it.

/// Rows up to which this is faster.
pub(super) const MOST_ROWS: i64 = 32;
/// Inputs of one instruction.
pub(super) const INPUTS: usize = 32;

/// One product of contiguous bfloat16 arrays, `weight [o, i]`, `x [r, i]` or as the kernel packs it, `y [r, o]`.
pub(super) struct Job {
    pub(super) weight: *const u16,
    pub(super) x: *const u16,
    pub(super) y: *mut u16,
    pub(super) rows: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}
