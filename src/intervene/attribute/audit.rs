//! The audit of an attribution: some of its nodes are changed one by one, and the estimates are held against that.

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::agreement::{Agreement, Claim};
use super::estimate::{Attributed, Audit, Effect};
use super::node::Node;
use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;

/// How an audit chooses.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// So many of the largest by each score.
    pub top: usize,
    /// So many of the others, drawn at random.
    pub drawn: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Rows of a pass at most.
    pub budget: usize,
}

/// A score that is held against exact effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Attribution patching.
    Attribution,
    /// Integrated gradients.
    Integrated,
    /// The last row of the pattern times the activation.
    Attention,
    /// The last column times the activation, as published before.
    Published,
}

impl Score {
    /// Every score.
    pub const ALL: [Self; 4] = [Self::Attribution, Self::Integrated, Self::Attention, Self::Published];

    /// Its name, as the lake stores it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attribution => "attribution",
            Self::Integrated => "integrated-gradients",
            Self::Attention => "attention x activation",
            Self::Published => "published",
        }
    }

    /// What it claims.
    pub const fn claim(self) -> Claim {
        match self {
            Self::Attribution | Self::Integrated => Claim::Effect,
            Self::Attention | Self::Published => Claim::Size,
        }
    }

    /// What it says of an effect, if it says anything.
    pub fn of(self, effect: &Effect) -> Option<f64> {
        match self {
            Self::Attribution => Some(effect.estimate),
            Self::Integrated => effect.integrated,
            Self::Attention => effect.attention,
            Self::Published => effect.published,
        }
    }
}

/// What an audit found of one score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The score.
    pub score: Score,
    /// How it agrees on all nodes that were audited and that it says something of. These are chosen by the scores, so
    /// they flatter; what was drawn does not.
    pub all: Agreement,
    /// How it agrees on those that were drawn at random.
    pub drawn: Agreement,
    /// The node that it is furthest off at, with its score and its exact effect; of a score that claims a size alone,
    /// the largest effect that is not among its k largest.
    pub worst: Option<(Node, f64, f64)>,
}

impl Base<'_> {
    /// Changes some nodes one by one, exactly, and each block wholly, and writes down what that did.
    ///
    /// # Errors
    /// If the device fails.
    pub fn audit(&self, attributed: &mut [Attributed<'_>], plan: Plan) -> Result<(), InterveneError> {
        for (layer, index, why) in chosen(attributed, plan) {
            attributed[layer].effects[index].audit = Some(why);
        }
        let mut patches = Vec::new();
        for attributed in &*attributed {
            patches.push(attributed.changed.whole_patch(self)?);
            let audited = attributed.effects.iter().filter(|effect| effect.audit.is_some());
            for effect in audited {
                patches.push(attributed.changed.patch(self, effect.node)?);
            }
        }
        let mut values = self.patched(&patches, plan.budget)?.into_iter().map(|value| value - self.value);
        for Attributed { effects, exact, .. } in attributed {
            *exact = values.next();
            for effect in effects.iter_mut().filter(|effect| effect.audit.is_some()) {
                effect.exact = values.next();
            }
        }
        Ok(())
    }
}

/// The nodes to audit: the block's index, the effect's index in it, and why.
fn chosen(attributed: &[Attributed<'_>], plan: Plan) -> Vec<(usize, usize, Audit)> {
    let places = attributed
        .iter()
        .enumerate()
        .flat_map(|(layer, attributed)| (0..attributed.effects.len()).map(move |index| (layer, index)));
    let places = places.collect::<Vec<_>>();
    let effect = |place: &(usize, usize)| &attributed[place.0].effects[place.1];
    let mut chosen = Vec::new();
    for score in Score::ALL {
        let scored = places.iter().filter_map(|place| Some((*place, score.of(effect(place))?.abs())));
        // What a score takes for nothing is not among its largest.
        let mut scored = scored.filter(|(_, size)| *size > 0.0).collect::<Vec<_>>();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        chosen.extend(scored.into_iter().take(plan.top).map(|(place, _)| place));
    }
    chosen.sort_unstable();
    chosen.dedup();
    let is_rest = |place: &&(usize, usize)| chosen.binary_search(place).is_err();
    let mut rest = places.iter().filter(is_rest).copied().collect::<Vec<_>>();
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let (drawn, _) = rest.partial_shuffle(&mut random, plan.drawn);
    let drawn = drawn.iter().map(|(layer, index)| (*layer, *index, Audit::Drawn));
    chosen.into_iter().map(|(layer, index)| (layer, index, Audit::Top)).chain(drawn).collect::<Vec<_>>()
}

/// How each score agrees with what was audited; scores that say nothing are left out.
pub fn verdicts(effects: &[&Effect], k: usize) -> Vec<Verdict> {
    let of_score = |score: Score| {
        let known = effects.iter().filter_map(|effect| Some((*effect, score.of(effect)?, effect.exact?)));
        let known = known.collect::<Vec<_>>();
        if known.is_empty() {
            return None;
        }
        let agreement = |drawn_only: bool| {
            let counted =
                known.iter().filter(|(effect, ..)| !drawn_only || effect.audit == Some(Audit::Drawn));
            let (scores, exact) =
                counted.map(|(_, score, exact)| (*score, *exact)).unzip::<_, _, Vec<_>, Vec<_>>();
            Agreement::of(&scores, &exact, score.claim(), k)
        };
        let (all, drawn) = (agreement(false), agreement(true));
        let worst = match score.claim() {
            Claim::Effect => known.iter().max_by(|a, b| (a.1 - a.2).abs().total_cmp(&(b.1 - b.2).abs())),
            Claim::Size => missed(&known, all.k),
        };
        let worst = worst.map(|(effect, score, exact)| (effect.node, *score, *exact));
        Some(Verdict { score, all, drawn, worst })
    };
    Score::ALL.into_iter().filter_map(of_score).collect::<Vec<_>>()
}

/// The largest effect whose score is not among the `k` largest.
fn missed<'a, 'b>(known: &'a [(&'b Effect, f64, f64)], k: usize) -> Option<&'a (&'b Effect, f64, f64)> {
    let mut scores = known.iter().map(|(_, score, _)| score.abs()).collect::<Vec<_>>();
    scores.sort_by(|a, b| b.total_cmp(a));
    let least = *scores.get(k.checked_sub(1)?)?;
    let missed = known.iter().filter(|(_, score, _)| score.abs() < least || score.abs() == 0.0);
    missed.max_by(|a, b| a.2.abs().total_cmp(&b.2.abs()))
}
