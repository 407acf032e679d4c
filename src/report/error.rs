//! What can go wrong between a lake and a picture or page.

use std::path::PathBuf;

use queries::QueryError;

/// A report or a picture that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A question could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// There is no game to report on.
    #[error("there is nothing to report: the lake holds no game yet")]
    Empty,
    /// An answer without rows has no picture.
    #[error("there is nothing to draw: the answer has no rows")]
    NoRows,
    /// The question is answered by a table only.
    #[error("`{question}` has no picture")]
    NoPicture {
        /// The question.
        question: String,
    },
    /// The ending of a picture's name says no kind of picture.
    #[error("{} has no ending of a picture", path.display())]
    UnknownPicture {
        /// The file.
        path: PathBuf,
    },
    /// An answer is no JSON.
    #[error("the answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    /// The engine that draws failed.
    #[error("the picture cannot be drawn: {reason}")]
    Drawing {
        /// What it said.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ReportError {
    /// The exit code of a command that this error ends: 1 if there is nothing to show, 2 for wrong usage, 3 if the
    /// lake cannot be read or the file not be written.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Query(error) => error.exit_code(),
            Self::Empty | Self::NoRows => 1,
            Self::NoPicture { .. } | Self::UnknownPicture { .. } => 2,
            Self::Answer(_) | Self::Drawing { .. } | Self::Unwritable { .. } => 3,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Query(error) => error.hint(),
            Self::Empty => Some("add games by `saelake collect`".to_owned()),
            Self::NoPicture { .. } => Some("leave --plot out, and print it as a table".to_owned()),
            Self::UnknownPicture { .. } => Some("pictures end in .svg or .png".to_owned()),
            Self::NoRows | Self::Answer(_) | Self::Drawing { .. } | Self::Unwritable { .. } => None,
        }
    }
}
