//! Fewer rows, by rules that the page states.

use std::collections::BTreeSet;

use serde_json::Value;

use super::answers::{Answer, Row, integer, text};

/// How many weights of a step and layer are kept, the heaviest; a prompt of 500 tokens keeps all.
pub(super) const MOST_WEIGHTS: usize = 1500;

/// How many cells of a step's heat map are kept: the features that vary most, whole.
pub(super) const MOST_CELLS: usize = 2000;

/// How many features a trace starts from.
pub(super) const TARGETS: u32 = 8;

/// How many sources of each are kept where the decision is made, and how many elsewhere.
const SOURCES: (usize, usize) = (3, 6);

/// The heaviest weights, in their order.
pub(super) fn heaviest(mut weights: Vec<Row>) -> Vec<Row> {
    let weight = |row: &Row| row.get("weight").and_then(Value::as_f64).unwrap_or_default();
    if weights.len() > MOST_WEIGHTS {
        let mut sorted: Vec<f64> = weights.iter().map(weight).collect();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let least = sorted[MOST_WEIGHTS - 1];
        weights.retain(|row| weight(row) >= least);
    }
    weights
}

/// The cells of whole features: those that vary most, as many as there is room for.
pub(super) fn few_cells(cells: Answer) -> Answer {
    let mut sums: Vec<(i64, f64, usize)> = Vec::new();
    for row in cells.rows() {
        let feature = integer(row, "feature").unwrap_or_default();
        let square = row.get("activation").and_then(Value::as_f64).unwrap_or_default().powi(2);
        match sums.iter_mut().find(|(known, ..)| *known == feature) {
            Some((_, sum, count)) => {
                *sum += square;
                *count += 1;
            }
            None => sums.push((feature, square, 1)),
        }
    }
    sums.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut room = MOST_CELLS;
    let mut fits = |count: usize| {
        let fits = count <= room;
        room = room.saturating_sub(count);
        fits
    };
    let kept: Vec<i64> =
        sums.iter().take_while(|(.., count)| fits(*count)).map(|(feature, ..)| *feature).collect();
    cells.keep(|row| integer(row, "feature").is_some_and(|feature| kept.contains(&feature)))
}

/// A token or a feature: its layer, position and index.
type End = [Option<i64>; 3];

/// The strongest targets of a trace, of each the strongest sources at the decision's own position and elsewhere, and the
/// tokens of these. The own position carries everything that it keeps, and would crowd out the others.
pub(super) fn few_edges(edges: Answer) -> Answer {
    let of_kind = |kind: &'static str| edges.rows().iter().filter(move |row| text(row, "kind") == Some(kind));
    let is_here = |row: &&Row| integer(row, "from_position") == integer(row, "to_position");
    let mut kept: BTreeSet<[End; 2]> = strongest(of_kind("output"), TARGETS as usize).into_iter().collect();
    let targets: Vec<End> = kept.iter().map(|[target, _]| *target).collect();
    for target in targets {
        let of_target = || of_kind("feature").filter(move |row| end(row, "to") == target);
        kept.extend(strongest(of_target().filter(is_here), SOURCES.0));
        kept.extend(strongest(of_target().filter(|row| !is_here(row)), SOURCES.1));
    }
    let sources: BTreeSet<End> = kept.iter().map(|[from, _]| *from).collect();
    edges.keep(|row| match text(row, "kind") {
        Some("token") => sources.contains(&end(row, "to")),
        _ => kept.contains(&[end(row, "from"), end(row, "to")]),
    })
}

/// The edges with the largest scores, at most `most`.
fn strongest<'a>(edges: impl Iterator<Item = &'a Row>, most: usize) -> Vec<[End; 2]> {
    let size = |row: &Row| row.get("score").and_then(Value::as_f64).unwrap_or_default().abs();
    let mut edges: Vec<&Row> = edges.collect();
    edges.sort_by(|a, b| size(b).total_cmp(&size(a)));
    edges.into_iter().take(most).map(|row| [end(row, "from"), end(row, "to")]).collect()
}

/// The `from` or `to` end of an edge.
fn end(edge: &Row, side: &str) -> End {
    ["layer", "position", "feature"].map(|name| integer(edge, &format!("{side}_{name}")))
}
