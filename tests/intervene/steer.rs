//! Steered games: what must not be found, what must be, and what a control is.

use burn::tensor::{Device, Tensor, TensorData};
use saelake::capture::{AttentionKept, Settings};
use saelake::dictionary::Keep;
use saelake::game::{BetType, Components, Decide, Rules, Stream};
use saelake::intervene::{
    Change, Edit, FeatureChange, FeatureEdit, Played, Player, Positions, compare, q_values, turned,
};
use saelake::model::{Dtype, open};

use super::commands::{lake, refuses, text};
use super::floats;
use crate::support::{demo_dictionaries, program, said, smollm2};

/// Datasets of the simulation, and tests in each.
const DATASETS: usize = 60;
const FEATURES: usize = 5;
/// What is called significant.
const LEVEL: f64 = 0.05;

/// A game whose length and tendency are its own: a decision is a bet with that probability, until the first stop.
fn game(index: i64, bet: f64, draws: &mut Stream) -> Played {
    let mut played = Played { game: index, bets: 0, decisions: 0, logit_diff: 0.0, balance: 0 };
    while played.decisions < 30 {
        played.decisions += 1;
        if draws.uniform() >= bet {
            break;
        }
        played.bets += 1;
    }
    played
}

/// Games that differ much from each other, with and without a change that moves the probability by `effect`.
fn arms(games: i64, effect: f64, draws: &mut Stream) -> (Vec<Played>, Vec<Played>) {
    let pair = |index| {
        let own = 0.2 + 0.6 * draws.uniform();
        (game(index, own, draws), game(index, (own + effect).min(0.97), draws))
    };
    (0..games).map(pair).unzip()
}

/// Labels exchanged at random between the two plays of each game: there is nothing to find, and no more is found than the
/// level says, but for what chance allows once in a thousand such tests.
#[test]
fn shuffled_labels_are_significant_no_more_often_than_stated() {
    let mut draws = Stream::sampling(7, 0);
    let (mut significant, mut discovered) = (0, 0);
    for dataset in 0..DATASETS {
        let mut p_values = Vec::new();
        for feature in 0..FEATURES {
            // A change that does much, whose labels are then lost.
            let (mut base, mut arm) = arms(16, 0.15, &mut draws);
            for (one, other) in base.iter_mut().zip(&mut arm) {
                if draws.uniform() < 0.5 {
                    std::mem::swap(one, other);
                }
            }
            let seed = (dataset * FEATURES + feature) as u64;
            p_values.push(compare(&base, &arm, seed).unwrap().p_value);
        }
        significant += p_values.iter().filter(|p| **p <= LEVEL).count();
        discovered += usize::from(q_values(&p_values).iter().any(|q| *q <= LEVEL));
    }
    let most = |count: usize| {
        let mean = LEVEL * count as f64;
        (mean + 3.1 * (mean * (1.0 - LEVEL)).sqrt()) as usize
    };
    let (tests, families) = (DATASETS * FEATURES, DATASETS);
    assert!(significant <= most(tests), "{significant} of {tests} tests");
    assert!(discovered <= most(families), "{discovered} of {families} families have a discovery");
    assert!(significant > 0, "a test that never finds anything is none");
}

#[test]
fn an_effect_that_is_there_is_found_and_the_interval_covers_it() {
    let mut draws = Stream::sampling(8, 0);
    let (base, arm) = arms(60, 0.2, &mut draws);
    let found = compare(&base, &arm, 1).unwrap();
    assert!(found.p_value < 0.01 && found.interval.0 > 0.0, "{found:?}");
    assert!(found.interval.0 <= found.difference && found.difference <= found.interval.1, "{found:?}");
    let counted = |played: &[Played]| {
        let sum = |of: fn(&Played) -> u32| played.iter().map(|played| f64::from(of(played))).sum::<f64>();
        sum(|played| played.bets) / sum(|played| played.decisions)
    };
    assert!((found.difference - (counted(&arm) - counted(&base))).abs() < 1e-12);
    assert_eq!(Some(found), compare(&base, &arm, 1), "a seed gives the same draws");
    let same = compare(&base, &base, 1).unwrap();
    assert!((same.p_value - 1.0).abs() < 1e-12 && same.difference.abs() < 1e-12);
    assert!(compare(&[], &[], 1).is_none());
}

#[test]
fn q_values_are_the_least_rate_at_which_each_is_found() {
    let p_values = [0.01, 0.5, 0.02, 0.03, 1.0];
    // By definition: the least p_(k) * n / k over the k that come at or after its own.
    let expected = [0.05, 0.625, 0.05, 0.05, 1.0];
    for (q, expected) in q_values(&p_values).iter().zip(expected) {
        assert!((q - expected).abs() < 1e-12, "{q} and {expected}");
    }
    assert!(q_values(&[]).is_empty());
}

