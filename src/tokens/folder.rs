//! Tokenizers of folders in the Hugging Face layout.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::built::built;
use super::error::TokenizerError;
use super::template::Template;
use super::tokenizer::{SpecialTokens, Tokenizer};

/// What `tokenizer_config.json` says, as far as it matters here.
#[derive(Default, Deserialize)]
struct Config {
    bos_token: Option<Named>,
    eos_token: Option<Named>,
    add_bos_token: Option<bool>,
    chat_template: Option<Templates>,
}

/// What `generation_config.json` says, as far as it matters here.
#[derive(Default, Deserialize)]
struct Generation {
    eos_token_id: Option<Ids>,
}

/// A special token: its text, or an object that holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Object { content: String },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Several(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Several(Vec<u32>),
}

impl Named {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { content: text } => text,
        }
    }
}

impl Tokenizer {
    /// Reads the tokenizer of a model's folder: `tokenizer.json`, and where they exist
    /// `tokenizer_config.json`, `generation_config.json` (the ids that end an answer) and
    /// `chat_template.jinja`, which goes before the configuration's template.
    ///
    /// # Errors
    /// If a file is missing or malformed, or the parts contradict each other.
    pub fn from_folder(dir: &Path) -> Result<Self, TokenizerError> {
        let path = dir.join("tokenizer.json");
        let bytes =
            std::fs::read(&path).map_err(|source| TokenizerError::Read { path: path.clone(), source })?;
        let build = |source| TokenizerError::Build { origin: path.display().to_string(), source };
        let mut inner = built(|| tokenizers::Tokenizer::from_bytes(bytes)).map_err(build)?;
        // Prompts are never cut and never padded, whatever the file was saved with.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(build)?;
        let config: Config = optional_json(dir.join("tokenizer_config.json"))?;
        let generation: Generation = optional_json(dir.join("generation_config.json"))?;

        let prefix = prefix_of(&inner)?;
        let bos = config.bos_token.map(Named::into_text);
        let eos = config.eos_token.map(Named::into_text);
        let bos_id = known(&inner, "bos_token", bos.as_deref())?.or(prefix);
        let mut ends: BTreeSet<u32> = known(&inner, "eos_token", eos.as_deref())?.into_iter().collect();
        match generation.eos_token_id {
            Some(Ids::One(id)) => ends.extend([id]),
            Some(Ids::Several(ids)) => ends.extend(ids),
            None => {}
        }
        // An explicit setting replaces what the post-processor does, as it does in transformers.
        let adds_bos = config.add_bos_token.unwrap_or(prefix.is_some());
        if adds_bos && bos_id.is_none() {
            return Err(TokenizerError::NoBos);
        }
        let bos = bos.or_else(|| bos_id.and_then(|id| inner.id_to_token(id)));
        let template = template_source(dir, config.chat_template)?
            .map(|source| Template::new(source, bos, eos))
            .transpose()?;
        Self::new(inner, SpecialTokens { bos: bos_id, adds_bos, eos: ends }, template)
    }
}

/// The token that the post-processor puts in front of a text. What it would put behind one is left out: a
/// prompt is to be continued.
fn prefix_of(inner: &tokenizers::Tokenizer) -> Result<Option<u32>, TokenizerError> {
    let ids = |adds| {
        let encoding = inner.encode("a", adds).map_err(|source| TokenizerError::Encode { source })?;
        Ok(encoding.get_ids().to_vec())
    };
    let (plain, whole): (Vec<u32>, Vec<u32>) = (ids(false)?, ids(true)?);
    let start = whole.windows(plain.len().max(1)).position(|window| window == plain);
    match whole.get(..start.ok_or(TokenizerError::StrangePostProcessor)?) {
        Some([]) | None => Ok(None),
        Some([bos]) => Ok(Some(*bos)),
        Some(several) => Err(TokenizerError::StrangePrefix { count: several.len() }),
    }
}

/// The id of a special token that the configuration names.
fn known(
    inner: &tokenizers::Tokenizer,
    name: &'static str,
    token: Option<&str>,
) -> Result<Option<u32>, TokenizerError> {
    let unknown = |token: &str| TokenizerError::UnknownSpecial { name, token: token.to_owned() };
    token.map(|token| inner.token_to_id(token).ok_or_else(|| unknown(token))).transpose()
}

/// The chat template's source: `chat_template.jinja`, else the configuration's, of several the default.
fn template_source(dir: &Path, templates: Option<Templates>) -> Result<Option<String>, TokenizerError> {
    if let Some(bytes) = optional(&dir.join("chat_template.jinja"))? {
        let invalid = |error| TokenizerError::Read {
            path: dir.join("chat_template.jinja"),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        };
        return String::from_utf8(bytes).map(Some).map_err(invalid);
    }
    match templates {
        None => Ok(None),
        Some(Templates::One(source)) => Ok(Some(source)),
        Some(Templates::Several(list)) => {
            let names = list.iter().map(|template| template.name.clone()).collect();
            list.into_iter()
                .find(|template| template.name == "default")
                .map(|template| Some(template.template))
                .ok_or(TokenizerError::NoDefaultTemplate { names })
        }
    }
}

/// A JSON file, or the default where it does not exist.
fn optional_json<T: Default + for<'a> Deserialize<'a>>(path: PathBuf) -> Result<T, TokenizerError> {
    optional(&path)?.map_or_else(
        || Ok(T::default()),
        |bytes| serde_json::from_slice(&bytes).map_err(|source| TokenizerError::Json { path, source }),
    )
}

/// The bytes of a file, if it exists.
fn optional(path: &Path) -> Result<Option<Vec<u8>>, TokenizerError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TokenizerError::Read { path: path.to_owned(), source }),
    }
}
