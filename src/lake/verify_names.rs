//! Whether files have the rows that their names say.

use super::DataFile;
use super::layout::FileName;
use super::verify_file::Facts;
use super::verify_index::Index;

/// What is wrong with a name, if it is one that a writer gives.
pub(super) fn wrong(file: &DataFile, facts: &Facts, index: &Index) -> Option<String> {
    let name = FileName::parse(file.path.rsplit('/').next()?)?;
    let (first, last) = name.games?;
    let outside = facts.games.iter().find(|game| !(first..=last).contains(*game));
    if let Some(game) = outside {
        return Some(format!("it has rows of game {game}, which is not among the games of its name"));
    }
    let of_other = facts.games.iter().find(|key| {
        let run = index.games.get(key).and_then(|game| index.run_of(game));
        run.is_some_and(|run| run.run != name.run)
    });
    let game = of_other?;
    Some(format!("it has rows of game {game}, which is not of the run of its name"))
}
