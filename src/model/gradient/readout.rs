//! The gradient of a metric at the last residual.

use burn::tensor::{DType, IndexingUpdateOp, Int, Tensor, TensorData, activation::softmax};

use super::block::product;
use super::freeze::Freeze;
use super::norm::Normalized;
use crate::model::Llama;

impl Llama {
    /// The gradient of logit(`first`) − logit(`second`) at rows of the last residual, each row's own:
    /// `[rows, d_model]`, f32.
    ///
    /// # Panics
    /// When an id is not below the vocabulary's size.
    pub fn gradient_of_difference(
        &self,
        rows: Tensor<2>,
        first: u32,
        second: u32,
        freeze: Freeze,
    ) -> Tensor<2> {
        let normalized = Normalized::of(rows, self.config.rms_eps);
        let direction = self.logit_direction(first, second).unsqueeze::<2>().expand(normalized.y.dims());
        normalized.back(direction, freeze.norms())
    }

    /// The gradient of the logarithm of the probability of a token of each row, `ids`, at rows of the last residual:
    /// `[rows, d_model]`, f32. The products are with the whole unembedding.
    ///
    /// # Panics
    /// When there are not as many ids as rows, or one is not below the vocabulary's size.
    pub fn gradient_of_log_probability(&self, rows: Tensor<2>, ids: &[u32], freeze: Freeze) -> Tensor<2> {
        assert_eq!(rows.dims()[0], ids.len(), "one token for each row");
        let normalized = Normalized::of(rows.clone(), self.config.rms_eps);
        let probabilities = softmax(self.logits(rows), 1);
        let places = ids.iter().map(|id| i64::from(*id)).collect::<Vec<_>>();
        let places = TensorData::new(places, [ids.len(), 1]);
        let places = Tensor::<2, Int>::from_data(places, &self.device);
        // 1 − p would lose all digits of a token that is nearly certain; the others' sum does not.
        let own = probabilities.clone().gather(1, places.clone());
        let others = probabilities.scatter(1, places.clone(), own.neg(), IndexingUpdateOp::Add);
        let rest = others.clone().sum_dim(1);
        let at_logits = others.neg().scatter(1, places, rest, IndexingUpdateOp::Add);
        let gain = self.norm.gain().clone().cast(DType::F32).unsqueeze();
        normalized.back(product(at_logits, &self.unembed.transposed()) * gain, freeze.norms())
    }

    /// From a direction of the residual stream, `[rows, d_model]`, to the one of `attn.hook_z` of block `layer` that
    /// the output weights turn into it: `[rows, n_heads * head_dim]`, f32.
    ///
    /// # Panics
    /// When the model has no such block.
    pub fn at_heads(&self, layer: usize, direction: Tensor<2>) -> Tensor<2> {
        product(direction, &self.blocks[layer].output.transposed())
    }
}
