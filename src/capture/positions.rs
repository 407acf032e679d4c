//! Which positions of a step have their rows stored with the step, and which with an earlier one.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use schemas::prefixes;

use crate::lake::Batch;

/// The positions whose rows the large tables have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PositionsKept {
    /// All of each step.
    #[default]
    All,
    /// Those that no earlier step of the game has; `prefixes` says where the others are.
    New,
    /// The decision position of each step alone.
    Last,
}

/// A word that names no choice of positions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `all`, `new` or `last`")]
pub struct UnknownPositions(String);

impl FromStr for PositionsKept {
    type Err = UnknownPositions;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "all" => Ok(Self::All),
            "new" => Ok(Self::New),
            "last" => Ok(Self::Last),
            _ => Err(UnknownPositions(word.to_owned())),
        }
    }
}

impl std::fmt::Display for PositionsKept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::New => "new",
            Self::Last => "last",
        })
    }
}

impl PositionsKept {
    /// Drops the rows of `batch` that are not to be stored, and notes where those of shared positions are. The games are
    /// whole. Comes after [`Batch::roll_up`], which counts a position in every step that has it.
    pub fn apply(self, batch: &mut Batch) {
        if self == Self::All {
            return;
        }
        let steps = steps_of(batch);
        let mut own = HashMap::new();
        for of_game in steps.values() {
            let owners = match self {
                Self::New => owners(of_game),
                _ => of_game.iter().map(Seen::only_decision).collect::<Vec<_>>(),
            };
            for (step, owners) in of_game.iter().zip(owners) {
                if self == Self::New {
                    step.runs(&owners).for_each(|row| batch.prefixes.push(row));
                }
                let is_own = owners.iter().map(|owner| *owner == Some(step.step)).collect::<Vec<bool>>();
                own.insert((step.game, step.step), is_own);
            }
        }
        drop_others(batch, &own);
    }
}

/// A step and the ids of its tokens.
struct Seen {
    game: i64,
    step: i32,
    /// The position whose rows are kept whole.
    decision: usize,
    ids: Vec<i32>,
}

/// Of each position, the step that has its rows; none if nobody has.
type Owners = Vec<Option<i32>>;

impl Seen {
    fn only_decision(&self) -> Owners {
        (0..self.ids.len()).map(|position| (position == self.decision).then_some(self.step)).collect()
    }

    /// How many tokens it begins with that the other begins with too.
    fn shares(&self, other: &Self) -> usize {
        self.ids.iter().zip(&other.ids).take_while(|(one, other)| one == other).count()
    }

    /// The runs of positions that other steps have.
    fn runs<'a>(&'a self, owners: &'a Owners) -> impl Iterator<Item = prefixes::Row> + 'a {
        let mut start = 0;
        owners.chunk_by(|one, next| one == next).filter_map(move |run| {
            let (from, owner) = (start, run[0]);
            start += run.len();
            let stored_step = owner.filter(|owner| *owner != self.step)?;
            let (position_start, position_end) = (from as i32, (from + run.len()) as i32);
            Some(prefixes::Row {
                game: self.game,
                step: self.step,
                position_start,
                position_end,
                stored_step,
            })
        })
    }
}

/// The steps of every game, in order, with their tokens. A step that failed has none.
fn steps_of(batch: &Batch) -> BTreeMap<i64, Vec<Seen>> {
    let mut ids: HashMap<(i64, i32), Vec<(i32, i32)>> = HashMap::new();
    let places = batch.tokens.game.iter().copied().zip(batch.tokens.step.iter().copied());
    let tokens = batch.tokens.position.iter().copied().zip(batch.tokens.token_id.iter().copied());
    for (place, token) in places.zip(tokens) {
        ids.entry(place).or_default().push(token);
    }
    let mut steps: BTreeMap<i64, Vec<Seen>> = BTreeMap::new();
    let places = batch.steps.game.iter().copied().zip(batch.steps.step.iter().copied());
    for ((game, step), decision) in places.zip(&batch.steps.decision_position) {
        let mut tokens = ids.remove(&(game, step)).unwrap_or_default();
        tokens.sort_unstable();
        let ids = tokens.into_iter().map(|(_, id)| id).collect();
        let decision = usize::try_from(*decision).unwrap_or(usize::MAX);
        steps.entry(game).or_default().push(Seen { game, step, decision, ids });
    }
    for steps in steps.values_mut() {
        steps.sort_by_key(|step| step.step);
    }
    steps
}

