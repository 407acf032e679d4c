//! Files of prompts: JSON, one record a line.

use std::collections::HashMap;
use std::path::Path;

use super::error::GameError;
use super::key::prompt_key;
use super::prompt::Prompt;
use super::record::{Metric, Record, RecordError};

/// A game of a prompts file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptGame {
    /// Its key, see [`prompt_key`].
    pub key: i64,
    /// Its name in the file.
    pub id: String,
    /// What the file says of it, as JSON.
    pub metadata: Option<String>,
    /// Its steps, ascending; there may be gaps.
    pub steps: Vec<PromptStep>,
}

/// A step of a prompts file's game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptStep {
    /// 0-based number of the step.
    pub step: i32,
    /// What the model is asked.
    pub prompt: Prompt,
    /// What its answer is measured by.
    pub metric: Option<Metric>,
    /// 1-based line of the file.
    pub line: usize,
}

/// Reads a prompts file.
///
/// ```text
/// {"game": "a", "text": "Bet or stop?", "spans": [{"name": "bet_option", "start": 0, "end": 3}]}
/// {"game": "a", "messages": [{"role": "user", "content": "And now?"}], "metric": {"first": " Bet", "second": " Stop"}}
/// ```
///
/// | key | meaning |
/// |---|---|
/// | `game` | string or integer; records of one game belong together |
/// | `step` | 0-based; without it, the one after the game's record before it |
/// | `text` or `messages` | what the model reads as it stands, or a chat for its template |
/// | `spans` | `name`, `start` and `end` in bytes, and for messages `message`, which may be left out if there is one |
/// | `metric` | `first` and `second`, two continuations whose logits are compared |
/// | `metadata` | anything; of the game, so given once or alike on each of its records |
///
/// Any other key is refused. Games come in the order of their first records; blank lines are passed over.
///
/// # Errors
/// If the file cannot be read, has no record, or has a malformed one, with its line.
pub fn read_prompts(path: &Path) -> Result<Vec<PromptGame>, GameError> {
    let bytes =
        std::fs::read(path).map_err(|source| GameError::ReadPrompts { path: path.to_owned(), source })?;
    // Some editors begin a file with a byte order mark, which is no part of the JSON.
    let bytes = bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(&bytes);
    let mut games = Games::default();
    for (i, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line_number = i + 1;
        games.add(line, line_number).map_err(|source| GameError::Record {
            path: path.to_owned(),
            line: line_number,
            source,
        })?;
    }
    if games.list.is_empty() {
        return Err(GameError::NoPrompts { path: path.to_owned() });
    }
    for game in &mut games.list {
        game.steps.sort_by_key(|step| step.step);
    }
    Ok(games.list)
}

/// The games read so far.
#[derive(Default)]
struct Games {
    list: Vec<PromptGame>,
    /// Where the game with a key is in `list`.
    places: HashMap<i64, usize>,
    /// The line that gave a game's metadata.
    metadata_lines: HashMap<i64, usize>,
}

impl Games {
    /// Adds the record on a line.
    fn add(&mut self, line: &[u8], line_number: usize) -> Result<(), RecordError> {
        let mut record = Record::parse(line)?;
        let id = record.game()?;
        let game = self.game(id)?;
        let after = game.steps.last().map_or(0, |last| i64::from(last.step) + 1);
        let step = record.step.unwrap_or(after);
        // The largest number is left out, so that there is always a next one.
        let step = i32::try_from(step)
            .ok()
            .filter(|step| (0..i32::MAX).contains(step))
            .ok_or(RecordError::Step { step })?;
        if let Some(first) = game.steps.iter().find(|other| other.step == step) {
            return Err(RecordError::Duplicate { game: game.id.clone(), step, first: first.line });
        }
        let metadata = record.metadata.take().map(|metadata| metadata.to_string());
        let (prompt, metric) = record.into_prompt()?;
        game.steps.push(PromptStep { step, prompt, metric, line: line_number });
        let key = game.key;
        metadata.map_or(Ok(()), |metadata| self.describe(key, &metadata, line_number))
    }

    /// The game of that name, made if it is new.
    fn game(&mut self, id: String) -> Result<&mut PromptGame, RecordError> {
        let key = prompt_key(&id);
        let place = *self.places.entry(key).or_insert(self.list.len());
        if place == self.list.len() {
            self.list.push(PromptGame { key, id, metadata: None, steps: Vec::new() });
        } else if self.list[place].id != id {
            return Err(RecordError::SameKey { game: id, other: self.list[place].id.clone(), key });
        }
        Ok(&mut self.list[place])
    }

    /// Notes the metadata of a game, which may be given again if they are the same.
    fn describe(&mut self, key: i64, metadata: &str, line: usize) -> Result<(), RecordError> {
        let first = *self.metadata_lines.entry(key).or_insert(line);
        let game = &mut self.list[self.places[&key]];
        if *game.metadata.get_or_insert_with(|| metadata.to_owned()) == metadata {
            Ok(())
        } else {
            Err(RecordError::Metadata { game: game.id.clone(), first })
        }
    }
}
