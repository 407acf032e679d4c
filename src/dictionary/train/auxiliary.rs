//! Bringing dead features back.
//!
//! The auxiliary loss of Gao et al. (2024), "Scaling and evaluating sparse autoencoders", appendix A.2: the dead
//! features with the largest pre-activations reconstruct what the living ones left over, and learn from that
//! alone until they fire again. (Seeding dead features from poorly reconstructed rows, as Bricken et al. 2023 do,
//! was tried first: on planted features it cost up to 0.14 of explained variance.)

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, activation::relu};

use super::adam::replace;
use super::gradients::{Parameters, Pass};
use crate::dictionary::encode::top_k;
use crate::dictionary::select::{is_host, keep_largest};

/// Weight of the auxiliary loss. A dead feature has no other gradient and Adam takes steps of one size whatever
/// the gradient's, so this matters only in the moments after it has come alive.
pub const WEIGHT: f64 = 1.0 / 32.0;

/// Adds to the gradients of `pass` over the scaled rows `x: [n, d_in]` those of
/// `WEIGHT × mean over rows of ‖ê − e‖²`, where `e = x − x̂` is taken as constant and `ê` is decoded, without a
/// bias, from the `d_in / 2` largest positive pre-activations of each row among the features `dead`.
pub fn revive(parameters: &Parameters, pass: &mut Pass, x: &Tensor<2>, dead: &[usize]) {
    if dead.is_empty() {
        return;
    }
    let [rows, d_in] = x.dims();
    let k = (d_in / 2).clamp(1, dead.len());
    let device = x.device();
    let indices: Vec<i32> = dead.iter().map(|feature| *feature as i32).collect();
    let dead = Tensor::<1, Int>::from_data(TensorData::new(indices, [dead.len()]), &device);

    let w_enc = parameters.w_enc.clone().select(0, dead.clone());
    let w_dec = parameters.w_dec.clone().select(0, dead.clone());
    let a = x.clone().matmul(w_enc.transpose()) + parameters.b_enc.clone().select(1, dead.clone());
    let f = if is_host(&device) { keep_largest(a, None, k) } else { top_k(relu(a), None, k) };
    // The error of the pass is x̂ − x, which is −e.
    let d_left_over = (f.clone().matmul(w_dec.clone()) + pass.error.clone()) * (2.0 * WEIGHT / rows as f64);
    let silent = f.clone().lower_equal_scalar(0.0);
    let d_a = d_left_over.clone().matmul(w_dec.transpose()).mask_fill(silent, 0.0);

    let add = |to: &mut Tensor<2>, dim: usize, gradient: Tensor<2>| {
        replace(to, |old| old.select_assign(dim, dead.clone(), gradient, IndexingUpdateOp::Add));
    };
    add(&mut pass.gradients.w_enc, 0, d_a.clone().transpose().matmul(x.clone()));
    add(&mut pass.gradients.b_enc, 1, d_a.sum_dim(0));
    add(&mut pass.gradients.w_dec, 0, f.transpose().matmul(d_left_over));
}
