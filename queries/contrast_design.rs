//! Which steps are in which of two groups, and what follows from that alone for every test in a span.

use std::collections::BTreeMap;

use polars::prelude::{DataType, JoinArgs, JoinType, LazyFrame, PlHashMap, col};

use crate::{
    QueryError, Tables,
    contrast::Groups,
    members::STEP,
    place::distinct,
    prompts::{Prompt, Prompts, ints, longs, rows},
    run,
    statistics::Constants,
    walk::captured,
};

/// How many steps of each group a game has.
type ByGame = PlHashMap<i64, [f64; 2]>;

/// Whether a step is in the first group, for those that are in one.
pub(crate) struct Labels(PlHashMap<(i64, i32), bool>);

impl Labels {
    /// The groups of the steps of the games that the tables show.
    ///
    /// # Errors
    /// [`QueryError::EmptyGroup`] if a group has no step; if the lake cannot be read.
    pub(crate) fn read(tables: &Tables, groups: &Groups) -> Result<Self, QueryError> {
        let values = values(tables, groups);
        let frame = rows(run(values.clone())?);
        let (games, steps) = (longs(&frame, "game")?, ints(&frame, "step")?);
        let [first, second] = groups.values();
        let mut labels = PlHashMap::default();
        for (row, value) in frame.column("value")?.str()?.iter().enumerate() {
            if let Some(is_first) =
                value.filter(|value| [first, second].contains(value)).map(|value| value == first)
            {
                labels.insert((games[row], steps[row]), is_first);
            }
        }
        for (value, wanted) in [(first, true), (second, false)] {
            if !labels.values().any(|is_first| *is_first == wanted) {
                let known = run(distinct(values, "value"))?;
                let known = known.column("value")?.str()?.iter().flatten().map(str::to_owned);
                return Err(QueryError::EmptyGroup {
                    group: groups.by().to_owned(),
                    value: value.to_owned(),
                    values: known.collect::<Vec<_>>(),
                });
            }
        }
        Ok(Self(labels))
    }

    /// Whether a step is in the first group; nothing if it is in neither.
    pub(crate) fn of(&self, prompt: &Prompt) -> Option<bool> {
        self.0.get(&(prompt.game, prompt.step)).copied()
    }
}

/// What steps are told apart by: game, step, value.
fn values(tables: &Tables, groups: &Groups) -> LazyFrame {
    let value = |column: &str| col(column).cast(DataType::String).alias("value");
    if groups.is_decision() {
        return tables.steps().select([col("game"), col("step"), value("decision")]);
    }
    let games = tables.games().select([col("game"), value(groups.by())]);
    let on = [col("game")];
    tables.steps().select(STEP.map(col)).join(games, &on, &on, JoinArgs::new(JoinType::Inner))
}

/// How many steps of either group each game has at a layer, of those with a span: by layer and number of the span.
pub(crate) struct Design(BTreeMap<(i32, u32), ByGame>);

impl Design {
    /// Counts steps that have rows at a layer and are in a group.
    ///
    /// # Errors
    /// If the lake cannot be read.
    pub(crate) fn read(
        tables: &Tables,
        prompts: &Prompts,
        layer: Option<i32>,
        labels: &Labels,
    ) -> Result<Self, QueryError> {
        let mut design = BTreeMap::<_, PlHashMap<_, [f64; 2]>>::new();
        for (prompt, layer) in captured(tables, prompts, layer)? {
            let Some(is_first) = labels.of(prompt) else { continue };
            for span in &prompt.spans {
                let games = design.entry((layer, *span)).or_default();
                games.entry(prompt.game).or_default()[usize::from(!is_first)] += 1.0;
            }
        }
        Ok(Self(design))
    }

    /// The steps of a game in either group.
    pub(crate) fn steps(&self, layer: i32, span: u32, game: i64) -> f64 {
        let games = self.0.get(&(layer, span));
        games.and_then(|games| games.get(&game)).map_or(0.0, |[first, second]| first + second)
    }

    /// What every test in a span shares; nothing if only one group has the span, or fewer than three games.
    pub(crate) fn constants(&self, layer: i32, span: u32) -> Option<Constants> {
        const FEWEST: usize = 3;
        let games = self.0.get(&(layer, span)).filter(|games| games.len() >= FEWEST)?;
        let [n_first, n_second] = totals(games);
        if n_first == 0.0 || n_second == 0.0 {
            return None;
        }
        let over_games = |term: fn(f64) -> f64| sum(games, |[first, second], _| term(first + second));
        let weighed = |term: fn(f64, f64) -> f64| {
            sum(games, |game, totals| {
                let [a, a_2] = weights(game, totals);
                term(a, a_2)
            })
        };
        Some(Constants {
            n: n_first + n_second,
            n_first,
            n_second,
            games: games.len() as f64,
            m_2: over_games(|m| m * m),
            m_3: over_games(|m| m * m * m),
            a_2: weighed(|_, a_2| a_2),
            a_3: n_first.powi(-2) - n_second.powi(-2),
            w_11: weighed(|a, _| a * a),
            w_12: weighed(|a, a_2| a * a_2),
            w_111: weighed(|a, _| a * a * a),
        })
    }
}

/// The steps of either group.
fn totals(games: &ByGame) -> [f64; 2] {
    let side = |side: usize| games.values().map(|steps| steps[side]).sum::<f64>();
    [side(0), side(1)]
}

/// The sum over games of a term of a game's steps and of all steps, in the order of games.
fn sum(games: &ByGame, term: impl Fn([f64; 2], [f64; 2]) -> f64) -> f64 {
    let totals = totals(games);
    let ordered = games.iter().collect::<BTreeMap<_, _>>();
    ordered.values().map(|steps| term(**steps, totals)).sum()
}

/// The sums over a game's steps of their weights and of the squares.
fn weights([first, second]: [f64; 2], [n_first, n_second]: [f64; 2]) -> [f64; 2] {
    [first / n_first - second / n_second, first / n_first.powi(2) + second / n_second.powi(2)]
}
