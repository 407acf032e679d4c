//! Integrated gradients: the mean gradient on the straight way from a residual to another one.

use burn::tensor::{DType, Tensor};

use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::model::Freeze;

impl Base<'_> {
    /// The mean of the gradient of the metric at the residual after block `layer`, at `steps` points of the way from
    /// there to there plus `change: [tokens, d_model]`: `[tokens, d_model]`.
    ///
    /// The points are the middles of as many equal pieces. The mean times the change adds up to the difference of the
    /// metric between both ends, up to the error of the midpoint rule, which falls with the square of the steps.
    /// Marks and others take the beginnings of the pieces, whose error falls with their number only.
    ///
    /// Each step runs the blocks after `layer` forward and back.
    ///
    /// # Errors
    /// If the model has no such block.
    pub fn integrated_gradient(
        &self,
        layer: usize,
        change: &Tensor<2>,
        steps: usize,
    ) -> Result<Tensor<2>, InterveneError> {
        let residual = self.residual(layer)?;
        let (first, layers) = (layer + 1, self.llama.config().n_layers);
        let mut sum = change.clone().cast(DType::F32).zeros_like();
        for step in 0..steps {
            let share = (step as f64 + 0.5) / steps as f64;
            let moved = residual.clone().cast(DType::F32) + change.clone() * share;
            let stream = self.llama.stream_from(first, moved.cast(residual.dtype()), &[self.n_tokens()]);
            let last = self.gradient_of_metric(&stream.last(), Freeze::Nothing);
            let freeze = Freeze::Nothing;
            let back = self.llama.pull_back(&stream, first..layers, vec![last], freeze, &mut |_, _| ());
            for gradient in back {
                sum = sum + gradient;
            }
        }
        Ok(sum / steps as f64)
    }
}
