//! What a lake shows, for people: one HTML file, or a single picture of an answer.
//!
//! ```text
//!               ┌─▶ picture: QuickJS ─▶ ECharts ─▶ SVG ─▶ resvg ─▶ PNG     query … --plot FILE
//! answers ──────┤
//!  (JSON rows)  └─▶ gather ─▶ page: one HTML file with ECharts inside      report LAKE -o FILE
//! ```
//!
//! The pictures of both are the same functions in `page/pictures`: rows in, an option of ECharts out. The browser
//! draws it on a canvas, QuickJS without a document as SVG.
//!
//! This module asks `queries` and knows nothing of models, dictionaries or how a lake came to be.

mod answers;
mod asked;
mod choice;
mod error;
mod file;
mod gather;
mod pack;
mod page;
mod picture;
mod raster;
mod sample;
mod trim;

use std::path::Path;

use queries::{Condition, QueryError, Tables, Weights};

use choice::Choice;

pub use error::ReportError;
pub use picture::Ending;

/// How many steps a page holds unless said otherwise.
pub const STEPS: usize = 60;

/// What a report is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Which games.
    pub games: Condition,
    /// One layer; every captured one if missing.
    pub layer: Option<i32>,
    /// How many steps the page holds at most.
    pub steps: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { games: Condition::default(), layer: None, steps: STEPS }
    }
}

/// A pair of features: `from_layer`, `from_feature`, `to_layer`, `to_feature`.
pub type Pair = (i32, i32, i32, i32);

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: usize,
    /// Steps that the page holds.
    pub steps: usize,
    /// Steps of the games that it is about.
    pub of_steps: usize,
}

/// A report that can be written: which steps of which games it is about.
pub struct Report {
    tables: Tables,
    settings: Settings,
    choice: Choice,
}

impl Report {
    /// Chooses what the page holds.
    ///
    /// # Errors
    /// [`ReportError::Empty`] if there is no game, or what the questions return.
    pub fn of(tables: &Tables, settings: Settings) -> Result<Self, ReportError> {
        let tables = match tables.only(settings.games.clone()) {
            Err(QueryError::NoGames) => return Err(ReportError::Empty),
            tables => tables?,
        };
        let choice = Choice::of(&tables, &settings)?;
        Ok(Self { tables, settings, choice })
    }

    /// The pairs of features whose couplings its traces can use, sorted.
    ///
    /// # Errors
    /// If the lake cannot be read.
    pub fn pairs(&self) -> Result<Vec<Pair>, ReportError> {
        self.choice.pairs(&self.tables)
    }

    /// How many steps the page holds.
    pub fn n_steps(&self) -> usize {
        self.choice.shown.len()
    }

    /// Writes the page to `path`, whole or not at all. `name` is the lake's name for people; without couplings in
    /// `weights`, the traces do without. `progress` is called after each step.
    ///
    /// # Errors
    /// [`ReportError::Unwritable`], or what the questions return.
    pub fn write(
        &self,
        name: &str,
        weights: &Weights,
        path: &Path,
        progress: impl Fn() + Sync,
    ) -> Result<Written, ReportError> {
        file::check(path)?;
        let named = (name, &self.settings);
        let gathered = gather::gather(&self.tables, named, &self.choice, weights, progress)?;
        let page = page::page(&gathered)?;
        file::write(path, page.as_bytes())?;
        Ok(Written { bytes: page.len(), steps: gathered.steps.len(), of_steps: self.choice.of_steps() })
    }
}

/// Writes the picture of an answer to `path`, as SVG or PNG by its ending, whole or not at all. `rows` is the answer
/// as [`queries::write`] gives it as JSON.
///
/// # Errors
/// [`ReportError::UnknownPicture`], [`ReportError::NoPicture`], [`ReportError::NoRows`],
/// [`ReportError::Unwritable`], or [`ReportError::Drawing`] if the engine fails.
pub fn plot(question: &str, rows: &[u8], path: &Path) -> Result<(), ReportError> {
    let kind = Ending::of(path)?;
    let svg = picture::svg(question, rows)?;
    match kind {
        Ending::Svg => file::write(path, svg.as_bytes()),
        Ending::Png => file::write(path, &raster::png(&svg)?),
    }
}
