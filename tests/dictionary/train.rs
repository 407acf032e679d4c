//! The training: its gradients, and what comes out of it.

use burn::tensor::Device;
use saelake::dictionary::{DictionaryError, Parameters, TrainSettings, open, pass, train_on};
use saelake::model::Hook;
use tempfile::tempdir;

use super::raw::{Random, into, numbers, tensor};
use crate::support::relative_error;

/// The loss in f64 with the features that fire given.
struct Loss {
    x: Vec<f64>,
    fires: Vec<bool>,
    rows: usize,
}

impl Loss {
    fn of(&self, [w_enc, b_enc, w_dec, b_dec]: &[Vec<f64>; 4]) -> f64 {
        let features = b_enc.len();
        let row_loss = |(row, x): (usize, &[f64])| {
            let a = into(x, w_enc);
            let f: Vec<f64> = (0..features)
                .map(|i| if self.fires[row * features + i] { a[i] + b_enc[i] } else { 0.0 })
                .collect();
            let x_hat = into(&f, w_dec);
            x_hat.iter().zip(b_dec).zip(x).map(|((x_hat, b), x)| (x_hat + b - x).powi(2)).sum::<f64>()
        };
        self.x.chunks(self.x.len() / self.rows).enumerate().map(row_loss).sum::<f64>() / self.rows as f64
    }
}

#[test]
fn gradients_agree_with_central_differences() {
    const D_IN: usize = 6;
    const FEATURES: usize = 10;
    const ROWS: usize = 5;
    const K: usize = 3;
    /// The loss is of degree 4 in the parameters: the differences err by STEP² and by f64's 1e-16 / STEP.
    const STEP: f64 = 1e-5;
    let mut random = Random::new(4);
    let x = random.normals(ROWS * D_IN, 1.0);
    let shapes = [D_IN * FEATURES, FEATURES, FEATURES * D_IN, D_IN];
    let values = shapes.map(|count| random.normals(count, 0.5));
    let parameters = Parameters {
        w_enc: tensor(&values[0], FEATURES),
        b_enc: tensor(&values[1], FEATURES),
        w_dec: tensor(&values[2], D_IN),
        b_dec: tensor(&values[3], D_IN),
    };
    let pass = pass(&parameters, &tensor(&x, D_IN), K);
    let fires: Vec<bool> = numbers(pass.f).iter().map(|f| *f > 0.0).collect();
    assert!(fires.chunks(FEATURES).all(|row| row.iter().filter(|fires| **fires).count() <= K));
    assert!(fires.iter().filter(|fires| **fires).count() > ROWS, "too little fires");

    let loss = Loss { x: x.iter().map(|x| f64::from(*x)).collect(), fires, rows: ROWS };
    let wide = values.map(|values| values.into_iter().map(f64::from).collect::<Vec<f64>>());
    let gradients = [pass.gradients.w_enc, pass.gradients.b_enc, pass.gradients.w_dec, pass.gradients.b_dec];
    for (which, gradient) in gradients.into_iter().enumerate() {
        let differences: Vec<f32> = (0..wide[which].len())
            .map(|at| {
                let moved = |by: f64| {
                    let mut moved = wide.clone();
                    moved[which][at] += by;
                    loss.of(&moved)
                };
                ((moved(STEP) - moved(-STEP)) / (2.0 * STEP)) as f32
            })
            .collect();
        let error = relative_error(&numbers(gradient), &differences);
        // The f32 gradient sums a few dozen products.
        assert!(error < 1e-5, "parameter {which}: {error}");
    }
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
        row.iter_mut().for_each(|x| *x *= 10.0);
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
