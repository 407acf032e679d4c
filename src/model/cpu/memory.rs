//! Between tensors and the memory that they lie in.

use burn::backend::{Flex, tensor::FloatTensor};
use burn::tensor::{DType, Device, Tensor, TensorData};

/// The CPU's own form of a tensor. Shares the tensor's memory.
pub(super) fn open<const D: usize>(x: Tensor<D>) -> FloatTensor<Flex> {
    match x.try_into_primitive::<Flex>() {
        Ok(primitive) => primitive,
        Err(error) => panic!("the CPU's loops were given a tensor of another device: {error:?}"),
    }
}

/// The same with its rows next to each other, copied where they are not.
pub(super) fn open_contiguous<const D: usize>(x: Tensor<D>) -> FloatTensor<Flex> {
    let x = open(x);
    if x.is_contiguous() { x } else { x.to_contiguous() }
}

/// The numbers of a tensor from [`open_contiguous`].
pub(super) fn numbers(x: &FloatTensor<Flex>) -> &[f32] {
    x.as_slice().unwrap_or_default()
}

/// A tensor of `numbers`, which are not copied.
pub(super) fn close(numbers: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(numbers, shape), (&Device::flex(), DType::F32))
}

/// A matrix as it lies in memory: its numbers from the first one on, and how far apart rows and columns are.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// The memory of a 2-dimensional tensor.
    pub(super) fn of(x: &'a FloatTensor<Flex>) -> Self {
        let layout = x.layout();
        let (shape, strides) = (layout.shape(), layout.strides());
        let matrix = Self {
            numbers: &x.storage::<f32>()[layout.start_offset()..],
            rows: shape[0],
            columns: shape[1],
            row_stride: strides[0].unsigned_abs(),
            column_stride: strides[1].unsigned_abs(),
        };
        assert!(strides.iter().all(|stride| *stride >= 0), "no tensor of the model is flipped");
        assert!(matrix.last() <= matrix.numbers.len(), "a matrix lies in its memory");
        matrix
    }

    /// Some of its columns.
    pub(super) fn columns(self, columns: std::ops::Range<usize>) -> Self {
        assert!(columns.end <= self.columns, "columns of the matrix");
        Self {
            numbers: &self.numbers[(columns.start * self.column_stride).min(self.numbers.len())..],
            columns: columns.len(),
            ..self
        }
    }

    /// One past the place of its last number.
    fn last(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}