/// Which step has the rows of each position of each step of a game.
///
/// A position is what it is by the tokens up to it, so an earlier step that begins with the same ones has the same rows.
/// A decision position is kept whole and an ordinary one is not, so neither stands in for the other.
fn owners(steps: &[Seen]) -> Vec<Owners> {
    let mut found: Vec<Owners> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let mut earlier: Vec<(usize, usize)> =
            steps[..index].iter().map(|other| step.shares(other)).zip(0..).collect();
        // Those that share most first, and of those the first.
        earlier.sort_by_key(|(shared, other)| (std::cmp::Reverse(*shared), *other));
        let owner = |position: usize| {
            let stands_in = |(shared, other): &&(usize, usize)| {
                *shared > position && steps[*other].decision != position && step.decision != position
            };
            let other = earlier.iter().find(stands_in).and_then(|(_, other)| found[*other][position]);
            other.or(Some(step.step))
        };
        let owners = (0..step.ids.len()).map(owner).collect();
        found.push(owners);
    }
    found
}

/// Drops the rows of positions that a step does not have itself.
fn drop_others(batch: &mut Batch, own: &HashMap<(i64, i32), Vec<bool>>) {
    for captured in &mut batch.more {
        for rows in captured.features.values_mut() {
            let keep = kept(own, (&rows.game, &rows.step, &rows.position));
            rows.retain(&keep);
        }
        for rows in captured.positions.values_mut() {
            let keep = kept(own, (&rows.game, &rows.step, &rows.position));
            rows.retain(&keep);
        }
        for rows in captured.attention.values_mut() {
            let keep = kept(own, (&rows.game, &rows.step, &rows.query));
            rows.retain(&keep);
        }
        for rows in captured.attention_rows.values_mut() {
            let keep = kept(own, (&rows.game, &rows.step, &rows.query));
            rows.retain(&keep);
        }
    }
}

/// Whether each row is at a position that its step has itself. Rows of a step follow each other.
fn kept(
    own: &HashMap<(i64, i32), Vec<bool>>,
    (games, steps, positions): (&[i64], &[i32], &[i32]),
) -> Vec<bool> {
    let mut keep = Vec::with_capacity(games.len());
    let mut here: (Option<(i64, i32)>, &[bool]) = (None, &[]);
    for ((game, step), position) in games.iter().zip(steps).zip(positions) {
        if here.0 != Some((*game, *step)) {
            here = (Some((*game, *step)), own.get(&(*game, *step)).map_or(&[], Vec::as_slice));
        }
        // What is outside its step is told when the batch is checked.
        let is_own = usize::try_from(*position).ok().and_then(|position| here.1.get(position));
        keep.push(is_own.copied().unwrap_or(true));
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::{Seen, owners};

    fn steps(ids: &[(&[i32], usize)]) -> Vec<Seen> {
        let step = |(step, (ids, decision)): (usize, &(&[i32], usize))| Seen {
            game: 7,
            step: step as i32,
            decision: *decision,
            ids: ids.to_vec(),
        };
        ids.iter().enumerate().map(step).collect()
    }

    fn own(steps: &[Seen]) -> Vec<Vec<i32>> {
        owners(steps).into_iter().map(|owners| owners.into_iter().flatten().collect()).collect()
    }

    #[test]
    fn a_turn_has_what_the_last_one_had_but_for_decisions() {
        let turns = steps(&[(&[1, 2, 3], 2), (&[1, 2, 3, 4, 5], 4), (&[1, 2, 3, 4, 5, 6], 5)]);
        assert_eq!(own(&turns), [vec![0, 0, 0], vec![0, 0, 1, 1, 1], vec![0, 0, 1, 1, 2, 2]]);
        let rows: Vec<_> = turns[2].runs(&owners(&turns)[2]).collect();
        let runs: Vec<_> =
            rows.iter().map(|row| (row.position_start, row.position_end, row.stored_step)).collect();
        assert_eq!(runs, [(0, 2, 0), (2, 4, 1)]);
    }

    #[test]
    fn equal_tokens_after_another_token_are_not_the_same() {
        let turns = steps(&[(&[1, 2, 3, 4], 3), (&[1, 9, 3, 4], 3), (&[], usize::MAX), (&[1, 9, 3, 4], 3)]);
        assert_eq!(own(&turns), [vec![0; 4], vec![0, 1, 1, 1], vec![], vec![0, 1, 1, 3]]);
    }

    #[test]
    fn another_earlier_step_stands_in_where_the_nearest_decides() {
        let turns = steps(&[(&[1, 2, 3], 0), (&[1, 2, 3, 4], 1), (&[1, 2, 3, 4, 5], 4)]);
        assert_eq!(own(&turns), [vec![0; 3], vec![1, 1, 0, 1], vec![1, 0, 0, 1, 2]]);
    }
}
