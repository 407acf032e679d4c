//! Who put the beginning-of-sequence token there.

use std::fmt;

/// How many beginning-of-sequence tokens a text starts with, and who put them there. There are never two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bos {
    /// None.
    None,
    /// One, written in the text itself, as a chat template does.
    Template,
    /// One, added in front of the text because the tokenizer wants it.
    Tokenizer,
}

impl Bos {
    /// The name that the lake stores.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Template => "template",
            Self::Tokenizer => "tokenizer",
        }
    }
}

impl fmt::Display for Bos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
