//! Which games are asked for, and which of them are to be added.

use super::collect::{Plan, parse};
use super::options::Options;
use crate::capture::{Source, commits_left};
use crate::error::{Error, UsageError};
use crate::game::{BetType, Components, PromptGame, Rules, read_prompts, slot_machine_key};
use crate::lake::Lake;

/// Games asked for, where nothing is said.
const USUAL_GAMES: u32 = 10;

/// Which games are asked for.
pub(super) enum Games {
    /// Slot-machine games.
    SlotMachine { rules: Rules, wanted: Wanted },
    /// Those of a file, by its name.
    Prompts { games: Vec<PromptGame>, name: String },
}

/// How many games of a seed are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The first so many that the lake does not have.
    More(u32),
    /// The first so many, in the lake or not.
    Total(u32),
}

/// The games that a run has to add.
pub(super) struct Request {
    /// Those asked for that the lake does not have, in order.
    pub(super) source: Source,
    /// How many of them go into each commit.
    pub(super) commits: Vec<usize>,
    /// The key of the first game asked for, which may be in the lake; 0 if none is. It names the run, so that a run that
    /// goes on has the name that it began with.
    pub(super) first_key: i64,
}

impl Games {
    pub(super) fn asked(options: &Options) -> Result<Self, Error> {
        if let Some(path) = &options.prompts {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            return Ok(Self::Prompts { games: read_prompts(path)?, name });
        }
        let bet_type = match &options.bet_type {
            Some(word) => parse("bet-type", word, "`fixed` or `variable`")?,
            None => BetType::Fixed,
        };
        let components = match &options.components {
            Some(word) => parse("components", word, "a subset of GMHWP, or `none`")?,
            None => Components::ALL,
        };
        let more = Wanted::More(options.games.unwrap_or(USUAL_GAMES));
        let wanted = options.total_games.map_or(more, Wanted::Total);
        Ok(Self::SlotMachine { rules: Rules { bet_type, components }, wanted })
    }
}

impl Plan {
    /// The games to add: those asked for, of this shard, that the lake does not have.
    pub(super) fn request(&self) -> Result<Request, Error> {
        let lake = self.lake_so_far()?;
        lake.as_ref().map_or(Ok(()), Lake::check_format)?;
        let has = |key| lake.as_ref().is_some_and(|lake| lake.has_game(key));
        let most = self.options.commit_games.unwrap_or(self.machine.usual_commit()).max(1);
        match &self.games {
            Games::SlotMachine { rules, wanted } => {
                if let (Wanted::More(_), Some(shard)) = (wanted, self.shard) {
                    return Err(UsageError::ShardOfMore { shard: shard.to_string() }.into());
                }
                let mut asked = indices(self.seed, *wanted, &has)?;
                let keys = asked.iter().map(|index| slot_machine_key(self.seed, *index));
                let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
                if let Some(shard) = self.shard {
                    let is_mine: Vec<bool> = keys.iter().map(|key| shard.has(*key)).collect();
                    (asked, keys) = (left(asked, &is_mine), left(keys, &is_mine));
                }
                let is_left: Vec<bool> = keys.iter().map(|key| !has(*key)).collect();
                let indices = left(asked, &is_left);
                let source = Source::SlotMachine { rules: *rules, seed: self.seed, indices };
                let first_key = keys.first().copied().unwrap_or_default();
                Ok(Request { source, commits: commits_left(&is_left, most), first_key })
            }
            Games::Prompts { games, .. } => {
                let is_mine = |game: &&PromptGame| self.shard.is_none_or(|shard| shard.has(game.key));
                let games: Vec<&PromptGame> = games.iter().filter(is_mine).collect();
                let is_left: Vec<bool> = games.iter().map(|game| !has(game.key)).collect();
                let source = Source::Prompts(left(games.iter().copied().cloned(), &is_left));
                let first_key = games.first().map_or(0, |game| game.key);
                Ok(Request { source, commits: commits_left(&is_left, most), first_key })
            }
        }
    }
}

/// The games of a seed that are asked for.
fn indices(seed: u64, wanted: Wanted, has: &dyn Fn(i64) -> bool) -> Result<Vec<u64>, Error> {
    let count = match wanted {
        Wanted::Total(count) => return Ok((0..count.into()).collect()),
        Wanted::More(count) => count as usize,
    };
    let mut indices = Vec::new();
    let mut index = 0;
    while indices.len() < count {
        if !has(slot_machine_key(seed, index)?) {
            indices.push(index);
        }
        index += 1;
    }
    Ok(indices)
}

fn left<T>(asked: impl IntoIterator<Item = T>, is_left: &[bool]) -> Vec<T> {
    asked.into_iter().zip(is_left).filter(|(_, is_left)| **is_left).map(|(game, _)| game).collect()
}
