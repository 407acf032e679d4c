//! Tests of the model: against transformers' numbers, of what must hold by itself, and of bad input.

mod bad_input;
mod goldens;
mod gradients;
mod invariants;
mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use saelake::model::{Dtype, Hook, Llama, Packed, Tap, open_llama};

use crate::support::{relative_error, repository};

/// f32 on both sides, summed in other orders through up to 30 blocks.
const F32: f64 = 1e-4;

/// A folder or file of the fixtures.
fn fixture(name: &str) -> PathBuf {
    repository("tests/fixtures/model").join(name)
}

/// A model on the CPU.
fn open(path: &Path) -> Llama {
    let (llama, ..) = open_llama(path.to_str().unwrap(), &Device::flex(), Dtype::F32).unwrap();
    llama
}

/// The numbers of a safetensors file, all as f32 (ids are small enough).
struct Numbers(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Numbers {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let floats = |view: &safetensors::tensor::TensorView<'_>| {
            let fours = view.data().as_chunks().0.iter();
            match view.dtype() {
                safetensors::Dtype::I32 => fours.map(|four| i32::from_le_bytes(*four) as f32).collect(),
                safetensors::Dtype::F32 => fours.map(|four| f32::from_le_bytes(*four)).collect(),
                other => panic!("a golden of {other:?}"),
            }
        };
        let tensors = file.tensors();
        Self(
            tensors
                .iter()
                .map(|(name, view)| (name.clone(), (view.shape().to_vec(), floats(view))))
                .collect(),
        )
    }

    fn get(&self, name: &str) -> &[f32] {
        &self.0[name].1
    }

    fn shape(&self, name: &str) -> &[usize] {
        &self.0[name].0
    }

    fn ids(&self, name: &str) -> Vec<u32> {
        self.get(name).iter().map(|id| *id as u32).collect()
    }

    /// Entry `index` along the first axis.
    fn entry(&self, name: &str, index: usize) -> &[f32] {
        let size: usize = self.shape(name)[1..].iter().product();
        &self.get(name)[index * size..][..size]
    }
}

/// Keeps all that passes.
#[derive(Default)]
struct Recorder {
    activations: BTreeMap<Hook, Vec<f32>>,
    /// By layer and sequence.
    patterns: BTreeMap<(usize, usize), Vec<f32>>,
}

impl Tap for Recorder {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        self.activations.insert(hook, floats(x.clone()));
        x
    }

    fn wants_pattern(&self, _layer: usize) -> bool {
        true
    }

    fn pattern(&mut self, layer: usize, sequence: usize, pattern: Tensor<3>) -> Tensor<3> {
        self.patterns.insert((layer, sequence), floats(pattern.clone()));
        pattern
    }
}

/// A tensor's numbers.
fn floats<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_to_vec().unwrap()
}

/// Runs one sequence and records everything.
fn record(llama: &Llama, ids: &[u32]) -> (Recorder, Tensor<2>) {
    let mut recorder = Recorder::default();
    let residual = llama.forward(&Packed::new([ids]), &mut recorder);
    (recorder, residual)
}

/// The worst relative error of any row, so that a large row does not hide the others.
fn worst_row(actual: &[f32], expected: &[f32], width: usize) -> f64 {
    assert_eq!(actual.len(), expected.len(), "lengths differ");
    let rows = actual.chunks(width).zip(expected.chunks(width));
    rows.map(|(actual, expected)| relative_error(actual, expected)).fold(0.0, f64::max)
}
