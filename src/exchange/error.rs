//! What can go wrong between a lake and the files of another tool.

use std::io;
use std::path::{Path, PathBuf};

use crate::lake::LakeError;

/// A lake that could not be written in another layout, or files that could not become a lake.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Nothing is written among somebody's files.
    #[error("{} is there and not an empty folder", path.display())]
    Occupied {
        /// The target of an export.
        path: PathBuf,
    },
    /// The lake has no game.
    #[error("there is nothing to export: the lake holds no game yet")]
    Empty,
    /// A layer is asked for that the lake does not have.
    #[error("the lake has no features of layer {layer}; it has those of {have}")]
    NoLayer {
        /// The layer.
        layer: i32,
        /// Those that there are.
        have: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written does not come back.
    #[error("{} does not hold what was written to it: {what}", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The lake contradicts itself.
    #[error("game {game}, step {step}, layer {layer}: {found} features, and `positions` says {said}")]
    FeaturesMissing {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// The layer.
        layer: i32,
        /// Rows of `features`.
        found: i64,
        /// Rows that there should be.
        said: i64,
    },
    /// The layout cannot hold a number of the lake.
    #[error("the layout cannot hold {what}")]
    TooLarge {
        /// The number, and where it is.
        what: String,
    },
    /// There is no file to import.
    #[error("{} holds no sae_features_L*.npz", path.display())]
    NoFiles {
        /// The folder.
        path: PathBuf,
    },
    /// A file to import is not as it should be.
    #[error("{}: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
}

impl ExchangeError {
    /// A failure to write the file at `path`.
    pub(super) fn unwritable(path: &Path, source: io::Error) -> Self {
        Self::Unwritable { path: path.to_owned(), source }
    }

    /// A failure to read the file at `path`.
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }

    /// A file of another tool that is not as it should be.
    pub(super) fn foreign(path: &Path, what: impl Into<String>) -> Self {
        Self::Foreign { path: path.to_owned(), what: what.into() }
    }

    /// The exit code of a command that this error ends: 1 if there is nothing to export, 2 for what cannot be asked or
    /// imported, 3 if files cannot be read or written.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Lake(error) => error.exit_code(),
            Self::Empty => 1,
            Self::Occupied { .. }
            | Self::NoLayer { .. }
            | Self::TooLarge { .. }
            | Self::NoFiles { .. }
            | Self::Foreign { .. } => 2,
            Self::Unwritable { .. }
            | Self::Unreadable { .. }
            | Self::Lost { .. }
            | Self::FeaturesMissing { .. } => 3,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Lake(error) => return error.hint(),
            Self::Occupied { .. } => "name a folder that is not there yet",
            Self::Empty => "add games by `saelake collect`",
            Self::FeaturesMissing { .. } => "`saelake lake verify LAKE` says what is wrong",
            Self::Lost { .. } => "check the disk and the memory of this machine",
            Self::NoFiles { .. } => {
                "name the folder with the files of one task and model; --layout says which layouts are read"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
