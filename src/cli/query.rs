//! `saelake query`: a question's name, a lake, and the answer on stdout.

use std::path::PathBuf;

use clap::ValueEnum;
use queries::attribution::{self, AsPublished, Question, Specials};
use queries::{Format, Tables};

use super::{Ending, ui};
use crate::error::Error;

/// Ask a lake a question.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`saelake query attribution LAKE` answers which tokens a decision attends to: importance is \
    the decision row of the pattern, averaged over heads, times the norm of the position's features, normalized."
)]
pub(super) struct Options {
    /// The question
    #[arg(value_enum)]
    name: Name,
    /// The lake
    lake: PathBuf,
    /// Key of the game [default: the smallest]
    #[arg(long, allow_negative_numbers = true)]
    game: Option<i64>,
    /// Step of the game [default: its first]
    #[arg(long)]
    step: Option<i32>,
    /// Block [default: the last one captured]
    #[arg(long)]
    layer: Option<i32>,
    /// Rows at most
    #[arg(long, default_value_t = attribution::LIMIT)]
    limit: u32,
    /// table, csv, json or parquet
    #[arg(long, default_value = "table")]
    format: String,
    /// Rank special tokens and position 0 too, where attention rests when it has nothing to look for
    #[arg(long)]
    include_special: bool,
    /// Show beside it the published formula, which takes the column of the pattern instead of the row:
    /// it says who attends to the last token, and under a causal mask only the last token can
    #[arg(long)]
    as_published: bool,
    /// Print the optimized plan and the SQL twin instead of the answer
    #[arg(long)]
    explain: bool,
}

/// The questions.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Which tokens a decision attends to, weighted by their features
    Attribution,
}

/// Asks, and prints the answer.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let format: Format = options.format.parse()?;
    let tables = Tables::open(&options.lake)?;
    let plan = match options.name {
        Name::Attribution => attribution::ask(&tables, &options.question())?,
    };
    if options.explain {
        let sql = match options.name {
            Name::Attribution => attribution::SQL,
        };
        ui::data(format!("{}\n\n{sql}", queries::explain(&plan)?).as_bytes())?;
        return Ok(Ending::Done);
    }
    let mut rows = queries::run(plan)?;
    let mut answer = Vec::new();
    queries::write(&mut rows, format, &mut answer)?;
    ui::data(&answer)?;
    if rows.height() == 0 {
        ui::note("nothing found");
        return Ok(Ending::NothingFound);
    }
    Ok(Ending::Done)
}

impl Options {
    fn question(&self) -> Question {
        Question {
            game: self.game,
            step: self.step,
            layer: self.layer,
            limit: self.limit,
            specials: if self.include_special { Specials::Include } else { Specials::LeaveOut },
            published: if self.as_published { AsPublished::Yes } else { AsPublished::No },
        }
    }
}
