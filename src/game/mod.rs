//! Games and prompts: what the model is asked, and what its answer does.
//!
//! A [`SlotMachine`] is a pure state machine: it says what to ask and what is on offer, and takes a decision;
//! how a model decides is no business of it. A prompts file ([`read_prompts`]) brings anyone's prompts
//! instead. Both give [`Prompt`]s whose spans are byte offsets that the builder wrote down as it wrote the
//! text, and [`Prompt::lay_out`] carries them to the model's own text and tokens.

mod answer;
mod components;
mod error;
mod key;
mod layout;
mod prompt;
mod prompts;
mod record;
mod rules;
mod slot_machine;
mod stream;
mod wording;

pub use answer::{Unparsable, parse_answer};
pub use components::{Component, Components};
pub use error::GameError;
pub use key::{prompt_key, slot_machine_key};
pub use layout::{Layout, Span};
pub use prompt::{Body, Draft, Prompt, PromptSpan};
pub use prompts::{PromptGame, PromptStep, read_prompts};
pub use record::{Metric, RecordError};
pub use rules::{
    BetType, Decide, Decision, FIXED_BET, Form, INITIAL_FUNDS, LADDER_STEP, LARGEST_BET, MAX_ROUNDS, Options,
    Outcome, PAYOUT, Rules, UnknownName, WIN_RATE,
};
pub use slot_machine::{Round, SlotMachine};
pub use stream::Stream;
