//! What is kept of the pattern of a captured block.

use super::device::Device;
use super::error::GpuError;
use super::memory::Buffer;
use super::ops::{Attended, Heads, KeptRows};
use super::tiles::{Batch, ROWS};

/// Blocks that make rows of patterns on each multiprocessor.
const BLOCKS_EACH: u32 = 8;

/// What is kept.
#[derive(Clone, Debug)]
pub struct Keep {
    /// The strongest keys of every row.
    pub strongest: usize,
    /// The position that decides, of every sequence.
    pub decisions: Vec<usize>,
}

/// Room for what is kept of a batch: one memory, so that it leaves in one piece.
pub struct Kept {
    /// Weights `[head, token, strongest]`, keys (-1 for none) the same, mass and entropy `[head, token]`, and the whole
    /// rows of the decisions, `[head, position]` of one sequence after the other: 4 bytes each, in this order.
    pub out: Buffer,
    /// How many numbers each of the five has.
    pub counts: [usize; 5],
    scratch: Buffer,
    decisions: Buffer,
    strongest: usize,
    blocks: u32,
    longest: usize,
}

impl Kept {
    /// Room for what `keep` asks for of a batch with `heads` heads.
    ///
    /// # Errors
    /// If there is not enough memory.
    ///
    /// # Panics
    /// If there are not as many decisions as sequences.
    pub fn new(device: &Device, batch: &Batch, keep: &Keep, heads: usize) -> Result<Self, GpuError> {
        assert_eq!(keep.decisions.len(), batch.lengths.len(), "every sequence has a decision");
        let rows = heads * batch.tokens();
        let mut places = vec![[-1_i32, 0]; batch.tokens()];
        let (mut start, mut place) = (0, 0);
        for (length, decision) in batch.lengths.iter().zip(&keep.decisions) {
            places[start + decision] = [place as i32, *length as i32];
            place += heads * length;
            start += length;
        }
        let counts = [rows * keep.strongest, rows * keep.strongest, rows, rows, place];
        let blocks = device.processors * BLOCKS_EACH;
        Ok(Self {
            out: Buffer::new(device, counts.iter().sum::<usize>() * 4)?,
            counts,
            scratch: Buffer::new(device, blocks as usize * ROWS * batch.longest() * 4)?,
            decisions: Buffer::of(device, &places)?,
            strongest: keep.strongest,
            blocks,
            longest: batch.longest(),
        })
    }

    /// Bytes that a token takes, of a pattern of `heads` heads of which the `strongest` keys are kept.
    pub const fn bytes_a_token(heads: usize, strongest: usize) -> usize {
        // The whole row of a decision has as many weights as its sequence has tokens.
        4 * heads * (2 * strongest + 3)
    }

    /// Fills it.
    pub(crate) fn fill(
        &self,
        device: &Device,
        from: Attended,
        batch: &Batch,
        heads: Heads,
    ) -> Result<(), GpuError> {
        let mut at = self.out.at();
        let [weights, keys, mass, entropy, whole] = self.counts.map(|count| {
            let here = at;
            at += 4 * count as u64;
            here
        });
        let rows = KeptRows {
            scratch: self.scratch.at(),
            scratch_keys: self.longest,
            blocks: self.blocks,
            decisions: self.decisions.at(),
            kept: self.strongest,
            weights,
            keys,
            mass,
            entropy,
            whole,
        };
        device.attend_rows(from, &rows, batch, heads)
    }
}
