//! Tokenizers rebuilt from the metadata of GGUF files.
//!
//! The keys are those of the GGUF specification, and what they leave open is as llama.cpp has it
//! (`llama_vocab::impl::load`).

use std::collections::{BTreeSet, HashMap};

use candle_core::quantized::gguf_file::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::built::built;
use super::error::TokenizerError;
use super::template::Template;
use super::tokenizer::{SpecialTokens, Tokenizer};

/// `tokenizer.ggml.token_type` of an unknown token, a control token and a token that the user added.
const UNKNOWN: u32 = 2;
const CONTROL: u32 = 3;
const USER_DEFINED: u32 = 4;

/// How Llama 3 splits a text before it merges bytes, as its `tokenizer.json` writes it.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a text is split before its bytes are merged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pre {
    /// GPT-2's words.
    Gpt2,
    /// Every digit by itself, then GPT-2's words.
    Smollm,
    /// Llama 3's words; words that are in the vocabulary are not merged anew.
    Llama3,
}

/// The names of the splits.
const SPLITS: [(&str, Pre); 5] = [
    ("gpt-2", Pre::Gpt2),
    ("smollm", Pre::Smollm),
    ("llama-bpe", Pre::Llama3),
    ("llama3", Pre::Llama3),
    ("llama-v3", Pre::Llama3),
];

impl Tokenizer {
    /// Rebuilds the tokenizer from the metadata of a GGUF file. Byte-level BPE (`tokenizer.ggml.model` =
    /// `gpt2`) is read with the splits `gpt-2`, `smollm` and `llama-bpe`.
    ///
    /// # Errors
    /// If a key is missing or malformed, or the tokenizer is of another kind. A file that does not name its
    /// split is refused: a guess would give other tokens than the model was trained on.
    pub fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Self, TokenizerError> {
        let metadata = Metadata(metadata);
        let model = metadata.required("tokenizer.ggml.model", "a string", string)?;
        if model != "gpt2" {
            return Err(TokenizerError::UnsupportedModel { model: model.to_owned() });
        }
        let pre = split(metadata.optional("tokenizer.ggml.pre", "a string", string)?)?;
        let tokens = metadata.required("tokenizer.ggml.tokens", "a list of strings", strings)?;
        let merges = metadata.required("tokenizer.ggml.merges", "a list of pairs", pairs)?;
        let types = metadata.required("tokenizer.ggml.token_type", "a list of integers", integers)?;
        if types.len() != tokens.len() {
            return Err(TokenizerError::Lengths { tokens: tokens.len(), types: types.len() });
        }
        let mut inner = built(|| byte_level_bpe(&tokens, merges, pre)).map_err(build)??;
        add_tokens(&mut inner, &tokens, &types).map_err(build)?;

        let id = |key| {
            let id = metadata.optional(key, "an integer", integer)?;
            let unknown = |id| TokenizerError::UnknownId { id, size: tokens.len() };
            id.map(|id| tokens.get(id as usize).map(|token| (id, *token)).ok_or_else(|| unknown(id)))
                .transpose()
        };
        let (bos, eos) = (id("tokenizer.ggml.bos_token_id")?, id("tokenizer.ggml.eos_token_id")?);
        let turn = id("tokenizer.ggml.eot_token_id")?;
        let adds_bos = metadata.optional("tokenizer.ggml.add_bos_token", "a boolean", boolean)?;
        let adds_bos = adds_bos.unwrap_or(pre == Pre::Llama3);
        if adds_bos && bos.is_none() {
            return Err(TokenizerError::NoBos);
        }
        let text = |token: Option<(u32, &str)>| token.map(|(_, text)| text.to_owned());
        let template = metadata
            .optional("tokenizer.chat_template", "a string", string)?
            .map(|source| Template::new(source.to_owned(), text(bos), text(eos)))
            .transpose()?;
        let ends: BTreeSet<u32> = [eos, turn].into_iter().flatten().map(|(id, _)| id).collect();
        Self::new(inner, SpecialTokens { bos: bos.map(|(id, _)| id), adds_bos, eos: ends }, template)
    }
}

/// The split of that name. A file without one says `default` to llama.cpp.
fn split(name: Option<&str>) -> Result<Pre, TokenizerError> {
    let name = name.unwrap_or("default");
    SPLITS.iter().find(|(known, _)| *known == name).map(|(_, pre)| *pre).ok_or_else(|| {
        let known: Vec<String> = SPLITS.iter().map(|(known, _)| format!("`{known}`")).collect();
        TokenizerError::UnsupportedSplit { split: name.to_owned(), known: known.join(", ") }
    })
}

