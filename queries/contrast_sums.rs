//! The sums over games from which [`crate::statistics`] tests a feature.
//!
//! They are sums over the games in which a feature fires. What the others add follows from how many steps they have,
//! so that a step in which a feature is silent is never looked at.

use std::sync::Arc;

use polars::prelude::{DataFrame, LazyFrame, PolarsResult, df};

use crate::{
    QueryError, Selection, Tables,
    add_up::{self, BySpan, add_up},
    contrast::Groups,
    contrast_design::{Design, Labels},
    prompts::{Prompts, floats, ints},
    statistics::{Constants, SUMS, Tested, test},
    tally::{Chosen, Tally, Token, by_span},
    walk::Rows,
};

/// The tests: layer, span, feature, `n_first`, `n_second`, games, support, `mean_first`, `mean_second`, effect,
/// statistic, `p_value`. Of features that fire in the span in at least `min_support` games, and spans that both groups
/// have. In no order.
///
/// # Errors
/// [`QueryError::EmptyGroup`] if a group has no step; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    (selection, layers): (&Selection, &[i32]),
    groups: &Groups,
    min_support: u32,
) -> Result<LazyFrame, QueryError> {
    let layer = selection.one_layer()?;
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let labels = Arc::new(Labels::read(tables, groups)?);
    let design = Arc::new(Design::read(tables, &prompts, layer, &labels)?);
    let chosen = Chosen {
        span: selection.span.as_deref().and_then(|span| prompts.number(span)),
        feature: selection.feature.map(|name| name.feature),
    };
    let new = move |layer: i32| Sums {
        layer,
        labels: Arc::clone(&labels),
        design: Arc::clone(&design),
        chosen,
        min_support,
        spans: BySpan::default(),
    };
    let features = add_up::features(tables)?;
    add_up(&prompts, layers, new, |part, layer| Ok(features(part, layer)))
}

/// The sums of a layer.
struct Sums {
    layer: i32,
    labels: Arc<Labels>,
    design: Arc<Design>,
    chosen: Chosen,
    min_support: u32,
    spans: BySpan<OfSpan>,
}

/// The sums of a span: of the game that is being read, and of those before it.
#[derive(Default)]
struct OfSpan {
    game: Tally<OfGame>,
    games: Tally<[f64; SUMS]>,
}

/// A feature that was tested in a span.
struct Row {
    span: u32,
    feature: i32,
    support: f64,
    constants: Constants,
    tested: Tested,
}

/// The sums of one game.
#[derive(Clone, Copy, Default)]
struct OfGame {
    /// The step whose value is not added yet, whether it is of the first group, and its value so far.
    step: Option<(usize, bool, f32)>,
    powers: [f64; 3],
    first: [f64; 2],
}

impl add_up::Sums for Sums {
    fn add(&mut self, rows: &Rows<'_>) -> PolarsResult<()> {
        let positions = ints(rows.frame, "position")?;
        let (features, activations) = (ints(rows.frame, "feature")?, floats(rows.frame, "activation")?);
        let steps = rows.by_step().collect::<Vec<_>>();
        let is_first = steps.iter().map(|(prompt, _)| self.labels.of(prompt)).collect::<Vec<_>>();
        let tokens = by_span(&steps, positions, self.chosen, |_| true);
        let game_of = |token: &Token| steps[token.step].0.game;
        self.spans.add(&tokens, |span, sums, tokens| {
            for tokens in tokens.chunk_by(|one, next| game_of(one) == game_of(next)) {
                for Token { step, rows, .. } in tokens {
                    let Some(is_first) = is_first[*step] else { continue };
                    for (feature, activation) in features[rows.clone()].iter().zip(&activations[rows.clone()])
                    {
                        if self.chosen.has(*feature) {
                            sums.game.of(*feature).see((*step, is_first), *activation);
                        }
                    }
                }
                let m = self.design.steps(self.layer, span, game_of(&tokens[0]));
                sums.close_game(m);
            }
        });
        Ok(())
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let Self { layer, design, min_support, spans, .. } = self;
        let rows = spans.rows(|span, mut sums| {
            let Some(constants) = design.constants(layer, span) else { return Vec::new() };
            let supported = sums.games.take().filter(|(_, sums)| sums[0] >= f64::from(min_support));
            let row = |(feature, sums): (i32, [f64; SUMS])| Row {
                span,
                feature,
                support: sums[0],
                constants,
                tested: test(&sums, &constants),
            };
            supported.map(row).collect::<Vec<_>>()
        });
        let count = |of: fn(&Row) -> f64| rows.iter().map(|row| of(row) as i64).collect::<Vec<_>>();
        let number = |of: fn(&Row) -> Option<f64>| rows.iter().map(of).collect::<Vec<_>>();
        df!(
            "layer" => vec![layer; rows.len()],
            "span" => rows.iter().map(|row| prompts.name(row.span)).collect::<Vec<_>>(),
            "feature" => rows.iter().map(|row| row.feature).collect::<Vec<_>>(),
            "n_first" => count(|row| row.constants.n_first),
            "n_second" => count(|row| row.constants.n_second),
            "games" => count(|row| row.constants.games),
            "support" => count(|row| row.support),
            "mean_first" => rows.iter().map(|row| row.tested.mean_first).collect::<Vec<_>>(),
            "mean_second" => rows.iter().map(|row| row.tested.mean_second).collect::<Vec<_>>(),
            "effect" => number(|row| row.tested.effect),
            "statistic" => number(|row| row.tested.statistic),
            "p_value" => number(|row| row.tested.p_value),
        )
    }
}

impl OfSpan {
    /// Adds the game that was read, which has `m` steps.
    fn close_game(&mut self, m: f64) {
        for (feature, of_game) in self.game.take() {
            let sums = self.games.of(feature);
            sums.iter_mut().zip(of_game.sums(m)).for_each(|(sum, of_game)| *sum += of_game);
        }
    }
}

impl OfGame {
    /// A token of a step at which the feature fires.
    fn see(&mut self, (step, is_first): (usize, bool), activation: f32) {
        match &mut self.step {
            Some((last, _, strongest)) if *last == step => *strongest = strongest.max(activation),
            _ => {
                self.close();
                self.step = Some((step, is_first, activation));
            }
        }
    }

    /// Adds the value of the last step.
    fn close(&mut self) {
        if let Some((_, is_first, y)) = self.step.take() {
            let y = f64::from(y);
            self.powers = [self.powers[0] + y, self.powers[1] + y * y, self.powers[2] + y * y * y];
            if is_first {
                self.first = [self.first[0] + y, self.first[1] + y * y];
            }
        }
    }

    /// What a game with `m` steps adds to the sums that [`test`] takes.
    fn sums(mut self, m: f64) -> [f64; SUMS] {
        self.close();
        let ([s_1, s_2, s_3], [first_1, first_2]) = (self.powers, self.first);
        [
            1.0,
            s_1,
            s_2,
            s_3,
            first_1,
            first_2,
            s_1 * s_1,
            s_1 * s_2,
            s_1 * s_1 * s_1,
            s_1 * s_1 / m,
            m * s_1,
            m * s_2,
            m * s_1 * s_1,
            m * m * s_1,
        ]
    }
}
