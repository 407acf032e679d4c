//! Attention of one sequence without its pattern: block of queries by block of queries, only over the keys
//! that a block may see, and without repeating keys and values for the query heads that share them.

use burn::tensor::Tensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::exp::exp;
use super::memory::{Matrix, close, open};
use super::simd::vectorized;
use crate::model::attention::Heads;

/// Queries that one task takes. Their scores stay in the second-level cache, and little of the half of
/// the pattern that is never seen is computed.
const BLOCK: usize = 32;

/// The same as [`crate::model::attention::mix`] of [`crate::model::attention::pattern`].
pub(in crate::model) fn attend(q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, heads: Heads) -> Tensor<2> {
    let [new, width] = q.dims();
    let (q, k, v) = (open(q), open(k), open(v));
    let (q, k, v) = (Matrix::of(&q), Matrix::of(&k), Matrix::of(&v));
    let mut mixed = vec![0.0; new * width];
    mixed.par_chunks_mut(BLOCK * width).enumerate().for_each_init(
        Buffers::default,
        |buffers, (block, mixed)| {
            for head in 0..heads.keys {
                attend_block(q, k, v, heads, head, block * BLOCK, buffers, mixed);
            }
        },
    );
    close(mixed, [new, width])
}

/// Memory of one task.
#[derive(Default)]
struct Buffers {
    /// The queries of every head of a group, scaled: `[group * rows, width]`.
    queries: Vec<f32>,
    /// `[group * rows, seen]`
    scores: Vec<f32>,
    /// `[group * rows, width]`
    mixed: Vec<f32>,
}

/// Attention of the query heads that share key head `head`, for the rows of `mixed`, of which the first is
/// query `first`.
#[expect(clippy::too_many_arguments, reason = "the loop's body, given a name")]
fn attend_block(
    q: Matrix<'_>,
    k: Matrix<'_>,
    v: Matrix<'_>,
    heads: Heads,
    head: usize,
    first: usize,
    buffers: &mut Buffers,
    mixed: &mut [f32],
) {
    let (width, group) = (heads.width, heads.group());
    let rows = mixed.len() / q.columns;
    let past = k.rows - q.rows;
    let seen = past + first + rows;
    let own = head * width..(head + 1) * width;
    let (k, v) = (k.columns(own.clone()), v.columns(own));

    let scale = heads.scale() as f32;
    buffers.queries.clear();
    for shared in 0..group {
        for row in first..first + rows {
            let start = row * q.row_stride + (head * group + shared) * width * q.column_stride;
            let query = (0..width).map(|column| q.numbers[start + column * q.column_stride] * scale);
            buffers.queries.extend(query);
        }
    }
    buffers.scores.resize(group * rows * seen, 0.0);
    buffers.mixed.resize(group * rows * width, 0.0);

    let keys = Matrix { rows: seen, ..k };
    let keys = Matrix {
        rows: keys.columns,
        columns: keys.rows,
        row_stride: keys.column_stride,
        column_stride: keys.row_stride,
        ..keys
    };
    multiply(&buffers.queries, keys, &mut buffers.scores);
    let mut sums = vec![0.0; group * rows];
    for (index, (scores, sum)) in buffers.scores.chunks_mut(seen).zip(&mut sums).enumerate() {
        exponentiate(scores, past + first + index % rows + 1, sum);
    }
    multiply(&buffers.scores, Matrix { rows: seen, ..v }, &mut buffers.mixed);

    for (index, (values, sum)) in buffers.mixed.chunks(width).zip(sums).enumerate() {
        let (shared, row) = (index / rows, index % rows);
        let start = row * q.columns + (head * group + shared) * width;
        for (mixed, value) in mixed[start..start + width].iter_mut().zip(values) {
            *mixed = value / sum;
        }
    }
}

vectorized! {
    /// Replaces the first `seen` scores by `e^(score - max)` and the others by 0, and puts their sum in `total`.
    fn exponentiate(scores: &mut [f32], seen: usize, total: &mut f32) {
        let (scores, unseen) = scores.split_at_mut(seen);
        unseen.fill(0.0);
        let (eights, rest) = scores.as_chunks_mut::<8>();
        let greater = |max: f32, score: f32| if score > max { score } else { max };
        let mut maxima = [f32::NEG_INFINITY; 8];
        for eight in &*eights {
            for (max, score) in maxima.iter_mut().zip(eight) {
                *max = greater(*max, *score);
            }
        }
        let max = maxima.iter().chain(&*rest).fold(f32::NEG_INFINITY, |max, score| greater(max, *score));
        let mut sums = [0.0_f32; 8];
        for eight in eights {
            for (sum, score) in sums.iter_mut().zip(eight) {
                *score = exp::<FUSED>(*score - max);
                *sum += *score;
            }
        }
        *total = sums.iter().sum();
        for score in rest {
            *score = exp::<FUSED>(*score - max);
            *total += *score;
        }
    }
}

/// `left: [rows, inner]`, contiguous, times `right: [inner, columns]` into `out: [rows, columns]`, contiguous,
/// on this thread.
#[expect(unsafe_code, reason = "gemm takes pointers")]
fn multiply(left: &[f32], right: Matrix<'_>, out: &mut [f32]) {
    let (inner, columns) = (right.rows, right.columns);
    let rows = out.len() / columns;
    assert!(left.len() == rows * inner && out.len() == rows * columns, "shapes of a product");
    let last = (inner - 1) * right.row_stride + (columns - 1) * right.column_stride;
    assert!(last < right.numbers.len(), "a matrix lies in its memory");
    // SAFETY: the asserts above keep every index within the three slices, and `out` is borrowed alone.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns.cast_signed(),
            false,
            left.as_ptr(),
            1,
            inner.cast_signed(),
            right.numbers.as_ptr(),
            right.column_stride.cast_signed(),
            right.row_stride.cast_signed(),
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
