//! What the lake gets of an attribution.

use schemas::{effects, interventions};

use super::analysis::Described;
use super::attribute::Found;
use super::attribute_answer::{feature, node_name, writer};
use super::subject::Subject;
use crate::intervene::attribute::{Agreement, Audit, Effect, Part, Score, Verdict};
use crate::lake::Analysis;
use crate::model::{Hook, Site};

/// The arm of the direct contributions, after two of each score: what the score chose or did not choose to audit, and
/// what was drawn at random to be audited.
const DIRECT: usize = 2 * Score::ALL.len();

/// The rows of `interventions` and `effects`: of each score one row a node, and the direct contributions. Of estimates
/// the `keep` largest are kept, and all that were audited; of the other scores what was audited.
pub(super) fn rows(
    subject: &Subject,
    found: &Found<'_>,
    keep: usize,
    settings: &serde_json::Value,
) -> (Described, Analysis) {
    let layers = found.attributed.iter().map(|attributed| attributed.changed.dictionary.hook.layer);
    let all = serde_json::json!({
        "game": subject.game, "step": subject.step, "metric": subject.metric_name,
        "layers": layers.collect::<Vec<_>>(), "attribute": settings,
    });
    let seed = settings.get("seed").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let described = Described::new("attribute", &subject.opened.identity, seed, &all);
    let mut effects = Vec::new();
    for (place, effect) in found.effects().into_iter().enumerate() {
        for (index, score) in Score::ALL.into_iter().enumerate() {
            let Some(estimate) = score.of(effect) else { continue };
            let is_estimate = matches!(score, Score::Attribution | Score::Integrated);
            if effect.audit.is_some() || (is_estimate && place < keep) {
                let arm = 2 * index + usize::from(effect.audit == Some(Audit::Drawn));
                let row = row(subject, found, &described.id, (arm, score.name(), estimate));
                effects.push(of_node(row, effect));
            }
        }
    }
    for (part, logit) in &found.direct {
        let (layer, head, name) = writer(*part);
        let row = row(subject, found, &described.id, (DIRECT, "direct-logit", *logit));
        let last = subject.prompt.tokens.len() as i32 - 1;
        let site = if head.is_some() { Site::Z } else { Site::MlpOut };
        let hook = layer.map(|layer| Hook { layer: layer.cast_unsigned() as usize, site }.to_string());
        effects.push(effects::Row {
            node: if head.is_some() { "head" } else { "activation" }.to_owned(),
            hook: Some(hook.unwrap_or_else(|| format!("hook_{name}"))),
            layer,
            head,
            position_start: Some(last),
            position_end: Some(last + 1),
            ..row
        });
    }
    for (number, row) in effects.iter_mut().enumerate() {
        row.row = number as i32;
    }
    let interventions = arms(&described, found, &effects, &all);
    let analysis = Analysis { interventions, effects: effects.into_iter().collect(), ..Analysis::default() };
    (described, analysis)
}

/// A row without its node.
fn row(
    subject: &Subject,
    found: &Found<'_>,
    analysis: &str,
    (arm, method, estimate): (usize, &str, f64),
) -> effects::Row {
    effects::Row {
        game: subject.game,
        step: subject.step,
        analysis: analysis.to_owned(),
        row: 0,
        arm: arm as i32,
        metric: subject.metric_name.clone(),
        method: method.to_owned(),
        node: String::new(),
        hook: None,
        layer: None,
        position_start: None,
        position_end: None,
        span: None,
        head: None,
        feature: None,
        strength: None,
        estimate: Some(estimate as f32),
        exact: None,
        metric_base: found.base as f32,
        metric_other: found.other.map(|other| other as f32),
    }
}

fn of_node(row: effects::Row, effect: &Effect) -> effects::Row {
    let position = effect.node.position as i32;
    effects::Row {
        node: node_name(effect.node.part).to_owned(),
        hook: Some(Hook::resid_post(effect.node.layer).to_string()),
        layer: Some(effect.node.layer as i32),
        position_start: Some(position),
        position_end: Some(position + 1),
        head: match effect.node.part {
            Part::Head(head) => Some(head as i32),
            _ => None,
        },
        feature: feature(effect.node.part),
        exact: effect.exact.map(|exact| exact as f32),
        ..row
    }
}

/// The arms that have rows, each with what the audit found of its score.
fn arms(
    described: &Described,
    found: &Found<'_>,
    effects: &[effects::Row],
    all: &serde_json::Value,
) -> interventions::Rows {
    let mut used = effects.iter().map(|row| row.arm).collect::<Vec<_>>();
    used.sort_unstable();
    used.dedup();
    let arm = |number: i32| {
        let number = number as usize;
        let Some(score) = Score::ALL.get(number / 2) else {
            return described.arm(number, "direct contributions to the logits".to_owned(), "estimate");
        };
        let is_drawn = number % 2 == 1;
        let name = if is_drawn { format!("{}, drawn", score.name()) } else { score.name().to_owned() };
        let verdict = found.verdicts.iter().find(|verdict| verdict.score == *score);
        let mut settings = all.clone();
        settings["audit"] = verdict.map_or(serde_json::Value::Null, |verdict| audit(verdict, is_drawn));
        interventions::Row { settings: settings.to_string(), ..described.arm(number, name, "estimate") }
    };
    used.into_iter().map(arm).collect::<interventions::Rows>()
}

/// What an audit found, as JSON; what is not a number is null.
fn audit(verdict: &Verdict, is_drawn: bool) -> serde_json::Value {
    let Agreement { nodes, pearson, spearman, signs, recall, k } =
        if is_drawn { verdict.drawn } else { verdict.all };
    let worst = verdict.worst.filter(|_| !is_drawn).map(|(node, score, exact)| {
        serde_json::json!({ "node": node.to_string(), "score": score, "exact": exact })
    });
    serde_json::json!({
        "nodes": nodes, "pearson": pearson, "spearman": spearman, "signs": signs, "recall": recall, "k": k,
        "worst": worst,
    })
}
