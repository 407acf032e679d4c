//! Text to tokens and back, chat templates included.
//!
//! Every token knows the bytes of the text that it stands for, so that a span of the text is a range of
//! positions and nothing has to be searched for. Special tokens are never added behind the caller's back:
//! a chat is rendered once and tokenized as it stands, and a raw text gets the beginning-of-sequence token
//! once, if the tokenizer wants one.

mod bos;
mod built;
mod chat;
mod error;
mod folder;
mod gguf;
mod pieces;
mod rendered;
mod template;
mod token;
mod tokenizer;

pub use bos::Bos;
pub use chat::{Message, Role};
pub use error::TokenizerError;
pub use rendered::Rendered;
pub use template::TEMPLATE_DATE;
pub use token::{Token, positions};
pub use tokenizer::{Continuation, Tokenizer};
