//! The errors of the scripts that this program replaces, each made on purpose on the real model with the
//! demo dictionaries: a check must fail for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use saelake::capture::{Prepared, prepare};
use saelake::dictionary::{Dictionary, Input, Measured, open as open_dictionaries};
use saelake::game::{Body, Components, Decide, Decision, Form, Prompt, Rules, SlotMachine, Stream};
use saelake::model::{Dtype, Hook, Opened, Packed, Tap, open};

use crate::support::{demo_dictionaries, repository, smollm2};

/// Residuals of some prompts after every block, without position 0 and special tokens.
struct Residuals {
    opened: Opened,
    rows: BTreeMap<usize, Tensor<2>>,
}

struct Watch(BTreeMap<usize, Tensor<2>>);

impl Tap for Watch {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        if hook == Hook::resid_post(hook.layer) {
            self.0.insert(hook.layer, x.clone());
        }
        x
    }
}

/// Prompts of a game that the demo dictionaries were not trained on.
fn prompts() -> Vec<Prompt> {
    let rules =
        Rules { bet_type: "variable".parse().unwrap(), components: "GMHWP".parse::<Components>().unwrap() };
    let mut machine = SlotMachine::new(rules, 99, 0).unwrap();
    let mut draws = Stream::sampling(99, 0);
    let mut prompts = Vec::new();
    while let (Some(prompt), Some(options)) = (machine.prompt(Form::Chat, Decide::Choice), machine.options())
    {
        prompts.push(prompt);
        let bet = options.bets[draws.pick(&vec![1.0; options.bets.len().min(4)]).unwrap()];
        if prompts.len() == 6 || machine.play(Decision::Bet(bet)).is_err() {
            break;
        }
    }
    prompts
}

impl Residuals {
    fn read() -> Self {
        let opened = open(smollm2().to_str().unwrap(), &Device::flex(), Dtype::F32).unwrap();
        let steps: Vec<Prepared> = prompts()
            .iter()
            .map(|prompt| prepare((0, 0), prompt, &opened.tokenizer, 8192).unwrap())
            .collect();
        let ids: Vec<Vec<u32>> = steps.iter().map(Prepared::ids).collect();
        let mut watch = Watch(BTreeMap::new());
        let packed = Packed::new(ids.iter().map(Vec::as_slice));
        let _ = opened.llama.forward(&packed, &mut watch);
        let plain: Vec<i64> = steps
            .iter()
            .zip(packed.ranges())
            .flat_map(|(step, range)| {
                let plain = step.tokens().iter().enumerate().skip(1).filter(|(_, token)| !token.is_special);
                plain.map(move |(position, _)| (range.start + position) as i64).collect::<Vec<_>>()
            })
            .collect();
        let plain = Tensor::from_data(plain.as_slice(), &Device::flex());
        let rows = watch.0.into_iter().map(|(layer, x)| (layer, x.select(0, plain.clone()))).collect();
        Self { opened, rows }
    }

    fn measure(&self, dictionary: &Dictionary, layer: usize) -> Measured {
        dictionary.measure(&self.rows[&layer]).unwrap()
    }

    /// What the final norm makes of the last residual, with its gain.
    fn after_the_final_norm(&self, layer: usize) -> Tensor<2> {
        self.opened.llama.final_norm(self.rows[&layer].clone())
    }
}

fn refused(dictionary: &Dictionary, measured: &Measured) -> bool {
    dictionary.check(measured).is_err()
}

