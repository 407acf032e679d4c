//! RMSNorm in one pass over each row.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::ROWS;
use super::memory::{close, numbers, open_contiguous};

/// Divides every row of `x: [tokens, d_model]` by its root mean square.
pub(in crate::model) fn normalize(x: Tensor<2>, eps: f64) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let x = open_contiguous(x);
    let mut normalized = vec![0.0; tokens * width];
    let blocks = normalized.par_chunks_mut(ROWS * width).zip(numbers(&x).par_chunks(ROWS * width));
    blocks.for_each(|(normalized, x)| {
        for (normalized, x) in normalized.chunks_mut(width).zip(x.chunks(width)) {
            let factor = (sum_of_squares(x) / width as f32 + eps as f32).sqrt().recip();
            for (normalized, x) in normalized.iter_mut().zip(x) {
                *normalized = x * factor;
            }
        }
    });
    close(normalized, [tokens, width])
}

/// Multiplies every row of `x: [tokens, d_model]` by `gain: [d_model]`.
pub(in crate::model) fn scale(x: Tensor<2>, gain: Tensor<1>) -> Tensor<2> {
    let [tokens, width] = x.dims();
    let (x, gain) = (open_contiguous(x), open_contiguous(gain));
    let rows = numbers(&x).chunks(width);
    let scaled = rows.flat_map(|row| row.iter().zip(numbers(&gain)).map(|(x, gain)| x * gain)).collect();
    close(scaled, [tokens, width])
}

/// In eight sums side by side, which the compiler keeps in vector registers.
fn sum_of_squares(x: &[f32]) -> f32 {
    let (eights, rest) = x.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for eight in eights {
        for (sum, x) in sums.iter_mut().zip(eight) {
            *sum += x * x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}
