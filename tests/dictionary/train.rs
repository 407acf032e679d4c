//! The training: its gradients, and what comes out of it.

use burn::tensor::Device;
use saelake::dictionary::{
    AUXILIARY_WEIGHT, DictionaryError, Parameters, TrainSettings, open, pass, pass_plain, revive, train_on,
};
use saelake::model::Hook;
use tempfile::tempdir;

use super::raw::{Random, into, numbers, tensor, times};
use crate::support::relative_error;

const WIDTH: usize = 6;
const FEATURES: usize = 10;
const ROWS: usize = 5;
/// The loss is of degree 4 in the parameters: the differences err by the square of this, and by f64's 1e-16
/// divided by it.
const STEP: f64 = 1e-5;
/// An f32 gradient sums a few dozen products.
const RELATIVE: f64 = 1e-5;

/// Encoder, its bias, decoder, its bias.
type Wide = [Vec<f64>; 4];

/// The mean over rows of `‖f · w_dec [+ b_dec] − target‖²` in f64, with the features that fire given.
struct Loss {
    x: Vec<f64>,
    target: Vec<f64>,
    fires: Vec<bool>,
    has_bias: bool,
}

impl Loss {
    fn of(&self, [w_enc, b_enc, w_dec, b_dec]: &Wide) -> f64 {
        let row_loss = |row: usize| {
            let a = times(w_enc, &self.x[row * WIDTH..][..WIDTH]);
            let fires = &self.fires[row * FEATURES..];
            let f: Vec<f64> = (0..FEATURES).map(|i| if fires[i] { a[i] + b_enc[i] } else { 0.0 }).collect();
            let x_hat = into(&f, w_dec);
            let target = &self.target[row * WIDTH..];
            let bias = |i: usize| if self.has_bias { b_dec[i] } else { 0.0 };
            (0..WIDTH).map(|i| (x_hat[i] + bias(i) - target[i]).powi(2)).sum::<f64>()
        };
        (0..ROWS).map(row_loss).sum::<f64>() / ROWS as f64
    }

    /// The largest relative error of `gradients` against `weight` times central differences.
    fn error(&self, at: &Wide, gradients: Parameters, weight: f64) -> f64 {
        let Parameters { w_enc, b_enc, w_dec, b_dec } = gradients;
        let of = |(which, gradient): (usize, _)| {
            let difference = |i: usize| {
                let moved = |by: f64| {
                    let mut moved = at.clone();
                    moved[which][i] += by;
                    self.of(&moved)
                };
                (weight * (moved(STEP) - moved(-STEP)) / (2.0 * STEP)) as f32
            };
            relative_error(&numbers(gradient), &(0..at[which].len()).map(difference).collect::<Vec<f32>>())
        };
        [w_enc, b_enc, w_dec, b_dec].into_iter().enumerate().map(of).fold(0.0, f64::max)
    }
}

