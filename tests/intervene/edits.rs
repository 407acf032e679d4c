//! What an edit changes, and what it leaves alone.

use burn::tensor::{Device, Tensor, TensorData};
use saelake::dictionary::Dictionary;
use saelake::intervene::{
    Change, Edit, FeatureChange, FeatureEdit, InterveneError, Interventions, Positions,
};
use saelake::model::{Cache, Hook, Llama, Packed, Site, Tap};

use super::{CLEAN, floats, run, tiny};
use crate::support::{Planted, planted, relative_error, repository};

/// Sums of a few hundred products in f32, in another order.
const SUMS: f64 = 1e-5;
/// The same through a few blocks.
const BLOCKS: f64 = 1e-4;

/// Dictionaries of every kind of nonlinearity and of input norm.
const FORMATS: [&str; 6] =
    ["standard", "standard_constant_norm", "standard_layer_norm", "topk", "gated", "jumprelu"];

fn dictionary(name: &str) -> Dictionary {
    let path = repository("tests/fixtures/dictionary").join(name);
    saelake::dictionary::open(&path, name, None, &Device::flex()).unwrap().remove(0)
}

/// Rows that no model made, of the dictionary's width.
fn rows(dictionary: &Dictionary, count: usize) -> Tensor<2> {
    let numbers = (0..count * dictionary.d_in).map(|i| ((i * 37 + 11) % 101) as f32 / 25.0 - 2.0);
    let data = TensorData::new(numbers.collect::<Vec<f32>>(), [count, dictionary.d_in]);
    Tensor::from_data(data, &Device::flex())
}

/// Against the whole decoder: what a change of activations writes is the difference of two reconstructions.
#[test]
fn what_features_write_is_the_difference_of_reconstructions() {
    for name in FORMATS {
        let dictionary = dictionary(name);
        let x = rows(&dictionary, 5);
        let f = dictionary.encode(x.clone());
        let features = [1_u32, 4, 2];
        let numbers = (0..15).map(|i| (i as f32 - 7.0) / 3.0).collect::<Vec<f32>>();
        let change = Tensor::<2>::from_data(TensorData::new(numbers, [5, 3]), &Device::flex());
        let written = dictionary.written(change.clone(), &features, &x).unwrap();
        let mut other = f.clone();
        for (at, feature) in features.iter().enumerate() {
            let column = *feature as usize..*feature as usize + 1;
            let new = f.clone().slice([0..5, column.clone()]) + change.clone().slice([0..5, at..at + 1]);
            other = other.slice_assign([0..5, column], new);
        }
        let expected = dictionary.decode(other, &x) - dictionary.decode(f, &x);
        let error = relative_error(&floats(written), &floats(expected));
        assert!(error <= SUMS, "{name}: {error:e}");
    }
}

/// A tap that is asked once, for rows at the positions from 0 on.
fn applied(edit: Edit<'_>, llama: &Llama, x: Tensor<2>) -> Tensor<2> {
    let hook = edit.hook;
    let mut tap = Interventions::new(vec![edit], llama.config()).unwrap();
    tap.begin(&[0], &[x.dims()[0]]);
    let changed = tap.activation(hook, x);
    tap.finish().unwrap();
    changed
}

/// x − decode(f) before the edit is x' − decode(f') after it, f' being f with one activation changed.
#[test]
fn a_feature_edit_keeps_what_the_dictionary_leaves_unexplained() {
    let Planted { llama, .. } = planted();
    let hook = Hook::resid_post(1);
    for name in FORMATS {
        let dictionary = Dictionary { hook, ..dictionary(name) };
        let x = rows(&dictionary, 5);
        let f = dictionary.encode(x.clone());
        let column = [0..5, 4..5];
        for (change, new) in [
            (FeatureChange::Scale(0.0), f.clone().slice(column.clone()) * 0.0),
            (FeatureChange::Scale(3.0), f.clone().slice(column.clone()) * 3.0),
            (FeatureChange::Set(2.5), f.clone().slice(column.clone()) * 0.0 + 2.5),
            (FeatureChange::Add(-1.0), f.clone().slice(column.clone()) - 1.0),
        ] {
            let features = vec![FeatureEdit { feature: 4, change }];
            let change = Change::Features { dictionary: &dictionary, features };
            let positions = Positions::At((0..5).collect());
            let edit = Edit { hook, sequence: None, positions, heads: None, change };
            let left_after = applied(edit, &llama, x.clone())
                - dictionary.decode(f.clone().slice_assign(column.clone(), new), &x);
            let left_before = x.clone() - dictionary.decode(f.clone(), &x);
            let error = relative_error(&floats(left_after), &floats(left_before));
            assert!(error <= SUMS, "{name}: {error:e}");
        }
    }
}

