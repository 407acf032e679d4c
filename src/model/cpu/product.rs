//! Products with a matrix that is not packed: the unembedding, where it is the embedding too. One row is
//! bound by memory, and every core reads its part of the weights once; more rows go to burn's product.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::memory::{Matrix, close, numbers, open, open_contiguous};
use super::simd::{multiply_add, vectorized};

/// Outputs that one task takes.
const OUTPUTS: usize = 256;

/// `x: [rows, inputs]` times `weight: [inputs, outputs]`.
pub(in crate::model) fn product(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let [rows, inputs] = x.dims();
    let weight = open(weight);
    let lying = Matrix::of(&weight);
    if rows != 1 || lying.row_stride != 1 {
        return x.matmul(Tensor::from_primitive::<burn::backend::Flex>(weight));
    }
    assert_eq!(inputs, lying.rows, "one number for every input");
    let x = open_contiguous(x);
    let mut out = vec![0.0; lying.columns];
    out.par_chunks_mut(OUTPUTS).enumerate().for_each(|(block, out)| {
        let start = block * OUTPUTS * lying.column_stride;
        dots(numbers(&x), &lying.numbers[start..], lying.column_stride, out);
    });
    let outputs = out.len();
    close(out, [1, outputs])
}

vectorized! {
    /// The dot products of `x` with rows that start `stride` apart.
    fn dots(x: &[f32], rows: &[f32], stride: usize, out: &mut [f32]) {
        for (out, row) in out.iter_mut().zip(rows.chunks(stride)) {
            let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<32>(), row[..x.len()].as_chunks::<32>());
            let mut sums = [0.0_f32; 32];
            for (x, y) in xs.iter().zip(ys) {
                for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                    *sum = multiply_add::<FUSED>(*x, *y, *sum);
                }
            }
            let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
            *out = sums.iter().sum::<f32>() + rest;
        }
    }
}
