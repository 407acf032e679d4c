//! The fused kernels of a GPU against tensor operations on the CPU in f32, from tokens to rows. They need a GPU; run them
//! by `just test-gpu`.

#![cfg(test)]

#[path = "on_gpu/default_model.rs"]
mod default_model;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use saelake::capture::{
    Answer, Asked, AttentionKept, Captured, Drawing, Engine, Fused, Observed, Prepared, Reader, Settings,
    prepare,
};
use saelake::dictionary::{Activation, Dictionary, Expected, Format, Input, Keep, Provenance};
use saelake::game::{Body, Decide, Prompt};
use saelake::model::{Dtype, Hook, Llama, OnGpu, Opened, Packed, open, open_fused};
use safetensors::tensor::{Dtype as Stored, TensorView, serialize_to_file};
use tempfile::TempDir;

const D: usize = 256;
const FF: usize = 512;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD: usize = 64;
const LAYERS: usize = 3;
const VOCABULARY: usize = 640;
const D_SAE: usize = 1024;

/// How many times as much the fused kernels may lose as plain operations do.
const MORE_LOST: f32 = 1.5;

/// Weights and probabilities are exponentials of scores of size 1 that are off by a few roundings.
const WEIGHTS_AGREE: f32 = 2e-2;

/// An activation is the sum of hundreds of numbers that are each off by a rounding; as a share of the largest one.
const ACTIVATIONS_AGREE: f32 = 2e-2;

/// What is computed by the same kernels in another batch differs by how cuBLASLt cuts its sums.
const BATCHES_AGREE: f32 = 5e-3;

const TEXTS: [&str; 3] = [
    "Bet or stop?",
    "You have $100. The machine pays three times the bet with a chance of thirty percent, and nothing otherwise.",
    "Round 1: you bet $10 and lost. Round 2: you bet $20 and won $60. Your balance is $130. Round 3: you bet $10 and \
     lost. What do you do now? Answer with the number of your choice, and nothing else: (1) bet, (2) stop.",
];

struct Case {
    plain: Opened,
    fused: Opened<OnGpu>,
    dictionaries: Vec<Dictionary>,
    _folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_model(folder.path());
        let path = folder.path().to_str().unwrap();
        Self {
            plain: open(path, &Device::flex(), Dtype::F32).unwrap(),
            fused: open_fused(path, 0, Dtype::Bf16, &|_, _| ()).unwrap(),
            dictionaries: vec![
                dictionary(0, Activation::JumpRelu { threshold: vector(&[0.5; D_SAE]) }),
                dictionary(2, Activation::TopK { k: 20, rank_by: None }),
            ],
            _folder: folder,
        }
    }

    fn steps(&self) -> Vec<Prepared> {
        let step = |(number, text): (i32, &&str)| {
            let body = Body::Text((*text).to_owned());
            let prompt = Prompt { body, spans: Vec::new(), prefill: String::new() };
            prepare((7, number), &prompt, &self.plain.tokenizer, 512).unwrap()
        };
        (0..).zip(&TEXTS).map(step).collect()
    }
}

fn settings() -> Settings {
    Settings {
        layers: vec![0, 2],
        keep: Keep::Top(32),
        attention: AttentionKept::Top(4),
        decide: Decide::Choice,
        temperature: 0.0,
        max_new_tokens: 1,
        batch_tokens: 4096,
    }
}

fn see<'a>(engine: &'a dyn Engine, steps: &[Prepared]) -> Observed<'a> {
    let steps = steps.iter().collect::<Vec<_>>();
    engine.start(&steps, &vec![[11, 12]; steps.len()], false).unwrap()().unwrap()
}

