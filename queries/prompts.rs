//! The steps that a question over all games is about, held in memory: which spans each token belongs to.
//!
//! The large tables have tens of millions of rows. A join of each row with the tokens of its step takes polars tens
//! of seconds, so such a question reads the small tables first and looks tokens up by their position instead. It
//! has the rules of [`crate::members`], and a test holds the two to the same answers.

use polars::prelude::{DataFrame, Expr, PlHashMap, PolarsResult, col, lit};

use crate::{
    DECISION, QueryError, Specials, Tables, members,
    place::{equals, filtered},
    run,
};

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Bet,
    Stop,
}

/// Steps by game and step, and the names of their spans.
pub(crate) struct Prompts {
    /// The one block that they are of, if not all.
    pub(crate) block: Option<i32>,
    steps: Vec<Prompt>,
    by_step: PlHashMap<(i64, i32), usize>,
    names: Vec<String>,
}

/// One step.
pub(crate) struct Prompt {
    pub(crate) game: i64,
    pub(crate) step: i32,
    pub(crate) game_block: i32,
    pub(crate) decision_position: i32,
    pub(crate) n_heads: i32,
    pub(crate) decision: Option<Decision>,
    /// The spans that have members, by the number of their name.
    pub(crate) spans: Vec<u32>,
    /// How many members each of them has.
    pub(crate) sizes: Vec<u32>,
    /// Whether a token up to the decision is ranked, by position.
    ranked: Vec<bool>,
    /// Where the spans of a position begin in `members`; one more than there are positions.
    starts: Vec<u32>,
    /// Indices into `spans`.
    members: Vec<u32>,
}

impl Prompts {
    /// The steps of the games that the tables show, ordered by block, game and step.
    ///
    /// # Errors
    /// [`QueryError::UnknownRun`]; if the lake cannot be read.
    pub(crate) fn read(tables: &Tables, specials: Specials) -> Result<Self, QueryError> {
        Self::among(tables, specials, None, lit(true))
    }

    /// Those of the games of one block.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(crate) fn of_block(tables: &Tables, specials: Specials, block: i32) -> Result<Self, QueryError> {
        let games = tables.games().filter(equals("game_block", block));
        let range = run(games.select([col("game").min().alias("first"), col("game").max().alias("last")]))?;
        let end = |name| Ok::<_, QueryError>(range.column(name)?.i64()?.get(0).unwrap_or_default());
        let games = col("game").gt_eq(lit(end("first")?)).and(col("game").lt_eq(lit(end("last")?)));
        Self::among(tables, specials, Some(block), games)
    }

    /// The steps of a block, or of all; `games` says where in the tables they may be.
    fn among(
        tables: &Tables,
        specials: Specials,
        block: Option<i32>,
        games: Expr,
    ) -> Result<Self, QueryError> {
        let steps = filtered(members::steps(tables, None).filter(games.clone()), "game_block", block);
        let mut prompts = Self { block, ..Self::of_steps(&rows(run(steps)?))? };
        let tokens = [col("game"), col("step"), col("position"), col("is_special")];
        let tokens = tables.tokens().filter(games.clone()).select(tokens);
        prompts.add_tokens(&rows(run(tokens)?), specials)?;
        let spans = ["game", "step", "name", "position_start", "position_end"].map(col);
        prompts.add_spans(&rows(run(tables.spans().filter(games).select(spans))?))?;
        Ok(prompts)
    }

    fn of_steps(frame: &DataFrame) -> Result<Self, QueryError> {
        let (games, blocks) = (longs(frame, "game")?, ints(frame, "game_block")?);
        let (steps, positions) = (ints(frame, "step")?, ints(frame, "decision_position")?);
        let heads = frame.column("n_heads")?.i32()?.iter();
        let (runs, decisions) = (frame.column("run")?.str()?.iter(), frame.column("decision")?.str()?.iter());
        let mut found = Vec::with_capacity(games.len());
        for (row, ((n_heads, run), decision)) in heads.zip(runs).zip(decisions).enumerate() {
            let unknown =
                || QueryError::UnknownRun { game: games[row], run: run.unwrap_or_default().to_owned() };
            let prompt = Prompt {
                game: games[row],
                step: steps[row],
                game_block: blocks[row],
                decision_position: positions[row],
                n_heads: n_heads.ok_or_else(unknown)?,
                decision: decision.and_then(Decision::of),
                spans: Vec::new(),
                sizes: Vec::new(),
                ranked: Vec::new(),
                starts: Vec::new(),
                members: Vec::new(),
            };
            found.push(prompt);
        }
        found.sort_by_key(|prompt| (prompt.game_block, prompt.game, prompt.step));
        let keys = found.iter().enumerate().map(|(index, prompt)| ((prompt.game, prompt.step), index));
        let by_step = keys.collect::<PlHashMap<_, _>>();
        Ok(Self { block: None, steps: found, by_step, names: Vec::new() })
    }

    /// # Errors
    /// [`QueryError::DecisionOutside`]: what a step says of its length is not believed without its tokens.
    fn add_tokens(&mut self, frame: &DataFrame, specials: Specials) -> Result<(), QueryError> {
        let (games, steps, positions) =
            (longs(frame, "game")?, ints(frame, "step")?, ints(frame, "position")?);
        let index = |row: usize| self.by_step.get(&(games[row], steps[row])).copied();
        let mut counts = vec![0; self.steps.len()];
        (0..games.len()).filter_map(index).for_each(|index| counts[index] += 1);
        for (Prompt { game, step, decision_position, ranked, .. }, found) in self.steps.iter_mut().zip(counts)
        {
            let (places, decision) = (places(*decision_position), *decision_position);
            // A step that could not run has no tokens; an import says 0 of its decision.
            if places > found.max(1) {
                return Err(QueryError::DecisionOutside { game: *game, step: *step, decision, found });
            }
            *ranked = vec![false; places];
        }
        let special = frame.column("is_special")?.bool()?.iter();
        for (row, special) in special.enumerate() {
            let counts = special == Some(false) && positions[row] > 0;
            if let Some(index) = self.by_step.get(&(games[row], steps[row]))
                && let Some(ranked) = self.steps[*index].ranked.get_mut(positions[row] as usize)
            {
                *ranked = counts || specials == Specials::Include;
            }
        }
        Ok(())
    }

    fn add_spans(&mut self, frame: &DataFrame) -> PolarsResult<()> {
        let (games, steps) = (longs(frame, "game")?, ints(frame, "step")?);
        let (starts, ends) = (ints(frame, "position_start")?, ints(frame, "position_end")?);
        let mut numbers = PlHashMap::default();
        let decision = number(&mut self.names, &mut numbers, DECISION);
        let mut ranges = self.steps.iter().map(|_| Vec::new()).collect::<Vec<_>>();
        for (row, name) in frame.column("name")?.str()?.iter().enumerate() {
            if let (Some(name), Some(index)) = (name, self.by_step.get(&(games[row], steps[row]))) {
                let name = number(&mut self.names, &mut numbers, name);
                ranges[*index].push((name, starts[row]..ends[row]));
            }
        }
        for (prompt, ranges) in self.steps.iter_mut().zip(&ranges) {
            prompt.set_spans(ranges, decision);
        }
        Ok(())
    }

    /// All steps.
    pub(crate) fn steps(&self) -> &[Prompt] {
        &self.steps
    }

    /// The index of a step among [`Self::steps`].
    pub(crate) fn index(&self, game: i64, step: i32) -> Option<usize> {
        self.by_step.get(&(game, step)).copied()
    }

    /// The names of the spans, by their numbers.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a span by its number.
    pub(crate) fn name(&self, span: u32) -> &str {
        &self.names[span as usize]
    }

    /// The number of a span by its name.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|known| known == name).map(|number| number as u32)
    }
}

