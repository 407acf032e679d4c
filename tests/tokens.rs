//! Tokens and chat templates against transformers, llama.cpp and each other.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::quantized::gguf_file::{Content, Value};
use saelake::tokens::{Bos, Message, Role, Token, Tokenizer, TokenizerError, positions};

use crate::support;

/// A text and its ids.
#[derive(serde::Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

/// A chat and its rendered text.
#[derive(serde::Deserialize)]
struct Chat {
    messages: Vec<Message>,
    text: String,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    ids_doubled: Vec<u32>,
}

#[derive(serde::Deserialize)]
struct Goldens {
    texts: Vec<Encoded>,
    chats: Vec<Chat>,
    #[serde(default)]
    begin: u32,
}

fn goldens(path: &str) -> Goldens {
    let path = support::repository("tests/fixtures/tokens").join(path);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn metadata() -> HashMap<String, Value> {
    let mut file = fs::File::open(support::smollm2()).unwrap();
    Content::read(&mut file).unwrap().metadata
}

fn smollm2() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| Tokenizer::from_gguf(&metadata()).unwrap())
}

fn tiny_folder() -> PathBuf {
    support::repository("tests/fixtures/tokens/tiny")
}

fn tiny() -> Tokenizer {
    Tokenizer::from_folder(&tiny_folder()).unwrap()
}

/// A copy of the tiny folder with some files replaced.
fn tiny_with(files: &[(&str, &str)]) -> Result<Tokenizer, TokenizerError> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(tiny_folder().join(name), dir.path().join(name)).unwrap();
    }
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    Tokenizer::from_folder(dir.path())
}

fn ids(tokens: &[Token]) -> Vec<u32> {
    tokens.iter().map(|token| token.id).collect()
}

/// The bytes of all tokens together, which must be those of the text, each shared only within a character.
fn check_ranges(tokenizer: &Tokenizer, text: &str) {
    let tokens = tokenizer.encode_rendered(text).unwrap();
    let mut end = 0;
    for token in &tokens {
        assert!(token.bytes.start <= end && token.bytes.end >= end, "{token:?} leaves a gap at {end}");
        let shown = &text[token.bytes.clone()];
        if token.bytes.start == end && !token.text.contains(char::REPLACEMENT_CHARACTER) {
            assert_eq!(shown, token.text);
        }
        end = token.bytes.end;
    }
    assert_eq!(end, text.len(), "the tokens of {text:?} end early");
    // The ids alone give the text and the same bytes back, by a way that knows nothing of the encoder.
    let again = tokenizer.continuation(&ids(&tokens), 0).unwrap();
    assert_eq!(again.text, text);
    assert_eq!(again.tokens, tokens);
}

#[test]
fn ids_are_those_of_transformers_and_llama_cpp() {
    for golden in goldens("smollm2.json").texts {
        let tokens = smollm2().encode_rendered(&golden.text).unwrap();
        assert_eq!(ids(&tokens), golden.ids, "{:?}", golden.text);
        // The model wants no beginning-of-sequence token, so a raw text is the same.
        assert_eq!(smollm2().encode_raw(&golden.text).unwrap(), tokens);
    }
    for golden in goldens("tiny/goldens.json").texts {
        assert_eq!(ids(&tiny().encode_raw(&golden.text).unwrap()), golden.ids, "{:?}", golden.text);
    }
}

#[test]
fn rendered_chats_are_those_of_transformers() {
    for (tokenizer, path) in [(smollm2().clone(), "smollm2.json"), (tiny(), "tiny/goldens.json")] {
        for golden in goldens(path).chats {
            let rendered = tokenizer.render(&golden.messages).unwrap();
            assert_eq!(rendered.text, golden.text);
            for (message, bytes) in golden.messages.iter().zip(&rendered.contents) {
                let shown = &rendered.text[bytes.clone()];
                assert!(shown == message.content || shown == message.content.trim(), "{shown:?}");
            }
        }
    }
}

#[test]
fn every_byte_is_in_a_token() {
    for golden in goldens("smollm2.json").texts {
        check_ranges(smollm2(), &golden.text);
        check_ranges(&tiny(), &golden.text);
    }
}