fn parameters() -> (Vec<f32>, Parameters, Wide) {
    let mut random = Random::new(4);
    let x = random.normals(ROWS * WIDTH, 1.0);
    let shapes = [WIDTH * FEATURES, FEATURES, FEATURES * WIDTH, WIDTH];
    let values = shapes.map(|count| random.normals(count, 0.5));
    let parameters = Parameters {
        w_enc: tensor(&values[0], WIDTH),
        b_enc: tensor(&values[1], FEATURES),
        w_dec: tensor(&values[2], WIDTH),
        b_dec: tensor(&values[3], WIDTH),
    };
    (x, parameters, values.map(|values| wide(&values)))
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn gradients_agree_with_central_differences() {
    const K: usize = 3;
    let (x, parameters, values) = parameters();
    for pass in [pass, pass_plain] {
        let pass = pass(&parameters, &tensor(&x, WIDTH), K).unwrap();
        let fires: Vec<bool> = numbers(pass.f).iter().map(|f| *f > 0.0).collect();
        assert!(fires.chunks(FEATURES).all(|row| row.iter().filter(|fires| **fires).count() <= K));
        assert!(fires.iter().filter(|fires| **fires).count() > ROWS, "too little fires");
        let any: Vec<bool> = (0..FEATURES).map(|i| (0..ROWS).any(|row| fires[row * FEATURES + i])).collect();
        assert_eq!(pass.fired, any);
        let loss = Loss { x: wide(&x), target: wide(&x), fires, has_bias: true };
        let error = loss.error(&values, pass.gradients, 1.0);
        assert!(error < RELATIVE, "{error}");
    }
}

/// At the size of a real step, where sums are long and ties and empty rows happen.
#[test]
fn the_pass_on_the_host_agrees_with_plain_operations() {
    const ROWS: usize = 200;
    const WIDTH: usize = 64;
    const FEATURES: usize = 256;
    let mut random = Random::new(11);
    let mut x = random.normals(ROWS * WIDTH, 1.0);
    x[..WIDTH].fill(0.0);
    let parameters = Parameters {
        w_enc: tensor(&random.normals(FEATURES * WIDTH, 0.2), WIDTH),
        b_enc: tensor(&random.normals(FEATURES, 0.2).iter().map(|b| -b.abs()).collect::<Vec<_>>(), FEATURES),
        w_dec: tensor(&random.normals(FEATURES * WIDTH, 0.2), WIDTH),
        b_dec: tensor(&random.normals(WIDTH, 0.2), WIDTH),
    };
    let host = pass(&parameters, &tensor(&x, WIDTH), 12).unwrap();
    let plain = pass_plain(&parameters, &tensor(&x, WIDTH), 12).unwrap();
    assert_eq!(host.fired, plain.fired);
    for (host, plain) in [
        (host.f, plain.f),
        (host.error, plain.error),
        (host.gradients.w_enc, plain.gradients.w_enc),
        (host.gradients.b_enc, plain.gradients.b_enc),
        (host.gradients.w_dec, plain.gradients.w_dec),
        (host.gradients.b_dec, plain.gradients.b_dec),
    ] {
        assert!(relative_error(&numbers(host), &numbers(plain)) < RELATIVE);
    }
}

#[test]
fn gradients_of_the_auxiliary_loss_agree_with_central_differences() {
    let dead = [2, 5, 6, 9];
    let (x, parameters, values) = parameters();
    let x_tensor = tensor(&x, WIDTH);
    let mut pass = pass(&parameters, &x_tensor, 2).unwrap();
    // Only what the auxiliary loss adds is wanted.
    pass.gradients = parameters.zeros_like();
    revive(&parameters, &mut pass, &x_tensor, &dead);

    // The d_in / 2 = 3 largest positive pre-activations among the dead.
    let mut fires = vec![false; ROWS * FEATURES];
    for row in 0..ROWS {
        let a = times(&values[0], &wide(&x[row * WIDTH..][..WIDTH]));
        let mut a: Vec<(f64, usize)> = dead.iter().map(|i| (a[*i] + values[1][*i], *i)).collect();
        a.sort_by(|a, b| b.0.total_cmp(&a.0));
        a.iter().take(3).filter(|(a, _)| *a > 0.0).for_each(|(_, i)| fires[row * FEATURES + i] = true);
    }
    assert!(fires.iter().filter(|fires| **fires).count() > ROWS, "too little fires");
    let target = wide(&numbers(pass.error)).into_iter().map(|error| -error).collect();
    let loss = Loss { x: wide(&x), target, fires, has_bias: false };
    let error = loss.error(&values, pass.gradients, AUXILIARY_WEIGHT);
    assert!(error < RELATIVE, "{error}");
}

const D_IN: usize = 32;
const TRUE_FEATURES: usize = 64;

/// Rows that are sums of 3 of 64 planted directions, off the origin, in units where their norm is about 70.
fn planted(rows: usize, seed: u64) -> Vec<f32> {
    let directions = Random::new(1000).normals(TRUE_FEATURES * D_IN, 1.0 / (D_IN as f64).sqrt());
    let mean = Random::new(1001).normals(D_IN, 1.0);
    let mut random = Random::new(seed);
    let mut x: Vec<f32> = mean.iter().copied().cycle().take(rows * D_IN).collect();
    for row in x.chunks_mut(D_IN) {
        for _ in 0..3 {
            let direction =
                ((random.numbers(1, 0.5)[0] + 0.5) * TRUE_FEATURES as f32) as usize % TRUE_FEATURES;
            let size = 4.0 + 2.0 * random.numbers(1, 1.0)[0];
            row.iter_mut().zip(&directions[direction * D_IN..]).for_each(|(x, d)| *x += size * d);
        }
        for x in row {
            *x *= 10.0;
        }
    }
    x
}

fn settings() -> TrainSettings {
    TrainSettings {
        features: 96,
        k: 4,
        steps: 600,
        batch: 256,
        learning_rate: 5e-3,
        dead_after: 5_000,
        seed: 3,
    }
}

#[test]
fn planted_features_are_learned_and_what_is_written_says_what_it_does() {
    let device = Device::flex();
    let (rows, held_out) = (planted(8_000, 5), planted(2_000, 6));
    let trained = train_on(&rows, D_IN, settings(), &device, |_, _| ()).unwrap();
    let dir = tempdir().unwrap();
    let hook = Hook::resid_post(8);
    let written = trained.write(dir.path(), hook, "tiny", "the command", &held_out, &device).unwrap();
    let report = written.report;
    assert!(report.explained_variance > 0.85, "{report:?}");
    assert!(report.dead_share < 0.2, "{report:?}");
    // On rows that it was not calibrated on, the mean L0 is near k.
    assert!((report.l0 - 4.0).abs() < 0.4, "{report:?}");
    assert!(written.folder.ends_with("L8R-3x"));

    let dictionary = open(dir.path(), "test", None, &device).unwrap().remove(0);
    assert_eq!(dictionary.hook, hook);
    let expected = dictionary.provenance.expected;
    assert!((f64::from(expected.explained_variance.unwrap()) - report.explained_variance).abs() < 1e-6);
    assert!((f64::from(expected.l0.unwrap()) - report.l0).abs() < 1e-5);
    let measured = dictionary.measure(&tensor(&held_out, D_IN)).unwrap();
    assert!((measured.explained_variance - report.explained_variance).abs() < 1e-12);
    dictionary.check(&measured).unwrap();

    // Calibrated through the written bf16 weights: the mean L0 on the rows themselves is k, less the one
    // feature that sets the threshold, give or take the rounding of the threshold's own units.
    let calibrated = dictionary.measure(&tensor(&rows, D_IN)).unwrap();
    assert!((calibrated.l0 - 4.0).abs() < 1e-3, "{calibrated:?}");

    let hyperparams = std::fs::read_to_string(written.folder.join("hyperparams.json")).unwrap();
    assert!(hyperparams.contains("the command"));
    let tensors = std::fs::metadata(written.folder.join("checkpoints/final.safetensors")).unwrap();
    assert!(tensors.len() >= 2 * 2 * (D_IN * 96) as u64 && tensors.len() < 20_000, "{}", tensors.len());
}

#[test]
fn two_trainings_are_identical_and_the_seed_matters() {
    let device = Device::flex();
    let rows = planted(1_000, 5);
    let run = |seed| {
        let settings = TrainSettings { steps: 60, seed, dead_after: 2_000, ..settings() };
        let dir = tempdir().unwrap();
        let trained = train_on(&rows, D_IN, settings, &device, |_, _| ()).unwrap();
        let written = trained.write(dir.path(), Hook::resid_post(1), "tiny", "", &rows, &device).unwrap();
        std::fs::read(written.folder.join("checkpoints/final.safetensors")).unwrap()
    };
    assert!(run(1) == run(1));
    assert!(run(1) != run(2));
}

/// With eight times as many features as there are directions, most random ones die before they find one.
#[test]
fn dead_features_come_back_to_what_is_left_over() {
    let device = Device::flex();
    let (rows, held_out) = (planted(4_000, 5), planted(1_000, 6));
    let explained = |dead_after| {
        let settings = TrainSettings { features: 512, k: 3, dead_after, ..settings() };
        let dir = tempdir().unwrap();
        let trained = train_on(&rows, D_IN, settings, &device, |_, _| ()).unwrap();
        let written = trained.write(dir.path(), Hook::resid_post(1), "tiny", "", &held_out, &device).unwrap();
        written.report.explained_variance
    };
    let (with, without) = (explained(1_000), explained(usize::MAX));
    assert!(with > without + 0.2, "{with} with the auxiliary loss, {without} without");
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let rows = planted(100, 1);
    for (settings, name) in [
        (TrainSettings { k: 0, ..settings() }, "k"),
        (TrainSettings { k: 97, ..settings() }, "k"),
        (TrainSettings { steps: 0, ..settings() }, "steps"),
        (TrainSettings { batch: 0, ..settings() }, "batch"),
        (TrainSettings { learning_rate: -1.0, ..settings() }, "learning_rate"),
    ] {
        let error = train_on(&rows, D_IN, settings, &Device::flex(), |_, _| ()).unwrap_err();
        assert!(matches!(error, DictionaryError::BadSetting { setting, .. } if setting == name));
    }
    let error = train_on(&[], D_IN, settings(), &Device::flex(), |_, _| ()).unwrap_err();
    assert!(matches!(error, DictionaryError::TooFewRows { rows: 0, .. }));
}