impl Prompt {
    /// The spans of a token, as indices into `spans`, each once; none after the decision.
    pub(crate) fn spans_at(&self, position: i32) -> &[u32] {
        let place = position as usize;
        match (self.starts.get(place), self.starts.get(place + 1)) {
            (Some(start), Some(end)) => &self.members[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// How many positions there are up to the decision.
    pub(crate) fn n_places(&self) -> usize {
        self.ranked.len()
    }

    /// Whether statistics count the token.
    pub(crate) fn is_ranked(&self, position: i32) -> bool {
        self.ranked.get(position as usize).copied().unwrap_or_default()
    }

    fn set_spans(&mut self, ranges: &[(u32, std::ops::Range<i32>)], decision: u32) {
        self.starts.push(0);
        for position in 0..=self.decision_position {
            let mut here = Vec::new();
            if self.is_ranked(position) {
                here.extend(
                    ranges.iter().filter(|(_, range)| range.contains(&position)).map(|(name, _)| *name),
                );
            }
            if position == self.decision_position {
                here.push(decision);
            }
            here.sort_unstable();
            here.dedup();
            for name in here {
                let known = self.spans.iter().position(|span| *span == name);
                let local = known.unwrap_or(self.spans.len());
                if known.is_none() {
                    self.spans.push(name);
                    self.sizes.push(0);
                }
                self.sizes[local] += 1;
                self.members.push(local as u32);
            }
            self.starts.push(self.members.len() as u32);
        }
    }
}

impl Decision {
    fn of(name: &str) -> Option<Self> {
        match name {
            "bet" => Some(Self::Bet),
            "stop" => Some(Self::Stop),
            _ => None,
        }
    }
}

fn number(names: &mut Vec<String>, numbers: &mut PlHashMap<String, u32>, name: &str) -> u32 {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    let number = names.len() as u32;
    names.push(name.to_owned());
    numbers.insert(name.to_owned(), number);
    number
}

/// How many positions there are up to the decision.
fn places(decision_position: i32) -> usize {
    usize::try_from(decision_position).map_or(0, |last| last + 1)
}

/// The rows in one piece, so that columns are slices.
pub(crate) fn rows(mut frame: DataFrame) -> DataFrame {
    frame.rechunk_mut_par();
    frame
}

/// A column of whole numbers.
pub(crate) fn ints<'a>(frame: &'a DataFrame, name: &str) -> PolarsResult<&'a [i32]> {
    frame.column(name)?.i32()?.cont_slice()
}

/// A column of keys.
pub(crate) fn longs<'a>(frame: &'a DataFrame, name: &str) -> PolarsResult<&'a [i64]> {
    frame.column(name)?.i64()?.cont_slice()
}

/// A column of numbers.
pub(crate) fn floats<'a>(frame: &'a DataFrame, name: &str) -> PolarsResult<&'a [f32]> {
    frame.column(name)?.f32()?.cont_slice()
}
