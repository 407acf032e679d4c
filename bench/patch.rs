//! Times the full grid of exact patches, every block and every position, of a game's prompt on the CPU, against the same
//! patches as a plain loop of whole passes in the same run.

mod long_prompt;

use std::error::Error;
use std::io::Write as _;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use saelake::game::Layout;
use saelake::intervene::{
    Base, Cell, Change, Edit, Grid, Interventions, Metric, Pair, Positions, Split, Swap, Unit,
};
use saelake::model::{Dtype, Hook, Llama, Packed, default_model, open};

use long_prompt::prompt;

/// Patches of the plain loop that are run, evenly spread over the grid; the whole of it would take an hour.
const SAMPLE: usize = 40;
/// How far the two may be apart: f32 on both sides, summed over other numbers of rows.
const AGREEMENT: f64 = 1e-3;

fn main() -> Result<(), Box<dyn Error>> {
    let path = default_model();
    let opened = open(path.to_str().ok_or("the model's path is not text")?, &Device::flex(), Dtype::F32)?;
    let swap = Swap { span: "balance".to_owned(), text: "$10".to_owned() };
    let pair = Pair::swapped(prompt(&opened)?, &[swap], &opened.tokenizer)?;
    let metric = Metric::difference(&opened.tokenizer, " Bet", " Stop")?;
    let ids = |layout: &Layout| layout.tokens.iter().map(|token| token.id).collect::<Vec<_>>();
    let (clean, corrupted) = (ids(&pair.clean), ids(&pair.corrupted));
    let hooks: Vec<Hook> = (0..opened.llama.config().n_layers).map(Hook::resid_post).collect();
    let both = pair.partners.iter().enumerate().filter_map(|(own, other)| Some((own, (*other)?)));
    let unit = |(own, other)| Unit { span: None, positions: vec![own], partners: vec![other] };
    let grid = Grid { hooks, units: both.map(unit).collect(), split: Split::Whole };

    let start = Instant::now();
    let into = Base::run(&opened.llama, &clean, &metric, &[])?;
    let from = Base::run(&opened.llama, &corrupted, &metric, &[])?;
    let cells = grid.run(&into, &from, 2048, |_| ())?;
    let fast = start.elapsed();
    let run = cells.iter().filter(|cell| cell.value.to_bits() != into.value.to_bits()).count();

    let step = (cells.len() / SAMPLE).max(1);
    let sample: Vec<&Cell> = cells.iter().skip(step / 2).step_by(step).collect();
    let start = Instant::now();
    for cell in &sample {
        let partner = grid.units[cell.unit].partners[0];
        let row = from.residual(cell.hook.layer)?.clone().slice(partner..partner + 1);
        let value = plain(&opened.llama, &clean, &metric, cell, grid.units[cell.unit].positions[0], row)?;
        if (value - cell.value).abs() > AGREEMENT {
            return Err(format!("the two differ: {value} and {} at {cell:?}", cell.value).into());
        }
    }
    report(clean.len(), (cells.len(), run, fast), (sample.len(), start.elapsed()))
}

/// One whole pass with one row in the place of another.
fn plain(
    llama: &Llama,
    ids: &[u32],
    metric: &Metric,
    cell: &Cell,
    position: usize,
    row: Tensor<2>,
) -> Result<f64, Box<dyn Error>> {
    let positions = Positions::At(vec![position]);
    let edit = Edit { hook: cell.hook, sequence: None, positions, heads: None, change: Change::Replace(row) };
    let mut tap = Interventions::new(vec![edit], llama.config())?;
    let last = llama.forward(&Packed::new([ids]), &mut tap);
    tap.finish()?;
    Ok(metric.values(llama, last.slice(ids.len() - 1..ids.len()))?[0])
}

fn report(
    tokens: usize,
    (all, run, fast): (usize, usize, Duration),
    (sampled, plain): (usize, Duration),
) -> Result<(), Box<dyn Error>> {
    let (fast, plain) = (fast.as_secs_f64(), plain.as_secs_f64());
    let (rate, plain_rate) = (all as f64 / fast, sampled as f64 / plain);
    let mut out = std::io::stdout().lock();
    let threads = std::thread::available_parallelism()?;
    writeln!(out, "SmolLM2-135M-Instruct in f32 on {threads} threads, a prompt of {tokens} tokens\n")?;
    writeln!(out, "grid of every block and position: {all} patches in {fast:.1} s, {rate:.1} a second")?;
    writeln!(
        out,
        "  of these {run} moved the metric; the others are known to without a pass, or moved it by nothing"
    )?;
    writeln!(out, "plain loop of whole passes: {sampled} of them in {plain:.1} s, {plain_rate:.2} a second")?;
    writeln!(out, "ratio {:.1}", rate / plain_rate)?;
    Ok(())
}