/// bf16 rounds, so that no number is what it is in f32. The fused kernels are held to what plain operations in bf16 lose.
#[test]
fn no_more_is_lost_than_by_plain_operations_in_bf16() {
    let (case, settings) = (Case::new(), settings());
    let steps = case.steps();
    let reader = |llama| Reader { llama, dictionaries: &case.dictionaries, settings: &settings };
    let in_bf16 = case.plain.llama.plain(Dtype::Bf16);
    let (exact, plain) = (reader(&case.plain.llama), reader(&in_bf16));
    let (exact, plain) = (see(&exact, &steps), see(&plain, &steps));
    let fused = Fused::new(&case.fused.llama, &case.dictionaries, &settings).unwrap();
    let fused = see(&fused, &steps);
    let (of_plain, of_fused) = (losses(&plain, &exact), losses(&fused, &exact));
    for (name, fused) in of_fused {
        let plain = of_plain[name];
        assert!(fused <= MORE_LOST * plain, "{name}: {fused} is lost, and {plain} by plain operations");
    }
}

/// The root mean square of the differences of each kind of number, relative to the numbers.
fn losses(found: &Observed<'_>, exact: &Observed<'_>) -> BTreeMap<&'static str, f32> {
    let mut numbers = BTreeMap::<_, Vec<(f32, f32)>>::new();
    let mut add = |name, a: &[f32], b: &[f32]| {
        numbers.entry(name).or_default().extend(a.iter().copied().zip(b.iter().copied()));
    };
    for (found, exact) in found.captured.iter().zip(&exact.captured) {
        for (layer, b) in &exact.positions {
            let a = &found.positions[layer];
            add("residual norm", &a.residual_norm, &b.residual_norm);
            add("feature norm", &a.feature_norm, &b.feature_norm);
            add("reconstruction error", &a.reconstruction_error, &b.reconstruction_error);
            add("kept share", &a.kept_share, &b.kept_share);
        }
        for (layer, b) in &exact.attention_rows {
            let a = &found.attention_rows[layer];
            add("kept mass", &a.kept_mass, &b.kept_mass);
            add("entropy", &a.entropy, &b.entropy);
        }
    }
    for (a, b) in found.pairs.iter().zip(&exact.pairs) {
        add("logit difference", &[a.logit_diff], &[b.logit_diff]);
    }
    let sum =
        |pairs: &[(f32, f32)], of: fn(&(f32, f32)) -> f32| pairs.iter().map(of).map(|x| x * x).sum::<f32>();
    let loss = |pairs: Vec<(f32, f32)>| (sum(&pairs, |(a, b)| a - b) / sum(&pairs, |(_, b)| *b)).sqrt();
    numbers.into_iter().map(|(name, pairs)| (name, loss(pairs))).collect()
}

#[test]
fn packed_steps_are_as_alone() {
    let (case, settings) = (Case::new(), settings());
    let fused = Fused::new(&case.fused.llama, &case.dictionaries, &settings).unwrap();
    let steps = case.steps();
    let together = see(&fused, &steps);
    for (step, together) in steps.chunks(1).zip(&together.captured) {
        agree(together, &see(&fused, step).captured[0], BATCHES_AGREE);
    }
}

#[test]
fn dictionaries_are_measured_alike() {
    let (case, settings) = (Case::new(), settings());
    let reader = Reader { llama: &case.plain.llama, dictionaries: &case.dictionaries, settings: &settings };
    let fused = Fused::new(&case.fused.llama, &case.dictionaries, &settings).unwrap();
    let steps = case.steps();
    for (found, expected) in fused.measure(&steps).unwrap().iter().zip(reader.measure(&steps).unwrap()) {
        assert_eq!((found.rows, found.outliers), (expected.rows, expected.outliers));
        assert!((found.l0 / expected.l0 - 1.0).abs() < 0.02, "{} and {}", found.l0, expected.l0);
        let [a, b] = [found.explained_variance, expected.explained_variance];
        assert!((a - b).abs() < 0.02 * (1.0 + b.abs()), "{a} and {b}");
        assert!((found.dead_share - expected.dead_share).abs() < 0.02);
    }
}

