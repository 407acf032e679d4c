//! Sequences of different lengths laid end to end, so that no padding exists that could influence anything.

use std::ops::Range;

/// Token ids of several sequences, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// The ids of all sequences.
    pub ids: Vec<u32>,
    /// How many tokens each sequence has; sums to the number of ids.
    pub lengths: Vec<usize>,
}

impl Packed {
    /// Packs `sequences`.
    pub fn new<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut packed = Self::default();
        for sequence in sequences {
            packed.ids.extend_from_slice(sequence);
            packed.lengths.push(sequence.len());
        }
        packed
    }

    /// The range of packed rows that each sequence takes.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        ranges(&self.lengths)
    }
}

/// The range that each of some lengths takes, where they lie end to end.
pub(crate) fn ranges(lengths: &[usize]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    lengths.iter().map(move |length| {
        let range = start..start + length;
        start = range.end;
        range
    })
}
