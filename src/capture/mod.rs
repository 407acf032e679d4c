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
mod decide;
mod episode;
mod error;
mod generate;
mod harvest;
mod observer;
mod play;
mod prepare;
mod prompts;
mod readback;
mod reader;
mod rows;
mod settings;
mod token_budget;
mod verify;

pub use collect::{Progress, Run, Source, Summary, collect};
pub use episode::Episode;
pub use error::CaptureError;
pub use generate::{Answer, Drawing, generate};
pub use harvest::{Harvest, Seen, harvest};
pub use prepare::{PrepareError, Prepared, prepare};
pub(crate) use prompts::first_tokens;
pub use reader::{Captured, Reader, Reading};
pub use settings::{AttentionKept, Settings, UnknownAttention};
pub use verify::verify;