/// Logarithms of probabilities are sums of a few logits that are each off by a few roundings.
const LOGITS_AGREE: f32 = 0.1;

#[test]
fn answers_go_on_alike() {
    let (case, settings) = (Case::new(), settings());
    let reader = Reader { llama: &case.plain.llama, dictionaries: &[], settings: &settings };
    let fused = Fused::new(&case.fused.llama, &[], &settings).unwrap();
    let steps = case.steps();
    let steps = steps.iter().collect::<Vec<_>>();
    let asked = [
        Asked { step: 1, answers: vec![vec![5, 9, 40], vec![5, 9], vec![5]] },
        Asked { step: 0, answers: Vec::new() },
        Asked { step: 2, answers: vec![vec![7, 300]] },
    ];
    let go_on = |engine: &dyn Engine, remember| {
        let seen = engine.start(&steps, &[[11, 12]; 3], remember).unwrap()().unwrap();
        seen.past.continuations(&asked).unwrap()
    };
    let expected = go_on(&reader, true);
    for found in [go_on(&fused, true), go_on(&fused, false)] {
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 0, 1]);
        for (a, b) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((a.ln() - b.ln()).abs() < LOGITS_AGREE, "{a} and {b}");
        }
    }
}

/// Prompts of different lengths, more than are under way at once, so that they begin and end at different times.
#[test]
fn answers_are_what_the_model_in_f32_would_draw() {
    const PROMPTS: usize = 300;
    let (case, settings) = (Case::new(), settings());
    let fused = Fused::new(&case.fused.llama, &[], &settings).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let prompts = (0..PROMPTS).map(|_| {
        let length = random.random_range(1..70);
        (0..length).map(|_| random.random_range(0..600)).collect::<Vec<u32>>()
    });
    let prompts = prompts.collect::<Vec<_>>();
    for temperature in [0.0, 1.3] {
        let mut streams = (0..PROMPTS as u64).map(ChaCha8Rng::seed_from_u64).collect::<Vec<_>>();
        let mut draws = vec![Vec::new(); PROMPTS];
        let mut draw = |prompt: usize| {
            let drawn = streams[prompt].random::<f32>();
            draws[prompt].push(drawn);
            drawn
        };
        let drawing = Drawing { temperature, max_new_tokens: 12 };
        let answers = fused.generate(&prompts, &drawing, &mut draw).unwrap();
        for (place, answer) in answers.iter().enumerate() {
            assert_eq!(draws[place].len(), answer.ids.len());
            let ended = answer.ids.iter().position(|id| *id == 601);
            assert_eq!(answer.ids.len(), ended.map_or(12, |at| at + 1));
        }
        for place in (0..PROMPTS).step_by(7) {
            drawn_right(&case.plain.llama, &prompts[place], (&answers[place], &draws[place]), temperature);
        }
    }
}

/// Every token of an answer is one that the f32 model, given the tokens before it, would draw, but for what rounding to
/// bf16 may move.
fn drawn_right(llama: &Llama, prompt: &[u32], (answer, draws): (&Answer, &[f32]), temperature: f32) {
    let ids = [prompt, &answer.ids].concat();
    let residual = llama.forward(&Packed::new([ids.as_slice()]), &mut ());
    let answered = residual.slice([prompt.len() - 1..ids.len() - 1, 0..D]);
    let logits = llama.logits(answered);
    let logits = logits.into_data().try_to_vec::<f32>().unwrap();
    for (place, (row, id)) in logits.chunks(VOCABULARY).zip(&answer.ids).enumerate() {
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        if temperature == 0.0 {
            let short = largest - row[*id as usize];
            assert!(short < LOGITS_AGREE, "token {place}: {id} is {short} below the likeliest");
            continue;
        }
        let weights = row.iter().map(|logit| f64::from((logit - largest) / temperature).exp());
        let weights = weights.collect::<Vec<_>>();
        let total = weights.iter().sum::<f64>();
        let below = weights[..*id as usize].iter().sum::<f64>() / total;
        let above = below + weights[*id as usize] / total;
        let (draw, off) = (f64::from(draws[place]), f64::from(LOGITS_AGREE));
        assert!(below - off < draw && draw < above + off, "token {place}: {draw} is not in {below}..{above}");
    }
}

