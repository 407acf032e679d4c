//! Couplings and directions against plain sums in f64 over the files, and against what the dictionaries do.

use burn::tensor::{Device, Tensor};
use saelake::dictionary::{Dictionary, DictionaryError, open};
use saelake::model::{Hook, Site};
use tempfile::tempdir;

use super::raw::{LlamaScope, Random, numbers, read_tensors, tensor};
use crate::support::{demo_dictionaries, repository};

/// The program keeps its scales and results in f32.
const RELATIVE: f64 = 1e-6;

/// Features of the demo dictionaries, which have 2,304.
const FEATURES: [u32; 5] = [0, 2303, 59, 1024, 700];

/// Decoder columns and encoder rows of a demo dictionary in f64, in the model's units.
struct Raw {
    decoder: Vec<f64>,
    encoder: Vec<f64>,
    d_in: usize,
    d_sae: usize,
    input: f64,
    output: f64,
}

impl Raw {
    fn read(layer: usize) -> Self {
        let folder = repository("assets/dictionaries").join(format!("L{layer}R-4x"));
        let settings = std::fs::read(folder.join("hyperparams.json")).unwrap();
        let settings: serde_json::Value = serde_json::from_slice(&settings).unwrap();
        let mut tensors = read_tensors(&folder.join("checkpoints/final.safetensors"));
        let [d_in, d_sae] = ["d_model", "d_sae"].map(|key| settings[key].as_u64().unwrap() as usize);
        let average = |side: &str| settings["dataset_average_activation_norm"][side].as_f64().unwrap();
        let root = (d_in as f64).sqrt();
        Self {
            decoder: tensors.remove("decoder.weight").unwrap(),
            encoder: tensors.remove("encoder.weight").unwrap(),
            d_in,
            d_sae,
            input: root / average("in"),
            output: average("out") / root,
        }
    }

    fn write(&self, feature: u32) -> Vec<f64> {
        (0..self.d_in).map(|d| self.decoder[d * self.d_sae + feature as usize] * self.output).collect()
    }

    fn read_by(&self, feature: u32) -> Vec<f64> {
        self.encoder[feature as usize * self.d_in..][..self.d_in].iter().map(|w| w * self.input).collect()
    }
}

/// The sum of the products, and of their sizes: what rounding is relative to.
fn dot(a: &[f64], b: &[f64]) -> (f64, f64) {
    let products = a.iter().zip(b).map(|(a, b)| a * b);
    (products.clone().sum(), products.map(f64::abs).sum())
}

fn close(found: f32, (expected, scale): (f64, f64)) {
    assert!((f64::from(found) - expected).abs() <= RELATIVE * scale, "{found} is not {expected}");
}

#[test]
fn a_coupling_is_the_decoder_row_times_the_encoder_row_in_the_models_units() {
    let dictionaries = demo_dictionaries();
    let layers = [8, 15, 29];
    let raw = layers.map(Raw::read);
    for (from, to) in [(0, 1), (0, 2), (1, 2)] {
        let pairs = FEATURES.iter().flat_map(|a| FEATURES.map(|b| (*a, b))).collect::<Vec<_>>();
        let found = dictionaries[from].couplings(&dictionaries[to], &pairs).unwrap();
        assert_eq!(found.len(), pairs.len());
        for ((source, target), found) in pairs.into_iter().zip(found) {
            close(found, dot(&raw[from].write(source), &raw[to].read_by(target)));
        }
    }
}

#[test]
fn a_direction_is_moved_along_by_the_decoder_row_in_the_models_units() {
    let dictionary = &demo_dictionaries()[2];
    let direction = Random::new(3).normals(dictionary.d_in, 1.0);
    let found = dictionary.along(&direction, &FEATURES).unwrap();
    let direction = direction.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let raw = Raw::read(29);
    for (feature, found) in FEATURES.into_iter().zip(found) {
        close(found, dot(&raw.write(feature), &direction));
    }
}

