//! Choosing the largest entries of rows where the device's memory is the host's.
//!
//! The CPU backend's top-k sorts whole rows; choosing among the few positive entries is some fifty times
//! faster. The plain versions stand beside the callers and judge these in the tests.

use std::cmp::Ordering;

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

/// Whether tensors of `device` lie in the host's memory, so that reading them is no transfer.
pub(crate) fn is_host(device: &Device) -> bool {
    *device == Device::flex()
}

/// A positive entry of a row: what it is ranked by, and where it is.
pub(crate) type Entry = (f32, u32);

/// Keeps the `k` largest positive entries of each row, ranked by themselves or by themselves times `rank_by`;
/// the lower index wins a tie.
pub(crate) fn keep_largest(a: Tensor<2>, rank_by: Option<&Tensor<1>>, k: usize) -> Tensor<2> {
    let device = a.device();
    let [rows, width] = a.dims();
    let weights = rank_by.map(|weights| numbers(weights.clone()));
    let mut a = numbers(a);
    a.par_chunks_mut(width.max(1)).for_each(|row| {
        let mut entries = positives(row, weights.as_deref());
        largest(&mut entries, k);
        let kept: Vec<(usize, f32)> =
            entries.iter().map(|(_, index)| (*index as usize, row[*index as usize])).collect();
        row.fill(0.0);
        for (index, value) in kept {
            row[index] = value;
        }
    });
    Tensor::from_data(TensorData::new(a, [rows, width]), (&device, DType::F32))
}

/// The positive entries of a row, in order of their index.
pub(crate) fn positives(row: &[f32], weights: Option<&[f32]>) -> Vec<Entry> {
    let rank = |(index, value): (usize, &f32)| {
        let rank = weights.map_or(*value, |weights| *value * weights[index]);
        (rank > 0.0).then_some((rank, index as u32))
    };
    row.iter().enumerate().filter_map(rank).collect()
}

/// Keeps the `k` largest of `entries`, in no order.
pub(crate) fn largest(entries: &mut Vec<Entry>, k: usize) {
    if k < entries.len() {
        entries.select_nth_unstable_by(k, descending);
        entries.truncate(k);
    }
}

/// Largest first; the lower index first in a tie.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "sorting compares by reference")]
pub(crate) fn descending(a: &Entry, b: &Entry) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// The numbers of a tensor in the host's memory, row-major; moved out if nothing else holds them.
pub(crate) fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    match tensor.into_data_as::<f32>().try_into_vec() {
        Ok(numbers) => numbers,
        Err(error) => unreachable!("a tensor that was cast to f32 holds f32: {error}"),
    }
}
