//! Training top-k dictionaries on a model's own activations.
//!
//! The loss is the mean of `‖x̂ − x‖²` over rows that are scaled to the average norm `sqrt(d_in)`; the `k`
//! largest pre-activations fire; the decoder's rows are kept at unit norm; Adam steps with hand-written
//! gradients. Features that stopped firing learn to reconstruct what the others leave over, until they fire. What comes
//! out is a JumpReLU dictionary in the Llama Scope layout, its one threshold chosen so that `k` features fire
//! on average, as the published ones are.

mod adam;
mod auxiliary;
mod calibrate;
mod gradients;
mod gradients_on_host;
mod settings;
mod silence;
mod trained;
mod trainer;
mod write;

pub use auxiliary::{WEIGHT as AUXILIARY_WEIGHT, revive};
pub use gradients::{Parameters, Pass, pass, pass_plain};
pub use settings::TrainSettings;
pub use trained::Trained;
pub use trainer::{Trainer, train_on};
pub use write::{Report, Written};
