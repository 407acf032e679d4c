//! Every table of the lake, column by column.

use crate::table::{Table, table};

/// Every table, in the order in which a batch of games is committed: `games` last.
pub const ALL: [&Table; 12] = [
    &runs::TABLE,
    &dictionaries::TABLE,
    &features::TABLE,
    &feature_rollup::TABLE,
    &positions::TABLE,
    &attention::TABLE,
    &attention_rows::TABLE,
    &tokens::TABLE,
    &spans::TABLE,
    &prefixes::TABLE,
    &steps::TABLE,
    &games::TABLE,
];

table! {
    /// One row per `collect` call: the model, the settings, the versions.
    runs partition [] sort [run] {
        run: String, Dictionary, "id of the run: 16 hexadecimal digits of the SHA-256 of its settings and of the first game it added";
        format_version: i32, Dictionary, "version of this layout";
        saelake_version: String, Dictionary, "version of the program";
        started_at: String, Dictionary, "when the run began, RFC 3339, UTC";
        model: String, Dictionary, "the model as it was asked for: a folder, a Hugging Face id or a GGUF file's name";
        model_revision: Option<String>, Dictionary, "the commit of a Hugging Face id";
        model_hash: String, Dictionary, "SHA-256 over the model's configuration and weight files";
        d_model: i32, Dictionary, "width of the residual stream";
        n_layers: i32, Dictionary, "number of blocks";
        n_heads: i32, Dictionary, "query heads of a block";
        layers: String, Dictionary, "the captured layers, ascending, separated by commas";
        top_k: Option<i32>, Dictionary, "features kept at a position; missing means all";
        attention: String, Dictionary, "attention kept: `decision`, `top:K` or `full`, the decision row always whole; or `none` of imported games";
        device: String, Dictionary, "where the model ran";
        dtype: String, Dictionary, "number format of the weights and activations: f32, bf16 or f16";
        seed: i64, Dictionary, "seed of the run";
        source: String, Dictionary, "`slot-machine`, or the name of the prompts file";
        decide: Option<String>, Dictionary, "how a decision was made: `choice` or `generate`";
        bos: String, Dictionary, "how many beginning-of-sequence tokens a step starts with and who put them there: `none`, `template` or `tokenizer`";
        positions: String, Dictionary, "positions whose rows the large tables have: `all`, `new` if those that a step shares with an earlier one are stored there (table `prefixes`), or `last` if only the decision position's are";
        activation_bits: i32, Dictionary, "bits of the mantissa that activations are rounded to; 23 is all of them";
        settings: String, Dictionary, "every setting of the run, as JSON; `packing-difference` is what was measured before it began: the largest change of any kind of number between steps packed into one pass and the same steps alone, as a share";
    }
}

table! {
    /// One row per dictionary that the lake's features come from.
    dictionaries partition [] sort [layer] {
        run: String, Dictionary, "the first run that used it";
        layer: i32, Dictionary, "the block it reads";
        hook: String, Dictionary, "the hook it reads, in TransformerLens's names";
        format: String, Dictionary, "`llama-scope`, `saelens` or `sparsify`; `unknown` of imported games";
        source: String, Dictionary, "folder or Hugging Face id it was loaded from";
        revision: Option<String>, Dictionary, "the commit of a Hugging Face id";
        hash: String, Dictionary, "SHA-256 over its configuration and weights";
        neuronpedia: Option<String>, Dictionary, "Neuronpedia's model and source, where known";
        d_sae: i32, Dictionary, "number of features";
        d_in: i32, Dictionary, "width of what it reads";
        activation: String, Dictionary, "its nonlinearity";
        input_scale: f32, Dictionary, "factor that its input is multiplied by before the encoder; NaN where it is not known, as of imported games";
        output_scale: f32, Dictionary, "factor that turns an activation times its decoder row into residual units; likewise";
        decoder_norms: String, Dictionary, "the L2 norm of every decoder row as the file stores it, as JSON";
        measured_l0: f32, Dictionary, "mean number of active features on the first batch, position 0 and special tokens left out";
        measured_explained_variance: f32, Dictionary, "share of the residual's variance that it reconstructs on the first batch, likewise; NaN where it is not known";
        verified: bool, Dictionary, "false if it was used against the advice of the check at load time";
    }
}

table! {
    /// One row per game. A game exists if and only if it is here.
    games partition [] sort [game] {
        game: i64, Dictionary, "key of the game, stable between runs";
        game_id: String, Dictionary, "readable name of the game";
        game_block: i32, Dictionary, "the folder that holds its rows of the large tables";
        run: String, Dictionary, "the run that added it";
        source: String, Dictionary, "`slot-machine` or `prompts`, or `npz` of an imported game";
        n_steps: i32, Dictionary, "how many steps it has";
        outcome: Option<String>, Dictionary, "`voluntary_stop`, `bankruptcy`, `max_rounds`, `unparsable` or `error`; missing for prompts";
        final_balance: Option<i32>, Dictionary, "dollars at the end";
        bet_type: Option<String>, Dictionary, "`fixed` or `variable`";
        components: Option<String>, Dictionary, "the prompt components, a subset of GMHWP in this order";
        metadata: Option<String>, Dictionary, "what a prompts file said of the game, as JSON";
    }
}

