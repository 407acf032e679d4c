//! What several tests need: where the model and Python are, and how close two numbers must be.

mod planted;
mod reference;

use std::path::{Path, PathBuf};

pub(crate) use planted::{BALANCE, BET, DECISION, ECHO, FEATURES, HEAD_INDEX, LAYER, Planted, STOP, planted};
pub(crate) use reference::{At, Held, Nudge, Reference};

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The default model, which `./just test` fetches before the tests start.
pub(crate) fn smollm2() -> PathBuf {
    let path = saelake::model::default_model();
    assert!(path.is_file(), "{} is missing; run the tests by `./just test`", path.display());
    path
}

/// The Python with duckdb, polars, pandas and pyarrow that `./just test` sets up.
pub(crate) fn python() -> PathBuf {
    let path = std::env::var_os("SAELAKE_PYTHON")
        .map_or_else(|| repository("target/python/bin/python"), PathBuf::from);
    assert!(path.is_file(), "{} is missing; run the tests by `./just test`", path.display());
    path
}

/// The largest difference between two slices, relative to the largest magnitude of `expected`.
pub(crate) fn relative_error(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len(), "lengths differ");
    let scale = expected.iter().fold(0.0_f64, |scale, x| scale.max(f64::from(x.abs())));
    let difference = actual
        .iter()
        .zip(expected)
        .fold(0.0_f64, |worst, (a, b)| worst.max((f64::from(*a) - f64::from(*b)).abs()));
    difference / scale.max(f64::MIN_POSITIVE)
}

/// Runs the program on the CPU and waits for it.
pub(crate) fn program(arguments: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_saelake")).args(arguments).output().unwrap()
}

/// What a program said to people.
pub(crate) fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The demo dictionaries of the default model.
pub(crate) fn demo_dictionaries() -> Vec<saelake::dictionary::Dictionary> {
    let device = burn::tensor::Device::flex();
    saelake::dictionary::open(&repository("assets/dictionaries"), "demo", None, &device).unwrap()
}
