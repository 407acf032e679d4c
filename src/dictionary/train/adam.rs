//! Adam (Kingma and Ba 2015), for one tensor of each kind that is learned.

use burn::tensor::Tensor;

use super::gradients::Parameters;

const MEAN_DECAY: f64 = 0.9;
const SQUARE_DECAY: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The running moments of the gradients.
pub(crate) struct Adam {
    pub(crate) mean: Parameters,
    pub(crate) square: Parameters,
    steps: i32,
}

impl Adam {
    /// Starts for parameters of these shapes.
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self { mean: parameters.zeros_like(), square: parameters.zeros_like(), steps: 0 }
    }

    /// Moves `parameters` against `gradients` by steps of about `rate`.
    pub(crate) fn step(&mut self, parameters: &mut Parameters, gradients: Parameters, rate: f64) {
        self.steps += 1;
        let rate = rate * (1.0 - SQUARE_DECAY.powi(self.steps)).sqrt() / (1.0 - MEAN_DECAY.powi(self.steps));
        let Self { mean, square, .. } = self;
        update(&mut parameters.w_enc, &mut mean.w_enc, &mut square.w_enc, gradients.w_enc, rate);
        update(&mut parameters.b_enc, &mut mean.b_enc, &mut square.b_enc, gradients.b_enc, rate);
        update(&mut parameters.w_dec, &mut mean.w_dec, &mut square.w_dec, gradients.w_dec, rate);
        update(&mut parameters.b_dec, &mut mean.b_dec, &mut square.b_dec, gradients.b_dec, rate);
    }
}

fn update(
    parameter: &mut Tensor<2>,
    mean: &mut Tensor<2>,
    square: &mut Tensor<2>,
    gradient: Tensor<2>,
    rate: f64,
) {
    replace(mean, |mean| mean * MEAN_DECAY + gradient.clone() * (1.0 - MEAN_DECAY));
    replace(square, |square| square * SQUARE_DECAY + gradient.square() * (1.0 - SQUARE_DECAY));
    let step = mean.clone() / (square.clone().sqrt() + EPSILON) * rate;
    replace(parameter, |parameter| parameter - step);
}

/// Computes a tensor from its own old value, which is given away so that its memory can be used again.
pub(crate) fn replace(tensor: &mut Tensor<2>, new: impl FnOnce(Tensor<2>) -> Tensor<2>) {
    let nothing = Tensor::zeros([1, 1], &tensor.device());
    *tensor = new(std::mem::replace(tensor, nothing));
}
