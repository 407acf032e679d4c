//! From rows of the model to feature activations and back.

use burn::tensor::{FloatDType, IndexingUpdateOp, Int, Tensor, activation::relu};

use super::canonical::{Activation, Dictionary, Input};
use super::error::DictionaryError;
use super::select::{is_host, keep_largest};

/// What SAELens adds to the standard deviation before it divides by it.
const LAYER_NORM_EPSILON: f64 = 1e-5;

impl Dictionary {
    /// The feature activations of rows of the model: `[n, d_in]` in the model's units to `[n, d_sae]`, 0 where a
    /// feature does not fire. Rows of any float type are taken; all arithmetic is in f32.
    pub fn encode(&self, x: Tensor<2>) -> Tensor<2> {
        let mut x = self.scaled(x.cast(FloatDType::F32));
        if self.subtracts_decoder_bias {
            x = x - self.b_dec.clone().unsqueeze();
        }
        let a = x.matmul(self.w_enc.clone()) + self.b_enc.clone().unsqueeze();
        self.activate(a)
    }

    /// What the activations `f: [n, d_sae]` stand for: `[n, d_in]`, in the model's units.
    ///
    /// `x` are the rows that were encoded. They are needed only where the dictionary normalizes each row by
    /// itself, and then that row's own mean and scale are put back.
    pub fn decode(&self, f: Tensor<2>, x: &Tensor<2>) -> Tensor<2> {
        let decoded = (f.matmul(self.w_dec.clone()) + self.b_dec.clone().unsqueeze()) * self.output_scale;
        match self.input {
            Input::None | Input::Scale(_) => decoded,
            Input::ConstantNorm => {
                decoded * norm(&x.clone().cast(FloatDType::F32)) / (self.d_in as f64).sqrt()
            }
            Input::LayerNorm => {
                let (centered, mean) = centered(x.clone().cast(FloatDType::F32));
                decoded * deviation(&centered) + mean
            }
        }
    }

    /// What a change of some activations adds to rows of the model, in the model's units: `[n, features]` to
    /// `[n, d_in]`. `x` are the rows that were encoded, as in [`Dictionary::decode`]. The biases, and what the
    /// dictionary leaves unexplained, are not in it.
    ///
    /// # Errors
    /// If a feature does not exist.
    pub fn written(
        &self,
        change: Tensor<2>,
        features: &[u32],
        x: &Tensor<2>,
    ) -> Result<Tensor<2>, DictionaryError> {
        let rows = self.w_dec.clone().select(0, self.index(features)?);
        let added = change.matmul(rows) * self.output_scale;
        Ok(match self.row_scale(&x.clone().cast(FloatDType::F32)) {
            Some(scale) => added * scale,
            None => added,
        })
    }

    /// What each decoded row is multiplied by, where the dictionary normalizes rows one by one: `[n, 1]`.
    pub(super) fn row_scale(&self, x: &Tensor<2>) -> Option<Tensor<2>> {
        match self.input {
            Input::None | Input::Scale(_) => None,
            Input::ConstantNorm => Some(norm(x) / (self.d_in as f64).sqrt()),
            Input::LayerNorm => Some(deviation(&centered(x.clone()).0)),
        }
    }

    /// A gradient at the rows that are encoded, `read: [n, d_in]`, as one at the rows themselves, with what each row
    /// is divided by held as it is.
    pub(super) fn row_divided(&self, read: Tensor<2>, x: &Tensor<2>) -> Tensor<2> {
        match self.input {
            Input::None | Input::Scale(_) => read,
            Input::ConstantNorm => read * (self.d_in as f64).sqrt() / norm(x),
            Input::LayerNorm => read / (deviation(&centered(x.clone()).0) + LAYER_NORM_EPSILON),
        }
    }

    /// The activations of some features alone: `[n, d_in]` to `[n, features]`.
    ///
    /// # Errors
    /// If a feature does not exist.
    pub fn activations(&self, x: Tensor<2>, features: &[u32]) -> Result<Tensor<2>, DictionaryError> {
        Ok(self.encode(x).select(1, self.index(features)?))
    }

    fn scaled(&self, x: Tensor<2>) -> Tensor<2> {
        match self.input {
            Input::None => x,
            Input::Scale(scale) => x * scale,
            Input::ConstantNorm => {
                let norm = norm(&x);
                x * (self.d_in as f64).sqrt() / norm
            }
            Input::LayerNorm => {
                let (centered, _) = centered(x);
                let deviation = deviation(&centered);
                centered / (deviation + LAYER_NORM_EPSILON)
            }
        }
    }

    /// Applies the nonlinearity to pre-activations `a: [n, d_sae]`.
    fn activate(&self, a: Tensor<2>) -> Tensor<2> {
        match &self.activation {
            Activation::Relu => relu(a),
            Activation::JumpRelu { threshold } => {
                let quiet = a.clone().lower_equal(threshold.clone().unsqueeze());
                relu(a).mask_fill(quiet, 0.0)
            }
            Activation::TopK { k, rank_by } if is_host(&a.device()) => keep_largest(a, rank_by.as_ref(), *k),
            Activation::TopK { k, rank_by } => top_k(a, rank_by.as_ref(), *k),
            Activation::GroupMax { k } => group_max(a, *k),
            Activation::Gated { b_gate, scale, b_mag } => {
                let closed = (a.clone() + b_gate.clone().unsqueeze()).lower_equal_scalar(0.0);
                relu(a * scale.clone().unsqueeze() + b_mag.clone().unsqueeze()).mask_fill(closed, 0.0)
            }
        }
    }
}

/// Keeps the `k` largest positive entries of each row, ranked by themselves or by themselves times `rank_by`.
pub(crate) fn top_k(a: Tensor<2>, rank_by: Option<&Tensor<1>>, k: usize) -> Tensor<2> {
    let a = relu(a);
    let ranks = match rank_by {
        Some(weights) => a.clone() * weights.clone().unsqueeze(),
        None => a.clone(),
    };
    let (ranks, index) = ranks.topk_with_indices(k, 1);
    let kept = a.clone().gather(1, index.clone()).mask_fill(ranks.lower_equal_scalar(0.0), 0.0);
    a.zeros_like().scatter(1, index, kept, IndexingUpdateOp::Add)
}

/// Keeps the largest entry of each of `k` equal, consecutive groups of a row, where it is positive.
fn group_max(a: Tensor<2>, k: usize) -> Tensor<2> {
    let [rows, d_sae] = a.dims();
    let size = d_sae / k;
    let groups: Tensor<3> = relu(a).reshape([rows, k, size]);
    let (_, winner) = groups.clone().max_dim_with_indices(2);
    let places: Tensor<3, Int> =
        Tensor::<1, Int>::arange(0..size as i64, &groups.device()).reshape([1, 1, size]);
    let others = places.expand([rows, k, size]).not_equal(winner.expand([rows, k, size]));
    groups.mask_fill(others, 0.0).reshape([rows, d_sae])
}

/// The L2 norm of every row: `[n, 1]`.
pub(crate) fn norm(x: &Tensor<2>) -> Tensor<2> {
    x.clone().square().sum_dim(1).sqrt()
}

/// Rows without their mean, and the mean: `[n, d]`, `[n, 1]`.
fn centered(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let mean = x.clone().mean_dim(1);
    (x - mean.clone(), mean)
}

/// The standard deviation of centered rows, with `n − 1` below as PyTorch has it: `[n, 1]`.
fn deviation(centered: &Tensor<2>) -> Tensor<2> {
    let width = centered.dims()[1];
    (centered.clone().square().sum_dim(1) / (width as f64 - 1.0)).sqrt()
}