/// A byte-level BPE tokenizer. The inner error is a token listed twice.
fn byte_level_bpe(
    tokens: &[&str],
    merges: Vec<(String, String)>,
    pre: Pre,
) -> tokenizers::Result<Result<tokenizers::Tokenizer, TokenizerError>> {
    let mut vocabulary = Vocab::default();
    for (id, token) in tokens.iter().enumerate() {
        if vocabulary.insert((*token).to_owned(), id as u32).is_some() {
            return Ok(Err(TokenizerError::Duplicate { token: (*token).to_owned() }));
        }
    }
    let model =
        BPE::builder().vocab_and_merges(vocabulary, merges).ignore_merges(pre == Pre::Llama3).build()?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_pre_tokenizer(Some(pre_tokenizer(pre)?));
    inner.with_decoder(Some(ByteLevel::default()));
    Ok(Ok(inner))
}

fn pre_tokenizer(pre: Pre) -> tokenizers::Result<PreTokenizerWrapper> {
    let words = ByteLevel::new(false, true, true);
    Ok(match pre {
        Pre::Gpt2 => words.into(),
        Pre::Smollm => Sequence::new(vec![Digits::new(true).into(), words.into()]).into(),
        Pre::Llama3 => {
            let pattern = SplitPattern::Regex(LLAMA3.to_owned());
            let words = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
            Sequence::new(vec![words.into(), ByteLevel::new(false, true, false).into()]).into()
        }
    })
}

/// Makes the tokens that stand in a text as they are known as such.
fn add_tokens(inner: &mut tokenizers::Tokenizer, tokens: &[&str], types: &[u32]) -> tokenizers::Result<()> {
    let of_kind = |kinds: &'static [u32], special| {
        let tokens = tokens.iter().zip(types).filter(move |(_, kind)| kinds.contains(kind));
        tokens.map(move |(token, _)| AddedToken::from(*token, special).normalized(false))
    };
    inner.add_special_tokens(of_kind(&[UNKNOWN, CONTROL], true))?;
    inner.add_tokens(of_kind(&[USER_DEFINED], false))?;
    Ok(())
}

fn build(source: tokenizers::Error) -> TokenizerError {
    TokenizerError::Build { origin: "the GGUF file".to_owned(), source }
}

/// The metadata of a GGUF file.
struct Metadata<'a>(&'a HashMap<String, Value>);

impl<'a> Metadata<'a> {
    /// What `read` makes of the value at `key`, if the key is there.
    fn optional<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, TokenizerError> {
        let value = self.0.get(key);
        value.map(|value| read(value).ok_or(TokenizerError::WrongType { key, expected })).transpose()
    }

    /// What `read` makes of the value at `key`.
    fn required<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, TokenizerError> {
        self.optional(key, expected, read)?.ok_or(TokenizerError::MissingKey { key })
    }
}

fn string(value: &Value) -> Option<&str> {
    if let Value::String(text) = value { Some(text) } else { None }
}

fn boolean(value: &Value) -> Option<bool> {
    if let Value::Bool(flag) = value { Some(*flag) } else { None }
}

fn integer(value: &Value) -> Option<u32> {
    match value {
        Value::U8(n) => Some(u32::from(*n)),
        Value::U16(n) => Some(u32::from(*n)),
        Value::U32(n) => Some(*n),
        Value::U64(n) => u32::try_from(*n).ok(),
        Value::I8(n) => u32::try_from(*n).ok(),
        Value::I16(n) => u32::try_from(*n).ok(),
        Value::I32(n) => u32::try_from(*n).ok(),
        Value::I64(n) => u32::try_from(*n).ok(),
        _ => None,
    }
}

fn list<'a, T>(value: &'a Value, read: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
    if let Value::Array(values) = value { values.iter().map(read).collect() } else { None }
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    list(value, string)
}

fn integers(value: &Value) -> Option<Vec<u32>> {
    list(value, integer)
}

/// Merges are written as their two halves with a space between.
fn pairs(value: &Value) -> Option<Vec<(String, String)>> {
    let pair = |value| string(value)?.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
    list(value, pair)
}
