//! What can go wrong with an intervention.

use crate::dictionary::DictionaryError;
use crate::model::Hook;

/// Why nothing can be changed, or no effect measured.
#[derive(Debug, thiserror::Error)]
pub enum InterveneError {
    /// A dictionary cannot encode, or lacks a feature.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// The model has no such block.
    #[error("{hook} does not exist: the model has blocks 0 to {}", layers - 1)]
    NoSuchLayer {
        /// What was asked for.
        hook: Hook,
        /// How many blocks the model has.
        layers: usize,
    },
    /// A place that is not split into heads.
    #[error("{hook} is not split into heads; `z`, `v` and `pattern` are")]
    NoHeads {
        /// The place.
        hook: Hook,
    },
    /// A head that is not there.
    #[error("{hook} has no head {head}: it has {heads}, from 0 on")]
    NoSuchHead {
        /// The place.
        hook: Hook,
        /// What was asked for.
        head: usize,
        /// How many there are.
        heads: usize,
    },
    /// A position that is not in the prompt.
    #[error("there is no position {position}: the prompt has {tokens} tokens")]
    NoSuchPosition {
        /// What was asked for.
        position: usize,
        /// How many tokens there are.
        tokens: usize,
    },
    /// A patch without positions.
    #[error("a patch of {hook} must name its positions, one at least")]
    NoPositions {
        /// The place.
        hook: Hook,
    },
    /// Rows or directions of another size than the place has.
    #[error("a change of {hook} has shape {found:?} where {expected:?} is needed")]
    WrongShape {
        /// The place.
        hook: Hook,
        /// The shape given.
        found: [usize; 2],
        /// The shape needed.
        expected: [usize; 2],
    },
    /// A change that the place does not know.
    #[error("a pattern can be replaced or scaled, and nothing else")]
    PatternChange,
    /// Features of a dictionary that reads another place.
    #[error("the dictionary for {dictionary} cannot change features of {hook}")]
    OtherHook {
        /// The place to change.
        hook: Hook,
        /// The place that the dictionary reads.
        dictionary: Hook,
    },
    /// A span that the prompt does not have.
    #[error("the prompt has no span `{name}`; it has {known}")]
    NoSuchSpan {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Two texts would stand at one place.
    #[error("two of the spans to swap overlap at byte {byte}")]
    SwapsOverlap {
        /// Where.
        byte: usize,
    },
    /// One token holds the end of a span and the beginning of the next.
    #[error(
        "no token of its own begins at position {position}: one token holds parts of two differing spans"
    )]
    RegionsOverlap {
        /// Where.
        position: usize,
    },
    /// Two prompts that nothing aligns.
    #[error(
        "the prompts have {clean} and {corrupted} tokens, and no span of both says which of them belong together"
    )]
    NoCommonSpan {
        /// Tokens of the one.
        clean: usize,
        /// Tokens of the other.
        corrupted: usize,
    },
    /// Tokens between spans that are not as many in both prompts.
    #[error(
        "from position {from} to the next differing span the clean prompt has {clean} tokens and the corrupted one \
         {corrupted}, so they cannot be aligned"
    )]
    Unaligned {
        /// Position in the clean prompt.
        from: usize,
        /// Tokens there.
        clean: usize,
        /// Tokens in the other.
        corrupted: usize,
    },
    /// The decision positions differ.
    #[error("the last tokens of the two prompts do not belong together, and the metric is measured there")]
    NoLastToken,
    /// A text of the metric that is not one token.
    #[error("`{text}` is {tokens} tokens, and a difference of logits needs one")]
    NotOneToken {
        /// The text.
        text: String,
        /// How many tokens it is.
        tokens: usize,
    },
    /// A difference between a token and itself.
    #[error("`{first}` and `{second}` are the same token, so their logits never differ")]
    SameToken {
        /// One text.
        first: String,
        /// The other.
        second: String,
    },
    /// A continuation of no tokens.
    #[error("the text whose probability is measured is empty")]
    EmptyText,
    /// A text could not be tokenized.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokens::TokenizerError),
    /// Patterns of prompts of different lengths.
    #[error("a pattern can be patched only between prompts of as many tokens, not {clean} and {corrupted}")]
    PatternLengths {
        /// Tokens of the one.
        clean: usize,
        /// Tokens of the other.
        corrupted: usize,
    },
    /// Features without a dictionary.
    #[error("no dictionary reads {hook}, so it has no features")]
    NoDictionary {
        /// The place.
        hook: Hook,
    },
    /// A dictionary of another place than the residual after a block.
    #[error("effects are estimated of the residual after a block, and this dictionary reads {hook}")]
    NotResidual {
        /// The place that it reads.
        hook: Hook,
    },
    /// No means to set features to.
    #[error("there are no means of the features of layer {layer}")]
    NoMeans {
        /// The block.
        layer: usize,
    },
    /// A metric of which parts do not add up.
    #[error("direct logit attribution is of a difference of two logits, and a log-probability is none")]
    NotADifference,
    /// Something was not kept of a run.
    #[error("{hook} was not kept of the run that values are taken from")]
    NotKept {
        /// The place.
        hook: Hook,
    },
}

impl InterveneError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Dictionary(error) => error.hint(),
            Self::NoCommonSpan { .. } => Some("name the span that differs in both prompts".to_owned()),
            Self::NotOneToken { .. } => {
                Some("measure the log-probability of a longer text by --metric-text".to_owned())
            }
            _ => None,
        }
    }

    /// The exit code that says so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Dictionary(error) => error.exit_code(),
            Self::Device(_) => 4,
            _ => 2,
        }
    }
}

impl From<burn::tensor::TensorReadError> for InterveneError {
    fn from(error: burn::tensor::TensorReadError) -> Self {
        Self::Device(error.to_string())
    }
}
