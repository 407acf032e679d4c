//! SAELens's own numbers on dictionaries that it wrote (`tests/fixtures/dictionary/make.py`).

use burn::tensor::Device;
use saelake::dictionary::{Format, open};

use super::raw::{numbers, read_tensors, tensor};
use crate::support::{relative_error, repository};

const D_IN: usize = 16;
/// Both sides sum 16 or 64 products in f32.
const RELATIVE: f64 = 1e-5;

fn check(name: &str) {
    let folder = repository("tests/fixtures/dictionary").join(name);
    let expected = read_tensors(&folder.join("expected.safetensors"));
    let expected = |key: &str| expected[key].iter().map(|x| *x as f32).collect::<Vec<f32>>();
    let x = tensor(&expected("x"), D_IN);
    let dictionary = open(&folder, name, None, &Device::flex()).unwrap().remove(0);
    assert_eq!(dictionary.provenance.format, Format::SaeLens);
    assert_eq!(dictionary.hook.to_string(), "blocks.3.hook_resid_post");

    let f = dictionary.encode(x.clone());
    let x_hat = numbers(dictionary.decode(f.clone(), &x));
    let (f, expected_f) = (numbers(f), expected("f"));
    let active = |f: &[f32]| f.iter().map(|f| *f > 0.0).collect::<Vec<bool>>();
    assert_eq!(active(&f), active(&expected_f), "{name}");
    assert!(relative_error(&f, &expected_f) < RELATIVE, "{name}");
    assert!(relative_error(&x_hat, &expected("x_hat")) < RELATIVE, "{name}");
}

#[test]
fn saelens_computes_the_same() {
    for name in [
        "standard",
        "standard_no_bias",
        "standard_layer_norm",
        "standard_constant_norm",
        "jumprelu",
        "topk",
        "topk_rescaled",
        "gated",
        "flat_standard",
        "flat_topk",
    ] {
        check(name);
    }
}
