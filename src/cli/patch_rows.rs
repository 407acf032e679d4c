//! Effects of patches: as rows of the lake, and as a table.

use queries::Format;
use schemas::{Values, effects, interventions};

use super::analysis::Described;
use crate::error::Error;
use crate::intervene::{Cell, Unit};

/// The patches of one pair.
pub(super) struct Patched {
    pub(super) game: i64,
    pub(super) step: i32,
    pub(super) metric: String,
    /// The metric of the run that was patched.
    pub(super) base: f64,
    /// The metric of the run that values were taken from, if they were taken from one.
    pub(super) other: Option<f64>,
    pub(super) units: Vec<Unit>,
    pub(super) cells: Vec<Cell>,
    /// The texts of the tokens of the run that was patched.
    pub(super) tokens: Vec<String>,
}

impl Patched {
    /// How far a patch moved the metric.
    fn effect(&self, cell: &Cell) -> f64 {
        cell.value - self.base
    }

    /// The effect as a share of the whole difference between the two runs; missing where there is none.
    fn share(&self, cell: &Cell) -> Option<f32> {
        let whole = self.other? - self.base;
        (whole != 0.0).then(|| (self.effect(cell) / whole) as f32)
    }

    fn range(&self, cell: &Cell) -> (i32, i32) {
        let positions = &self.units[cell.unit].positions;
        let first = positions.first().map_or(0, |first| *first as i32);
        (first, positions.last().map_or(first, |last| *last as i32 + 1))
    }

    fn text(&self, cell: &Cell) -> String {
        self.units[cell.unit].positions.iter().map(|position| self.tokens[*position].as_str()).collect()
    }
}

/// What the lake gets of an analysis with one arm.
pub(super) fn rows(
    described: &Described,
    patched: &Patched,
    (name, edit): (&str, &str),
) -> (interventions::Rows, effects::Rows) {
    let arm = described.arm(0, name.to_owned(), edit);
    let effect = |(row, cell): (usize, &Cell)| {
        let (start, end) = patched.range(cell);
        let node = match (cell.head, cell.feature) {
            (Some(_), _) => "head",
            (None, Some(_)) => "feature",
            (None, None) => "activation",
        };
        effects::Row {
            game: patched.game,
            step: patched.step,
            analysis: described.id.clone(),
            row: row as i32,
            arm: 0,
            metric: patched.metric.clone(),
            method: "exact".to_owned(),
            node: node.to_owned(),
            hook: Some(cell.hook.to_string()),
            layer: Some(cell.hook.layer as i32),
            position_start: Some(start),
            position_end: Some(end),
            span: patched.units[cell.unit].span.clone(),
            head: cell.head.map(|head| head as i32),
            feature: cell.feature.map(u32::cast_signed),
            strength: None,
            estimate: None,
            exact: Some(patched.effect(cell) as f32),
            metric_base: patched.base as f32,
            metric_other: patched.other.map(|other| other as f32),
        }
    };
    (std::iter::once(arm).collect(), patched.cells.iter().enumerate().map(effect).collect())
}

/// The effects, largest first, as text or Parquet.
pub(super) fn print(patched: &[Patched], limit: Option<usize>, format: Format) -> Result<Vec<u8>, Error> {
    let mut all: Vec<(&Patched, &Cell)> =
        patched.iter().flat_map(|of| of.cells.iter().map(move |cell| (of, cell))).collect();
    all.sort_by(|(a, cell), (b, other)| b.effect(other).abs().total_cmp(&a.effect(cell).abs()));
    all.truncate(limit.unwrap_or(usize::MAX));
    let column = |of: &dyn Fn(&Patched, &Cell) -> i32| {
        Values::Int32(all.iter().map(|(patched, cell)| of(patched, cell)).collect())
    };
    let maybe = |of: &dyn Fn(&Cell) -> Option<i32>| {
        Values::MaybeInt32(all.iter().map(|(_, cell)| of(cell)).collect())
    };
    let float = |of: &dyn Fn(&Patched, &Cell) -> f64| {
        Values::Float32(all.iter().map(|(p, c)| of(p, c) as f32).collect())
    };
    let columns = vec![
        ("game", Values::Int64(all.iter().map(|(patched, _)| patched.game).collect())),
        ("step", column(&|patched, _| patched.step)),
        ("hook", Values::Utf8(all.iter().map(|(_, cell)| cell.hook.to_string()).collect())),
        ("position_start", column(&|patched, cell| patched.range(cell).0)),
        ("position_end", column(&|patched, cell| patched.range(cell).1)),
        (
            "span",
            Values::MaybeUtf8(
                all.iter().map(|(patched, cell)| patched.units[cell.unit].span.clone()).collect(),
            ),
        ),
        ("token", Values::Utf8(all.iter().map(|(patched, cell)| patched.text(cell)).collect())),
        ("head", maybe(&|cell| cell.head.map(|head| head as i32))),
        ("feature", maybe(&|cell| cell.feature.map(u32::cast_signed))),
        ("metric", float(&|_, cell| cell.value)),
        ("effect", float(&Patched::effect)),
        ("share", Values::MaybeFloat32(all.iter().map(|(patched, cell)| patched.share(cell)).collect())),
    ];
    let mut bytes = Vec::new();
    queries::write(&mut queries::frame(columns)?, format, &mut bytes)?;
    Ok(bytes)
}
