//! Importing the npz of iamseungpil/llm-addiction: matrices of features with a row a decision.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use schemas::{FORMAT_VERSION, dictionaries, runs};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ExchangeError;
use super::import_arrays::Arrays;
use super::import_games::Common;
use super::import_layer::Layer;
use super::import_rows::MatrixRows;
use crate::lake::{Batch, GAMES_PER_BLOCK, Lake};

/// What stands for a text that an npz does not have.
const UNKNOWN: &str = "unknown";

/// What is known of matrices beside themselves.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Name of the import, which tells its games from those of others; the folder's if there is none.
    pub name: Option<String>,
    /// The model; what the JSON beside an npz says if there is none.
    pub model: Option<String>,
    /// The dictionaries, likewise.
    pub dictionary: Option<String>,
}

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Games that were added.
    pub games: u64,
    /// Games that were in the lake.
    pub left_out: u64,
    /// Steps of all of them.
    pub steps: u64,
    /// Features of all of them.
    pub features: u64,
    /// The layers.
    pub layers: Vec<i32>,
}

/// Adds the games of `sae_features_L*.npz` in `folder` to the lake at `place`, which is made if there is none.
///
/// Matrices are unpacked to the disk of `scratch`, and a hundred games are in memory at a time. Run again, it adds the
/// games that are missing.
///
/// # Errors
/// If an array is missing, a pickle, of another type or length, or not in order; if the files of two layers are of
/// other rows; and as [`Lake::append`].
pub fn import(
    folder: &Path,
    place: &Path,
    origin: &Origin,
    scratch: &Path,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Imported, ExchangeError> {
    let files = files(folder)?;
    let mut sources = Sources::default();
    let (mut layers, mut rows): (Vec<Layer>, Option<(MatrixRows, PathBuf)>) = (Vec::new(), None);
    for (layer, path) in &files {
        let mut arrays = Arrays::open(path)?;
        let (of_layer, width) = MatrixRows::read(&mut arrays)?;
        layers.push(Layer::unpack((*layer, path), &mut arrays, width, scratch)?);
        sources.add(*layer, path)?;
        match &rows {
            Some((first, other)) if *first != of_layer => {
                let what = format!("its rows are not those of {}", other.display());
                return Err(ExchangeError::foreign(path, what));
            }
            Some(_) => {}
            None => rows = Some((of_layer, path.clone())),
        }
    }
    let Some((rows, _)) = rows else { return Err(ExchangeError::NoFiles { path: folder.to_owned() }) };
    // All of them before anything is written.
    layers.iter_mut().try_for_each(|layer| layer.check(&rows))?;
    let name = origin.name.clone().unwrap_or_else(|| {
        folder
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_default()
    });
    let run = describe_run(&name, origin, &sources, &layers);
    let of_run: Vec<dictionaries::Row> = layers
        .iter()
        .map(|layer| describe_dictionary(layer, &run, origin, &sources, &rows))
        .collect::<Vec<_>>();
    append(place, &Common { name: &name, run: &run.run }, (&run, &of_run), (&rows, &mut layers), watch)
}

/// Appends all games, a block of them at a time.
fn append(
    place: &Path,
    common: &Common<'_>,
    (run, dictionaries): (&runs::Row, &[dictionaries::Row]),
    (rows, layers): (&MatrixRows, &mut [Layer]),
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Imported, ExchangeError> {
    let mut imported = Imported {
        steps: rows.games.len() as u64,
        features: layers.iter().map(|layer| layer.n_values).sum(),
        layers: layers.iter().map(|layer| layer.number).collect::<Vec<_>>(),
        ..Imported::default()
    };
    let mut values = layers.iter_mut().map(Layer::values).collect::<Result<Vec<_>, _>>()?;
    let games = rows.of_games();
    let mut lake = Lake::create_or_open(place)?;
    for several in games.chunks(GAMES_PER_BLOCK) {
        let is_known = lake.runs().iter().any(|known| known.run == run.run);
        let mut batch = Batch::default();
        if !is_known {
            batch.run = Some(run.clone());
            batch.dictionaries = dictionaries.to_vec();
        }
        for of_game in several {
            common.add(&mut batch, rows, of_game.clone(), &mut values)?;
        }
        let receipt = lake.append_missing(batch)?;
        imported.games += receipt.games as u64;
        imported.left_out += receipt.left_out as u64;
        watch(imported.games + imported.left_out, games.len() as u64);
    }
    Ok(imported)
}

/// The files of a folder by layer.
fn files(folder: &Path) -> Result<BTreeMap<i32, PathBuf>, ExchangeError> {
    let failed = |error| ExchangeError::unreadable(folder, error);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let layer = name.strip_prefix("sae_features_L").and_then(|rest| rest.strip_suffix(".npz"));
        if let Some(layer) = layer.and_then(|layer| layer.parse().ok()) {
            files.insert(layer, path);
        }
    }
    if files.is_empty() { Err(ExchangeError::NoFiles { path: folder.to_owned() }) } else { Ok(files) }
}

/// What is recorded of the files.
#[derive(Default)]
struct Sources {
    /// By layer: name and SHA-256.
    files: BTreeMap<i32, (String, String)>,
    /// What the JSON beside each says.
    about: BTreeMap<i32, Value>,
}

impl Sources {
    fn add(&mut self, layer: i32, path: &Path) -> Result<(), ExchangeError> {
        let failed = |error| ExchangeError::unreadable(path, error);
        let mut hash = Sha256::new();
        io::copy(&mut File::open(path).map_err(failed)?, &mut hash).map_err(failed)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.files.insert(layer, (name, format!("{:x}", hash.finalize())));
        let beside = path.with_extension("json");
        if beside.is_file() {
            let text =
                fs::read_to_string(&beside).map_err(|error| ExchangeError::unreadable(&beside, error))?;
            let about = serde_json::from_str(&text);
            let about =
                about.map_err(|error| ExchangeError::foreign(&beside, format!("it is no JSON: {error}")))?;
            self.about.insert(layer, about);
        }
        Ok(())
    }

    /// A text of the JSON beside the npz of a layer.
    fn said(&self, layer: i32, field: &str) -> Option<String> {
        Some(self.about.get(&layer)?.get(field)?.as_str()?.to_owned())
    }

    /// A whole number there.
    fn counted(&self, layer: i32, field: &str) -> Option<i32> {
        self.about.get(&layer)?.get(field)?.as_i64().and_then(|count| i32::try_from(count).ok())
    }
}

/// The run that the games are of. What an npz does not say is 0 or `unknown`.
fn describe_run(name: &str, origin: &Origin, sources: &Sources, layers: &[Layer]) -> runs::Row {
    let first = layers.first().map_or(0, |layer| layer.number);
    let files: BTreeMap<&str, &str> =
        sources.files.values().map(|(name, hash)| (name.as_str(), hash.as_str())).collect::<BTreeMap<_, _>>();
    let model = origin.model.clone().or_else(|| sources.said(first, "model"));
    let mut run = runs::Row {
        run: String::new(),
        format_version: FORMAT_VERSION,
        saelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: String::new(),
        model: model.unwrap_or_else(|| UNKNOWN.to_owned()),
        model_revision: None,
        model_hash: UNKNOWN.to_owned(),
        d_model: 0,
        n_layers: 0,
        n_heads: 0,
        layers: layers.iter().map(|layer| layer.number.to_string()).collect::<Vec<_>>().join(","),
        top_k: sources.counted(first, "top_k"),
        attention: "none".to_owned(),
        device: UNKNOWN.to_owned(),
        dtype: UNKNOWN.to_owned(),
        seed: 0,
        source: name.to_owned(),
        decide: None,
        bos: UNKNOWN.to_owned(),
        positions: "last".to_owned(),
        activation_bits: 23,
        settings: json!({ "imported": { "layout": "npz-coo", "sha256": files } }).to_string(),
    };
    let hash = Sha256::digest(format!("{run:?}"));
    format!("{hash:x}")[..16].clone_into(&mut run.run);
    run.started_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    run
}

fn describe_dictionary(
    layer: &Layer,
    run: &runs::Row,
    origin: &Origin,
    sources: &Sources,
    rows: &MatrixRows,
) -> dictionaries::Row {
    let number = layer.number;
    let n_rows =
        rows.is_valid.as_ref().map_or(rows.games.len(), |valid| valid.iter().filter(|valid| **valid).count());
    let source = origin.dictionary.clone().or_else(|| sources.said(number, "sae_source"));
    dictionaries::Row {
        run: run.run.clone(),
        layer: number,
        hook: sources.said(number, "hook").unwrap_or_else(|| format!("blocks.{number}.hook_resid_post")),
        format: UNKNOWN.to_owned(),
        source: source.unwrap_or_else(|| UNKNOWN.to_owned()),
        revision: None,
        hash: sources.said(number, "sae_hash").unwrap_or_else(|| UNKNOWN.to_owned()),
        neuronpedia: None,
        d_sae: layer.width,
        d_in: 0,
        activation: UNKNOWN.to_owned(),
        input_scale: f32::NAN,
        output_scale: f32::NAN,
        decoder_norms: "[]".to_owned(),
        measured_l0: (layer.n_values as f64 / (n_rows as f64).max(1.0)) as f32,
        measured_explained_variance: f32::NAN,
        verified: false,
    }
}
