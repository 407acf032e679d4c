//! A folder of this machine for files on their way to an object store.

use std::env;
use std::path::Path;

use tempfile::{Builder, TempDir};

use super::LakeError;

/// A folder of its own, removed with what is in it when it is dropped.
pub(super) struct Scratch(TempDir);

impl Scratch {
    pub(super) fn new() -> Result<Self, LakeError> {
        let made = Builder::new().prefix("saelake-").tempdir();
        made.map(Self).map_err(|error| LakeError::io(&env::temp_dir(), error))
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }
}
