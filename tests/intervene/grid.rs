//! The fast grid against a plain loop of whole passes.

use burn::tensor::{Device, Tensor, TensorData};
use saelake::intervene::{
    Base, Change, Edit, Grid, Interventions, Means, Metric, Patch, Positions, Source, Split, Unit,
};
use saelake::model::{Hook, Llama, Packed, Site};

use super::{CLEAN, CORRUPTED, SITES, floats, run, tiny};

/// Sums over other numbers of rows at a time, through a few blocks and relative to the largest metric.
const REGROUPED: f64 = 1e-4;

fn units(positions: impl Iterator<Item = usize>) -> Vec<Unit> {
    positions.map(|p| Unit { span: None, positions: vec![p], partners: vec![p] }).collect()
}

/// One whole pass with one edit.
fn plain(llama: &Llama, ids: &[u32], metric: &Metric, edit: Edit<'_>) -> f64 {
    let mut tap = Interventions::new(vec![edit], llama.config()).unwrap();
    let last = llama.forward(&Packed::new([ids]), &mut tap);
    tap.finish().unwrap();
    let (rows, width) = (last.dims()[0], llama.config().d_model);
    metric.values(llama, last.slice([rows - metric.rows()..rows, 0..width])).unwrap()[0]
}

fn row_of(base: &Base<'_>, hook: Hook, position: usize) -> Tensor<2> {
    let x = base.activation(hook).unwrap();
    x.clone().slice([position..position + 1, 0..x.dims()[1]])
}

#[test]
fn the_grid_gives_what_whole_passes_give() {
    let llama = tiny();
    let (clean, corrupted) = (run(&llama, &CLEAN), run(&llama, &CORRUPTED));
    for site in SITES {
        let hooks: Vec<Hook> = (0..llama.config().n_layers).map(|layer| Hook { layer, site }).collect();
        let grid = Grid { hooks, units: units(0..CLEAN.len()), split: Split::Whole };
        let cells = grid.run(&clean, &corrupted, 20, |_| ()).unwrap();
        assert_eq!(cells.len(), llama.config().n_layers * CLEAN.len());
        for cell in cells {
            let edit = Edit {
                hook: cell.hook,
                sequence: None,
                positions: Positions::At(vec![cell.unit]),
                heads: None,
                change: Change::Replace(row_of(&corrupted, cell.hook, cell.unit)),
            };
            let expected = plain(&llama, &CLEAN, &clean.metric, edit);
            let apart = (cell.value - expected).abs() / (1.0 + expected.abs());
            assert!(apart <= REGROUPED, "{} at {}: {} and {expected}", cell.hook, cell.unit, cell.value);
        }
    }
}

#[test]
fn a_grid_of_patterns_gives_what_whole_passes_give() {
    let llama = tiny();
    let clean = run(&llama, &CLEAN);
    let corrupted = Base::run(&llama, &CORRUPTED, &clean.metric, &[Site::Pattern]).unwrap();
    let hooks: Vec<Hook> =
        (0..llama.config().n_layers).map(|layer| Hook { layer, site: Site::Pattern }).collect();
    let grid = Grid { hooks, units: units(2..CLEAN.len()), split: Split::Heads };
    for cell in grid.run(&clean, &corrupted, 2048, |_| ()).unwrap() {
        let (head, query) = (cell.head.unwrap(), cell.unit + 2);
        let pattern = corrupted.pattern(cell.hook.layer).unwrap().clone();
        let row: Tensor<2> =
            pattern.slice([head..head + 1, query..query + 1, 0..CLEAN.len()]).reshape([1, CLEAN.len()]);
        let (hook, change) = (cell.hook, Change::Replace(row));
        let positions = Positions::At(vec![query]);
        let edit = Edit { hook, sequence: None, positions, heads: Some(vec![head]), change };
        let expected = plain(&llama, &CLEAN, &clean.metric, edit);
        assert!((cell.value - expected).abs() <= REGROUPED * (1.0 + expected.abs()), "{hook} head {head}");
    }
}

#[test]
fn patching_a_run_with_itself_changes_nothing_bit_for_bit() {
    let llama = tiny();
    let clean = run(&llama, &CLEAN);
    let hooks: Vec<Hook> = (0..llama.config().n_layers).map(Hook::resid_post).collect();
    let grid = Grid { hooks, units: units(0..CLEAN.len()), split: Split::Whole };
    for cell in grid.run(&clean, &clean, 2048, |_| ()).unwrap() {
        assert_eq!(cell.value.to_bits(), clean.value.to_bits(), "{} at {}", cell.hook, cell.unit);
    }
    // The same through whole passes, with every row of every site put in the place of itself.
    let untouched = floats(llama.forward(&Packed::new([&CLEAN[..]]), &mut ()));
    for site in SITES {
        let edits = (0..llama.config().n_layers).map(|layer| {
            let hook = Hook { layer, site };
            let change = Change::Replace(clean.activation(hook).unwrap().clone());
            let positions = Positions::At((0..CLEAN.len()).collect());
            Edit { hook, sequence: None, positions, heads: None, change }
        });
        let mut tap = Interventions::new(edits.collect(), llama.config()).unwrap();
        let touched = floats(llama.forward(&Packed::new([&CLEAN[..]]), &mut tap));
        tap.finish().unwrap();
        let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&touched), bits(&untouched), "{site:?}");
    }
}