/// The rows that an edit touches: those named, their heads alone, and no others.
#[test]
fn an_edit_touches_its_positions_and_heads_alone() {
    let llama = tiny();
    let base = run(&llama, &CLEAN);
    let width = llama.config().head_dim;
    for (site, heads) in [(Site::Z, Some(vec![1])), (Site::MlpOut, None), (Site::Value, Some(vec![0]))] {
        let hook = Hook { layer: 1, site };
        let x = base.activation(hook).unwrap().clone();
        let [_, columns] = x.dims();
        let positions = Positions::At(vec![2, 3, 6]);
        let change = Change::Scale(0.0);
        let edit = Edit { hook, sequence: None, positions, heads: heads.clone(), change };
        let (before, after) = (floats(x.clone()), floats(applied(edit, &llama, x)));
        for (index, (before, after)) in before.iter().zip(&after).enumerate() {
            let (row, column) = (index / columns, index % columns);
            let named = heads.as_ref().is_none_or(|heads| heads.contains(&(column / width)));
            let expected = if [2, 3, 6].contains(&row) && named { 0.0 } else { *before };
            assert!((after - expected).abs() <= 0.0, "{hook}, row {row}, column {column}");
        }
    }
}

/// Token by token with a cache, and in one pass without.
#[test]
fn edits_hold_while_new_tokens_come() {
    let llama = tiny();
    let (prompt, answer) = CLEAN.split_at(5);
    let width = llama.config().d_model;
    let direction = TensorData::new((0..width).map(|i| (i % 5) as f32 - 2.0).collect::<Vec<f32>>(), [width]);
    let direction = Tensor::<1>::from_data(direction, &Device::flex());
    for (positions, at) in [
        (Positions::Every, (1..CLEAN.len()).collect::<Vec<_>>()),
        (Positions::Prompt, (1..prompt.len()).collect()),
    ] {
        let edit = |positions| Edit {
            hook: Hook::resid_post(0),
            sequence: None,
            positions,
            heads: None,
            change: Change::Add(direction.clone()),
        };
        let mut tap = Interventions::new(vec![edit(positions)], llama.config()).unwrap();
        let mut caches = [Cache::new()];
        let mut steps = floats(llama.extend(&Packed::new([prompt]), &mut caches, &mut tap));
        for id in answer.chunks(1) {
            steps.extend(floats(llama.extend(&Packed::new([id]), &mut caches, &mut tap)));
        }
        let mut tap = Interventions::new(vec![edit(Positions::At(at))], llama.config()).unwrap();
        let whole = floats(llama.forward(&Packed::new([&CLEAN[..]]), &mut tap));
        let error = relative_error(&steps, &whole);
        assert!(error <= BLOCKS, "{error:e}");
        let untouched = floats(llama.forward(&Packed::new([&CLEAN[..]]), &mut ()));
        assert!(relative_error(&whole, &untouched) > 10.0 * BLOCKS, "the edit does something");
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let llama = tiny();
    let config = llama.config();
    let edit =
        |hook, heads, change| Edit { hook, sequence: None, positions: Positions::At(vec![1]), heads, change };
    let refused = |edit: Edit<'_>| Interventions::new(vec![edit], config).err().unwrap().to_string();
    let scale = || Change::Scale(0.0);
    let far = refused(edit(Hook::resid_post(99), None, scale()));
    assert!(far.contains("blocks.99.hook_resid_post"), "{far}");
    let split = refused(edit(Hook { layer: 0, site: Site::MlpOut }, Some(vec![0]), scale()));
    assert!(split.contains("not split into heads"), "{split}");
    let head = refused(edit(Hook { layer: 0, site: Site::Z }, Some(vec![99]), scale()));
    assert!(head.contains("no head 99"), "{head}");
    let row = Tensor::<1>::zeros([3], &Device::flex());
    let narrow = refused(edit(Hook::resid_post(0), None, Change::Add(row.clone())));
    assert!(narrow.contains("[1, 3]"), "{narrow}");
    let pattern = refused(edit(Hook { layer: 0, site: Site::Pattern }, None, Change::Add(row)));
    assert_eq!(pattern, InterveneError::PatternChange.to_string());
    let hook = Hook::resid_post(1);
    let dictionary = Dictionary { hook, ..dictionary("standard") };
    let features = vec![FeatureEdit { feature: 999_999, change: FeatureChange::Scale(0.0) }];
    let feature = Change::Features { dictionary: &dictionary, features };
    let other = Hook { layer: 1, site: Site::MlpOut };
    assert!(refused(edit(other, None, feature.clone())).contains("cannot change features"));
    assert!(refused(edit(hook, None, feature)).contains("no feature 999999"));
}
