//! Dictionaries written by the tests, and a reading of them in f64 that shares nothing with the program's.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};

/// A random source, a uniform number of which lies in −1 … 1.
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn numbers(&mut self, count: usize, size: f64) -> Vec<f32> {
        (0..count).map(|_| ((self.0.random::<f64>() * 2.0 - 1.0) * size) as f32).collect()
    }

    /// Roughly normal, of standard deviation `size`.
    pub(super) fn normals(&mut self, count: usize, size: f64) -> Vec<f32> {
        let mut normal = || (0..12).map(|_| self.0.random::<f64>()).sum::<f64>() - 6.0;
        (0..count).map(|_| (normal() * size) as f32).collect()
    }
}

/// Writes a safetensors file of f32 tensors.
pub(super) fn write_tensors(path: &Path, tensors: &[(&str, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|tensor| tensor.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Every f32 or bf16 tensor of a file, in f64.
pub(super) fn read_tensors(path: &Path) -> BTreeMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let widen = |view: &TensorView<'_>| match view.dtype() {
        Dtype::F32 => {
            view.data().chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
        }
        Dtype::BF16 => {
            view.data().chunks(2).map(|b| half::bf16::from_le_bytes(b.try_into().unwrap()).to_f64()).collect()
        }
        other => panic!("{other:?}"),
    };
    file.iter().map(|(name, view)| (name.to_owned(), widen(&view))).collect()
}

pub(super) fn write_json(path: &Path, value: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, value.to_string()).unwrap();
}

/// What a Llama Scope dictionary is made with.
#[derive(Clone)]
pub(super) struct LlamaScope {
    pub(super) d_in: usize,
    pub(super) d_sae: usize,
    pub(super) norm_in: f64,
    pub(super) norm_out: f64,
    pub(super) threshold: f64,
    pub(super) act_fn: &'static str,
    pub(super) top_k: usize,
    pub(super) include_decoder_norm: bool,
}

impl Default for LlamaScope {
    fn default() -> Self {
        Self {
            d_in: 48,
            d_sae: 192,
            norm_in: 20.0,
            norm_out: 20.0,
            threshold: 1.5,
            act_fn: "jumprelu",
            top_k: 10,
            include_decoder_norm: true,
        }
    }
}

impl LlamaScope {
    pub(super) fn hyperparams(&self, layer: usize) -> Value {
        json!({
            "device": "cuda", "seed": 42, "dtype": "torch.bfloat16",
            "hook_point_in": format!("blocks.{layer}.hook_resid_post"),
            "hook_point_out": format!("blocks.{layer}.hook_resid_post"),
            "use_decoder_bias": true, "apply_decoder_bias_to_pre_encoder": false,
            "expansion_factor": self.d_sae / self.d_in, "d_model": self.d_in, "d_sae": self.d_sae,
            "bias_init_method": "all_zero", "act_fn": self.act_fn,
            "jump_relu_threshold": self.threshold,
            "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": {"in": self.norm_in, "out": self.norm_out},
            "decoder_exactly_fixed_norm": false,
            "sparsity_include_decoder_norm": self.include_decoder_norm,
            "use_glu_encoder": false, "init_decoder_norm": 0.5, "init_encoder_norm": null,
            "lp": 1, "l1_coefficient": 8e-05, "top_k": self.top_k, "k_warmup_steps": 78125,
            "use_batch_norm_mse": true, "use_ghost_grads": false, "tp_size": 1, "ddp_size": 1,
        })
    }

    /// Writes it with random weights whose decoder columns have norms from 0.5 to 2.5.
    pub(super) fn write(&self, folder: &Path, layer: usize, seed: u64) {
        let Self { d_in, d_sae, .. } = *self;
        let mut random = Random::new(seed);
        let mut decoder = random.normals(d_in * d_sae, 1.0 / (d_in as f64).sqrt());
        for feature in 0..d_sae {
            let factor = 0.5 + 2.0 * feature as f32 / d_sae as f32;
            (0..d_in).for_each(|row| decoder[row * d_sae + feature] *= factor);
        }
        write_json(&folder.join("hyperparams.json"), &self.hyperparams(layer));
        write_json(&folder.join("lm_config.json"), &json!({"model_name": "meta-llama/Llama-3.1-8B"}));
        write_tensors(
            &folder.join("checkpoints/final.safetensors"),
            &[
                (
                    "encoder.weight",
                    vec![d_sae, d_in],
                    random.normals(d_in * d_sae, 1.0 / (d_in as f64).sqrt()),
                ),
                ("encoder.bias", vec![d_sae], random.normals(d_sae, 0.3)),
                ("decoder.weight", vec![d_in, d_sae], decoder),
                ("decoder.bias", vec![d_in], random.normals(d_in, 0.2)),
            ],
        );
    }
}

/// One row's features by a reference: the value where it fires, and how far each was from firing or not, as a
/// share of the row's largest pre-activation.
pub(super) struct Row {
    pub(super) f: Vec<f64>,
    pub(super) margin: Vec<f64>,
    pub(super) x_hat: Vec<f64>,
}

/// `rows` of `matrix: [rows, columns]` times `x`.
pub(super) fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
}

/// `x` times `matrix: [x.len(), columns]`.
pub(super) fn into(x: &[f64], matrix: &[f64]) -> Vec<f64> {
    let columns = matrix.len() / x.len();
    (0..columns)
        .map(|column| x.iter().enumerate().map(|(row, x)| x * matrix[row * columns + column]).sum())
        .collect()
}

pub(super) fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

pub(super) fn tensor(rows: &[f32], width: usize) -> Tensor<2> {
    Tensor::from_data(TensorData::new(rows.to_vec(), [rows.len() / width, width]), &Device::flex())
}

pub(super) fn numbers(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

pub(super) fn column(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
