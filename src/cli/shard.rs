//! Which part of a request one process of many does.

use super::options::Options;
use super::ui;
use crate::error::UsageError;

/// What is written of a shard.
const EXPECTED: &str = "I/N with I from 0 to N - 1";

/// One of N parts of the games asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// The part that the options or the scheduler ask for, which is said and recorded with the options.
    pub(super) fn of(mut options: Options) -> Result<(Options, Option<Self>), UsageError> {
        let shard = Self::asked(options.shard.as_deref(), &|name| std::env::var(name).ok())?;
        if let Some(shard) = shard {
            ui::note(&format!("shard {shard}: the games of this part only"));
        }
        options.shard = shard.map(|shard| shard.to_string());
        Ok((options, shard))
    }

    /// What `--shard` says, or what the scheduler says that started the process: Slurm by `SLURM_ARRAY_TASK_ID`, `_MIN`
    /// and `_COUNT`, a Kubernetes Indexed Job by `JOB_COMPLETION_INDEX` and `SAELAKE_SHARDS`, and others by `RANK` and
    /// `WORLD_SIZE`. None if nobody says, or if there is one part.
    pub(super) fn asked(
        option: Option<&str>,
        variable: &dyn Fn(&'static str) -> Option<String>,
    ) -> Result<Option<Self>, UsageError> {
        let shard = match option {
            Some(word) => Some(Self::parse(word)?),
            None => Self::of_scheduler(variable)?,
        };
        Ok(shard.filter(|shard| shard.of > 1))
    }

    fn parse(word: &str) -> Result<Self, UsageError> {
        let refused = || UsageError::Value { option: "shard", value: word.to_owned(), expected: EXPECTED };
        let (index, of) = word.split_once('/').ok_or_else(refused)?;
        let (index, of) = (index.parse().map_err(|_| refused())?, of.parse().map_err(|_| refused())?);
        if index < of { Ok(Self { index, of }) } else { Err(refused()) }
    }

    fn of_scheduler(variable: &dyn Fn(&'static str) -> Option<String>) -> Result<Option<Self>, UsageError> {
        let known = [
            ("SLURM_ARRAY_TASK_ID", Some("SLURM_ARRAY_TASK_MIN"), "SLURM_ARRAY_TASK_COUNT"),
            ("JOB_COMPLETION_INDEX", None, "SAELAKE_SHARDS"),
            ("RANK", None, "WORLD_SIZE"),
        ];
        for (index, first, count) in known {
            let Some(said) = number(variable, index)? else { continue };
            let Some(of) = number(variable, count)? else {
                return Err(UsageError::Variable { name: count, value: None });
            };
            let first = first.map_or(Ok(None), |first| number(variable, first))?.unwrap_or(0);
            return match said.checked_sub(first) {
                Some(index) if index < of => Ok(Some(Self { index, of })),
                _ => Err(UsageError::Variable { name: index, value: Some(said.to_string()) }),
            };
        }
        Ok(None)
    }

    /// Whether the game is of this part. The part is the remainder of a mix of its key, so that other numbers of parts
    /// share the games out anew and leave none out.
    pub(super) const fn has(self, game: i64) -> bool {
        mix(game as u64) % self.of == self.index
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// The finalizer of `SplitMix64`.
const fn mix(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    key ^ (key >> 31)
}

fn number(
    variable: &dyn Fn(&'static str) -> Option<String>,
    name: &'static str,
) -> Result<Option<u64>, UsageError> {
    let Some(value) = variable(name) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| UsageError::Variable { name, value: Some(value) })
}

#[cfg(test)]
mod tests {
    use super::Shard;

    fn of(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let find = |name: &'static str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let shard = Shard::asked(None, &find);
        shard.map(|shard| shard.map(|shard| shard.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn every_game_is_of_one_part_whatever_the_number_of_parts() {
        for parts in [1_u64, 2, 3, 8, 64] {
            let mut sizes = vec![0_u64; parts as usize];
            for game in -2_000..2_000_i64 {
                let game = game.wrapping_mul(0x0123_4567_89AB_CDEF);
                let mine = (0..parts).filter(|index| Shard { index: *index, of: parts }.has(game));
                let mine: Vec<u64> = mine.collect();
                assert_eq!(mine.len(), 1, "{game} of {parts}");
                sizes[mine[0] as usize] += 1;
            }
            let fair = 4_000 / parts;
            assert!(sizes.iter().all(|size| size.abs_diff(fair) < fair / 2 + 1), "{sizes:?}");
        }
    }

    #[test]
    fn schedulers_are_believed_and_half_told_shards_are_refused() {
        assert_eq!(of(&[]), Ok(None));
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "7"),
            ("SLURM_ARRAY_TASK_MIN", "5"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("RANK", "0"),
            ("WORLD_SIZE", "9"),
        ];
        assert_eq!(of(&slurm), Ok(Some("2/4".into())));
        assert_eq!(of(&[("JOB_COMPLETION_INDEX", "0"), ("SAELAKE_SHARDS", "3")]), Ok(Some("0/3".into())));
        assert_eq!(of(&[("RANK", "1"), ("WORLD_SIZE", "2")]), Ok(Some("1/2".into())));
        assert_eq!(of(&[("RANK", "0"), ("WORLD_SIZE", "1")]), Ok(None));
        assert!(of(&[("JOB_COMPLETION_INDEX", "0")]).unwrap_err().contains("SAELAKE_SHARDS is not set"));
        assert!(of(&[("RANK", "2"), ("WORLD_SIZE", "2")]).unwrap_err().contains("RANK is `2`"));
        assert!(of(&[("RANK", "x"), ("WORLD_SIZE", "2")]).unwrap_err().contains("RANK is `x`"));
        let asked = |word| Shard::asked(Some(word), &|_| Some("1".into())).map(|shard| shard.is_some());
        assert!(matches!((asked("0/1"), asked("1/2")), (Ok(false), Ok(true))));
        for word in ["2/2", "1", "a/b", "-1/2", "0/0"] {
            assert!(asked(word).is_err(), "{word}");
        }
    }
}
