//! saelake runs a Llama over games, reads the residual stream and the attention at chosen layers,
//! encodes the residual with sparse autoencoders on the device, and appends what it saw, token by
//! token, to a lake of partitioned Parquet.
//!
//! ```text
//! game ─▶ tokens ─▶ model ─▶ taps ─▶ dictionary, sparsify ─▶ capture ─▶ lake ─▶ queries
//! ```
//!
//! The lake is the only coupling between the half that runs a model and the half that asks questions.

pub mod capture;
pub mod cli;
pub mod dictionary;
pub mod error;
pub mod exchange;
pub mod game;
pub mod intervene;
pub mod lake;
pub mod model;
pub mod report;
pub mod tokens;
mod whole_file;

pub use error::{Error, Result};
