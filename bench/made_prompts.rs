//! Prompts of words that are tokens, and the tokenizer that makes them so.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use saelake::game::{Body, Prompt, PromptGame, PromptStep};
use saelake::tokens::Tokenizer;
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Words of the prompts.
const WORDS: usize = 5000;

/// Three letters, a word that is a token together with the space before it.
fn word(number: usize) -> String {
    let letter = |place: usize| char::from(b'a' + (number / 26_usize.pow(place as u32) % 26) as u8);
    (0..3).map(letter).collect()
}

/// A tokenizer to which every word is a token.
pub(crate) fn tokenizer(folder: &Path) -> Result<Tokenizer> {
    fs::create_dir_all(folder)?;
    let vocabulary = (0..WORDS).map(|number| (format!("\u{120}{}", word(number)), json!(number)));
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": bytes,
        "decoder": bytes,
        "model": {
            "type": "WordLevel",
            "vocab": vocabulary.collect::<serde_json::Map<_, _>>(),
            "unk_token": format!("\u{120}{}", word(0)),
        },
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
    Ok(Tokenizer::from_folder(folder)?)
}

/// Games of one prompt each, of so many words.
pub(crate) fn games(lengths: &[usize]) -> Vec<PromptGame> {
    let game = |(key, length): (usize, usize)| {
        let mut text = String::new();
        for place in 0..length {
            let _ = write!(text, " {}", word((key * 7919 + place * 104_729) % WORDS));
        }
        let prompt = Prompt { body: Body::Text(text), spans: Vec::new(), prefill: String::new() };
        PromptGame {
            key: key as i64,
            id: format!("prompt-{key}"),
            metadata: None,
            steps: vec![PromptStep { step: 0, prompt, metric: None, line: key }],
        }
    };
    lengths.iter().copied().enumerate().map(game).collect()
}