#[test]
fn patching_everything_gives_the_other_run() {
    let llama = tiny();
    let (clean, corrupted) = (run(&llama, &CLEAN), run(&llama, &CORRUPTED));
    assert!((clean.value - corrupted.value).abs() > 1e-3, "the pair differs");
    let all: Vec<usize> = (0..CLEAN.len()).collect();
    for layer in 0..llama.config().n_layers {
        let rows = corrupted.residual(layer).unwrap().clone();
        let patch = Patch { layer, positions: all.clone(), rows };
        let value = clean.patched(&[patch], 2048).unwrap()[0];
        let apart = (value - corrupted.value).abs() / (1.0 + corrupted.value.abs());
        assert!(apart <= REGROUPED, "block {layer}: {value} and {}", corrupted.value);
    }
}

#[test]
fn a_continuation_is_measured_under_patches_too() {
    let llama = tiny();
    let metric = Metric::LogProbability(vec![4, 9, 2]);
    let clean = Base::run(&llama, &CLEAN, &metric, &SITES).unwrap();
    let corrupted = Base::run(&llama, &CORRUPTED, &metric, &SITES).unwrap();
    // Against the logits of a whole pass over prompt and continuation, in f64.
    let ids = [&CLEAN[..], &[4, 9]].concat();
    let logits = floats(llama.logits(llama.forward(&Packed::new([&ids[..]]), &mut ())));
    let vocab = llama.config().vocab;
    let expected: f64 = [4, 9, 2]
        .iter()
        .enumerate()
        .map(|(step, id)| {
            let row = &logits[(CLEAN.len() - 1 + step) * vocab..][..vocab];
            let total: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
            f64::from(row[*id]) - total.ln()
        })
        .sum();
    assert!((clean.value - expected).abs() <= REGROUPED, "{} and {expected}", clean.value);
    let hook = Hook { layer: 1, site: Site::Value };
    let grid = Grid { hooks: vec![hook, Hook::resid_post(0)], units: units(2..9), split: Split::Whole };
    for cell in grid.run(&clean, &corrupted, 2048, |_| ()).unwrap() {
        let position = cell.unit + 2;
        let change = Change::Replace(row_of(&corrupted, cell.hook, position));
        let positions = Positions::At(vec![position]);
        let edit = Edit { hook: cell.hook, sequence: None, positions, heads: None, change };
        let expected = plain(&llama, &ids, &metric, edit);
        assert!((cell.value - expected).abs() <= REGROUPED, "{} at {position}", cell.hook);
    }
}

/// Nothing and means over two prompts, computed here in f64, in the place of activations.
#[test]
fn ablations_give_what_whole_passes_give() {
    let llama = tiny();
    let (clean, corrupted) = (run(&llama, &CLEAN), run(&llama, &CORRUPTED));
    let sites = [Site::ResidPost, Site::Z, Site::MlpOut];
    let hooks: Vec<Hook> = sites.map(|site| Hook { layer: 1, site }).to_vec();
    let grid = Grid { hooks: hooks.clone(), units: units(3..5), split: Split::Whole };
    let prompts = [CLEAN.to_vec(), CORRUPTED.to_vec()];
    let means = Means::measure(&llama, &prompts, &hooks, (&[], &[])).unwrap();
    let check = |source: Source<'_>, change: &dyn Fn(Hook) -> Change<'static>| {
        for cell in grid.run(&clean, source, 2048, |_| ()).unwrap() {
            let (hook, positions) = (cell.hook, Positions::At(vec![cell.unit + 3]));
            let edit = Edit { hook, sequence: None, positions, heads: None, change: change(hook) };
            let expected = plain(&llama, &CLEAN, &clean.metric, edit);
            assert!((cell.value - expected).abs() <= REGROUPED * (1.0 + expected.abs()), "{hook}");
            assert!((cell.value - clean.value).abs() > 1e-6, "{hook} does something");
        }
    };
    check(Source::Zero, &|_| Change::Scale(0.0));
    check(Source::Means(&means), &|hook| {
        let both = [&clean, &corrupted].map(|base| floats(base.activation(hook).unwrap().clone()));
        let width = both[0].len() / CLEAN.len();
        let mean = (0..width).map(|column| {
            let rows = both.iter().flat_map(|x| x.chunks(width).skip(1));
            rows.map(|row| f64::from(row[column])).sum::<f64>() / (2 * (CLEAN.len() - 1)) as f64
        });
        let mean: Vec<f32> = mean.map(|x| x as f32).collect();
        Change::Set(Tensor::from_data(TensorData::new(mean, [width]), &Device::flex()))
    });
    let pattern = Hook { layer: 1, site: Site::Pattern };
    assert!(Means::measure(&llama, &prompts, &[pattern], (&[], &[])).is_err(), "patterns have no mean");
}
