//! Runs the model over games and prompts and turns what it sees into rows.
//!
//! ```text
//! prompt ─▶ Prepared (text, tokens, spans)
//!        ─▶ Reader: one packed forward pass, an Observer in its tap, one readback of sparse rows
//!        ─▶ Episode (a finished game's rows) ─▶ lake, in batches, on a thread of its own
//! ```

mod attention;
mod choose;
mod collect;
mod commit_sizes;
mod decide;
mod engine;
mod episode;
mod error;
mod footprint;
mod forecast;
mod fused;
mod fused_answers;
mod fused_measure;
mod fused_past;
mod generate;
mod harvest;
mod observer;
mod packing;
mod past;
mod play;
mod positions;
mod prepare;
mod prompts;
mod readback;
mod reader;
mod rows;
mod settings;
mod token_budget;
mod verify;

/// The rows of the partitioned tables, by block.
pub use crate::lake::Captured;
pub use choose::Pair;
pub(crate) use choose::pairs;
pub use collect::{Progress, Run, Source, Summary, collect};
pub use commit_sizes::{commit_sizes, commits_left};
pub use engine::{Engine, Observed, Pass};
pub use episode::Episode;
pub use error::CaptureError;
pub use footprint::Footprint;
pub use forecast::{Extent, Forecast};
pub use fused::Fused;
pub use generate::{Answer, Drawing, generate, generate_tapped};
pub use harvest::{Harvest, Seen, harvest};
pub use packing::{PACKING_AGREES, packing_difference};
pub(crate) use past::go_on;
pub use past::{Asked, Past};
pub(crate) use play::play;
pub use positions::{PositionsKept, UnknownPositions};
pub use prepare::{PrepareError, Prepared, prepare};
pub(crate) use prompts::first_tokens;
pub use reader::{Reader, Reading};
pub use settings::{AttentionKept, Settings, UnknownAttention};
pub(crate) use token_budget::groups;
pub use verify::verify;
