//! The sums over games from which [`crate::statistics`] tests a feature.
//!
//! They are sums over the games in which a feature fires. What the others add follows from how many steps they have,
//! so that a step in which a feature is silent is never looked at.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{
    Column, DataFrame, DataType, JoinArgs, JoinType, LazyFrame, PlHashMap, PolarsResult, col, df, lit,
};

use crate::{
    QueryError, Selection, Tables,
    contrast::Groups,
    contrast_design::{Design, Labels},
    place::filtered,
    prompts::{Prompts, floats, ints},
    tally::{Chosen, Tally, Token, by_span},
    walk::{Rows, walk},
};

/// The sums: of the support (1 for each game), then with S₁, S₂, S₃ for the sums of a game's values, their squares and
/// cubes, and m for its steps: S₁, S₂, S₃, S₁ and S₂ of the first group, S₁², S₁S₂, S₁³, S₁²/m, mS₁, mS₂, mS₁², m²S₁.
const SUMS: [&str; 14] = [
    "support", "s_1", "s_2", "s_3", "first_1", "first_2", "s_11", "s_12", "s_111", "s_11_m", "m_s_1",
    "m_s_2", "m_s_11", "mm_s_1",
];

/// The plan: layer, span, feature, the sums, and what [`Design`] says of the span, in double precision. Of features
/// that fire in the span in at least `min_support` games, and spans that both groups have. In no order.
///
/// # Errors
/// [`QueryError::EmptyGroup`] if a group has no step; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    selection: &Selection,
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
    let constants = design.constants(&prompts)?;
    let schema = Arc::clone(Sums::default().rows(&prompts)?.schema());
    let fold =
        move |prompts: &Prompts, rows: &Rows<'_>| Sums::of(rows, &labels, &design, chosen)?.rows(prompts);
    let table = (&schemas::features::TABLE, &["position", "feature", "activation"][..]);
    let parts = walk(tables, table, layer, &prompts, (schema, fold))?;
    let on = ["layer", "span"].map(col);
    Ok(filtered(parts, "span", selection.span.clone())
        .group_by(["layer", "span", "feature"].map(col))
        .agg(SUMS.map(|name| col(name).sum()))
        .filter(col("support").gt_eq(lit(min_support).cast(DataType::Float64)))
        .join(constants, &on, &on, JoinArgs::new(JoinType::Inner)))
}

/// The sums of every feature that fires, by layer and number of the span.
#[derive(Default)]
struct Sums(BTreeMap<(i32, u32), PlHashMap<i32, [f64; SUMS.len()]>>);

/// The sums of one game.
#[derive(Clone, Copy, Default)]
struct OfGame {
    /// The step whose value is not added yet, whether it is of the first group, and its value so far.
    step: Option<(usize, bool, f32)>,
    powers: [f64; 3],
    first: [f64; 2],
}

impl Sums {
    fn of(rows: &Rows<'_>, labels: &Labels, design: &Design, chosen: Chosen) -> PolarsResult<Self> {
        let positions = ints(rows.frame, "position")?;
        let (features, activations) = (ints(rows.frame, "feature")?, floats(rows.frame, "activation")?);
        let (mut sums, mut tally) = (Self::default(), Tally::<OfGame>::default());
        for steps in rows.by_step().collect::<Vec<_>>().chunk_by(|one, next| one.0.game == next.0.game) {
            let is_first = steps.iter().map(|(prompt, _)| labels.of(prompt)).collect::<Vec<_>>();
            for ((layer, span), tokens) in by_span(steps, positions, chosen, |_| true) {
                for Token { step, rows, .. } in tokens {
                    let Some(is_first) = is_first[step] else { continue };
                    for (feature, activation) in features[rows.clone()].iter().zip(&activations[rows]) {
                        if chosen.has(*feature) {
                            tally.of(*feature).see((step, is_first), *activation);
                        }
                    }
                }
                let m = design.steps(layer, span, steps[0].0.game);
                let sums = sums.0.entry((layer, span)).or_default();
                for (feature, of_game) in tally.take() {
                    let sums = sums.entry(feature).or_insert([0.0; SUMS.len()]);
                    sums.iter_mut().zip(of_game.sums(m)).for_each(|(sum, of_game)| *sum += of_game);
                }
            }
        }
        Ok(sums)
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let spans = self.0.into_iter();
        let mut sums = spans
            .flat_map(|(of, sums)| sums.into_iter().map(move |(feature, sums)| (of, feature, sums)))
            .collect::<Vec<_>>();
        sums.sort_unstable_by_key(|(of, feature, _)| (*of, *feature));
        let mut frame = df!(
            "layer" => sums.iter().map(|((layer, _), _, _)| *layer).collect::<Vec<_>>(),
            "span" => sums.iter().map(|((_, span), _, _)| prompts.name(*span)).collect::<Vec<_>>(),
            "feature" => sums.iter().map(|(_, feature, _)| *feature).collect::<Vec<_>>(),
        )?;
        for (place, name) in SUMS.into_iter().enumerate() {
            let values = sums.iter().map(|(_, _, sums)| sums[place]).collect::<Vec<_>>();
            frame.with_column(Column::new(name.into(), values))?;
        }
        Ok(frame)
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

    /// What a game with `m` steps adds to [`SUMS`].
    fn sums(mut self, m: f64) -> [f64; SUMS.len()] {
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