fn agree(found: &Captured, expected: &Captured, norms: f32) {
    assert_eq!(found.features.keys().collect::<Vec<_>>(), [&0, &2]);
    for layer in [0, 2] {
        let (a, b) = (&found.positions[&layer], &expected.positions[&layer]);
        assert_eq!((&a.game, &a.step, &a.position), (&b.game, &b.step, &b.position));
        for row in 0..b.len() {
            let near = |a: f32, b: f32, share: f32| assert!((a - b).abs() <= share * b.abs(), "{a} and {b}");
            near(a.residual_norm[row], b.residual_norm[row], norms);
            near(a.feature_norm[row], b.feature_norm[row], ACTIVATIONS_AGREE);
            near(a.reconstruction_error[row], b.reconstruction_error[row], ACTIVATIONS_AGREE);
            near(a.l0[row] as f32, b.l0[row] as f32, 0.05);
            assert!((a.kept_share[row] - b.kept_share[row]).abs() < ACTIVATIONS_AGREE);
        }
        same_features(&found.features[&layer], &expected.features[&layer]);
        let (a, b) = (&found.attention_rows[&layer], &expected.attention_rows[&layer]);
        assert_eq!((&a.head, &a.query), (&b.head, &b.query));
        for row in 0..b.len() {
            assert!((a.kept_mass[row] - b.kept_mass[row]).abs() < WEIGHTS_AGREE);
            assert!((a.entropy[row] - b.entropy[row]).abs() < WEIGHTS_AGREE);
        }
        same_weights(&found.attention[&layer], &expected.attention[&layer]);
    }
}

/// Every activation that is not among the smallest kept is there and alike; ranks of near ones may change places.
fn same_features(found: &schemas::features::Rows, expected: &schemas::features::Rows) {
    let cells = |rows: &schemas::features::Rows| -> BTreeMap<(i32, i32), f32> {
        let places = rows.position.iter().copied().zip(rows.feature.iter().copied());
        places.zip(rows.activation.iter().copied()).collect()
    };
    let (a, b) = (cells(found), cells(expected));
    let largest = b.values().copied().fold(0.0, f32::max);
    let mut compared = 0;
    for (place, activation) in &b {
        if let Some(other) = a.get(place) {
            assert!(
                (other - activation).abs() <= ACTIVATIONS_AGREE * largest,
                "{place:?}: {other} and {activation}"
            );
            compared += 1;
        }
    }
    assert!(compared * 20 >= b.len() * 19, "only {compared} of {} features are the same", b.len());
}

/// Weights of the same keys are alike; near ones may change places among the strongest.
fn same_weights(found: &schemas::attention::Rows, expected: &schemas::attention::Rows) {
    let cells = |rows: &schemas::attention::Rows| -> BTreeMap<[i32; 3], f32> {
        (0..rows.len())
            .map(|row| ([rows.head[row], rows.query[row], rows.key[row]], rows.weight[row]))
            .collect()
    };
    let (a, b) = (cells(found), cells(expected));
    assert_eq!(a.len(), b.len());
    let mut compared = 0;
    for (place, weight) in &b {
        if let Some(other) = a.get(place) {
            assert!((other - weight).abs() < WEIGHTS_AGREE, "{place:?}: {other} and {weight}");
            compared += 1;
        }
    }
    assert!(compared * 20 >= b.len() * 19, "only {compared} of {} keys are the same", b.len());
}

