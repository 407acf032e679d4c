//! Exporting a lake: every game to a layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use schemas::{Table, Values, features, positions, steps};

use super::delphi::Delphi;
use super::game_layer_position::GameLayerPosition;
use super::layout::{About, Layout};
use super::npz_coo::NpzCoo;
use super::output::Output;
use super::saelens::Saelens;
use super::{ExchangeError, Kind};
use crate::lake::{Lake, Wanted, Whole};

/// What to export.
#[derive(Clone, Debug)]
pub struct Options {
    /// As what.
    pub layout: Kind,
    /// Which layers; all if there are none.
    pub layers: BTreeSet<i32>,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Games.
    pub games: u64,
    /// Features that the layout holds, those of positions that steps share in each of them.
    pub features: u64,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What the layout could not hold as the lake has it.
    pub notes: Vec<String>,
}

/// Writes a lake in another layout to the folder `target`, which is there whole at the end or not at all; `watch` is
/// called once a game. The memory it takes does not grow with the lake; the disk holds a copy of a block of games.
///
/// # Errors
/// If the lake has no game or not the layers, if `target` is not free, if a number does not fit the layout, if the lake
/// has other rows than it says, or something cannot be read or written.
pub fn export(
    lake: &Lake,
    target: &Path,
    options: &Options,
    watch: &mut dyn FnMut(),
) -> Result<Exported, ExchangeError> {
    if lake.n_games() == 0 {
        return Err(ExchangeError::Empty);
    }
    let output = Output::begin(target)?;
    let about = describe(lake, options, output.folder())?;
    let top_k: BTreeMap<String, Option<i32>> =
        about.runs.iter().map(|(name, run)| (name.clone(), run.top_k)).collect();
    let layers: BTreeSet<i32> = about.dictionaries.keys().copied().collect();
    let mut layout = begin(options.layout, about)?;
    let mut tables: Vec<&'static Table> = vec![&features::TABLE, &positions::TABLE];
    tables.extend(layout.tables());
    let scratch = output.folder().join(".scratch");
    let wanted = Wanted { tables: &tables, layers: &layers, scratch: &scratch };
    let mut exported = Exported::default();
    lake.each_game(wanted, &mut |whole| {
        check(&whole, top_k.get(&whole.game.run).copied().flatten())?;
        layout.take(&whole)?;
        exported.games += 1;
        watch();
        Ok::<(), ExchangeError>(())
    })?;
    let ended = layout.end()?;
    (exported.features, exported.notes) = (ended.features, ended.notes);
    fs::remove_dir_all(&scratch).map_err(|error| ExchangeError::unwritable(&scratch, error))?;
    (exported.files, exported.bytes) = size(output.folder())?;
    output.end()?;
    Ok(exported)
}

fn begin(kind: Kind, about: About) -> Result<Box<dyn Layout>, ExchangeError> {
    Ok(match kind {
        Kind::GameLayerPosition => Box::new(GameLayerPosition::begin(about)?),
        Kind::NpzCoo(rows) => Box::new(NpzCoo::begin(about, rows)?),
        Kind::Delphi { splits } => Box::new(Delphi::begin(about, splits)?),
        Kind::Saelens => Box::new(Saelens::begin(about)?),
    })
}

/// What is known of the lake before its games are read.
fn describe(lake: &Lake, options: &Options, folder: &Path) -> Result<About, ExchangeError> {
    let mut dictionaries: BTreeMap<i32, _> =
        lake.dictionaries().iter().map(|row| (row.layer, row.clone())).collect();
    let have = dictionaries.keys().map(i32::to_string).collect::<Vec<_>>().join(", ");
    if let Some(layer) = options.layers.iter().find(|layer| !dictionaries.contains_key(layer)) {
        return Err(ExchangeError::NoLayer { layer: *layer, have });
    }
    dictionaries.retain(|layer, _| options.layers.is_empty() || options.layers.contains(layer));
    let runs = lake.runs().iter().map(|run| (run.run.clone(), run.clone()));
    let (mut n_steps, mut longest) = (0, 0);
    for file in lake.files(&steps::TABLE)? {
        let values: Vec<Values> = lake.read(&steps::TABLE, &file)?;
        for row in steps::Rows::from_values(values).unwrap_or_default().into_rows() {
            if lake.has_game(row.game) && row.status != "error" {
                n_steps += 1;
                longest = longest.max(row.n_tokens as usize);
            }
        }
    }
    let runs = runs.collect::<BTreeMap<_, _>>();
    Ok(About { folder: folder.to_owned(), dictionaries, runs, n_steps, longest })
}

/// A game has the features that `positions` says it has.
fn check(whole: &Whole, top_k: Option<i32>) -> Result<(), ExchangeError> {
    for (layer, rows) in &whole.captured.positions {
        let mut counts: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
        for (step, l0) in rows.step.iter().zip(&rows.l0) {
            counts.entry(*step).or_default().0 += i64::from((*l0).min(top_k.unwrap_or(i32::MAX)));
        }
        for step in whole.captured.features.get(layer).iter().flat_map(|rows| &rows.step) {
            counts.entry(*step).or_default().1 += 1;
        }
        if let Some((step, (said, found))) = counts.into_iter().find(|(_, (said, found))| said != found) {
            let (game, layer) = (whole.game.game, *layer);
            return Err(ExchangeError::FeaturesMissing { game, step, layer, found, said });
        }
    }
    Ok(())
}

/// The files below a folder, and their bytes.
fn size(folder: &Path) -> Result<(u64, u64), ExchangeError> {
    let failed = |error| ExchangeError::unreadable(folder, error);
    let (mut files, mut bytes) = (0, 0);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let about = entry.metadata().map_err(failed)?;
        if about.is_dir() {
            let (more, larger) = size(&entry.path())?;
            (files, bytes) = (files + more, bytes + larger);
        } else {
            (files, bytes) = (files + 1, bytes + about.len());
        }
    }
    Ok((files, bytes))
}
