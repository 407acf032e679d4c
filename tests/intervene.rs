//! Tests of interventions: what must hold by itself, what is planted and must be found, and bad input.

mod attribute_commands;
mod attribution;
mod commands;
mod edits;
mod graph;
mod grid;
mod pairs;
mod planted;
mod steer;

use burn::tensor::Tensor;
use saelake::intervene::{Base, Metric};
use saelake::model::{Llama, Site};

/// A tensor's numbers.
fn floats<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().convert::<f32>().try_to_vec().unwrap()
}

/// The tiny model of the fixtures.
fn tiny() -> Llama {
    let path = crate::support::repository("tests/fixtures/model/tiny-gqa");
    let device = burn::tensor::Device::flex();
    let opened = saelake::model::open_llama(path.to_str().unwrap(), &device, saelake::model::Dtype::F32);
    opened.unwrap().0
}

/// Every site that values can be taken from.
const SITES: [Site; 6] =
    [Site::ResidPost, Site::Value, Site::Z, Site::AttnOut, Site::Ln2Normalized, Site::MlpOut];

/// A run of the tiny model that keeps everything but patterns.
fn run<'a>(llama: &'a Llama, ids: &[u32]) -> Base<'a> {
    Base::run(llama, ids, &Metric::Difference([3, 7]), &SITES).unwrap()
}

const CLEAN: [u32; 9] = [5, 17, 3, 3, 40, 22, 8, 63, 1];
/// Differs from the third position on.
const CORRUPTED: [u32; 9] = [5, 17, 31, 3, 40, 9, 8, 63, 1];
