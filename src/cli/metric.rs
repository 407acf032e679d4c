//! What is measured of a prompt: two logits against each other, or the probability of a text.

use crate::capture::first_tokens;
use crate::error::{Error, UsageError};
use crate::game::Options as Offer;
use crate::intervene::Metric;
use crate::tokens::Tokenizer;

/// The metric asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Measure logit(A) - logit(B), each one token [default: the first tokens of the bet and of the stop]
    #[arg(long, num_args = 2, value_names = ["A", "B"], allow_hyphen_values = true, help_heading = "Metric")]
    metric_tokens: Option<Vec<String>>,
    /// Measure the log-probability that the prompt goes on with a text
    #[arg(long, value_name = "TEXT", conflicts_with = "metric_tokens", help_heading = "Metric")]
    metric_text: Option<String>,
}

impl Asked {
    /// The metric asked for, or the prompt's `own`, or the bet against the stop where the prompt `decides` between them;
    /// and its name.
    ///
    /// # Errors
    /// If none is asked for and the prompt has none, or the texts are not tokens as they must be.
    pub(super) fn read(
        &self,
        tokenizer: &Tokenizer,
        own: Option<(&str, &str)>,
        decides: bool,
    ) -> Result<(Metric, String), Error> {
        let named = |first: &str, second: &str| format!("logit({first}) - logit({second})");
        if let Some(text) = &self.metric_text {
            return Ok((Metric::log_probability(tokenizer, text)?, format!("log p({text})")));
        }
        if let Some([first, second]) = self.metric_tokens.as_deref() {
            return Ok((Metric::difference(tokenizer, first, second)?, named(first, second)));
        }
        if own.is_none() && !decides {
            return Err(UsageError::NoOptions.into());
        }
        let (first, second) = own.unwrap_or((Offer::BET, Offer::STOP));
        Ok((Metric::Difference(first_tokens(tokenizer, first, second)?), named(first, second)))
    }
}
