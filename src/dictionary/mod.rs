//! Sparse autoencoders: reading them, encoding with them, checking them, training them.
//!
//! Whatever the file format, a dictionary becomes one form, [`Dictionary`]:
//!
//! ```text
//! x ─▶ input scale ─▶ (− b_dec) ─▶ · w_enc + b_enc ─▶ activation ─▶ f ─▶ · w_dec + b_dec ─▶ × output_scale ─▶ x̂
//! ```
//!
//! `x` and `x̂` are in the model's units; `f` is in the scale that SAELens and Neuronpedia report, and
//! every threshold is kept in that scale.

mod canonical;
mod coupling;
mod encode;
mod error;
mod figures;
mod format;
mod gate;
mod llama_scope;
mod on_gpu;
mod outliers;
mod saelens;
mod saelens_config;
mod select;
mod slopes;
mod sparse;
mod sparsify;
mod tensors;
mod train;

pub use canonical::{Activation, Dictionary, Expected, Input, Provenance};
pub use error::DictionaryError;
pub use figures::Encoded;
pub use format::{Format, Found, find, open};
pub use gate::{
    EXPLAINED_VARIANCE_SLACK, Gauge, Implausible, L0_FACTOR, MAX_L0_SHARE, MIN_EXPLAINED_VARIANCE, MIN_L0,
    Measured, RECORDED_L0_FACTOR,
};
pub use outliers::LONGEST;
pub use sparse::{Keep, Sparse};
pub use train::{
    AUXILIARY_WEIGHT, Parameters, Pass, Report, TrainSettings, Trained, Trainer, Written, pass, pass_plain,
    revive, train_on,
};
