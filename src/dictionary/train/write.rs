//! Writing a trained dictionary in the Llama Scope layout, and measuring what was written.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use half::bf16;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

use super::trained::Trained;
use crate::dictionary::error::DictionaryError;
use crate::dictionary::format::find;
use crate::dictionary::gate::Measured;
use crate::dictionary::tensors::matrix;
use crate::dictionary::{Dictionary, llama_scope};
use crate::model::Hook;

/// What a dictionary does on rows that it was not trained on, measured through the files as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// How many rows were measured.
    pub rows: usize,
    /// How many more were left out, for they are longer than [`LONGEST`](crate::dictionary::LONGEST) times the
    /// median.
    pub outliers: usize,
    /// Mean number of active features.
    pub l0: f64,
    /// Share of the variance that it reconstructs.
    pub explained_variance: f64,
    /// Share of the features that fire on none of the rows.
    pub dead_share: f64,
}

/// Where a dictionary was written, and what it does.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its folder.
    pub folder: PathBuf,
    /// Measured on the rows that were held out.
    pub report: Report,
}

impl Trained {
    /// Writes `<dir>/L{layer}R-{expansion}x/{hyperparams.json, lm_config.json, checkpoints/final.safetensors}`,
    /// measures it through these files on `held_out: [n, d_in]` (row-major, in the model's units), and records
    /// that in `hyperparams.json` together with `command`, so that the check at load time can hold it to that.
    ///
    /// # Errors
    /// A folder that cannot be written, and a device that failed.
    pub fn write(
        &self,
        dir: &Path,
        hook: Hook,
        model: &str,
        command: &str,
        held_out: &[f32],
        device: &Device,
    ) -> Result<Written, DictionaryError> {
        let expansion = self.settings.features as f64 / self.d_in as f64;
        let folder = dir.join(format!("L{}R-{expansion}x", hook.layer));
        let checkpoints = folder.join("checkpoints");
        std::fs::create_dir_all(&checkpoints)
            .map_err(|source| DictionaryError::Unwritable { path: checkpoints.clone(), source })?;
        put(&checkpoints.join("final.safetensors"), &self.safetensors())?;
        let model = json!({ "model_name": model, "d_model": self.d_in, "dtype": "torch.bfloat16" });
        put_json(&folder.join(llama_scope::MODEL_CONFIG), &model)?;
        put_json(&folder.join(llama_scope::CONFIG), &self.hyperparams(hook, command, None))?;

        let report = self.measure(&folder, held_out, device)?;
        put_json(&folder.join(llama_scope::CONFIG), &self.hyperparams(hook, command, Some(report)))?;
        Ok(Written { folder, report })
    }

    fn measure(&self, folder: &Path, held_out: &[f32], device: &Device) -> Result<Report, DictionaryError> {
        let source = folder.display().to_string();
        let read = |found: &crate::dictionary::Found| found.read(&source, None, device);
        let dictionaries = find(folder)?.iter().map(read).collect::<Result<Vec<Dictionary>, _>>()?;
        let rows = held_out.len() / self.d_in;
        if rows == 0 {
            return Err(DictionaryError::TooFewRows { rows, needed: 1, purpose: "measure the dictionary" });
        }
        let x = matrix(held_out[..rows * self.d_in].to_vec(), [rows, self.d_in], device);
        let Measured { rows, outliers, l0, explained_variance, dead_share } = dictionaries[0].measure(&x)?;
        Ok(Report { rows, outliers, l0, explained_variance, dead_share })
    }

    fn hyperparams(&self, hook: Hook, command: &str, report: Option<Report>) -> serde_json::Value {
        let settings = &self.settings;
        json!({
            "seed": settings.seed,
            "dtype": "torch.bfloat16",
            "hook_point_in": hook.to_string(),
            "hook_point_out": hook.to_string(),
            "use_decoder_bias": true,
            "apply_decoder_bias_to_pre_encoder": false,
            "expansion_factor": settings.features as f64 / self.d_in as f64,
            "d_model": self.d_in,
            "d_sae": settings.features,
            "act_fn": "jumprelu",
            "jump_relu_threshold": self.threshold,
            "norm_activation": "dataset-wise",
            "dataset_average_activation_norm": { "in": self.average_norm, "out": self.average_norm },
            "sparsity_include_decoder_norm": true,
            "use_glu_encoder": false,
            "top_k": settings.k,
            "saelake": report.map(|report| json!({
                "l0": report.l0,
                "explained_variance": report.explained_variance,
                "dead_share": report.dead_share,
                "held_out_rows": report.rows,
                "held_out_outliers": report.outliers,
                "steps": settings.steps,
                "batch": settings.batch,
                "learning_rate": settings.learning_rate,
                "dead_after": settings.dead_after,
                "command": command,
            })),
        })
    }

    /// The weights, in the shapes and under the names of Llama Scope.
    fn safetensors(&self) -> Vec<u8> {
        let (d_in, features) = (self.d_in, self.settings.features);
        let tensors = [
            ("encoder.weight", vec![features, d_in], bytes(&self.w_enc)),
            ("encoder.bias", vec![features], bytes(&self.b_enc)),
            ("decoder.weight", vec![d_in, features], bytes(&transposed(&self.w_dec, features, d_in))),
            ("decoder.bias", vec![d_in], bytes(&self.b_dec)),
        ];
        let views = tensors.iter().map(|(name, shape, bytes)| {
            TensorView::new(Dtype::BF16, shape.clone(), bytes).map(|view| (*name, view))
        });
        match views.collect::<Result<Vec<_>, _>>().and_then(|views| safetensors::serialize(views, None)) {
            Ok(bytes) => bytes,
            Err(error) => unreachable!("the shapes are those of the vectors: {error}"),
        }
    }
}

fn transposed(matrix: &[bf16], rows: usize, columns: usize) -> Vec<bf16> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

fn bytes(numbers: &[bf16]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn put_json(path: &Path, value: &serde_json::Value) -> Result<(), DictionaryError> {
    put(path, format!("{value:#}\n").as_bytes())
}

/// Writes a file beside its place and moves it there, so that no half of it is ever seen.
fn put(path: &Path, bytes: &[u8]) -> Result<(), DictionaryError> {
    let part = path.with_extension("part");
    let write = || std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
    write().map_err(|source| DictionaryError::Unwritable { path: path.to_owned(), source })
}
