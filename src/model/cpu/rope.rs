//! Rotary position embedding in place.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::ROWS;
use super::memory::{close, open_contiguous};
use crate::model::rope::Turns;

/// Turns the heads in the first `turned` columns of `qkv: [tokens, columns]`.
pub(in crate::model) fn rotate(qkv: Tensor<2>, turned: usize, turns: &Turns) -> Tensor<2> {
    let [tokens, columns] = qkv.dims();
    let half = turns.half();
    let mut qkv = open_contiguous(qkv);
    if qkv.as_slice::<f32>().is_none_or(|numbers| numbers.len() != qkv.bytes().len() / size_of::<f32>()) {
        // A part of a larger tensor: its memory is not ours to change.
        let numbers = qkv.as_slice::<f32>().unwrap_or_default().to_vec();
        qkv = open_contiguous(close(numbers, [tokens, columns]));
    }
    let blocks = qkv.storage_mut::<f32>().par_chunks_mut(ROWS * columns);
    let turns = turns.on_host().par_chunks(ROWS * half);
    blocks.zip(turns).for_each(|(rows, turns)| {
        for (row, turns) in rows.chunks_mut(columns).zip(turns.chunks(half)) {
            for head in row[..turned].chunks_mut(2 * half) {
                let (first, second) = head.split_at_mut(half);
                for ((first, second), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    (*first, *second) = (*first * cos - *second * sin, *second * cos + *first * sin);
                }
            }
        }
    });
    Tensor::from_primitive::<burn::backend::Flex>(qkv)
}
