//! A step of a lake as the model read it.

use crate::error::{Error, UsageError};
use crate::game::{Layout, Span};
use crate::lake::{Lake, Step};
use crate::tokens::{Token, Tokenizer};

/// The tokens of a step up to its decision, as the lake has them, with their text and spans.
///
/// # Errors
/// If the lake does not have the step, the step did not run, or a token is not in the vocabulary.
pub(super) fn recorded_step(
    lake: &Lake,
    (game, step): (i64, i32),
    tokenizer: &Tokenizer,
) -> Result<Layout, Error> {
    let Some(Step { row, tokens, spans }) = lake.step(game, step)? else {
        return Err(UsageError::NoSuchStep { game, step, steps: lake.steps_of(game)? }.into());
    };
    if row.decision_position < 0 {
        let why = row.error.unwrap_or_else(|| "it has no decision position".to_owned());
        return Err(UsageError::StepFailed { game, step, why }.into());
    }
    let tokens = tokens.into_iter().filter(|token| token.position <= row.decision_position);
    let tokens: Vec<Token> = tokens
        .map(|token| Token {
            id: token.token_id.cast_unsigned(),
            text: token.token,
            bytes: token.byte_start as usize..token.byte_end as usize,
            is_special: token.is_special,
        })
        .collect();
    // A beginning-of-sequence token that the tokenizer put in front is no part of the text.
    let written: Vec<u32> =
        tokens.iter().filter(|token| !token.bytes.is_empty()).map(|token| token.id).collect();
    let text = tokenizer.continuation(&written, 0).map_err(crate::capture::CaptureError::from)?.text;
    let spans = spans
        .into_iter()
        .map(|span| Span { name: span.name, bytes: span.byte_start as usize..span.byte_end as usize });
    let spans = spans.filter(|span| span.bytes.end <= text.len()).collect::<Vec<_>>();
    let bos = tokenizer.bos_of(&tokens);
    Ok(Layout { text, tokens, spans, bos })
}
