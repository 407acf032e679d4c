//! Where a question about one step looks, found before anything is planned.

use polars::prelude::{DataFrame, Expr, LazyFrame, SortMultipleOptions, col, lit};

use crate::{QueryError, Tables, nearest::closest, run};

/// A step of a game that the lake holds, and one or all of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Key of the game.
    pub game: i64,
    /// The folder that holds the game's rows of the large tables.
    pub game_block: i32,
    /// The step.
    pub step: i32,
    /// The layer; every captured one if missing.
    pub layer: Option<i32>,
    /// The position whose logits decide.
    pub decision_position: i32,
    /// Query heads of a layer, from the run that added the game.
    pub n_heads: i32,
}

/// Which layers of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The last one with features.
    Last,
    /// Every one.
    Each,
    /// This one.
    One(i32),
    /// This one, which need not have features.
    Captured(i32),
}

impl Layers {
    /// The layer asked for, or else `default`.
    pub fn or(layer: Option<i32>, default: Self) -> Self {
        layer.map_or(default, Self::One)
    }
}

impl Place {
    /// Finds the place. Left out, `game` is the one with the smallest key and `step` the game's first.
    ///
    /// # Errors
    /// If there is no such game, step or layer, naming those that there are; if the lake lacks the run or
    /// the attention that belongs to them, or cannot be read.
    pub fn find(
        tables: &Tables,
        game: Option<i64>,
        step: Option<i32>,
        layers: Layers,
    ) -> Result<Self, QueryError> {
        let (game, game_block, run_id) = find_game(tables, game)?;
        let (step, decision_position) = find_step(tables, game, step)?;
        let layer = find_layer(tables, (game, game_block, step), layers)?;
        let n_heads = heads(tables, game, run_id)?;
        let place = Self { game, game_block, step, layer, decision_position, n_heads };
        place.check_heads(tables)?;
        Ok(place)
    }

    /// Finds a step for a question that looks at the files of no layer.
    ///
    /// # Errors
    /// As [`Place::find`], but for layers and heads.
    pub(crate) fn of_step(tables: &Tables, game: Option<i64>, step: Option<i32>) -> Result<Self, QueryError> {
        let (game, game_block, run_id) = find_game(tables, game)?;
        let (step, decision_position) = find_step(tables, game, step)?;
        let n_heads = heads(tables, game, run_id)?;
        Ok(Self { game, game_block, step, layer: None, decision_position, n_heads })
    }

    /// The rows of the step in a table without partitions.
    pub(crate) fn in_step(&self, table: LazyFrame) -> LazyFrame {
        table.filter(equals("game", self.game).and(equals("step", self.step)))
    }

    /// The rows of the step, and of the layer if there is one, in a partitioned table.
    pub(crate) fn in_layer(&self, table: LazyFrame) -> LazyFrame {
        let folder = table.filter(equals("game_block", self.game_block));
        self.in_step(filtered(folder, "layer", self.layer))
    }

    /// `attention_rows` has every head, kept weights or not, so a gap means that the lake is damaged.
    fn check_heads(&self, tables: &Tables) -> Result<(), QueryError> {
        let rows = self.in_layer(tables.attention_rows()).filter(equals("query", self.decision_position));
        let counts = run(rows.group_by([col("layer")]).agg([col("head").n_unique().alias("heads")]))?;
        let layers = counts.column("layer")?.i32()?.iter().flatten().collect::<Vec<_>>();
        let heads = counts.column("heads")?.u32()?.iter().flatten().collect::<Vec<_>>();
        let wrong = |layer: i32, found: usize| QueryError::MissingHeads {
            game: self.game,
            step: self.step,
            layer,
            expected: self.n_heads,
            found,
        };
        if let Some(layer) = self.layer
            && layers.is_empty()
        {
            return Err(wrong(layer, 0));
        }
        for (layer, found) in layers.into_iter().zip(heads) {
            if u32::try_from(self.n_heads) != Ok(found) {
                return Err(wrong(layer, found as usize));
            }
        }
        Ok(())
    }
}

