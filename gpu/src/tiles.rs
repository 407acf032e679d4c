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
    /// Tokens of each sequence that run.
    pub lengths: Vec<usize>,
    pub(crate) ids: Buffer,
    pub(crate) positions: Buffer,
    /// The row of the past that keeps each token, where it is kept.
    pub(crate) rooms: Option<Buffer>,
    pub(crate) tiles: Buffer,
    pub(crate) n_tiles: usize,
    /// Tiles of the pieces of one token.
    pub(crate) singles: Buffer,
    pub(crate) n_singles: usize,
    pub(crate) row_tiles: Buffer,
    pub(crate) n_row_tiles: usize,
}

/// What runs of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its tokens that ran before and are in the past.
    pub past: usize,
    /// Its tokens that run now.
    pub tokens: usize,
    /// The row of the past that keeps its first token; the others follow it.
    pub room: usize,
}

impl Batch {
    /// Packs sequences of the `lengths`, whose ids are `ids`, of which nothing is kept to go on from.
    ///
    /// # Errors
    /// If there is not enough memory.
    ///
    /// # Panics
    /// If the lengths do not sum to the number of ids.
    pub fn new(device: &Device, ids: &[i32], lengths: &[usize]) -> Result<Self, GpuError> {
        let mut start = 0;
        let pieces = lengths.iter().map(|length| {
            start += length;
            Piece { past: 0, tokens: *length, room: start - length }
        });
        Self::of(device, ids, &pieces.collect::<Vec<_>>(), None)
    }

    /// Packs `pieces` of sequences, whose ids are `ids`, that are kept in the past and may have one.
    ///
    /// # Errors
    /// If there is not enough memory.
    ///
    /// # Panics
    /// If the pieces do not have as many tokens as there are ids.
    pub fn remembered(device: &Device, ids: &[i32], pieces: &[Piece]) -> Result<Self, GpuError> {
        let rooms = pieces.iter().flat_map(|piece| {
            let first = piece.room + piece.past;
            (first..first + piece.tokens).map(|row| row as i32)
        });
        let rooms = Buffer::of(device, &rooms.collect::<Vec<_>>())?;
        Self::of(device, ids, pieces, Some(rooms))
    }

    fn of(device: &Device, ids: &[i32], pieces: &[Piece], rooms: Option<Buffer>) -> Result<Self, GpuError> {
        let lengths = pieces.iter().map(|piece| piece.tokens).collect::<Vec<_>>();
        assert_eq!(ids.len(), lengths.iter().sum::<usize>(), "ids and lengths do not agree");
        let positions = pieces.iter().flat_map(|piece| piece.past..piece.past + piece.tokens);
        let positions = positions.map(|position| position as i32).collect::<Vec<_>>();
        let is_single = |piece: &Piece| piece.tokens == 1;
        let tiles = cut(pieces, QUERIES, |piece| !is_single(piece));
        let (singles, row_tiles) = (cut(pieces, QUERIES, is_single), cut(pieces, ROWS, |_| true));
        Ok(Self {
            lengths,
            ids: Buffer::of(device, ids)?,
            positions: Buffer::of(device, &positions)?,
            rooms,
            n_tiles: tiles.len(),
            tiles: Buffer::of(device, &tiles)?,
            n_singles: singles.len(),
            singles: Buffer::of(device, &singles)?,
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

/// Of the `wanted` pieces: row of the first query, row of the keys of the sequence's first token, tokens of the sequence, position of the first
/// query; those with the most keys first, so that the last to finish are short.
fn cut(pieces: &[Piece], queries: usize, wanted: impl Fn(&Piece) -> bool) -> Vec<[i32; 4]> {
    let (mut tiles, mut start) = (Vec::new(), 0);
    for piece in pieces {
        let Piece { past, tokens, room } = *piece;
        for first in (0..tokens).step_by(queries).filter(|_| wanted(piece)) {
            tiles.push([start + first, room, past + tokens, past + first].map(|number| number as i32));
        }
        start += tokens;
    }
    tiles.sort_by_key(|tile| std::cmp::Reverse(tile[3]));
    tiles
}

#[cfg(test)]
mod tests {
    use super::{Piece, cut};

    #[test]
    fn every_query_is_in_one_tile_of_its_sequence() {
        let piece = |(past, tokens, room)| Piece { past, tokens, room };
        let tiles = cut(&[(0, 3, 0), (0, 70, 3), (0, 64, 73)].map(piece), 64, |_| true);
        assert_eq!(tiles, [[67, 3, 70, 64], [0, 0, 3, 0], [3, 3, 70, 0], [73, 73, 64, 0]]);
        let going_on = [(5, 1, 100), (0, 65, 400)].map(piece);
        let tiles = cut(&going_on, 64, |piece| piece.tokens > 1);
        assert_eq!(tiles, [[65, 400, 65, 64], [1, 400, 65, 0]]);
        assert_eq!(cut(&going_on, 64, |piece| piece.tokens == 1), [[0, 100, 6, 5]]);
    }
}