/// Adds what a unit of a feature of `source` writes to a row where a feature of `target` fires, and looks at
/// how much more that fires.
fn moves(source: &Dictionary, target: &Dictionary, feature: u32, fires: u32) -> f64 {
    let one_hot = |activation: f32| {
        let mut f = vec![0.0; source.d_sae];
        f[feature as usize] = activation;
        tensor(&f, source.d_sae)
    };
    let row =
        target.w_enc.clone().slice([0..target.d_in, fires as usize..fires as usize + 1]).transpose() * 40.0;
    let written = source.decode(one_hot(1.0), &row) - source.decode(one_hot(0.0), &row);
    let activation = |x: Tensor<2>| f64::from(numbers(target.encode(x))[fires as usize]);
    let (before, after) = (activation(row.clone()), activation(row + written));
    assert!(before > 0.0 && after > 0.0, "the feature fires before and after");
    after - before
}

#[test]
fn a_feature_adds_its_coupling_to_one_that_fires() {
    let fixture = |name: &str| {
        let folder = repository("tests/fixtures/dictionary").join(name);
        open(&folder, name, None, &Device::flex()).unwrap().remove(0)
    };
    let folder = tempdir().unwrap();
    let scaled = LlamaScope {
        d_in: 16,
        d_sae: 64,
        norm_in: 3.0,
        norm_out: 7.0,
        threshold: 0.1,
        ..LlamaScope::default()
    };
    scaled.write(folder.path(), 3, 11);
    let scaled = open(folder.path(), "scaled", None, &Device::flex()).unwrap().remove(0);
    for target in ["standard", "jumprelu", "gated"].map(fixture).iter().chain([&scaled]) {
        for source in [&fixture("standard"), &scaled] {
            for (feature, fires) in [(1, 2), (5, 30), (63, 0)] {
                let coupling = f64::from(source.couplings(target, &[(feature, fires)]).unwrap()[0]);
                let moved = moves(source, target, feature, fires);
                // A difference of two activations in f32.
                assert!(
                    (moved - coupling).abs() < 2e-4 * (1.0 + coupling.abs()),
                    "{moved} is not {coupling}"
                );
            }
        }
    }
}

#[test]
fn what_every_dimension_has_alike_is_not_read_by_a_dictionary_that_centers_rows() {
    let folder = repository("tests/fixtures/dictionary/standard_layer_norm");
    let target = open(&folder, "centers", None, &Device::flex()).unwrap().remove(0);
    let mut source = target.clone();
    source.w_dec = source.w_dec.ones_like();
    let couplings = source.couplings(&target, &[(0, 0), (3, 9)]).unwrap();
    assert!(couplings.iter().all(|coupling| coupling.abs() < 1e-5), "{couplings:?}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let [low, _, high] = <[Dictionary; 3]>::try_from(demo_dictionaries()).ok().unwrap();
    let missing = low.couplings(&high, &[(0, 2304)]).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the dictionary for blocks.29.hook_resid_post has no feature 2304: it has 2304, from 0 on"
    );
    assert!(matches!(
        low.along(&[0.0; 576], &[9999]),
        Err(DictionaryError::NoSuchFeature { feature: 9999, .. })
    ));
    assert!(matches!(
        low.along(&[0.0; 5], &[0]),
        Err(DictionaryError::WrongWidth { d_in: 576, d_model: 5, .. })
    ));
    let at = |site| Dictionary { hook: Hook { layer: 8, site }, ..low.clone() };
    let error = at(Site::Value).couplings(&high, &[(0, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "the features of blocks.8.attn.hook_v do not write to the residual stream");
    let error = low.couplings(&at(Site::MlpOut), &[(0, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "the features of blocks.8.hook_mlp_out do not read the residual stream");
    assert!(at(Site::MlpOut).couplings(&high, &[(0, 0)]).is_ok());
    assert_eq!(error.exit_code(), 2);
    assert_eq!(low.couplings(&high, &[]).unwrap(), Vec::<f32>::new());
}
