//! Chat templates: Jinja as Hugging Face runs it, with the date held still.

use chrono::NaiveDate;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};

use super::chat::Message;
use super::error::TokenizerError;

/// What templates that write today's date write instead, so that a run can be repeated: the date that Llama
/// 3.1's own template falls back to.
pub const TEMPLATE_DATE: &str = "26 Jul 2024";

/// What a rendering may cost, in the units of minijinja: one for an instruction, one for some bytes. A chat of a hundred
/// turns takes some thousands; a loop in a loop of a model that one does not know ends by it.
const FUEL: u64 = 5_000_000;

/// The one template of an environment.
const NAME: &str = "chat";

/// A model's chat template.
#[derive(Clone, Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
}

impl Template {
    /// Compiles `source`. The template may write the tokens `bos` and `eos`.
    pub(super) fn new(
        source: String,
        bos: Option<String>,
        eos: Option<String>,
    ) -> Result<Self, TokenizerError> {
        let mut environment = Environment::new();
        // The settings of transformers' `_compile_jinja_template`.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(failed)?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_template_owned(NAME, source).map_err(failed)?;
        Ok(Self { environment, bos, eos })
    }

    /// Renders a chat, with the opening of the assistant's answer at the end.
    pub(super) fn render(&self, messages: &[Message]) -> Result<String, TokenizerError> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| {
                Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
            })
            .collect();
        let token = |token: &Option<String>| token.clone().map_or(Value::UNDEFINED, Value::from);
        let context = context! {
            messages => messages,
            add_generation_prompt => true,
            bos_token => token(&self.bos),
            eos_token => token(&self.eos),
            tools => (),
            documents => (),
        };
        self.environment.get_template(NAME).and_then(|template| template.render(context)).map_err(failed)
    }
}

fn failed(source: Error) -> TokenizerError {
    TokenizerError::Template { source }
}

/// What a template calls to refuse a chat.
fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// What a template calls for today's date: always [`TEMPLATE_DATE`], at midnight.
fn strftime_now(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let date = NaiveDate::from_ymd_opt(2024, 7, 26).and_then(|date| date.and_hms_opt(0, 0, 0));
    let unknown = || Error::new(ErrorKind::InvalidOperation, format!("`{format}` is no date format"));
    let mut text = String::new();
    // `Display` of a bad format fails, where `to_string` would panic.
    write!(text, "{}", date.ok_or_else(unknown)?.format(format)).map_err(|_| unknown())?;
    Ok(text)
}
