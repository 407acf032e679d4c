//! What an attribution prints.

use std::str::FromStr;

use queries::Format;
use schemas::Values;

use super::attribute::Found;
use super::subject::Subject;
use crate::error::Error;
use crate::intervene::attribute::{Agreement, Effect, Part, Writer};

/// Which of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The effects of nodes.
    Effects,
    /// How the scores agree with what was audited.
    Audit,
    /// What each part of the model writes into the logits.
    Direct,
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "effects" => Ok(Self::Effects),
            "audit" => Ok(Self::Audit),
            "direct" => Ok(Self::Direct),
            _ => Err("it is `effects`, `audit` or `direct`".to_owned()),
        }
    }
}

impl Answer {
    /// The answer as text or Parquet, the largest rows first.
    pub(super) fn print(
        self,
        subject: &Subject,
        found: &Found<'_>,
        limit: Option<usize>,
        format: Format,
    ) -> Result<Vec<u8>, Error> {
        let limit = limit.unwrap_or(usize::MAX);
        match self {
            Self::Effects => {
                let mut effects = found.effects();
                effects.truncate(limit);
                write(effect_columns(subject, &effects), format)
            }
            Self::Audit => write(audit_columns(found), format),
            Self::Direct => {
                let mut written = found.direct.clone();
                written.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
                written.truncate(limit);
                write(direct_columns(&written), format)
            }
        }
    }
}

/// The audit as text.
pub(super) fn audit_table(found: &Found<'_>, format: Format) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&write(audit_columns(found), format)?).into_owned())
}

type Columns = Vec<(&'static str, Values)>;

pub(super) fn write(columns: Columns, format: Format) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    queries::write(&mut queries::frame(columns)?, format, &mut bytes)?;
    Ok(bytes)
}

/// What a part is called in the lake.
pub(super) const fn node_name(part: Part) -> &'static str {
    match part {
        Part::Feature(_) => "feature",
        Part::Error => "error",
        Part::Head(_) => "head",
        Part::Whole => "activation",
    }
}

/// The feature that a part is, if it is one.
pub(super) const fn feature(part: Part) -> Option<i32> {
    match part {
        Part::Feature(feature) => Some(feature.cast_signed()),
        _ => None,
    }
}

fn effect_columns(subject: &Subject, effects: &[&Effect]) -> Columns {
    let integers =
        |of: fn(&Effect) -> usize| Values::Int32(effects.iter().map(|effect| of(effect) as i32).collect());
    let floats = |of: fn(&Effect) -> Option<f64>| {
        let cells = effects.iter().map(|effect| of(effect).map(|number| number as f32));
        Values::MaybeFloat32(cells.collect::<Vec<_>>())
    };
    let names = effects.iter().map(|effect| node_name(effect.node.part).to_owned());
    let tokens = effects.iter().map(|effect| subject.token(effect.node.position));
    vec![
        ("node", Values::Utf8(names.collect::<Vec<_>>())),
        ("layer", integers(|effect| effect.node.layer)),
        ("position", integers(|effect| effect.node.position)),
        ("token", Values::Utf8(tokens.collect::<Vec<_>>())),
        ("feature", Values::MaybeInt32(effects.iter().map(|effect| feature(effect.node.part)).collect())),
        ("before", floats(|effect| effect.activation.map(|(before, _)| f64::from(before)))),
        ("after", floats(|effect| effect.activation.map(|(_, after)| f64::from(after)))),
        ("estimate", floats(|effect| Some(effect.estimate))),
        ("integrated", floats(|effect| effect.integrated)),
        ("exact", floats(|effect| effect.exact)),
        ("attention", floats(|effect| effect.attention)),
        ("published", floats(|effect| effect.published)),
    ]
}

fn audit_columns(found: &Found<'_>) -> Columns {
    let rows = found
        .verdicts
        .iter()
        .flat_map(|verdict| [("all", verdict, &verdict.all), ("drawn", verdict, &verdict.drawn)]);
    let rows = rows.filter(|(_, _, agreement)| agreement.nodes > 0).collect::<Vec<_>>();
    let floats = |of: &dyn Fn(&Agreement) -> Option<f64>| {
        let cells = rows.iter().map(|(_, _, agreement)| of(agreement).filter(|x| x.is_finite()));
        Values::MaybeFloat32(cells.map(|number| number.map(|number| number as f32)).collect())
    };
    let of_all = |which: &str| which == "all";
    let worst = |at: usize| {
        let cells = rows.iter().map(|(which, verdict, _)| {
            let (_, score, exact) = verdict.worst.filter(|_| of_all(which))?;
            Some([score, exact][at] as f32)
        });
        Values::MaybeFloat32(cells.collect::<Vec<_>>())
    };
    let node = rows.iter().map(|(which, verdict, _)| {
        verdict.worst.filter(|_| of_all(which)).map(|(node, ..)| node.to_string())
    });
    let text = |of: &dyn Fn(usize) -> String| Values::Utf8((0..rows.len()).map(of).collect::<Vec<_>>());
    vec![
        ("score", text(&|row| rows[row].1.score.name().to_owned())),
        ("audited", text(&|row| rows[row].0.to_owned())),
        ("nodes", Values::Int32(rows.iter().map(|(_, _, agreement)| agreement.nodes as i32).collect())),
        ("pearson", floats(&|agreement| Some(agreement.pearson))),
        ("spearman", floats(&|agreement| Some(agreement.spearman))),
        ("signs", floats(&|agreement| agreement.signs)),
        ("k", Values::Int32(rows.iter().map(|(_, _, agreement)| agreement.k as i32).collect())),
        ("recall", floats(&|agreement| Some(agreement.recall))),
        ("worst", Values::MaybeUtf8(node.collect::<Vec<_>>())),
        ("worst_score", worst(0)),
        ("worst_exact", worst(1)),
    ]
}

/// The block, the head and the name of a part of the model.
pub(super) const fn writer(writer: Writer) -> (Option<i32>, Option<i32>, &'static str) {
    match writer {
        Writer::Embedding => (None, None, "embedding"),
        Writer::Head { layer, head } => (Some(layer as i32), Some(head as i32), "head"),
        Writer::Mlp { layer } => (Some(layer as i32), None, "mlp"),
    }
}

fn direct_columns(written: &[(Writer, f64)]) -> Columns {
    let parts = || written.iter().map(|(of, _)| writer(*of));
    vec![
        ("part", Values::Utf8(parts().map(|(.., name)| name.to_owned()).collect())),
        ("layer", Values::MaybeInt32(parts().map(|(layer, ..)| layer).collect())),
        ("head", Values::MaybeInt32(parts().map(|(_, head, _)| head).collect())),
        ("logit", Values::Float32(written.iter().map(|(_, logit)| *logit as f32).collect())),
    ]
}
