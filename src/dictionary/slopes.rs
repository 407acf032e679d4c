//! How features and the residual move each other, as gradients.

use burn::tensor::{FloatDType, Tensor};

use super::canonical::{Activation, Dictionary, Input};
use super::error::DictionaryError;

impl Dictionary {
    /// How fast a metric grows with each activation, from its gradient `g: [n, d_in]` at rows `x: [n, d_in]` of the
    /// model: the gradient times what a unit of each feature adds to the row, `[n, d_sae]`. A norm that is taken of
    /// the row itself is held as it is.
    pub fn slopes(&self, g: Tensor<2>, x: &Tensor<2>) -> Tensor<2> {
        let slopes = g.matmul(self.w_dec.clone().transpose()) * self.output_scale;
        match self.row_scale(&x.clone().cast(FloatDType::F32)) {
            Some(scale) => slopes * scale,
            None => slopes,
        }
    }

    /// The gradient of a feature before its nonlinearity at a row `x: [1, d_in]` of the model: `[1, d_in]`. Which
    /// features fire, and a norm that is taken of the row itself, are held as they are.
    ///
    /// # Errors
    /// If the feature does not exist.
    pub fn gradient_of(&self, feature: u32, x: &Tensor<2>) -> Result<Tensor<2>, DictionaryError> {
        let index = self.index(&[feature])?;
        let read = self.w_enc.clone().select(1, index.clone()).transpose();
        let read = match &self.activation {
            Activation::Gated { scale, .. } => read * scale.clone().select(0, index).unsqueeze(),
            _ => read,
        };
        Ok(match self.input {
            Input::None => read,
            Input::Scale(scale) => read * scale,
            // A row is centered before the encoder: what is the same in all dimensions is not read.
            Input::LayerNorm | Input::ConstantNorm => {
                let read =
                    if self.input == Input::LayerNorm { read.clone() - read.mean_dim(1) } else { read };
                self.row_divided(read, &x.clone().cast(FloatDType::F32))
            }
        })
    }
}
