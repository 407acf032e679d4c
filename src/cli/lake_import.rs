//! `saelake lake import`: games from the files of another tool.

use std::path::PathBuf;

use clap::Args;

use super::{Ending, ui};
use crate::error::Error;
use crate::exchange::{self, Origin};

/// What to import, and where to.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake, which is made if there is none
    lake: PathBuf,
    /// A folder with `sae_features_L*.npz`: a sparse matrix a layer, a row a decision
    #[arg(long, value_name = "FOLDER")]
    npz: PathBuf,
    /// Name of the import, which begins the names of its games [default: the folder's]
    #[arg(long)]
    name: Option<String>,
    /// The model that the features are of [default: what the JSON beside an npz says, or `unknown`]
    #[arg(long)]
    model: Option<String>,
    /// The dictionaries that they are of [default: likewise]
    #[arg(long)]
    dictionary: Option<String>,
}

/// Imports and says what was added.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let origin = Origin {
        name: options.name.clone(),
        model: options.model.clone(),
        dictionary: options.dictionary.clone(),
    };
    let bar = ui::progress(0, "games");
    let imported =
        exchange::import(&options.npz, &options.lake, &origin, &std::env::temp_dir(), &mut |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        });
    bar.finish_and_clear();
    let imported = imported?;
    ui::note(&format!(
        "{} games added to {} ({} were there), {} decisions, {} features of layers {}",
        imported.games,
        options.lake.display(),
        imported.left_out,
        imported.steps,
        imported.features,
        imported.layers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
    ));
    Ok(Ending::Done)
}
