//! What a run keeps of what it sees.

use std::fmt;
use std::str::FromStr;

use crate::dictionary::Keep;
use crate::game::Decide;

/// Which attention weights are kept. The row of the decision position is whole under each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionKept {
    /// The row of the decision position.
    Decision,
    /// And the K strongest keys of every other row.
    Top(usize),
    /// Every weight of every row.
    Full,
}

impl AttentionKept {
    /// How many of the strongest keys are kept of a row that does not decide; none where all are.
    pub(crate) const fn strongest(self) -> usize {
        match self {
            Self::Top(count) => count,
            Self::Decision | Self::Full => 0,
        }
    }
}

impl fmt::Display for AttentionKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decision => f.write_str("decision"),
            Self::Top(keys) => write!(f, "top:{keys}"),
            Self::Full => f.write_str("full"),
        }
    }
}

/// A word that names no way of keeping attention.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of `decision`, `top:K` and `full`")]
pub struct UnknownAttention(String);

impl FromStr for AttentionKept {
    type Err = UnknownAttention;

    fn from_str(word: &str) -> Result<Self, UnknownAttention> {
        match word {
            "decision" => Ok(Self::Decision),
            "full" => Ok(Self::Full),
            _ => match word.strip_prefix("top:").map(str::parse) {
                Some(Ok(keys)) if keys > 0 => Ok(Self::Top(keys)),
                _ => Err(UnknownAttention(word.to_owned())),
            },
        }
    }
}

/// What is captured and how decisions are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The captured blocks, ascending.
    pub layers: Vec<usize>,
    /// Features kept at a position.
    pub keep: Keep,
    /// Attention weights kept.
    pub attention: AttentionKept,
    /// How decisions are made.
    pub decide: Decide,
    /// Temperature of generated answers; 0 takes the likeliest token.
    pub temperature: f32,
    /// Tokens of a generated answer at most.
    pub max_new_tokens: usize,
    /// Tokens that run through the model at once at most; a longer single step runs alone.
    pub batch_tokens: usize,
}
