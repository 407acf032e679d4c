//! Packed sequences, cut into the pieces that blocks of threads work on.

use super::device::Device;
use super::error::GpuError;
use super::memory::Buffer;

/// Queries of a block of the attention.
const QUERIES: usize = 64;

/// Queries of a block that keeps rows of the pattern.
pub(crate) const ROWS: usize = 16;

/// Sequences one after the other, on the device.
pub struct Batch {
    /// Tokens of each sequence.
    pub lengths: Vec<usize>,
    pub(crate) ids: Buffer,
    pub(crate) positions: Buffer,
    pub(crate) tiles: Buffer,
    pub(crate) n_tiles: usize,
    pub(crate) row_tiles: Buffer,
    pub(crate) n_row_tiles: usize,
}

impl Batch {
    /// Packs sequences of the `lengths`, whose ids are `ids`.
    ///
    /// # Errors
    /// If there is not enough memory.
    ///
    /// # Panics
    /// If the lengths do not sum to the number of ids.
    pub fn new(device: &Device, ids: &[i32], lengths: &[usize]) -> Result<Self, GpuError> {
        assert_eq!(ids.len(), lengths.iter().sum::<usize>(), "ids and lengths do not agree");
        let positions = lengths.iter().flat_map(|length| 0..*length as i32).collect::<Vec<_>>();
        let (tiles, row_tiles) = (cut(lengths, QUERIES), cut(lengths, ROWS));
        Ok(Self {
            lengths: lengths.to_vec(),
            ids: Buffer::of(device, ids)?,
            positions: Buffer::of(device, &positions)?,
            n_tiles: tiles.len(),
            tiles: Buffer::of(device, &tiles)?,
            n_row_tiles: row_tiles.len(),
            row_tiles: Buffer::of(device, &row_tiles)?,
        })
    }

    /// Tokens of all sequences.
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Tokens of the longest sequence.
    pub fn longest(&self) -> usize {
        self.lengths.iter().copied().max().unwrap_or_default()
    }
}

/// Row of the first query, row of the sequence's first token, its tokens, position of the first query; those with the
/// most keys first, so that the last to finish are short.
fn cut(lengths: &[usize], queries: usize) -> Vec<[i32; 4]> {
    let (mut tiles, mut start) = (Vec::new(), 0);
    for length in lengths {
        for first in (0..*length).step_by(queries) {
            tiles.push([start + first, start, *length, first].map(|number| number as i32));
        }
        start += length;
    }
    tiles.sort_by_key(|tile| std::cmp::Reverse(tile[3]));
    tiles
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn every_query_is_in_one_tile_of_its_sequence() {
        let tiles = cut(&[3, 70, 64], 64);
        assert_eq!(tiles, [[67, 3, 70, 64], [0, 0, 3, 0], [3, 3, 70, 0], [73, 73, 64, 0]]);
    }
}
