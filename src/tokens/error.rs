//! What can go wrong between text and tokens.

use std::path::PathBuf;

/// A tokenizer could not be read, or a text could not be turned into tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file of the tokenizer's folder could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the tokenizer's folder is not the JSON it should be.
    #[error("{} is malformed", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The vocabulary, the merges or another part contradict each other.
    #[error("the tokenizer of {origin} cannot be built")]
    Build {
        /// The file, or `the GGUF file`.
        origin: String,
        /// Why.
        source: tokenizers::Error,
    },
    /// The tokenizer turns tokens into text in a way that is not known here.
    #[error("the tokenizer decodes neither byte-level nor SentencePiece tokens")]
    UnknownDecoder,
    /// The tokenizer puts something else in front of a text than one token.
    #[error(
        "the tokenizer puts {count} tokens in front of a text; one beginning-of-sequence token is all that is known here"
    )]
    StrangePrefix {
        /// How many tokens.
        count: usize,
    },
    /// The tokenizer alters a text when it adds its special tokens.
    #[error("the tokenizer's post-processor changes the tokens of the text itself")]
    StrangePostProcessor,
    /// A special token that the configuration names is not in the vocabulary.
    #[error("{name} is `{token}`, which the vocabulary does not have")]
    UnknownSpecial {
        /// Which one, such as `bos_token`.
        name: &'static str,
        /// The token.
        token: String,
    },
    /// The tokenizer is to begin every text with a token that nobody names.
    #[error("add_bos_token is set, but no beginning-of-sequence token is named")]
    NoBos,
    /// The metadata of the GGUF file lacks a key.
    #[error("the GGUF file's metadata has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A key of the GGUF file's metadata holds something else than it should.
    #[error("`{key}` of the GGUF file's metadata is not {expected}")]
    WrongType {
        /// The key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The lists of the GGUF file's metadata differ in length.
    #[error("the GGUF file lists {tokens} tokens and {types} token types")]
    Lengths {
        /// Tokens listed.
        tokens: usize,
        /// Token types listed.
        types: usize,
    },
    /// A token stands twice in the vocabulary of the GGUF file.
    #[error("the GGUF file lists the token `{token}` twice")]
    Duplicate {
        /// The token.
        token: String,
    },
    /// A token id is not in the vocabulary.
    #[error("token id {id} is not in the vocabulary of {size} tokens")]
    UnknownId {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        size: usize,
    },
    /// The GGUF file's tokenizer is of another kind.
    #[error("the GGUF file's tokenizer is of the kind `{model}`; only `gpt2` (byte-level BPE) is read")]
    UnsupportedModel {
        /// The kind.
        model: String,
    },
    /// The GGUF file's tokenizer splits a text in a way that is not known here.
    #[error("the GGUF file's tokenizer splits text by `{split}`; known are {known}")]
    UnsupportedSplit {
        /// The name of the split, or `default` where the file names none.
        split: String,
        /// Those that are known.
        known: String,
    },
    /// The model has no chat template.
    #[error("the model has no chat template")]
    NoTemplate,
    /// Several chat templates are given, and none of them is called `default`.
    #[error("none of the chat templates {} is called `default`", names.join(", "))]
    NoDefaultTemplate {
        /// Their names.
        names: Vec<String>,
    },
    /// The chat template is malformed, or refuses the chat.
    #[error("the chat template cannot be rendered: {source}")]
    Template {
        /// Why, in the template's own words where it refuses.
        source: minijinja::Error,
    },
    /// The template changes a message's content, shows it not at all, or more than once.
    #[error("the chat template does not show the content of message {message} once and unchanged")]
    NotPlaced {
        /// 0-based index of the message.
        message: usize,
    },
    /// A text begins with two beginning-of-sequence tokens.
    #[error("the text begins with `{token}` twice")]
    DoubleBos {
        /// The token.
        token: String,
    },
    /// A text could not be split.
    #[error("the text cannot be tokenized")]
    Encode {
        /// Why.
        source: tokenizers::Error,
    },
    /// Some bytes of the text are in no token: a vocabulary without byte fallback drops what it lacks.
    #[error(
        "the vocabulary has no token for {bytes} bytes of the text, in the word that ends at byte {word_end}"
    )]
    Lost {
        /// How many bytes.
        bytes: usize,
        /// Where the word that has them ends.
        word_end: usize,
    },
}

impl TokenizerError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Read { path, .. } if path.ends_with("tokenizer.json") => {
                "the model's folder needs a tokenizer.json; a tokenizer.model alone is not read"
            }
            Self::UnsupportedModel { .. } => {
                "use the model's Hugging Face folder, whose tokenizer.json says it all"
            }
            Self::UnsupportedSplit { .. } => {
                "convert the model with a current llama.cpp, which names the split, or use its Hugging Face folder"
            }
            Self::NoTemplate => "give the prompts as `text`, or use an instruction-tuned model",
            Self::DoubleBos { .. } => "leave it out of the text: it is added where the tokenizer wants it",
            Self::Template { .. } | Self::NotPlaced { .. } => {
                "give the prompts as `text` with the chat markers written out"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The exit code: always bad input.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        2
    }
}