#[test]
fn the_check_at_load_time_accepts_the_right_layer_and_refuses_every_error() {
    let residuals = Residuals::read();
    for dictionary in demo_dictionaries() {
        let layer = dictionary.hook.layer;
        let right = residuals.measure(&dictionary, layer);
        println!("{}: {right:?}", dictionary.hook);
        assert!(!refused(&dictionary, &right), "{}: {right:?}", dictionary.hook);

        // The input of the block instead of its output, and the output of the next block.
        for neighbor in [layer - 1, layer + 1] {
            let Some(rows) = residuals.rows.get(&neighbor) else { continue };
            let wrong = dictionary.measure(rows).unwrap();
            println!("  reading layer {neighbor}: {wrong:?}");
            assert!(refused(&dictionary, &wrong), "{} reading layer {neighbor}: {wrong:?}", dictionary.hook);
        }

        let without_norm = Dictionary { input: Input::None, ..dictionary.clone() };
        let wrong = residuals.measure(&without_norm, layer);
        println!("  without norm: {wrong:?}");
        assert!(refused(&without_norm, &wrong), "{} without its norm: {wrong:?}", dictionary.hook);
    }
}

#[test]
fn a_threshold_of_zero_is_refused() {
    let residuals = Residuals::read();
    let folder = tempfile::tempdir().unwrap();
    for name in ["L8R-4x", "L15R-4x", "L29R-4x"] {
        let (from, to) = (repository("assets/dictionaries").join(name), folder.path().join(name));
        fs::create_dir_all(to.join("checkpoints")).unwrap();
        fs::copy(from.join("checkpoints/final.safetensors"), to.join("checkpoints/final.safetensors"))
            .unwrap();
        with_threshold_zero(&from.join("hyperparams.json"), &to.join("hyperparams.json"));
    }
    for dictionary in open_dictionaries(folder.path(), "zero", None, &Device::flex()).unwrap() {
        let wrong = residuals.measure(&dictionary, dictionary.hook.layer);
        println!("{} with threshold 0: {wrong:?}", dictionary.hook);
        assert!(refused(&dictionary, &wrong), "{}: {wrong:?}", dictionary.hook);
    }
}

fn with_threshold_zero(from: &Path, to: &Path) {
    let mut settings: serde_json::Value = serde_json::from_slice(&fs::read(from).unwrap()).unwrap();
    assert!(settings["jump_relu_threshold"].as_f64().unwrap() > 0.0);
    settings["jump_relu_threshold"] = 0.0.into();
    fs::write(to, settings.to_string()).unwrap();
}

#[test]
fn the_last_layer_read_after_the_final_norm_is_refused() {
    let residuals = Residuals::read();
    let dictionaries = demo_dictionaries();
    let last = dictionaries.iter().find(|dictionary| dictionary.hook.layer == 29).unwrap();
    let wrong = last.measure(&residuals.after_the_final_norm(29)).unwrap();
    println!("after the final norm: {wrong:?}");
    assert!(refused(last, &wrong), "{wrong:?}");
}

#[test]
fn a_second_beginning_of_sequence_token_moves_every_residual() {
    // The default model begins with a chat marker; a second one stands for a second token of that kind.
    let residuals = Residuals::read();
    let opened = &residuals.opened;
    let step = prepare((0, 0), &prompts()[0], &opened.tokenizer, 8192).unwrap();
    assert_eq!(
        step.tokens().iter().take_while(|token| token.is_special).count(),
        1,
        "one marker begins the text"
    );
    let ids = step.ids();
    let doubled: Vec<u32> = [&ids[..1], &ids].concat();
    let (mut once, mut twice) = (Watch(BTreeMap::new()), Watch(BTreeMap::new()));
    let _ = opened.llama.forward(&Packed::new([ids.as_slice()]), &mut once);
    let _ = opened.llama.forward(&Packed::new([doubled.as_slice()]), &mut twice);
    let n = ids.len();
    let shifted = twice.0[&15].clone().narrow(0, 1, n);
    let difference = (once.0[&15].clone() - shifted).narrow(0, 1, n - 1).square().sum().into_scalar::<f32>();
    let scale = once.0[&15].clone().narrow(0, 1, n - 1).square().sum().into_scalar::<f32>();
    assert!(difference / scale > 1e-3, "{difference} of {scale}");
    let text = Prompt { body: Body::Text("x".into()), spans: Vec::new(), prefill: String::new() };
    assert_eq!(prepare((0, 0), &text, &opened.tokenizer, 8192).unwrap().layout.bos.as_str(), "none");
}
