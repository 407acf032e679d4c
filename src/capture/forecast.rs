//! What a run will take, told before it begins: rows, bytes and tokens a second.

use super::settings::{AttentionKept, Settings};
use crate::dictionary::Keep;
use crate::lake::ACTIVATION_BITS;
use crate::model::Config;

/// Rows that a thread of the writer encodes in a second, as measured on a machine of 16 cores. Other processors are
/// faster or slower; a run says how far off this was.
const ROWS_A_SECOND: f64 = 2.4e6;

/// Bytes of a row, by table, as measured on games of the default model. Of features and weights most is their value,
/// which hardly compresses. A row of features has its part of the rollup.
const FEATURE: f64 = 5.0;
const POSITION: f64 = 5.8;
const WEIGHT: f64 = 5.0;
const ATTENTION_ROW: f64 = 5.2;

/// Bytes of a token in the tables that have no layers.
const TOKEN: f64 = 8.0;

/// What a model does with a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Multiplications and additions of a token.
    pub flop_a_token: f64,
    /// Rows of a token in all tables.
    pub rows_a_token: f64,
    /// Bytes of a token in all tables, with all bits of activations.
    pub bytes_a_token: f64,
    /// Rows of a token in `features`.
    pub features_a_token: f64,
}

/// Where the tokens of a run come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Games.
    pub games: u64,
    /// Tokens of all steps.
    pub tokens: u64,
    /// Tokens of the longest step.
    pub longest: u64,
}

impl Forecast {
    /// What a run with these settings does with a token of steps of `mean` tokens. `dictionaries` are the number of
    /// features of each, and how many of them are said to fire at a token.
    pub fn of(
        config: &Config,
        settings: &Settings,
        dictionaries: &[(usize, Option<f64>)],
        mean: f64,
    ) -> Self {
        let layers = settings.layers.len() as f64;
        let heads = config.n_heads as f64;
        let kept = dictionaries.iter().map(|(_, fire)| match (settings.keep, fire) {
            (Keep::Top(count), fire) => fire.unwrap_or(f64::INFINITY).min(count as f64),
            (Keep::All, Some(fire)) => *fire,
            // Of dictionaries that are trained to be sparse it is about this.
            (Keep::All, None) => 64.0,
        });
        let features = kept.sum::<f64>();
        // A row of the pattern has as many weights as there are tokens up to it, half of the step's on average; that of
        // the decision is whole.
        let weights = layers
            * heads
            * match settings.attention {
                AttentionKept::Decision => 1.0,
                AttentionKept::Top(count) => (count as f64).min(mean / 2.0) + 1.0,
                AttentionKept::Full => mean / 2.0,
            };
        let (positions, rows) = (dictionaries.len() as f64, layers * heads);
        Self {
            flop_a_token: flop_a_token(config, dictionaries, mean),
            rows_a_token: features + weights + positions + rows + 1.0,
            bytes_a_token: FEATURE * features
                + WEIGHT * weights
                + POSITION * positions
                + ATTENTION_ROW * rows
                + TOKEN,
            features_a_token: features,
        }
    }

    /// Bytes of a token in all tables, where activations keep so many bits: the others are saved.
    pub fn bytes_with(&self, activation_bits: i32) -> f64 {
        self.bytes_a_token - self.features_a_token * f64::from(ACTIVATION_BITS - activation_bits) / 8.0
    }

    /// Tokens a second where products run at `rate` multiplications and additions a second, and `threads` write. On a
    /// GPU (`apart`) the two run side by side; on the CPU they share it.
    pub fn tokens_a_second(&self, rate: f64, (threads, apart): (usize, bool)) -> f64 {
        let (model, writer) = (rate / self.flop_a_token, ROWS_A_SECOND * threads as f64 / self.rows_a_token);
        if apart { model.min(writer) } else { (model.recip() + writer.recip()).recip() }
    }
}

/// Multiplications and additions of a token's products, of its attention over half of `mean` tokens, and of its
/// dictionaries.
fn flop_a_token(config: &Config, dictionaries: &[(usize, Option<f64>)], mean: f64) -> f64 {
    let Config { d_model, d_mlp, n_layers, n_heads, n_kv_heads, head_dim, .. } = *config;
    let of_block = d_model * ((2 * n_heads + 2 * n_kv_heads) * head_dim + 3 * d_mlp);
    let of_dictionaries = dictionaries.iter().map(|(d_sae, _)| d_model * d_sae).sum::<usize>();
    let of_attention = n_layers as f64 * (n_heads * head_dim) as f64 * mean;
    2.0 * ((n_layers * of_block + of_dictionaries) as f64 + of_attention)
}

#[cfg(test)]
mod tests {
    use super::{AttentionKept, Config, Forecast, Keep, ROWS_A_SECOND, Settings};
    use crate::game::Decide;
    use crate::model::{Rope, Scaling};

    fn llama_8b() -> Config {
        Config {
            d_model: 4096,
            n_layers: 32,
            n_heads: 32,
            n_kv_heads: 8,
            head_dim: 128,
            d_mlp: 14336,
            vocab: 128_256,
            context: 8192,
            rms_eps: 1e-5,
            rope: Rope { theta: 500_000.0, scaling: Scaling::None },
            tied: false,
            bos: None,
            eos: Vec::new(),
        }
    }

    fn forecast(attention: AttentionKept) -> Forecast {
        let settings = Settings {
            layers: vec![8, 15, 31],
            keep: Keep::Top(64),
            attention,
            decide: Decide::Choice,
            temperature: 0.0,
            max_new_tokens: 1,
            batch_tokens: 16_384,
        };
        Forecast::of(&llama_8b(), &settings, &[(32_768, None); 3], 300.0)
    }

    #[test]
    fn rows_are_those_of_the_tables() {
        let rows = forecast(AttentionKept::Top(8)).rows_a_token;
        // Features, weights and those of decisions, positions, rows, token.
        assert!((rows - (192.0 + 96.0 * 9.0 + 3.0 + 96.0 + 1.0)).abs() < 1e-9, "{rows}");
        assert!(forecast(AttentionKept::Full).rows_a_token > 10.0 * rows);
        let decision = forecast(AttentionKept::Decision);
        assert!(decision.rows_a_token < rows);
        assert!((decision.bytes_with(23) - decision.bytes_a_token).abs() < 1e-9);
        assert!(decision.bytes_with(7) < 0.85 * decision.bytes_a_token);
    }

    #[test]
    fn a_run_is_as_fast_as_its_slower_half() {
        let forecast = forecast(AttentionKept::Top(8));
        // Seven billion weights outside of the embeddings, twice each, and the dictionaries.
        assert!((14.7e9..15.0e9).contains(&forecast.flop_a_token), "{}", forecast.flop_a_token);
        let slow = forecast.tokens_a_second(1e12, (16, true));
        assert!((slow - 1e12 / forecast.flop_a_token).abs() < 1e-6);
        let fast = forecast.tokens_a_second(1e18, (16, true));
        assert!((fast - 16.0 * ROWS_A_SECOND / forecast.rows_a_token).abs() < 1e-6);
        assert!(forecast.tokens_a_second(1e12, (16, false)) < slow);
    }
}