#[test]
fn a_random_direction_moves_a_row_as_far() {
    let dictionary = demo_dictionaries().remove(1);
    let numbers = (0..4 * dictionary.d_in).map(|i| ((i * 29 + 3) % 83) as f32 - 41.0).collect::<Vec<f32>>();
    let x = Tensor::<2>::from_data(TensorData::new(numbers, [4, dictionary.d_in]), &Device::flex());
    let feature = 59;
    let other = turned(&dictionary, feature, &mut Stream::sampling(3, 0));
    let change = Tensor::<2>::ones([4, 1], &Device::flex()) * 2.5;
    let written = |dictionary: &saelake::dictionary::Dictionary| {
        dictionary.written(change.clone(), &[feature], &x).unwrap()
    };
    let (own, random) = (floats(written(&dictionary)), floats(written(&other)));
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    for (own, random) in own.chunks(dictionary.d_in).zip(random.chunks(dictionary.d_in)) {
        assert!((norm(own) - norm(random)).abs() <= 1e-5 * norm(own));
        let along: f64 = own.iter().zip(random).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!(along.abs() < 0.3 * norm(own) * norm(random), "two random directions are nearly orthogonal");
    }
    assert_eq!(floats(dictionary.encode(x.clone())), floats(other.encode(x)), "what it reads is the same");
}

/// The real model: a factor of 1 plays the very same games, and a large one does not.
#[test]
fn a_factor_of_one_plays_the_same_games() {
    let path = smollm2();
    let opened = open(path.to_str().unwrap(), &Device::flex(), Dtype::F32).unwrap();
    let settings = Settings {
        layers: Vec::new(),
        keep: Keep::Top(1),
        attention: AttentionKept::Decision,
        decide: Decide::Choice,
        temperature: 0.7,
        max_new_tokens: 8,
        batch_tokens: 2048,
    };
    let player = Player {
        llama: &opened.llama,
        tokenizer: &opened.tokenizer,
        rules: Rules { bet_type: BetType::Fixed, components: Components::default() },
        seed: 0,
        settings: &settings,
    };
    let dictionary = demo_dictionaries().remove(1);
    let edit = |positions, change| Edit {
        hook: dictionary.hook,
        sequence: None,
        positions,
        heads: None,
        change: Change::Features {
            dictionary: &dictionary,
            features: vec![FeatureEdit { feature: 59, change }],
        },
    };
    let play = |edits: &[Edit<'_>]| player.play(edits, &[1], &|| false).unwrap().unwrap();
    let untouched = play(&[]);
    assert_eq!(untouched, play(&[edit(Positions::Every, FeatureChange::Scale(1.0))]));
    let touched = play(&[edit(Positions::Every, FeatureChange::Add(40.0))]);
    assert_ne!(untouched, touched);
    // A choice of fixed bets reads nothing but prompts.
    assert_eq!(touched, play(&[edit(Positions::Prompt, FeatureChange::Add(40.0))]));
    assert!(player.play(&[], &[0], &|| true).unwrap().is_none(), "a run that is stopped has no games");
}

#[test]
fn steering_prints_its_arms_and_adds_them_to_a_lake() {
    refuses(&["steer", "--feature", "L15-99999"], 2, &["no feature 99999"]);
    refuses(&["steer", "--feature", "L15-59", "--strength", "much"], 2, &["`much`", "+mean"]);
    refuses(&["steer", "--feature", "L15-59", "--scope", "last"], 2, &["`last`"]);
    refuses(&["steer", "--feature", "L3-1"], 2, &["layer 3 has no dictionary"]);
    refuses(&["steer", "--feature", "L15-59", "--lake", "/no/lake"], 2, &["/no/lake"]);
    let steer =
        ["steer", "--feature", "L29-5", "--strength", "0,+mean", "--games", "1", "--components", "none"];
    let output = program(&[&steer[..], &["--format", "json", "--lake", text(lake())]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let roles: Vec<&str> = rows.iter().map(|row| row["role"].as_str().unwrap()).collect();
    let each = ["feature", "random feature", "random direction"];
    assert_eq!(roles, [&["none"][..], &each, &each].concat());
    assert!(rows.iter().all(|row| row["q_value"].is_null() != (row["role"] == "feature")));
    let opened = saelake::lake::Lake::open(lake()).unwrap();
    let of = |table: &schemas::Table| {
        let files = opened.files(table).unwrap();
        files.iter().map(|file| opened.read(table, file).unwrap()).collect::<Vec<_>>()
    };
    let arms: Vec<schemas::interventions::Row> = of(&schemas::interventions::TABLE)
        .into_iter()
        .flat_map(|values| schemas::interventions::Rows::from_values(values).unwrap().into_rows())
        .filter(|row| row.command == "steer")
        .collect();
    assert_eq!(
        arms.iter().map(|row| row.edit.as_str()).collect::<Vec<_>>(),
        ["none", "zero", "zero", "zero", "add", "add", "add"]
    );
}
