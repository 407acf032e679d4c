//! Numbers of tensors in the host's memory.

use burn::tensor::{DType, Tensor};

use super::error::InterveneError;

/// The product of each row of one with that of the other, summed in f64: thousands of products cancel.
pub(super) fn products(a: &Tensor<2>, b: &Tensor<2>) -> Result<Vec<f64>, InterveneError> {
    let width = a.dims()[1];
    let [a, b] = [numbers(a.clone().cast(DType::F32))?, numbers(b.clone().cast(DType::F32))?];
    let dot =
        |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    Ok(a.chunks(width).zip(b.chunks(width)).map(dot).collect::<Vec<_>>())
}

/// The numbers of a tensor, row-major.
pub(super) fn numbers<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>, InterveneError> {
    Ok(x.try_into_data_as::<f32>()?.iter::<f32>().collect::<Vec<_>>())
}
