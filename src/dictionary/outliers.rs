//! Rows that are no dictionary's business: attention sinks outside of position 0.
//!
//! A model parks attention on a few positions whose residual is a hundred times longer than elsewhere. Mostly it
//! is position 0, which callers leave out; but in text with runs of one character, SmolLM2 after block 15 makes
//! rows of norm 14,658 among ones of 177. One such row outweighs all others in a sum of squares, so it decides
//! what is learned and what is measured.

/// A row longer than so many times the median is left out. The longest ordinary rows are 6 times the median
/// (SmolLM2 after block 8), sinks 19 to 130 times (after block 15).
pub const LONGEST: f32 = 10.0;

/// The rows of these norms that are not longer than [`LONGEST`] times the median, in ascending order.
pub(crate) fn usual(norms: &[f32]) -> Vec<usize> {
    let mut sorted = norms.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    // A norm that is no number stays, so that it is noticed.
    (0..norms.len()).filter(|row| norms[*row].is_nan() || norms[*row] <= LONGEST * median).collect()
}