#[test]
fn tokens_of_one_character_share_its_bytes() {
    let text = "a🎰 승b";
    let tokens = smollm2().encode_rendered(text).unwrap();
    let of = |character: char| {
        let start = text.find(character).unwrap();
        let bytes = start..start + character.len_utf8();
        tokens[positions(&tokens, &bytes).unwrap()].to_vec()
    };
    let emoji = of('🎰');
    assert!(emoji.len() > 1, "the emoji is a single token, so the test shows nothing");
    assert!(emoji.iter().all(|token| token.bytes == (1..5)), "{emoji:?}");
    assert!(emoji.iter().all(|token| token.text.contains(char::REPLACEMENT_CHARACTER)), "{emoji:?}");
    let korean = of('승');
    assert!(korean.len() > 1 && korean.iter().all(|token| token.bytes.end == 9), "{korean:?}");
}

#[test]
fn spans_are_the_tokens_that_share_a_byte() {
    let text = "You have $100. Bet";
    let tokens = smollm2().encode_rendered(text).unwrap();
    let start = text.find("$100").unwrap();
    let found = positions(&tokens, &(start..start + 4)).unwrap();
    let texts: Vec<&str> = tokens[found.clone()].iter().map(|token| token.text.as_str()).collect();
    // "$" comes with the space before it; every digit is a token of its own.
    assert_eq!(texts, [" $", "1", "0", "0"]);
    assert_eq!(positions(&tokens, &(start + 1..start + 2)), Some(found.start + 1..found.start + 2));
    assert_eq!(positions(&tokens, &(start..start)), None);
    assert_eq!(positions(&tokens, &(text.len()..text.len() + 1)), None);
}

#[test]
fn one_bos_and_never_two() {
    let tokenizer = tiny();
    let goldens = goldens("tiny/goldens.json");
    let begin = goldens.begin;
    assert_eq!(tokenizer.bos(), Some(begin));
    let count = |tokens: &[Token]| tokens.iter().filter(|token| token.id == begin).count();
    for chat in goldens.chats {
        let tokens = tokenizer.encode_rendered(&tokenizer.render(&chat.messages).unwrap().text).unwrap();
        assert_eq!(ids(&tokens), chat.ids);
        assert_eq!((count(&tokens), tokenizer.bos_of(&tokens)), (1, Bos::Template));
        // The seed experiment rendered, and then let the tokenizer add its token as well.
        assert_ne!(ids(&tokens), chat.ids_doubled);
        assert_eq!(chat.ids_doubled[..2], [begin, begin]);
        let doubled = format!("<|begin_of_text|>{}", chat.text);
        for error in [tokenizer.encode_rendered(&doubled), tokenizer.encode_raw(&doubled)] {
            assert!(matches!(error, Err(TokenizerError::DoubleBos { .. })), "{error:?}");
        }
    }
    let raw = tokenizer.encode_raw("Hello").unwrap();
    assert_eq!((raw[0].id, raw[0].bytes.clone(), raw[0].is_special), (begin, 0..0, true));
    assert_eq!((count(&raw), tokenizer.bos_of(&raw)), (1, Bos::Tokenizer));
    let written = tokenizer.encode_raw("<|begin_of_text|>Hello").unwrap();
    assert_eq!((count(&written), tokenizer.bos_of(&written)), (1, Bos::Template));
    assert_eq!(ids(&written), ids(&raw));
    let plain = tokenizer.encode_rendered("Hello").unwrap();
    assert_eq!((count(&plain), tokenizer.bos_of(&plain)), (0, Bos::None));
}

#[test]
fn smollm2_gets_no_bos_of_its_own() {
    let tokens = smollm2().encode_raw("Hello").unwrap();
    assert_eq!(smollm2().bos_of(&tokens), Bos::None);
    let chat = smollm2().render(&[Message::user("Hello")]).unwrap();
    let tokens = smollm2().encode_rendered(&chat.text).unwrap();
    // The file calls <|im_start|>, which opens every message, its beginning-of-sequence token.
    assert_eq!(smollm2().bos_of(&tokens), Bos::Template);
    assert_eq!(smollm2().eos().collect::<Vec<_>>(), [2]);
    assert!(tokens[0].is_special && tokens[0].text == "<|im_start|>");
    assert_eq!(smollm2().vocabulary(), 49_152);
}

