//! What every question can be told, and what is done with its answer.

use std::path::PathBuf;

use queries::{Asked, Condition, FeatureName, Format, QueryError, Scope, Selection, Specials, Tables};

use super::{Ending, tables, ui};
use crate::error::Error;
use crate::report;

/// What each question looks at of what it can be told, about a step and about all games. A question that is always
/// about all games has the same in both.
const USES: &[(&str, &[&str], &[&str])] = &[
    ("games", &["limit"], &["limit"]),
    ("overview", &["layer"], &["layer"]),
    ("attribution", &["layer", "limit"], &["layer", "span", "limit"]),
    ("features", &["layer", "span", "feature", "limit"], &["layer", "span", "feature", "limit"]),
    ("feature", &["layer", "feature", "limit"], &["layer", "feature", "limit"]),
    ("flow", &["layer", "span"], &["layer", "span"]),
    ("heatmap", &["layer", "span", "feature", "limit"], &["layer", "span", "feature", "limit"]),
    ("position", &["layer", "span", "position", "feature", "limit"], &["layer", "span", "feature", "limit"]),
    ("contrast", &["layer", "span", "feature", "limit"], &["layer", "span", "feature", "limit"]),
    ("trace", &["layer", "feature", "limit"], &["layer", "span", "feature", "limit"]),
    ("effects", &["layer", "position", "feature", "limit"], &["layer", "feature", "limit"]),
    ("causal-trace", &["layer", "feature", "limit"], &["layer", "feature", "limit"]),
    ("last-token", &["layer", "feature", "limit"], &["layer", "feature", "limit"]),
    ("compare", &["layer", "limit"], &["layer", "limit"]),
];

/// What every question can be told.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The lake: a folder, or `s3://BUCKET/PATH`
    pub(super) lake: PathBuf,
    /// Ask about one step: key of the game [default: the smallest]
    #[arg(long, allow_negative_numbers = true, value_name = "KEY", help_heading = "Where to look")]
    game: Option<i64>,
    /// Step of the game [default: its first]
    #[arg(long, value_name = "N", help_heading = "Where to look")]
    step: Option<i32>,
    /// Ask about every step of all games
    #[arg(long, conflicts_with_all = ["game", "step"], help_heading = "Where to look")]
    all: bool,
    /// Ask about every step of the games that meet a condition on the columns of `games`, repeatable:
    /// `outcome=bankruptcy`, `final_balance>=100`, `components~G`, `metadata.KEY=VALUE`
    #[arg(long = "where", value_name = "CONDITION", conflicts_with_all = ["game", "step"], help_heading = "Where to look")]
    conditions: Vec<String>,
    /// One block
    #[arg(long, value_name = "L", help_heading = "Where to look")]
    layer: Option<i32>,
    /// One named span of the prompt, such as balance, or `decision`
    #[arg(long, value_name = "NAME", help_heading = "Where to look")]
    span: Option<String>,
    /// One position
    #[arg(long, value_name = "P", help_heading = "Where to look")]
    position: Option<i32>,
    /// One feature, such as L8-59
    #[arg(long, value_name = "LAYER-FEATURE", help_heading = "Where to look")]
    feature: Option<FeatureName>,
    /// Count special tokens and position 0 too, where attention rests when it has nothing to look for
    #[arg(long, help_heading = "Where to look")]
    include_special: bool,
    /// Rows at most, where the question ranks
    #[arg(long, value_name = "N", help_heading = "Answer")]
    limit: Option<u32>,
    /// table, csv, json or parquet
    #[arg(long, default_value = "table", help_heading = "Answer")]
    format: String,
    /// Draw the answer into a file that ends in .svg or .png instead of printing it
    #[arg(long, value_name = "FILE", help_heading = "Answer")]
    plot: Option<PathBuf>,
    /// Print the optimized plan, and the SQL with its settings, instead of the answer
    #[arg(long, conflicts_with = "plot", help_heading = "Answer")]
    explain: bool,
}

impl Options {
    /// Opens the lake with the games that `question` is asked about, and says what is asked. Wrong words are
    /// refused before a file is opened.
    ///
    /// # Errors
    /// [`QueryError::NoUse`] of an option that the question does not look at.
    pub(super) fn begin(&self, question: &'static str) -> Result<(Tables, Selection), Error> {
        self.check(question)?;
        let _: Format = self.format.parse()?;
        if let Some(path) = &self.plot {
            report::Ending::of(path)?;
        }
        let condition = Condition::parse(self.conditions.iter().map(String::as_str))?;
        Ok((tables::open(&self.lake)?.only(condition)?, self.selection()))
    }

    /// The same of a question that is always about all games.
    ///
    /// # Errors
    /// [`QueryError::Needs`] if one step is named.
    pub(super) fn begin_all(&self, question: &'static str) -> Result<(Tables, Selection), Error> {
        if self.game.is_some() || self.step.is_some() {
            return Err(QueryError::Needs { question, needed: "all games, not one step" }.into());
        }
        let (tables, selection) = self.begin(question)?;
        Ok((tables, Selection { scope: Scope::AllGames, ..selection }))
    }

    /// Refuses what would be passed over in silence.
    fn check(&self, question: &'static str) -> Result<(), QueryError> {
        let Some((_, of_step, of_all)) = USES.iter().find(|(name, ..)| *name == question) else {
            return Ok(());
        };
        let (uses, about) = if self.is_about_all() { (of_all, "all games") } else { (of_step, "a step") };
        let given = [
            ("layer", self.layer.is_some()),
            ("span", self.span.is_some()),
            ("position", self.position.is_some()),
            ("feature", self.feature.is_some()),
            ("limit", self.limit.is_some()),
        ];
        match given.into_iter().find(|(option, given)| *given && !uses.contains(option)) {
            Some((option, _)) => Err(QueryError::NoUse { question, about, option }),
            None => Ok(()),
        }
    }

    /// Whether all games are asked about.
    fn is_about_all(&self) -> bool {
        self.all || !self.conditions.is_empty()
    }

    /// What is asked about.
    fn selection(&self) -> Selection {
        let step = Scope::Step { game: self.game, step: self.step };
        Selection {
            scope: if self.is_about_all() { Scope::AllGames } else { step },
            layer: self.layer,
            span: self.span.clone(),
            position: self.position,
            feature: self.feature,
            limit: self.limit,
            specials: if self.include_special { Specials::Include } else { Specials::LeaveOut },
        }
    }

    /// Answers: the plan, the rows or their picture.
    pub(super) fn answer(&self, question: &str, asked: Asked) -> Result<Ending, Error> {
        if self.explain {
            let plan = queries::explain(&asked.plan)?;
            ui::data(format!("{plan}\n\n{}\n{}", asked.variables, asked.sql).as_bytes())?;
            return Ok(Ending::Done);
        }
        let mut rows = queries::run(asked.plan)?;
        let mut answer = Vec::new();
        if rows.height() == 0 {
            ui::note("nothing found: no row is left by what was asked for");
            if self.plot.is_some() {
                return Ok(Ending::NothingFound);
            }
        }
        if let Some(path) = &self.plot {
            queries::write(&mut rows, Format::Json, &mut answer)?;
            report::plot(question, &answer, path)?;
            return Ok(Ending::Done);
        }
        queries::write(&mut rows, self.format.parse()?, &mut answer)?;
        ui::data(&answer)?;
        Ok(if rows.height() == 0 { Ending::NothingFound } else { Ending::Done })
    }
}
