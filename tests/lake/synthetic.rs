//! Batches that look like captured games: growing prompts, features that are always on, of the game, of the
//! token and rare, log-normal activations, attention to the sink and to near tokens.

#[path = "described.rs"]
mod described;

use std::collections::BTreeSet;

use saelake::lake::Batch;
use schemas::{attention, attention_rows, features, games, positions, spans, steps, tokens};

pub(super) use described::{D_SAE, dictionary, run};

/// How much to make.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) steps: i32,
    /// Tokens of the first step; each further step has a quarter more of that.
    pub(super) tokens: i32,
    pub(super) layers: &'static [i32],
    pub(super) top_k: usize,
    pub(super) heads: i32,
    pub(super) keys: usize,
}

/// Small enough for many lakes.
pub(super) const SMALL: Shape =
    Shape { steps: 2, tokens: 12, layers: &[8, 15, 29], top_k: 6, heads: 2, keys: 3 };

const WORDS: [&str; 10] = [" the", "$", "100", "é", "\n", "\"quoted\"", "日本", "\u{fffd}", "", " bet"];

/// The first batch of the run: with its row and its dictionaries.
pub(super) fn first_batch(keys: &[i64], shape: Shape) -> Batch {
    let dictionaries = shape.layers.iter().map(|layer| dictionary(*layer)).collect();
    Batch { run: Some(run()), dictionaries, ..batch(keys, shape) }
}

/// Games with these keys; the same keys give the same rows.
pub(super) fn batch(keys: &[i64], shape: Shape) -> Batch {
    let mut batch = Batch::default();
    for key in keys {
        game(&mut batch, *key, shape);
    }
    batch
}

fn game(batch: &mut Batch, game: i64, shape: Shape) {
    let mut random = Random(game as u64);
    let own = random.next() as i32 & 0xffff;
    batch.games.push(games::Row {
        game,
        game_id: format!("game {game}"),
        game_block: -1,
        run: run().run,
        source: "slot-machine".into(),
        n_steps: shape.steps,
        outcome: (game % 2 == 0).then(|| "bankruptcy".into()),
        final_balance: (game % 3 != 0).then_some(90),
        bet_type: Some("fixed".into()),
        components: None,
        metadata: (game % 5 == 0).then(|| r#"{"é": null}"#.into()),
    });
    for step in 0..shape.steps {
        let n_tokens = shape.tokens + step * shape.tokens / 4;
        step_rows(batch, game, step, n_tokens, &mut random);
        token_rows(batch, game, step, n_tokens, &mut random);
        for layer in shape.layers {
            feature_rows(batch, (game, step, *layer), n_tokens, own, shape, &mut random);
            attention_of(batch, (game, step, *layer), n_tokens, shape, &mut random);
        }
    }
}

fn step_rows(batch: &mut Batch, game: i64, step: i32, n_tokens: i32, random: &mut Random) {
    let p_bet = random.unit() * 0.9;
    batch.steps.push(steps::Row {
        game,
        step,
        n_tokens,
        n_prompt_tokens: n_tokens - 1,
        decision_position: n_tokens - 2,
        decision: Some("bet".into()),
        bet: Some(10),
        won: (step > 0).then_some(step % 2 == 0),
        balance_before: Some(100 - 10 * step),
        balance_after: Some(90 - 10 * step),
        p_bet: Some(p_bet),
        p_stop: Some(0.05),
        option_mass: Some(p_bet + 0.05),
        p_amount: None,
        amount_mass: None,
        logit_diff: Some((p_bet / 0.05).ln()),
        answer: None,
        status: "ok".into(),
        error: None,
    });
    for (name, position) in [("balance", 3), ("history[0]", 5), ("goal", 5)] {
        let (position_start, position_end) = (position, position + 2);
        batch.spans.push(spans::Row {
            game,
            step,
            name: name.into(),
            byte_start: position * 2,
            byte_end: position * 2 + 3,
            position_start,
            position_end,
        });
    }
}

fn token_rows(batch: &mut Batch, game: i64, step: i32, n_tokens: i32, random: &mut Random) {
    let mut byte = 0;
    for position in 0..n_tokens {
        let token = WORDS[random.below(WORDS.len())];
        let byte_end = byte + token.len() as i32;
        batch.tokens.push(tokens::Row {
            game,
            step,
            position,
            token_id: random.below(49_152) as i32,
            token: token.into(),
            byte_start: byte,
            byte_end,
            is_special: position == 0,
            is_generated: position + 1 == n_tokens,
        });
        byte = byte_end;
    }
}

fn feature_rows(
    batch: &mut Batch,
    (game, step, layer): (i64, i32, i32),
    n_tokens: i32,
    own: i32,
    shape: Shape,
    random: &mut Random,
) {
    let rows = batch.features.entry(layer).or_default();
    let sums = batch.positions.entry(layer).or_default();
    for position in 0..n_tokens {
        let active = active_features(own, shape.top_k, random);
        let mut strengths: Vec<(i32, f32)> =
            active.into_iter().map(|feature| (feature, (random.normal() * 0.8).exp())).collect();
        let norm = strengths.iter().map(|(_, x)| x * x).sum::<f32>().sqrt();
        strengths.sort_by(|a, b| b.1.total_cmp(&a.1));
        for ((feature, activation), rank) in strengths.into_iter().zip(0..) {
            rows.push(features::Row { game, step, position, feature, activation, rank });
        }
        sums.push(positions::Row {
            game,
            step,
            position,
            l0: shape.top_k as i32,
            feature_norm: norm,
            residual_norm: norm * 1.5 + random.unit(),
            reconstruction_error: random.unit(),
            kept_share: 1.0,
        });
    }
}

/// A quarter always on, a quarter the game's own, the rest by Zipf's law.
fn active_features(own: i32, count: usize, random: &mut Random) -> BTreeSet<i32> {
    let mut active: BTreeSet<i32> = (0..count as i32 / 4).map(|index| index * 97).collect();
    active.extend((0..count as i32 / 4).map(|index| (own + index * 331) % D_SAE));
    while active.len() < count {
        let rank = f64::from(D_SAE).powf(random.unit().into());
        active.insert((rank as i32).wrapping_mul(7919).rem_euclid(D_SAE));
    }
    active
}

fn attention_of(
    batch: &mut Batch,
    (game, step, layer): (i64, i32, i32),
    n_tokens: i32,
    shape: Shape,
    random: &mut Random,
) {
    let weights = batch.attention.entry(layer).or_default();
    let sums = batch.attention_rows.entry(layer).or_default();
    for head in 0..shape.heads {
        for query in 0..n_tokens {
            let mut row: Vec<f32> = (0..=query).map(|_| (random.normal() * 2.0).exp()).collect();
            row[0] += 20.0;
            let total: f32 = row.iter().sum();
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
            // The decision position keeps its whole row.
            let kept = if query == n_tokens - 2 { row.len() } else { shape.keys.min(row.len()) };
            let kept: BTreeSet<usize> = order[..kept].iter().copied().collect();
            let weight = |key: usize| row[key] / total;
            for key in &kept {
                let (key, weight) = (*key as i32, weight(*key));
                weights.push(attention::Row { game, step, head, query, key, weight });
            }
            let kept_mass = kept.iter().map(|key| weight(*key)).sum();
            let entropy = (0..row.len()).map(|key| -weight(key) * weight(key).ln()).sum();
            sums.push(attention_rows::Row { game, step, head, query, kept_mass, entropy });
        }
    }
}

/// The generator `SplitMix64`.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Near enough to a normal deviate for sizes: the sum of twelve uniform ones.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
