//! Products with weights. One row times a weight is bound by memory: every weight is read once, in order, by
//! every core. More rows go to burn's product.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::memory::{Matrix, close, numbers, open, open_contiguous};

/// In how many parts the inputs are summed, whatever the number of cores, so that a result does not depend
/// on them.
const PARTS: usize = 8;
/// Outputs that one task takes where every output has its own row of weights.
const OUTPUTS: usize = 256;

/// `x: [rows, inputs]` times `weight: [inputs, outputs]`.
pub(in crate::model) fn product(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    if x.dims()[0] != 1 {
        return x.matmul(weight);
    }
    let (x, weight) = (open_contiguous(x), open(weight));
    let (x, weight) = (numbers(&x), Matrix::of(&weight));
    assert_eq!(x.len(), weight.rows, "one number for every input");
    let out = if weight.column_stride == 1 { sum_of_rows(x, weight) } else { dots_with_columns(x, weight) };
    let outputs = out.len();
    close(out, [1, outputs])
}

/// For weights that lie as `[inputs, outputs]`: the sum of its rows, each times its input.
fn sum_of_rows(x: &[f32], weight: Matrix<'_>) -> Vec<f32> {
    let part = x.len().div_ceil(PARTS);
    let sums: Vec<Vec<f32>> = x
        .par_chunks(part)
        .enumerate()
        .map(|(index, x)| {
            let mut sum = vec![0.0; weight.columns];
            let row = |offset| {
                let start = (index * part + offset) * weight.row_stride;
                &weight.numbers[start..start + weight.columns]
            };
            let (fours, rest) = x.as_chunks::<4>();
            for (four, [a, b, c, d]) in fours.iter().enumerate() {
                let rows =
                    row(4 * four).iter().zip(row(4 * four + 1)).zip(row(4 * four + 2)).zip(row(4 * four + 3));
                for (sum, (((wa, wb), wc), wd)) in sum.iter_mut().zip(rows) {
                    *sum += (a * wa + b * wb) + (c * wc + d * wd);
                }
            }
            for (offset, x) in rest.iter().enumerate() {
                for (sum, weight) in sum.iter_mut().zip(row(4 * fours.len() + offset)) {
                    *sum += x * weight;
                }
            }
            sum
        })
        .collect();
    let mut sums = sums.into_iter();
    let mut total = sums.next().unwrap_or_default();
    for sum in sums {
        for (total, sum) in total.iter_mut().zip(sum) {
            *total += sum;
        }
    }
    total
}

/// For weights that lie as `[outputs, inputs]`: one dot product for every output.
fn dots_with_columns(x: &[f32], weight: Matrix<'_>) -> Vec<f32> {
    assert_eq!(weight.row_stride, 1, "weights lie one way or the other");
    let mut out = vec![0.0; weight.columns];
    out.par_chunks_mut(OUTPUTS).enumerate().for_each(|(block, out)| {
        for (offset, out) in out.iter_mut().enumerate() {
            let start = (block * OUTPUTS + offset) * weight.column_stride;
            *out = dot(x, &weight.numbers[start..start + x.len()]);
        }
    });
    out
}

/// In sixteen sums side by side, which the compiler keeps in vector registers.
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<16>(), y.as_chunks::<16>());
    let mut sums = [0.0_f32; 16];
    for (x, y) in xs.iter().zip(ys) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f32>() + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f32>()
}
