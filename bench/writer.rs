//! Times what comes after the GPU: the lake's writer by itself, and the pipeline from prompts to committed Parquet with
//! an engine that sees the same in every step. The attention is of 32 heads.

mod made_prompts;
#[path = "../tests/lake/synthetic.rs"]
mod synthetic;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write as _, stdout};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rayon::prelude::*;
use saelake::capture::{
    Answer, Asked, AttentionKept, CaptureError, Captured, Drawing, Engine, Observed, Pair, Pass, Past,
    PositionsKept, Prepared, Run, Settings, Source, collect, commit_sizes,
};
use saelake::dictionary::{Keep, Measured};
use saelake::game::Decide;
use saelake::lake::{Batch, Lake};
use saelake::model::{Config, Rope, Scaling};
use synthetic::{SMALL, Shape};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// 250 positions, three layers, 64 features, 32 heads with their eight strongest keys.
const SHAPE: Shape = Shape { steps: 1, tokens: 250, top_k: 64, heads: 32, keys: 8, ..SMALL };

const GAMES: usize = 40;

/// Appends of which the middle one counts.
const RUNS: usize = 5;

fn main() -> Result<()> {
    let keys = (0..GAMES as i64).collect::<Vec<_>>();
    let batch = synthetic::first_batch(&keys, SHAPE);
    append(&batch)?;
    pipeline(&batch)
}

fn append(batch: &Batch) -> Result<()> {
    // A rollup that is there is not made, and one without rows is not written.
    let mut without = batch.clone();
    without.feature_rollup =
        batch.features.keys().map(|layer| (*layer, schemas::feature_rollup::Rows::default())).collect();
    let (mut times, mut others) = (Vec::new(), Vec::new());
    let mut rows = 0;
    for _ in 0..RUNS {
        let (seconds, written) = time(batch)?;
        times.push(seconds);
        others.push(time(&without)?.0);
        rows = written;
    }
    let (whole, other) = (middle(times), middle(others));
    let (rate, rollup) = (rows as f64 / whole / 1e6, 100.0 * (whole - other) / whole);
    let threads = std::thread::available_parallelism()?;
    writeln!(
        stdout(),
        "append: {rows} rows, {rate:.1} million rows/s on {threads} threads, {rollup:.1} % of the time for the rollup"
    )?;
    Ok(())
}

/// The seconds that an append takes, and the rows it writes.
fn time(batch: &Batch) -> Result<(f64, u64)> {
    let folder = tempfile::tempdir()?;
    let mut lake = Lake::create_or_open(folder.path())?;
    let batch = batch.clone();
    let start = Instant::now();
    let rows = lake.append(batch)?.rows;
    Ok((start.elapsed().as_secs_f64(), rows))
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn pipeline(batch: &Batch) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tokenizer = made_prompts::tokenizer(folder.path())?;
    let games = made_prompts::games(&[250; 500]);
    let made = Made { of_game: first_game(batch), config: config(), settings: settings() };
    let stop = AtomicBool::new(false);
    let run = Run {
        tokenizer: &tokenizer,
        row: schemas::runs::Row { n_heads: SHAPE.heads, ..synthetic::run() },
        dictionaries: SHAPE.layers.iter().map(|layer| synthetic::dictionary(*layer)).collect(),
        positions: PositionsKept::All,
        commits: commit_sizes(games.len(), 100),
        stop: &stop,
    };
    let mut lake = Lake::create_or_open(folder.path().join("lake"))?;
    let start = Instant::now();
    let summary = collect(&made, run, Source::Prompts(games), &mut lake, |_| ())?;
    let rate = summary.committed.tokens as f64 / start.elapsed().as_secs_f64();
    writeln!(stdout(), "pipeline: {} tokens, {rate:.0} tokens/s", summary.committed.tokens)?;
    Ok(())
}

/// What was captured of the first game.
fn first_game(batch: &Batch) -> Captured {
    macro_rules! rows {
        ($table:ident, $($column:ident),*) => {{
            let of_layer = |rows: &schemas::$table::Rows| {
                let count = rows.game.iter().take_while(|game| **game == rows.game[0]).count();
                schemas::$table::Rows { $($column: rows.$column[..count].to_vec()),* }
            };
            batch.$table.iter().map(|(layer, rows)| (*layer, of_layer(rows))).collect::<BTreeMap<_, _>>()
        }};
    }
    Captured {
        features: rows!(features, game, step, position, feature, activation, rank),
        positions: rows!(
            positions,
            game,
            step,
            position,
            l0,
            feature_norm,
            residual_norm,
            reconstruction_error,
            kept_share
        ),
        attention: rows!(attention, game, step, head, query, key, weight),
        attention_rows: rows!(attention_rows, game, step, head, query, kept_mass, entropy),
    }
}

/// An engine that sees the same in every step.
struct Made {
    of_game: Captured,
    config: Config,
    settings: Settings,
}

impl Engine for Made {
    fn config(&self) -> &Config {
        &self.config
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn start(&self, steps: &[&Prepared], _: &[[u32; 2]], _: bool) -> Result<Pass<'_>, CaptureError> {
        let games = steps.iter().map(|step| step.game).collect::<Vec<_>>();
        Ok(Box::new(move || {
            let seen = |game: &i64| {
                let mut captured = self.of_game.clone();
                captured.features.values_mut().for_each(|rows| rows.game.fill(*game));
                captured.positions.values_mut().for_each(|rows| rows.game.fill(*game));
                captured.attention.values_mut().for_each(|rows| rows.game.fill(*game));
                captured.attention_rows.values_mut().for_each(|rows| rows.game.fill(*game));
                captured
            };
            let pair = Pair { first: 0.5, second: 0.5, logit_diff: 0.0 };
            Ok(Observed {
                captured: games.par_iter().map(seen).collect(),
                pairs: vec![pair; games.len()],
                past: Box::new(Nothing),
            })
        }))
    }

    fn generate(
        &self,
        _: &[Vec<u32>],
        _: &Drawing,
        _: &mut dyn FnMut(usize) -> f32,
    ) -> Result<Vec<Answer>, CaptureError> {
        Err(CaptureError::NotFused("generating answers"))
    }

    fn measure(&self, _: &[Prepared]) -> Result<Vec<Measured>, CaptureError> {
        Ok(Vec::new())
    }
}

/// Prompts of a file are not gone on from.
struct Nothing;

impl Past for Nothing {
    fn continuations(&self, _: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError> {
        Err(CaptureError::NotFused("going on"))
    }
}

fn config() -> Config {
    Config {
        d_model: 576,
        n_layers: 30,
        n_heads: SHAPE.heads as usize,
        n_kv_heads: 8,
        head_dim: 64,
        d_mlp: 1536,
        vocab: 5000,
        context: 8192,
        rms_eps: 1e-5,
        rope: Rope { theta: 1e4, scaling: Scaling::None },
        tied: true,
        bos: None,
        eos: vec![1],
    }
}

fn settings() -> Settings {
    Settings {
        layers: SHAPE.layers.iter().map(|layer| *layer as usize).collect(),
        keep: Keep::Top(64),
        attention: AttentionKept::Top(8),
        decide: Decide::Choice,
        temperature: 0.0,
        max_new_tokens: 1,
        batch_tokens: 8_192,
    }
}