fn find_game(tables: &Tables, game: Option<i64>) -> Result<(i64, i32, String), QueryError> {
    let asked = first(filtered(tables.games(), "game", game), "game")?;
    let found = asked.column("game")?.i64()?.iter().next().flatten();
    let block = asked.column("game_block")?.i32()?.iter().next().flatten();
    let run_id = asked.column("run")?.str()?.iter().next().flatten();
    if let (Some(found), Some(block), Some(run_id)) = (found, block, run_id) {
        return Ok((found, block, run_id.to_owned()));
    }
    let Some(game) = game else { return Err(QueryError::NoGames) };
    let games = run(distinct(tables.games(), "game"))?;
    let games = closest(game, games.column("game")?.i64()?.iter().flatten());
    Err(if games.is_empty() { QueryError::NoGames } else { QueryError::UnknownGame { game, games } })
}

fn find_step(tables: &Tables, game: i64, step: Option<i32>) -> Result<(i32, i32), QueryError> {
    let of_game = tables.steps().filter(equals("game", game));
    let asked = first(filtered(of_game.clone(), "step", step), "step")?;
    let found = asked.column("step")?.i32()?.iter().next().flatten();
    let decision = asked.column("decision_position")?.i32()?.iter().next().flatten();
    if let (Some(found), Some(decision)) = (found, decision) {
        return Ok((found, decision));
    }
    let steps = integers(of_game, "step")?;
    match step {
        Some(step) if !steps.is_empty() => Err(QueryError::UnknownStep { game, step, steps }),
        _ => Err(QueryError::NoSteps { game }),
    }
}

fn find_layer(
    tables: &Tables,
    (game, game_block, step): (i64, i32, i32),
    layers: Layers,
) -> Result<Option<i32>, QueryError> {
    let folder = tables.positions().filter(equals("game_block", game_block));
    let of_step = folder.filter(equals("game", game).and(equals("step", step)));
    let asked = match layers {
        Layers::Each => return Ok(None),
        Layers::Captured(layer) => return Ok(Some(layer)),
        Layers::Last => None,
        Layers::One(layer) => Some(layer),
    };
    // Asked first with the filter, so that the files of other layers are not opened.
    let found = integers(filtered(of_step.clone(), "layer", asked), "layer")?;
    if let Some(last) = found.last() {
        return Ok(Some(*last));
    }
    let captured = integers(of_step, "layer")?;
    match asked {
        Some(layer) if !captured.is_empty() => {
            Err(QueryError::UnknownLayer { game, step, layer, layers: captured })
        }
        _ => Err(QueryError::NoFeatures { game, step }),
    }
}

fn heads(tables: &Tables, game: i64, run_id: String) -> Result<i32, QueryError> {
    let found = run(tables.runs().filter(col("run").eq(lit(run_id.clone()))).select([col("n_heads")]))?;
    let heads = found.column("n_heads")?.i32()?.iter().next().flatten();
    heads.ok_or(QueryError::UnknownRun { game, run: run_id })
}

pub(crate) fn equals<T: polars::prelude::Literal>(column: &str, value: T) -> Expr {
    col(column).eq(lit(value))
}

/// The rows with the value, or all of them if there is none.
pub(crate) fn filtered<T: polars::prelude::Literal>(
    table: LazyFrame,
    column: &str,
    value: Option<T>,
) -> LazyFrame {
    match value {
        Some(value) => table.filter(equals(column, value)),
        None => table,
    }
}

/// The row with the smallest value of `column`.
fn first(table: LazyFrame, column: &str) -> Result<DataFrame, QueryError> {
    run(table.sort([column], SortMultipleOptions::default()).limit(1))
}

/// The values of `column`, each once, ascending.
pub(crate) fn distinct(table: LazyFrame, column: &str) -> LazyFrame {
    table.select([col(column)]).group_by([col(column)]).agg([]).sort([column], SortMultipleOptions::default())
}

/// The whole numbers of `column`, each once, ascending.
pub(crate) fn integers(table: LazyFrame, column: &str) -> Result<Vec<i32>, QueryError> {
    let values = run(distinct(table, column))?;
    Ok(values.column(column)?.i32()?.iter().flatten().collect::<Vec<_>>())
}
