//! Grouped-query attention over one sequence, in plain tensor operations. It can show its pattern, and it
//! judges the faster ways.

use burn::tensor::{Bool, DType, Tensor, activation};

/// How the columns of queries, keys and values split into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) queries: usize,
    /// Key and value heads.
    pub(crate) keys: usize,
    /// Width of a head.
    pub(crate) width: usize,
}

impl Heads {
    /// Query heads that share a key head.
    pub(crate) const fn group(self) -> usize {
        self.queries / self.keys
    }

    /// What scores are multiplied by: `1 / sqrt(width)`.
    pub(crate) fn scale(self) -> f64 {
        (self.width as f64).sqrt().recip()
    }
}

/// The pattern of one sequence, in f32: `[head, query, key]`. Every row sums to 1 and is 0 after its query.
///
/// # Shapes
/// - `queries`: `[new, heads.queries * heads.width]`, the last rows of the sequence
/// - `keys`: `[all, heads.keys * heads.width]`, every row of the sequence
pub(crate) fn pattern(queries: Tensor<2>, keys: Tensor<2>, heads: Heads) -> Tensor<3> {
    let ([new, _], [all, _]) = (queries.dims(), keys.dims());
    let device = queries.device();
    let scores = grouped(queries, heads).matmul(by_head(keys, heads).transpose());
    let scores = scores.cast(DType::F32) * heads.scale();
    let unseen = Tensor::<2, Bool>::tril_mask([new, all], (all - new) as i64, &device);
    let scores = scores.reshape([heads.queries, new, all]);
    let scores =
        scores.mask_fill(unseen.unsqueeze::<3>().expand([heads.queries, new, all]), f32::NEG_INFINITY);
    activation::softmax(scores, 2)
}

/// The values as each query's pattern weighs them: `[new, heads.queries * heads.width]`.
///
/// # Shapes
/// - `pattern`: `[head, new, all]`
/// - `values`: `[all, heads.keys * heads.width]`
pub(crate) fn mix(pattern: Tensor<3>, values: Tensor<2>, heads: Heads) -> Tensor<2> {
    let [_, new, all] = pattern.dims();
    let pattern = pattern.cast(values.dtype()).reshape([heads.keys, heads.group() * new, all]);
    ungrouped(pattern.matmul(by_head(values, heads)), heads)
}

/// `[all, keys * width]` as `[keys, all, width]`.
pub(super) fn by_head(x: Tensor<2>, heads: Heads) -> Tensor<3> {
    let [all, _] = x.dims();
    x.reshape([all, heads.keys, heads.width]).swap_dims(0, 1)
}

/// `[new, queries * width]` as `[keys, group * new, width]`: the queries that share a key head, one after
/// the other, so that keys and values need not be repeated.
pub(super) fn grouped(x: Tensor<2>, heads: Heads) -> Tensor<3> {
    let [new, _] = x.dims();
    x.reshape([new, heads.queries, heads.width]).swap_dims(0, 1).reshape([
        heads.keys,
        heads.group() * new,
        heads.width,
    ])
}

/// The way back from [`by_head`].
pub(super) fn side_by_side(x: Tensor<3>, heads: Heads) -> Tensor<2> {
    let [_, all, _] = x.dims();
    x.swap_dims(0, 1).reshape([all, heads.keys * heads.width])
}

/// The way back from [`grouped`].
pub(super) fn ungrouped(x: Tensor<3>, heads: Heads) -> Tensor<2> {
    let new = x.dims()[1] / heads.group();
    x.reshape([heads.queries, new, heads.width]).swap_dims(0, 1).reshape([new, heads.queries * heads.width])
}
