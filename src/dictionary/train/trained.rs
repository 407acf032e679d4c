//! The end of a training: weights as they are written, and their threshold.

use burn::tensor::{Device, Tensor};
use half::bf16;

use super::calibrate::threshold;
use super::gradients::Parameters;
use super::settings::TrainSettings;
use crate::dictionary::canonical::{Activation, Dictionary, Expected, Input, Provenance};
use crate::dictionary::error::DictionaryError;
use crate::dictionary::format::Format;
use crate::dictionary::select::numbers;
use crate::dictionary::tensors::{matrix, row_norms, transpose, vector};
use crate::model::Hook;

/// A trained dictionary, in the units and the precision that it is written in.
#[derive(Clone, Debug)]
pub struct Trained {
    pub(super) settings: TrainSettings,
    pub(super) d_in: usize,
    /// Mean L2 norm of the rows that it was trained on.
    pub(super) average_norm: f32,
    /// In the model's units, as Llama Scope has it.
    pub(super) threshold: f32,
    /// `[features, d_in]`.
    pub(super) w_enc: Vec<bf16>,
    pub(super) b_enc: Vec<bf16>,
    /// `[features, d_in]`.
    pub(super) w_dec: Vec<bf16>,
    pub(super) b_dec: Vec<bf16>,
}

impl Trained {
    pub(super) fn new(
        parameters: &Parameters,
        average_norm: f32,
        settings: TrainSettings,
        calibration: &[f32],
    ) -> Result<Self, DictionaryError> {
        let device = parameters.w_enc.device();
        let d_in = parameters.w_enc.dims()[1];
        let mut trained = Self {
            settings,
            d_in,
            average_norm,
            threshold: 0.0,
            w_enc: rounded(&parameters.w_enc),
            b_enc: rounded(&parameters.b_enc),
            w_dec: rounded(&parameters.w_dec),
            b_dec: rounded(&parameters.b_dec),
        };
        let rows = calibration.len() / d_in;
        let x = matrix(calibration[..rows * d_in].to_vec(), [rows, d_in], &device);
        trained.threshold = threshold(&trained.without_threshold(&device), &x, settings.k)?;
        Ok(trained)
    }

    /// The dictionary without a threshold, to see what would fire.
    fn without_threshold(&self, device: &Device) -> Dictionary {
        let (d_in, d_sae) = (self.d_in, self.settings.features);
        let scale = (d_in as f64).sqrt() / f64::from(self.average_norm);
        let w_dec = widened(&self.w_dec);
        Dictionary {
            hook: Hook::resid_post(0),
            d_in,
            d_sae,
            input: Input::Scale(scale as f32),
            w_enc: matrix(transpose(&widened(&self.w_enc), d_sae, d_in), [d_in, d_sae], device),
            b_enc: vector(widened(&self.b_enc), device),
            subtracts_decoder_bias: false,
            activation: Activation::Relu,
            decoder_norms: row_norms(&w_dec, d_in),
            w_dec: matrix(w_dec, [d_sae, d_in], device),
            b_dec: vector(widened(&self.b_dec), device),
            output_scale: (1.0 / scale) as f32,
            provenance: Provenance {
                format: Format::LlamaScope,
                source: "training".to_owned(),
                revision: None,
                hash: String::new(),
                neuronpedia: None,
                expected: Expected::default(),
            },
        }
    }
}

fn rounded(tensor: &Tensor<2>) -> Vec<bf16> {
    numbers(tensor.clone()).into_iter().map(bf16::from_f32).collect()
}

fn widened(numbers: &[bf16]) -> Vec<f32> {
    numbers.iter().map(|x| x.to_f32()).collect()
}
