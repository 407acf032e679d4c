//! The causal tables: what was changed inside the model, and what that did. A lake has them from its first analysis on.

use crate::table::{Table, table};

/// The causal tables, in the order in which an analysis is committed: `interventions` last.
pub const CAUSAL: [&Table; 3] = [&edges::TABLE, &effects::TABLE, &interventions::TABLE];

table! {
    /// One row per arm of an analysis: what was changed, where and how much. An analysis exists if and only if it is here.
    interventions partition [] sort [analysis, arm] {
        analysis: String, Dictionary, "id of the analysis: 16 hexadecimal digits of the SHA-256 of its settings and its model";
        arm: i32, Dictionary, "0-based number of the arm in its analysis";
        name: String, Dictionary, "readable name of the arm, such as `L15-59 x 3`";
        command: String, Dictionary, "`patch`, `attribute`, `trace` or `steer`";
        started_at: String, Dictionary, "when the analysis began, RFC 3339, UTC";
        saelake_version: String, Dictionary, "version of the program";
        model: String, Dictionary, "the model as it was asked for";
        model_hash: String, Dictionary, "SHA-256 over the model's configuration and weight files";
        edit: String, Dictionary, "`none`, `replace`, `add`, `scale`, `zero`, `mean` or `resample`; `estimate` where nothing was changed but effects were estimated";
        hook: Option<String>, Dictionary, "where, in TransformerLens's names; missing if the rows of `effects` say";
        layer: Option<i32>, Dictionary, "the block, likewise";
        head: Option<i32>, Dictionary, "the head, if one was changed alone";
        feature: Option<i32>, Dictionary, "the feature, if one was changed alone";
        span: Option<String>, Dictionary, "the span or the positions changed; missing if all were, or the rows of `effects` say";
        strength: Option<f32>, Dictionary, "the factor of a scaling, or the length in residual units of what was added";
        scope: String, Dictionary, "`prompt` if the prompt alone was changed, `every` if every new token was too";
        seed: i64, Dictionary, "seed of the analysis";
        settings: String, Dictionary, "every setting of the analysis, as JSON";
    }
}

table! {
    /// One row per effect on a metric: of a change at a node of a step, or of an arm on a game that was played with it.
    effects partition [] sort [game, step, analysis, row] {
        game: i64, Dictionary, "key of the game; a game played by `steer` need not be in `games`";
        step: i32, Dictionary, "step of the game; -1 for the game as a whole";
        analysis: String, Dictionary, "the analysis";
        row: i32, Plain, "0-based number of the effect in its analysis";
        arm: i32, Dictionary, "the arm of the analysis";
        metric: String, Dictionary, "what was measured, such as `logit( Bet) - logit( Stop)`, or `bets / steps` of a game";
        method: String, Dictionary, "`exact` if the change was made, or how its effect was estimated: `attribution`, `integrated-gradients`, …";
        node: String, Dictionary, "what was changed: `activation`, `head`, `feature`, `error`, `direction` or `none`";
        hook: Option<String>, Dictionary, "where, in TransformerLens's names";
        layer: Option<i32>, Dictionary, "the block";
        position_start: Option<i32>, Dictionary, "the first position changed";
        position_end: Option<i32>, Dictionary, "the position after the last one changed";
        span: Option<String>, Dictionary, "the span that these positions are, if they are one";
        head: Option<i32>, Dictionary, "the head";
        feature: Option<i32>, Dictionary, "index into the layer's dictionary";
        strength: Option<f32>, Dictionary, "the factor of a scaling, or the length in residual units of what was added";
        estimate: Option<f32>, ByteStreamSplit, "the estimated change of the metric; missing of an exact method";
        exact: Option<f32>, ByteStreamSplit, "the change of the metric by a forward pass with the change made; missing where an estimate was not audited";
        metric_base: f32, ByteStreamSplit, "the metric without the change";
        metric_other: Option<f32>, ByteStreamSplit, "the metric of the run that values were taken from; missing if there is none. `exact / (metric_other - metric_base)` is the recovered share";
    }
}

table! {
    /// One row per edge of an attribution graph: how much a node adds to another one.
    edges partition [] sort [game, step, analysis, row] {
        game: i64, Dictionary, "key of the game";
        step: i32, Dictionary, "step of the game";
        analysis: String, Dictionary, "the analysis";
        row: i32, Plain, "0-based number of the edge in its analysis";
        source_node: String, Dictionary, "`feature`, `error`, `bias` or `token`";
        source_layer: Option<i32>, Dictionary, "the block of the source; missing of a token";
        source_position: i32, Dictionary, "its position";
        source_feature: Option<i32>, Dictionary, "its feature, if it is one";
        target_node: String, Dictionary, "`feature` or `metric`";
        target_layer: Option<i32>, Dictionary, "the block of the target; missing of the metric";
        target_position: i32, Dictionary, "its position";
        target_feature: Option<i32>, Dictionary, "its feature, if it is one";
        weight: f32, ByteStreamSplit, "what the source adds to the target: to a feature before its nonlinearity, or to the metric";
        method: String, Dictionary, "how the weight was found, such as `gradient`";
        frozen: bool, Dictionary, "whether attention patterns and the factors of norms were held as they were";
    }
}
