//! Whether every step has its tokens, and whether steps that share positions have the same there.

use std::collections::BTreeMap;

use schemas::{prefixes, spans, tokens};

use super::LakeError;
use super::verify_cells::{flags, ints, longs};
use super::verify_finding::{Findings, Remedy};
use super::verify_index::{Game, Index, Strays};
use super::verify_sound::Sound;

/// The tokens of a game, by step: position and id. None has a place before it was read: a lake may say anything.
type Ids = BTreeMap<i32, Vec<(i32, i32)>>;

/// Checks `prefixes`, `tokens` and `spans`.
pub(super) fn check(sound: &Sound<'_>, index: &mut Index, findings: &mut Findings) -> Result<(), LakeError> {
    read_prefixes(sound, index, findings)?;
    read_tokens(sound, index, findings)?;
    for (key, game) in &index.games {
        let is_short = |step: &&super::verify_index::Step| {
            step.n_found != step.n_tokens && !(step.has_failed && step.n_found == 0)
        };
        if let Some(step) = game.steps.iter().find(is_short) {
            let (number, found, said) = (step.number, step.n_found, step.n_tokens);
            let what = format!("step {number} of game {key} has {found} of its {said} tokens");
            findings.table(tokens::TABLE.name, Remedy::Game(*key), what);
        }
    }
    check_spans(sound, index, findings)
}

fn read_prefixes(sound: &Sound<'_>, index: &mut Index, findings: &mut Findings) -> Result<(), LakeError> {
    let mut strays = Strays::default();
    sound.each(&prefixes::TABLE, |path, batch| {
        let (steps, stored) = (ints(batch, "step"), ints(batch, "stored_step"));
        let (starts, ends) = (ints(batch, "position_start"), ints(batch, "position_end"));
        for (row, key) in longs(batch, "game").iter().enumerate() {
            let Some(game) = index.games.get_mut(key) else {
                strays.add(path, *key);
                continue;
            };
            let (step, start, end, stored) = (steps[row], starts[row], ends[row], stored[row]);
            let holds = |number: i32| game.step(number).is_some_and(|step| end <= step.n_tokens);
            if start < 0 || start >= end || stored >= step || !holds(step) || !holds(stored) {
                let what = format!(
                    "positions {start} to {end} of step {step} of game {key} cannot be stored with step {stored}"
                );
                findings.file(prefixes::TABLE.name, path, Remedy::Game(*key), what);
            }
            game.prefixes.push((step, start, end, stored));
        }
    })?;
    strays.tell(prefixes::TABLE.name, findings);
    Ok(())
}

fn read_tokens(sound: &Sound<'_>, index: &mut Index, findings: &mut Findings) -> Result<(), LakeError> {
    let mut strays = Strays::default();
    // Those of games with prefixes, until all of a game are there.
    let mut ids: BTreeMap<i64, Ids> = BTreeMap::new();
    sound.each(&tokens::TABLE, |path, batch| {
        let (steps, positions) = (ints(batch, "step"), ints(batch, "position"));
        let (special, token_ids) = (flags(batch, "is_special"), ints(batch, "token_id"));
        let mut start = 0;
        for rows in longs(batch, "game").chunk_by(|one, next| one == next) {
            let (range, key) = (start..start + rows.len(), rows[0]);
            start = range.end;
            let Some(game) = index.games.get_mut(&key) else {
                strays.add(path, key);
                continue;
            };
            for row in range {
                let (number, position) = (steps[row], positions[row]);
                let step = game.step_mut(number).filter(|step| (0..step.n_tokens).contains(&position));
                let Some(step) = step else {
                    let what = format!("game {key} has no position {position} of step {number}");
                    findings.file(tokens::TABLE.name, path, Remedy::Game(key), what);
                    break;
                };
                step.n_found += 1;
                if special[row] && position > 0 {
                    step.special.push(position);
                }
                if !game.prefixes.is_empty() {
                    let of_step = ids.entry(key).or_default().entry(number).or_default();
                    of_step.push((position, token_ids[row]));
                }
            }
            if game.steps.iter().all(|step| step.n_found == step.n_tokens)
                && let Some(mut ids) = ids.remove(&key)
            {
                for of_step in ids.values_mut() {
                    of_step.sort_unstable();
                }
                check_prefixes(key, game, &ids, findings);
            }
        }
    })?;
    strays.tell(tokens::TABLE.name, findings);
    Ok(())
}

/// Steps that share positions have the same tokens up to there.
fn check_prefixes(key: i64, game: &Game, ids: &Ids, findings: &mut Findings) {
    let differs = |(step, _, end, stored): &&(i32, i32, i32, i32)| {
        let until = |step: &i32| ids.get(step).map(|ids| &ids[..ids.partition_point(|token| token.0 < *end)]);
        until(step) != until(stored)
    };
    let is_elsewhere = |(_, start, end, stored): &&(i32, i32, i32, i32)| {
        game.prefixes.iter().any(|(step, from, until, _)| step == stored && from < end && start < until)
    };
    if let Some((step, start, end, stored)) = game.prefixes.iter().find(is_elsewhere) {
        let what = format!(
            "positions {start} to {end} of step {step} of game {key} are said to be with step {stored}, which has them elsewhere"
        );
        findings.table(prefixes::TABLE.name, Remedy::Game(key), what);
    }
    if let Some((step, _, end, stored)) = game.prefixes.iter().find(differs) {
        let what = format!(
            "steps {step} and {stored} of game {key} differ before position {end}, and share rows there"
        );
        findings.table(prefixes::TABLE.name, Remedy::Game(key), what);
    }
}

fn check_spans(sound: &Sound<'_>, index: &Index, findings: &mut Findings) -> Result<(), LakeError> {
    let mut strays = Strays::default();
    sound.each(&spans::TABLE, |path, batch| {
        let (steps, starts, ends) =
            (ints(batch, "step"), ints(batch, "position_start"), ints(batch, "position_end"));
        for (row, key) in longs(batch, "game").iter().enumerate() {
            let Some(game) = index.games.get(key) else {
                strays.add(path, *key);
                continue;
            };
            let (start, end) = (starts[row], ends[row]);
            let fits = game.step(steps[row]).is_some_and(|step| end <= step.n_tokens);
            if start < 0 || !fits {
                let what = format!("game {key} has no positions {start} to {end} of step {}", steps[row]);
                findings.file(spans::TABLE.name, path, Remedy::Game(*key), what);
            }
        }
    })?;
    strays.tell(spans::TABLE.name, findings);
    Ok(())
}
