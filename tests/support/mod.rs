//! What several tests need: where the model and Python are, and how close two numbers must be.

use std::path::{Path, PathBuf};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The default model, which `./just test` fetches before the tests start.
pub fn smollm2() -> PathBuf {
    let path = saelake::model::default_model();
    assert!(path.is_file(), "{} is missing; run the tests by `./just test`", path.display());
    path
}

/// The Python with duckdb, polars, pandas and pyarrow that `./just test` sets up.
pub fn python() -> PathBuf {
    let path = std::env::var_os("SAELAKE_PYTHON")
        .map_or_else(|| repository("target/python/bin/python"), PathBuf::from);
    assert!(path.is_file(), "{} is missing; run the tests by `./just test`", path.display());
    path
}

/// The largest difference between two slices, relative to the largest magnitude of `expected`.
pub fn relative_error(actual: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(actual.len(), expected.len(), "lengths differ");
    let scale = expected.iter().fold(0.0_f64, |scale, x| scale.max(f64::from(x.abs())));
    let difference = actual
        .iter()
        .zip(expected)
        .fold(0.0_f64, |worst, (a, b)| worst.max((f64::from(*a) - f64::from(*b)).abs()));
    difference / scale.max(f64::MIN_POSITIVE)
}
