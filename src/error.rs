//! The one error of the program: what went wrong, which exit code says so, and what to do about it.

use crate::{dictionary::DictionaryError, game::GameError, lake::LakeError, model::ModelError};

/// What the program's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model could not be found, read or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A dictionary could not be read, or does not belong to the model.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// A game or a prompt could not be read or built.
    #[error(transparent)]
    Game(#[from] GameError),
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A question could not be asked of the lake.
    #[error(transparent)]
    Query(#[from] queries::QueryError),
}