table! {
    /// One row per step: one decision of a game, one prompt run through the model.
    steps partition [] sort [game, step] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "0-based number of the step in its game";
        n_tokens: i32, Dictionary, "tokens in the step, the answer included";
        n_prompt_tokens: i32, Dictionary, "tokens of the prompt alone";
        decision_position: i32, Dictionary, "the position whose logits decide: the last token of the prompt";
        decision: Option<String>, Dictionary, "`bet` or `stop`; missing if there was none";
        bet: Option<i32>, Dictionary, "dollars bet; 0 for a stop";
        won: Option<bool>, Dictionary, "whether the bet won";
        balance_before: Option<i32>, Dictionary, "dollars before the decision";
        balance_after: Option<i32>, Dictionary, "dollars after it";
        p_bet: Option<f32>, Dictionary, "the model's probability of the first token of the bet option at the decision position, among all tokens";
        p_stop: Option<f32>, Dictionary, "likewise of the stop option";
        option_mass: Option<f32>, Dictionary, "`p_bet` + `p_stop`: the share of the model's belief that the forced choice looks at";
        p_amount: Option<f32>, Dictionary, "the model's probability of the amount bet, given a bet, among all continuations; missing if no amount was chosen";
        amount_mass: Option<f32>, Dictionary, "the same, summed over the amounts offered";
        logit_diff: Option<f32>, Dictionary, "logit(bet) - logit(stop) at the decision position, or logit(first) - logit(second) of a prompt's metric";
        answer: Option<String>, Dictionary, "the text that the model generated";
        status: String, Dictionary, "`ok`, `unparsable` or `error`";
        error: Option<String>, Dictionary, "why there is no decision";
    }
}

table! {
    /// One row per token of a step, special tokens included.
    tokens partition [] sort [game, step, position] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        position: i32, Dictionary, "0-based index of the token in its step";
        token_id: i32, Dictionary, "index into the vocabulary; -1 where the token is not known";
        token: String, Dictionary, "text of the token; bytes that are no character of their own are shown as the replacement character";
        byte_start: i32, Dictionary, "first byte of the token in the step's text";
        byte_end: i32, Dictionary, "byte after its last";
        is_special: bool, Dictionary, "whether it is a control token of the model, such as a chat marker";
        is_generated: bool, Dictionary, "whether the model generated it";
    }
}

table! {
    /// One row per named span of a step's text.
    spans partition [] sort [game, step, position_start, name, byte_start, byte_end] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        name: String, Dictionary, "name of the span, such as `balance` or `history[3]`";
        byte_start: i32, Dictionary, "first byte of the span in the step's text";
        byte_end: i32, Dictionary, "byte after its last";
        position_start: i32, Dictionary, "first token that shares a byte with the span";
        position_end: i32, Dictionary, "token after the last one that does";
    }
}

table! {
    /// One row per run of positions of a step whose rows in the large tables are stored with an earlier step, which begins
    /// with the same tokens. There are none where a run stores all positions.
    prefixes partition [] sort [game, step, position_start] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        position_start: i32, Dictionary, "first position of the run";
        position_end: i32, Dictionary, "position after its last";
        stored_step: i32, Dictionary, "the step of the same game that has the rows, at the same positions";
    }
}

table! {
    /// One row per feature kept at a position of a layer.
    features partition [game_block: "run of consecutive games", layer: "block"] sort [game, step, position, rank] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        position: i32, Dictionary, "token of the step";
        feature: i32, Dictionary, "index into the layer's dictionary";
        activation: f32, ByteStreamSplit, "value after the nonlinearity, in the scale that SAELens and Neuronpedia report; greater than 0";
        rank: i32, Dictionary, "0 for the strongest feature of the position";
    }
}

table! {
    /// One row per feature and game of a layer: where it fired among the positions that statistics count, which leave out
    /// position 0, special tokens and what follows the decision.
    feature_rollup partition [game_block: "run of consecutive games", layer: "block"] sort [feature, game] {
        game: i64, Dictionary, "key of the game";
        feature: i32, Delta, "index into the layer's dictionary";
        count: i32, Dictionary, "positions of all steps where it is among the kept features";
        sum: f32, ByteStreamSplit, "sum of its activations there";
        max: f32, ByteStreamSplit, "the largest of them";
        step: i32, Dictionary, "the step of the largest; the first if there are several";
        position: i32, Dictionary, "its position; likewise";
    }
}

table! {
    /// One row per position of a layer: what the features there add up to, kept or not.
    positions partition [game_block: "run of consecutive games", layer: "block"] sort [game, step, position] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        position: i32, Dictionary, "token of the step";
        l0: i32, Dictionary, "number of active features, kept or not";
        feature_norm: f32, ByteStreamSplit, "L2 norm of all active features";
        residual_norm: f32, ByteStreamSplit, "L2 norm of what the dictionary reads, in the model's units; NaN of an imported game";
        reconstruction_error: f32, ByteStreamSplit, "L2 norm of what all active features together leave unexplained, in the model's units; NaN of an imported game";
        kept_share: f32, ByteStreamSplit, "share of `feature_norm` squared that the kept features hold; 1 if none was dropped";
    }
}

table! {
    /// One row per attention weight kept.
    attention partition [game_block: "run of consecutive games", layer: "block"] sort [game, step, head, query, key] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        head: i32, Dictionary, "query head";
        query: i32, Dictionary, "position that attends";
        key: i32, Dictionary, "position attended to";
        weight: f32, ByteStreamSplit, "probability after the softmax";
    }
}

table! {
    /// One row per head and attending position: what the kept weights leave out.
    attention_rows partition [game_block: "run of consecutive games", layer: "block"] sort [game, step, head, query] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        head: i32, Dictionary, "query head";
        query: i32, Dictionary, "position that attends";
        kept_mass: f32, ByteStreamSplit, "sum of the weights kept in `attention`";
        entropy: f32, ByteStreamSplit, "entropy of the whole row, in nats";
    }
}