#[test]
fn the_configuration_decides_about_bos() {
    let config = |more: &str| format!(r#"{{"bos_token": {{"content": "<|begin_of_text|>"}}{more}}}"#);
    let first = |config: String| {
        let tokenizer = tiny_with(&[("tokenizer_config.json", &config)]).unwrap();
        tokenizer.bos_of(&tokenizer.encode_raw("Hello").unwrap())
    };
    assert_eq!(first(config("")), Bos::Tokenizer);
    assert_eq!(first(config(r#", "add_bos_token": false"#)), Bos::None);
    let bare = edited_tokenizer(|json| json["post_processor"] = serde_json::Value::Null);
    let explicit = config(r#", "add_bos_token": true"#);
    let with = tiny_with(&[("tokenizer.json", &bare), ("tokenizer_config.json", &explicit)]).unwrap();
    assert_eq!(with.bos_of(&with.encode_raw("Hello").unwrap()), Bos::Tokenizer);
    let without = tiny_with(&[("tokenizer.json", &bare)]).unwrap();
    assert_eq!(without.bos_of(&without.encode_raw("Hello").unwrap()), Bos::None);
    let nameless = r#"{"add_bos_token": true}"#;
    let error = tiny_with(&[("tokenizer.json", &bare), ("tokenizer_config.json", nameless)]).unwrap_err();
    assert!(matches!(error, TokenizerError::NoBos), "{error}");
}

/// The tiny folder's tokenizer.json after `edit`.
fn edited_tokenizer(edit: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut json = serde_json::from_slice(&fs::read(tiny_folder().join("tokenizer.json")).unwrap()).unwrap();
    edit(&mut json);
    json.to_string()
}

#[test]
fn a_tokenizer_that_truncates_and_pads_does_neither_here() {
    let json = edited_tokenizer(|json| {
        json["truncation"] = serde_json::json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
        json["padding"] = serde_json::json!({"strategy": {"Fixed": 4000}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"});
    });
    let tokenizer = tiny_with(&[("tokenizer.json", &json)]).unwrap();
    let text = "a long text with more than four tokens in it";
    assert_eq!(tokenizer.encode_raw(text).unwrap(), tiny().encode_raw(text).unwrap());
}

#[test]
fn bytes_that_the_vocabulary_lacks_are_an_error() {
    let json = edited_tokenizer(|json| {
        json["model"]["vocab"].as_object_mut().unwrap().retain(|token, _| !token.contains('z'));
        let merges = json["model"]["merges"].as_array_mut().unwrap();
        merges.retain(|pair| !pair.to_string().contains('z'));
    });
    let tokenizer = tiny_with(&[("tokenizer.json", &json)]).unwrap();
    assert!(tokenizer.encode_rendered("abc").is_ok());
    let error = tokenizer.encode_rendered("ab zc d").unwrap_err();
    assert!(matches!(error, TokenizerError::Lost { bytes: 1, word_end: 5 }), "{error}");
}

#[test]
fn the_template_file_goes_first() {
    let template = "{{ messages[0].content }}|{{ eos_token }}|{{ strftime_now('%d %b %Y') }}";
    let tokenizer = tiny_with(&[("chat_template.jinja", template)]).unwrap();
    let rendered = tokenizer.render(&[Message::user("hi")]).unwrap();
    assert_eq!(rendered.text, "hi|<|eot_id|>|26 Jul 2024");
    assert_eq!(rendered.contents.first(), Some(&(0..2)));
}

#[test]
fn of_several_templates_the_default_one_is_taken() {
    let config = |name: &str| {
        format!(
            r#"{{"chat_template": [{{"name": "tool_use", "template": "no"}}, {{"name": "{name}", "template": "[{{{{ messages[0].content }}}}]"}}]}}"#
        )
    };
    let tokenizer = tiny_with(&[("tokenizer_config.json", &config("default"))]).unwrap();
    assert_eq!(tokenizer.render(&[Message::user("hi")]).unwrap().text, "[hi]");
    let error = tiny_with(&[("tokenizer_config.json", &config("rag"))]).unwrap_err();
    assert!(matches!(error, TokenizerError::NoDefaultTemplate { .. }), "{error}");
}

#[test]
fn contents_are_placed_and_not_searched_for() {
    // "user" is in the template, "a" everywhere, and the last two messages are alike.
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    let messages = [
        message(Role::System, "user"),
        message(Role::User, " \n a"),
        message(Role::Assistant, "assistant"),
        message(Role::User, "a\u{3000}\n"),
        message(Role::User, ""),
    ];
    let rendered = tiny().render(&messages).unwrap();
    let shown: Vec<&str> = rendered.contents.iter().map(|bytes| &rendered.text[bytes.clone()]).collect();
    assert_eq!(shown, ["user", "a", "assistant", "a", ""]);
    for (content, before) in rendered.contents.iter().zip(["\n\n", "\n\n", "\n\n", "\n\n", "\n\n"]) {
        assert!(rendered.text[..content.start].ends_with(before));
        assert!(rendered.text[content.end..].starts_with("<|eot_id|>"));
    }
    // A span of the untrimmed content is moved, clipped, or gone.
    let at = rendered.contents[1].start;
    assert_eq!(rendered.locate(1, &(3..4)), Some(at..at + 1));
    assert_eq!(rendered.locate(1, &(0..4)), Some(at..at + 1));
    assert_eq!(rendered.locate(1, &(0..2)), None);
    assert_eq!(rendered.locate(9, &(0..2)), None);
}

#[test]
fn contents_that_a_template_changes_are_an_error() {
    for template in [
        "{{ messages[0].content | upper }}",
        "{{ messages[0].content }}{{ messages[0].content }}",
        "nothing of it",
        "{{ messages[0].content.replace('i', 'o') }}",
        "{{ messages[0].content | length }}{{ messages[0].content }}",
    ] {
        let tokenizer = tiny_with(&[("chat_template.jinja", template)]).unwrap();
        let error = tokenizer.render(&[Message::user("hi")]).unwrap_err();
        assert!(matches!(error, TokenizerError::NotPlaced { message: 0 }), "{template}: {error}");
    }
}

#[test]
fn a_template_may_refuse_a_chat() {
    let message = |role| Message { role, content: "x".to_owned() };
    let error = tiny().render(&[message(Role::User), message(Role::System)]).unwrap_err();
    assert!(error.to_string().contains("no role system here"), "{error}");
    let error = tiny_with(&[("chat_template.jinja", "{% if %}")]).unwrap_err();
    assert!(matches!(error, TokenizerError::Template { .. }), "{error}");
    let none = tiny_with(&[("tokenizer_config.json", "{}")]).unwrap();
    assert!(!none.has_template() && tiny().has_template());
    assert!(matches!(none.render(&[message(Role::User)]), Err(TokenizerError::NoTemplate)));
}

#[test]
fn generated_tokens_count_on_from_the_prompt() {
    let prompt = "Bet?";
    let answer = smollm2().encode_rendered(" 🎰!<|im_end|>").unwrap();
    let continuation = smollm2().continuation(&ids(&answer), prompt.len()).unwrap();
    assert_eq!(continuation.text, " 🎰!<|im_end|>");
    for (generated, own) in continuation.tokens.iter().zip(&answer) {
        assert_eq!(generated.bytes, own.bytes.start + prompt.len()..own.bytes.end + prompt.len());
    }
    assert_eq!(smollm2().decode(&ids(&answer)).unwrap(), " 🎰!");
    // An answer that was cut in the middle of the emoji.
    let cut = smollm2().continuation(&ids(&answer)[..2], 0).unwrap();
    assert_eq!(cut.text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count(), 1);
    assert_eq!(cut.tokens.last().unwrap().bytes.end, cut.text.len());
    let error = smollm2().decode(&[49_152]).unwrap_err();
    assert!(matches!(error, TokenizerError::UnknownId { id: 49_152, size: 49_152 }), "{error}");
}

/// The tiny tokenizer as a GGUF file would hold it.
fn tiny_metadata() -> HashMap<String, Value> {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(tiny_folder().join("tokenizer.json")).unwrap()).unwrap();
    let mut tokens: Vec<(u64, String, i32)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.clone(), 1))
        .collect();
    let added = json["added_tokens"].as_array().unwrap().iter();
    tokens.extend(
        added.map(|token| (token["id"].as_u64().unwrap(), token["content"].as_str().unwrap().to_owned(), 3)),
    );
    tokens.sort();
    let merges =
        json["model"]["merges"].as_array().unwrap().iter().map(|pair| {
            Value::String(format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        });
    let string = |text: &str| Value::String(text.to_owned());
    let bos = tokens.iter().position(|(_, token, _)| token == "<|begin_of_text|>").unwrap() as u32;
    HashMap::from([
        ("tokenizer.ggml.model".to_owned(), string("gpt2")),
        ("tokenizer.ggml.pre".to_owned(), string("llama-bpe")),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(merges.collect())),
        ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(bos)),
        (
            "tokenizer.ggml.token_type".to_owned(),
            Value::Array(tokens.iter().map(|token| Value::I32(token.2)).collect()),
        ),
        (
            "tokenizer.ggml.tokens".to_owned(),
            Value::Array(tokens.into_iter().map(|token| Value::String(token.1)).collect()),
        ),
    ])
}

#[test]
fn a_gguf_file_and_a_folder_give_the_same_tokens() {
    // The file does not say whether the model wants a beginning-of-sequence token; Llama 3 does.
    let tokenizer = Tokenizer::from_gguf(&tiny_metadata()).unwrap();
    for golden in goldens("tiny/goldens.json").texts {
        assert_eq!(tokenizer.encode_raw(&golden.text).unwrap(), tiny().encode_raw(&golden.text).unwrap());
    }
    assert!(!tokenizer.has_template());
}

#[test]
fn gguf_files_that_cannot_be_read_say_why() {
    let check = |key: &str, value: Option<Value>, expected: &str| {
        let mut metadata = tiny_metadata();
        match value {
            Some(value) => metadata.insert(key.to_owned(), value),
            None => metadata.remove(key),
        };
        let error = Tokenizer::from_gguf(&metadata).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.exit_code(), 2);
    };
    let string = |text: &str| Some(Value::String(text.to_owned()));
    check("tokenizer.ggml.model", string("llama"), "of the kind `llama`");
    check("tokenizer.ggml.model", None, "no `tokenizer.ggml.model`");
    check("tokenizer.ggml.pre", string("qwen2"), "splits text by `qwen2`");
    check("tokenizer.ggml.pre", None, "splits text by `default`");
    check(
        "tokenizer.ggml.tokens",
        string("a"),
        "`tokenizer.ggml.tokens` of the GGUF file's metadata is not a list of strings",
    );
    check("tokenizer.ggml.token_type", Some(Value::Array(vec![])), "0 token types");
    check("tokenizer.ggml.bos_token_id", Some(Value::U32(9_999)), "token id 9999 is not in the vocabulary");
    check("tokenizer.ggml.bos_token_id", None, "no beginning-of-sequence token is named");
    check(
        "tokenizer.ggml.merges",
        Some(Value::Array(vec![Value::String("unknown merge".to_owned())])),
        "cannot be built",
    );
    let mut twice = tiny_metadata();
    let Some(Value::Array(tokens)) = twice.get_mut("tokenizer.ggml.tokens") else { panic!() };
    tokens[1] = tokens[0].clone();
    let error = Tokenizer::from_gguf(&twice).unwrap_err();
    assert!(matches!(error, TokenizerError::Duplicate { .. }), "{error}");
}

#[test]
fn folders_that_cannot_be_read_say_why() {
    let error = Tokenizer::from_folder(Path::new("no/such/folder")).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json") && error.hint().is_some(), "{error}");
    let error = tiny_with(&[("tokenizer.json", "{")]).unwrap_err();
    assert!(matches!(error, TokenizerError::Build { .. }), "{error}");
    let error = tiny_with(&[("tokenizer_config.json", r#"{"bos_token": 7}"#)]).unwrap_err();
    assert!(matches!(error, TokenizerError::Json { .. }), "{error}");
    let error = tiny_with(&[("tokenizer_config.json", r#"{"bos_token": "<s>"}"#)]).unwrap_err();
    assert!(error.to_string().contains("bos_token is `<s>`"), "{error}");
    let decoderless = edited_tokenizer(|json| json["decoder"] = serde_json::Value::Null);
    let error = tiny_with(&[("tokenizer.json", &decoderless)]).unwrap_err();
    assert!(matches!(error, TokenizerError::UnknownDecoder), "{error}");
}

#[test]
fn the_ids_that_end_an_answer_come_from_both_configurations() {
    let begin = goldens("tiny/goldens.json").begin;
    assert_eq!(tiny().eos().collect::<Vec<_>>(), [begin + 1, begin + 4]);
    let alone = tiny_with(&[("generation_config.json", r#"{"eos_token_id": 3}"#)]).unwrap();
    assert_eq!(alone.eos().collect::<Vec<_>>(), [3, begin + 4]);
}

#[test]
fn a_template_that_would_never_end_is_refused() {
    let endless = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
    for source in [endless, "{{ 'a' | indent(9223372036854775807) }}", "{{ 'a' * 9223372036854775807 }}"] {
        let mut metadata = metadata();
        metadata.insert("tokenizer.chat_template".to_owned(), Value::String(source.to_owned()));
        let error = Tokenizer::from_gguf(&metadata).unwrap().render(&[Message::user("a")]).unwrap_err();
        assert!(matches!(error, TokenizerError::Template { .. }), "{error}");
    }
}
