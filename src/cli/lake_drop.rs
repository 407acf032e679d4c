//! `saelake lake drop-game`: taking games out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use super::{Ending, ui};
use crate::error::Error;
use crate::lake::Lake;

/// What to take out.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
    /// Key of a game; may be given several times
    #[arg(long, allow_negative_numbers = true, required_unless_present = "game_id")]
    game: Vec<i64>,
    /// Name of a game, likewise
    #[arg(long)]
    game_id: Vec<String>,
}

/// Takes the games out and says so.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let mut lake = Lake::open(&options.lake)?;
    let mut games: BTreeSet<i64> = options.game.iter().copied().collect();
    games.extend(lake.games_called(&options.game_id)?);
    let done = lake.drop_games(&games, &mut |_| {})?;
    let n_games = done.games.len();
    ui::note(&format!("{n_games} games dropped: {} rows of {} files", done.rows, done.files));
    Ok(Ending::Done)
}