fn normal(random: &mut ChaCha8Rng, count: usize, deviation: f32) -> Vec<f32> {
    // The sum of twelve even draws is close enough to normal.
    let draw = |random: &mut ChaCha8Rng| (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
    (0..count).map(|_| draw(random) * deviation).collect()
}

/// A folder with a model of random weights and the tokenizer of the tests.
fn write_model(folder: &Path) {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut tensors = BTreeMap::<String, (Vec<usize>, Vec<u8>)>::new();
    let mut add = |name: String, shape: Vec<usize>, numbers: Vec<f32>| {
        tensors.insert(name, (shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()));
    };
    let mut matrix = |outputs: usize, inputs: usize, scale: f32| {
        normal(&mut random, outputs * inputs, scale / (inputs as f32).sqrt())
    };
    for layer in 0..LAYERS {
        let parts = [
            ("self_attn.q_proj", HEADS * HEAD, D, 1.5),
            ("self_attn.k_proj", KV_HEADS * HEAD, D, 1.5),
            ("self_attn.v_proj", KV_HEADS * HEAD, D, 1.0),
            ("self_attn.o_proj", D, HEADS * HEAD, 1.0),
            ("mlp.gate_proj", FF, D, 1.0),
            ("mlp.up_proj", FF, D, 1.0),
            ("mlp.down_proj", D, FF, 1.0),
        ];
        for (part, outputs, inputs, scale) in parts {
            let name = format!("model.layers.{layer}.{part}.weight");
            add(name, vec![outputs, inputs], matrix(outputs, inputs, scale));
        }
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(format!("model.layers.{layer}.{norm}.weight"), vec![D], vec![1.0; D]);
        }
    }
    add("model.norm.weight".to_owned(), vec![D], vec![1.0; D]);
    add("model.embed_tokens.weight".to_owned(), vec![VOCABULARY, D], matrix(VOCABULARY, D, 16.0));
    add("lm_head.weight".to_owned(), vec![VOCABULARY, D], matrix(VOCABULARY, D, 1.0));
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name.as_str(), TensorView::new(Stored::F32, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views.collect::<Vec<_>>(), None, &folder.join("model.safetensors")).unwrap();
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": D,
        "intermediate_size": FF, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD,
        "num_hidden_layers": LAYERS, "vocab_size": VOCABULARY, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": false, "bos_token_id": 600,
        "eos_token_id": 601,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    for (name, text) in [
        ("tokenizer.json", include_str!("fixtures/tokens/tiny/tokenizer.json")),
        ("tokenizer_config.json", include_str!("fixtures/tokens/tiny/tokenizer_config.json")),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn vector(numbers: &[f32]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), [numbers.len()]), &Device::flex())
}

/// A dictionary of random weights, with everything that is folded into the encoder.
fn dictionary(layer: usize, activation: Activation) -> Dictionary {
    let mut random = ChaCha8Rng::seed_from_u64(layer as u64 + 2);
    let mut matrix = |rows: usize, columns: usize| -> Tensor<2> {
        let numbers = normal(&mut random, rows * columns, (D as f32).sqrt().recip());
        Tensor::from_data(TensorData::new(numbers, [rows, columns]), &Device::flex())
    };
    let (w_enc, w_dec) = (matrix(D, D_SAE), matrix(D_SAE, D));
    let b_dec = vector(&normal(&mut random, D, 0.1));
    Dictionary {
        hook: Hook::resid_post(layer),
        d_in: D,
        d_sae: D_SAE,
        input: Input::Scale(0.5),
        w_enc,
        b_enc: vector(&normal(&mut random, D_SAE, 0.1)),
        subtracts_decoder_bias: true,
        activation,
        w_dec,
        b_dec,
        output_scale: 2.0,
        decoder_norms: vec![1.0; D_SAE],
        provenance: Provenance {
            format: Format::SaeLens,
            source: "random".to_owned(),
            revision: None,
            hash: String::new(),
            neuronpedia: None,
            expected: Expected::default(),
        },
    }
}
