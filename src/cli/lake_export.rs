//! `saelake lake export`: a lake in the layout of another tool.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Ending, ui};
use crate::error::{Error, UsageError};
use crate::exchange::{self, Kind, MatrixRows};
use crate::lake::Lake;

/// What to export, and where to.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
    /// The folder to write, which is made
    out: PathBuf,
    /// The layout to write
    #[arg(long, value_enum)]
    layout: Layout,
    /// Layers to write [default: all of the lake]
    #[arg(long, value_delimiter = ',', value_name = "L,…")]
    layers: Vec<i32>,
    /// npz-coo: what a row of the matrix is [default: decision]
    #[arg(long, value_enum)]
    rows: Option<Rows>,
    /// delphi: files that the features of a layer are split into [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    splits: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// Parquet with a folder for each game, layer and position
    GameLayerPosition,
    /// A sparse matrix a layer, `sae_features_L*.npz`, as llm-addiction's scripts read
    NpzCoo,
    /// The safetensors that delphi explains features from
    Delphi,
    /// A dataset of token ids for SAELens, with the features beside them
    Saelens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// The decision position of each step
    Decision,
    /// Every position of each step
    Token,
}

/// Exports and says what was written.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let layout = layout(options)?;
    let lake = Lake::open(&options.lake)?;
    let bar = ui::progress(lake.n_games() as u64, "games");
    let layers: BTreeSet<i32> = options.layers.iter().copied().collect::<BTreeSet<_>>();
    let exported =
        exchange::export(&lake, &options.out, &exchange::Options { layout, layers }, &mut || bar.inc(1));
    bar.finish_and_clear();
    let exported = exported?;
    ui::note(&format!(
        "{}: {} games with {} features, {} files, {:.1} MB",
        options.out.display(),
        exported.games,
        exported.features,
        exported.files,
        exported.bytes as f64 / 1e6
    ));
    exported.notes.iter().for_each(|note| ui::note(note));
    Ok(Ending::Done)
}

/// The layout with its settings; those of another one are refused.
fn layout(options: &Options) -> Result<Kind, UsageError> {
    let other = |option, value: String, expected| UsageError::Value { option, value, expected };
    if let Some(rows) = options.rows.filter(|_| options.layout != Layout::NpzCoo) {
        return Err(other("rows", format!("{rows:?}").to_lowercase(), "a setting of --layout npz-coo alone"));
    }
    if let Some(splits) = options.splits.filter(|_| options.layout != Layout::Delphi) {
        return Err(other("splits", splits.to_string(), "a setting of --layout delphi alone"));
    }
    Ok(match options.layout {
        Layout::GameLayerPosition => Kind::GameLayerPosition,
        Layout::NpzCoo => Kind::NpzCoo(match options.rows {
            Some(Rows::Token) => MatrixRows::Tokens,
            Some(Rows::Decision) | None => MatrixRows::Decisions,
        }),
        Layout::Delphi => Kind::Delphi { splits: options.splits.unwrap_or(5).into() },
        Layout::Saelens => Kind::Saelens,
    })
}
