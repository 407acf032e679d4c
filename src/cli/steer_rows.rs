//! What steering did: as rows of the lake, and as a table.

use queries::Format;
use schemas::{Values, effects, interventions};

use super::analysis::Described;
use super::steer::Outcome;
use super::steer_arms::{Role, Strength};
use crate::error::Error;
use crate::intervene::Played;

impl Outcome {
    fn feature(&self) -> Option<i32> {
        self.arm.steered.as_ref().map(|steered| steered.feature.cast_signed())
    }

    fn strength(&self) -> Option<f32> {
        self.arm.steered.as_ref().map(|steered| match steered.strength {
            Strength::Times(factor) => factor,
            Strength::PlusMean(times) => times,
        })
    }

    fn edit(&self) -> &'static str {
        match self.arm.steered.as_ref().map(|steered| steered.strength) {
            None => "none",
            Some(Strength::Times(0.0)) => "zero",
            Some(Strength::Times(_)) => "scale",
            Some(Strength::PlusMean(_)) => "add",
        }
    }

    fn sum(&self, of: impl Fn(&Played) -> f64) -> f64 {
        self.played.iter().map(of).sum()
    }

    fn node(&self) -> &'static str {
        match self.arm.role {
            Role::Base => "none",
            Role::Feature | Role::RandomFeature => "feature",
            Role::RandomDirection => "direction",
        }
    }
}

/// What the lake gets: an arm each, and of every game its bets and its decisions without the change and how many more
/// there were with it.
pub(super) fn rows(
    described: &Described,
    outcomes: &[Outcome],
    scope: &str,
) -> (interventions::Rows, effects::Rows) {
    let arm = |(index, outcome): (usize, &Outcome)| interventions::Row {
        hook: outcome.arm.hook().map(|hook| hook.to_string()),
        layer: outcome.arm.hook().map(|hook| hook.layer as i32),
        feature: outcome.feature(),
        strength: outcome.strength(),
        scope: scope.to_owned(),
        ..described.arm(index, outcome.arm.name.clone(), outcome.edit())
    };
    let mut effects = effects::Rows::default();
    let base = outcomes.first().map(|outcome| outcome.played.as_slice()).unwrap_or_default();
    for (index, outcome) in outcomes.iter().enumerate() {
        for (before, after) in base.iter().zip(&outcome.played) {
            let game = after.game;
            for (metric, before, after) in
                [("bets", before.bets, after.bets), ("decisions", before.decisions, after.decisions)]
            {
                let row = effects.len() as i32;
                effects.push(effects::Row {
                    game,
                    step: -1,
                    analysis: described.id.clone(),
                    row,
                    arm: index as i32,
                    metric: metric.to_owned(),
                    method: "exact".to_owned(),
                    node: outcome.node().to_owned(),
                    hook: outcome.arm.hook().map(|hook| hook.to_string()),
                    layer: outcome.arm.hook().map(|hook| hook.layer as i32),
                    position_start: None,
                    position_end: None,
                    span: None,
                    head: None,
                    feature: outcome.feature(),
                    strength: outcome.strength(),
                    estimate: None,
                    exact: Some(after as f32 - before as f32),
                    metric_base: before as f32,
                    metric_other: None,
                });
            }
        }
    }
    (outcomes.iter().enumerate().map(arm).collect(), effects)
}

/// A row an arm, as text or Parquet.
pub(super) fn print(outcomes: &[Outcome], format: Format) -> Result<Vec<u8>, Error> {
    let text = |of: &dyn Fn(&Outcome) -> String| Values::Utf8(outcomes.iter().map(of).collect());
    let count = |of: &dyn Fn(&Outcome) -> f64| {
        Values::Int32(outcomes.iter().map(|outcome| of(outcome) as i32).collect())
    };
    let float = |of: &dyn Fn(&Outcome) -> Option<f64>| {
        Values::MaybeFloat32(outcomes.iter().map(|outcome| of(outcome).map(|x| x as f32)).collect())
    };
    let decisions = |outcome: &Outcome| outcome.sum(|played| f64::from(played.decisions));
    let each = |outcome: &Outcome, sum: f64| (decisions(outcome) > 0.0).then(|| sum / decisions(outcome));
    let bets = |outcome: &Outcome| each(outcome, outcome.sum(|played| f64::from(played.bets)));
    let columns = vec![
        ("arm", text(&|outcome| outcome.arm.name.clone())),
        ("role", text(&|outcome| outcome.arm.role.name().to_owned())),
        ("games", count(&|outcome| outcome.played.len() as f64)),
        ("decisions", count(&decisions)),
        ("bet_rate", float(&bets)),
        ("difference", float(&|outcome| Some(outcome.compared?.difference))),
        ("from", float(&|outcome| Some(outcome.compared?.interval.0))),
        ("to", float(&|outcome| Some(outcome.compared?.interval.1))),
        ("p_value", float(&|outcome| Some(outcome.compared?.p_value))),
        ("q_value", float(&|outcome| outcome.q_value)),
        ("logit_diff", float(&|outcome| each(outcome, outcome.sum(|played| played.logit_diff)))),
        (
            "balance",
            float(&|outcome| {
                let games = outcome.played.len() as f64;
                (games > 0.0).then(|| outcome.sum(|played| f64::from(played.balance)) / games)
            }),
        ),
    ];
    let mut bytes = Vec::new();
    queries::write(&mut queries::frame(columns)?, format, &mut bytes)?;
    Ok(bytes)
}
