//! Whether every analysis is whole, and of games that are there.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{edges, effects, interventions};

use super::LakeError;
use super::verify_cells::{ints, longs, texts};
use super::verify_finding::{Findings, Remedy};
use super::verify_index::Index;
use super::verify_sound::Sound;

/// Checks the causal tables, as far as they are there.
pub(super) fn check(sound: &Sound<'_>, index: &Index, findings: &mut Findings) -> Result<(), LakeError> {
    let mut arms: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    sound.each(&interventions::TABLE, |_, batch| {
        for (name, arm) in texts(batch, "analysis").into_iter().zip(ints(batch, "arm")) {
            arms.entry(name.to_owned()).or_default().insert(*arm);
        }
    })?;
    for table in [&effects::TABLE, &edges::TABLE] {
        let mut wrong: BTreeMap<String, (Remedy, String)> = BTreeMap::new();
        sound.each(table, |path, batch| {
            let (keys, steps, names) = (longs(batch, "game"), ints(batch, "step"), texts(batch, "analysis"));
            let of_arm = ints(batch, "arm");
            for (row, name) in names.into_iter().enumerate() {
                let known = arms.get(name);
                let has_arm = of_arm.get(row).is_none_or(|arm| known.is_some_and(|arms| arms.contains(arm)));
                let game = index.games.get(&keys[row]);
                let is_anew = steps[row] < 0 && table.name == effects::TABLE.name;
                let found = if known.is_none() || !has_arm {
                    let what =
                        format!("it has rows of analysis `{name}` that `interventions` does not describe");
                    Some((Remedy::File, what))
                } else if is_anew || game.is_some_and(|game| game.step(steps[row]).is_some()) {
                    None
                } else {
                    let what = format!(
                        "it has rows of step {} of game {}, which is not there",
                        steps[row], keys[row]
                    );
                    Some((Remedy::Strays([keys[row]].into()), what))
                };
                if let Some(found) = found {
                    wrong.entry(path.to_owned()).or_insert(found);
                }
            }
        })?;
        for (path, (remedy, what)) in wrong {
            findings.file(table.name, &path, remedy, what);
        }
    }
    Ok(())
}
