//! From what `--dictionary` names to dictionaries on a device.

use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;

use super::demo;
use crate::dictionary::{Dictionary, find};
use crate::error::{Error, UsageError};
use crate::model::{Located, Model, Opened, locate};

/// Opens the dictionaries at `places`, or the demo dictionaries where none is named; those of `layers` alone,
/// if any layer is named. Sorted by hook.
pub(super) fn open<M: Model>(
    opened: &Opened<M>,
    places: &[String],
    layers: &[usize],
    device: &Device,
) -> Result<Vec<Dictionary>, Error> {
    let dictionaries = read(&opened.identity.hash, places, layers, device)?;
    check(opened, &dictionaries)?;
    Ok(dictionaries)
}

/// Refuses dictionaries that do not fit the model.
pub(super) fn check<M: Model>(opened: &Opened<M>, dictionaries: &[Dictionary]) -> Result<(), Error> {
    let config = opened.llama.config();
    let fits = |dictionary: &Dictionary| dictionary.check_fits(config.d_model, config.n_layers);
    Ok(dictionaries.iter().try_for_each(fits)?)
}

/// The same without the model, of which the hash tells whether the demo dictionaries belong to it; whether others do
/// is not checked.
pub(super) fn read(
    model_hash: &str,
    places: &[String],
    layers: &[usize],
    device: &Device,
) -> Result<Vec<Dictionary>, Error> {
    let mut dictionaries = Vec::new();
    if places.is_empty() {
        let folder = demo::dictionaries(model_hash)?;
        dictionaries.extend(read_folder(&folder, (demo::DEMO, None), layers, device)?);
    }
    for place in places {
        let located = locate(place)?;
        fetch(&located, layers)?;
        let named = (place.as_str(), located.revision.as_deref());
        dictionaries.extend(read_folder(&located.folder, named, layers, device)?);
    }
    dictionaries.sort_by_key(|dictionary| dictionary.hook);
    match dictionaries.windows(2).find(|pair| pair[0].hook.layer == pair[1].hook.layer) {
        Some(pair) => Err(UsageError::TwoDictionaries { layer: pair[0].hook.layer }.into()),
        None => Ok(dictionaries),
    }
}

/// The wanted dictionaries of a folder, read side by side: each has gigabytes of numbers.
fn read_folder(
    folder: &Path,
    (source, revision): (&str, Option<&str>),
    layers: &[usize],
    device: &Device,
) -> Result<Vec<Dictionary>, Error> {
    let mut found = find(folder)?;
    found.retain(|found| wanted(layers, found.hook.layer));
    let read = found.par_iter().map(|found| found.read(source, revision, device));
    // All of them, so that of several errors the first is told.
    let read = read.collect::<Vec<_>>();
    Ok(read.into_iter().collect::<Result<_, _>>()?)
}

fn wanted(layers: &[usize], layer: usize) -> bool {
    layers.is_empty() || layers.contains(&layer)
}

/// Fetches what is wanted of a repository: every description, then the weights of the wanted layers. Where
/// the description names no layer before the weights are there, the numbers in the folder's name do.
fn fetch(located: &Located, layers: &[usize]) -> Result<(), Error> {
    let names = located.names()?;
    let (descriptions, others): (Vec<_>, Vec<_>) = names
        .iter()
        .partition(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"));
    for name in descriptions {
        located.file(name)?;
    }
    for name in others {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let described = [Some(folder), folder.parent()].into_iter().flatten().find_map(|folder| {
            let found = find(&located.folder.join(folder)).ok()?;
            (found.len() == 1).then(|| found[0].hook.layer)
        });
        let fits = match described {
            Some(layer) => wanted(layers, layer),
            None => layers.is_empty() || folder == Path::new("") || names_one_of(folder, layers),
        };
        if fits {
            located.file(name)?;
        }
    }
    Ok(())
}

/// Whether a number in the folder's name is one of `layers`.
fn names_one_of(folder: &Path, layers: &[usize]) -> bool {
    let name = folder.to_string_lossy();
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .any(|n| layers.contains(&n))
}
