//! The only copy from the device to the host: sparse rows and sums, all of a pass at once.

use burn::tensor::{Int, Tensor, TensorData, Transaction};

use super::CaptureError;

/// Tensors to bring to the host in one go.
#[derive(Default)]
pub(crate) struct Readback {
    transaction: Transaction,
}

impl Readback {
    /// Asks for a tensor of floats.
    pub(crate) fn floats<const D: usize>(&mut self, tensor: Tensor<D>) {
        self.transaction = std::mem::take(&mut self.transaction).register(tensor);
    }

    /// Asks for a tensor of integers.
    pub(crate) fn integers<const D: usize>(&mut self, tensor: Tensor<D, Int>) {
        self.transaction = std::mem::take(&mut self.transaction).register(tensor);
    }

    /// Waits for the device and brings everything asked for, in the order of asking.
    ///
    /// # Errors
    /// If anything that the device computed since the last wait has failed.
    pub(crate) fn read(self) -> Result<Received, CaptureError> {
        let data = self.transaction.try_execute().map_err(|error| CaptureError::Device(error.to_string()))?;
        Ok(Received { data: data.into_iter() })
    }
}

/// Tensors on the host, in the order in which they were asked for.
pub(crate) struct Received {
    data: std::vec::IntoIter<TensorData>,
}

impl Received {
    /// The next tensor's floats.
    pub(crate) fn floats(&mut self) -> Result<Vec<f32>, CaptureError> {
        Ok(self.next()?.iter::<f32>().collect())
    }

    /// The next tensor's integers.
    pub(crate) fn integers(&mut self) -> Result<Vec<i32>, CaptureError> {
        Ok(self.next()?.iter::<i32>().collect())
    }

    fn next(&mut self) -> Result<TensorData, CaptureError> {
        self.data
            .next()
            .ok_or_else(|| CaptureError::Device("fewer tensors came back than were asked for".to_owned()))
    }
}
