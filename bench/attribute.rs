//! Times one attribution pass on the CPU, from a run that is there to the estimates of every feature and of the rest at
//! three blocks, against the forward pass in the same run, and integrated gradients and an exact audit beside it.

mod long_prompt;

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use saelake::dictionary;
use saelake::game::Layout;
use saelake::intervene::attribute::{Ask, Attributed, Plan, Values};
use saelake::intervene::{Base, Metric, Pair, Swap};
use saelake::model::{Dtype, Freeze, Packed, default_model, open};

use long_prompt::prompt;

/// Passes of each kind; the middle one counts.
const TIMES: usize = 5;
/// Steps of integrated gradients.
const STEPS: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let (path, device) = (default_model(), Device::flex());
    let opened = open(path.to_str().ok_or("the model's path is not text")?, &device, Dtype::F32)?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/dictionaries");
    let dictionaries = dictionary::open(&folder, "demo", None, &device)?;
    let swap = Swap { span: "balance".to_owned(), text: "$10".to_owned() };
    let pair = Pair::swapped(prompt(&opened)?, &[swap], &opened.tokenizer)?;
    let metric = Metric::difference(&opened.tokenizer, " Bet", " Stop")?;
    let ids = |layout: &Layout| layout.tokens.iter().map(|token| token.id).collect::<Vec<_>>();
    let (clean, corrupted) = (ids(&pair.clean), ids(&pair.corrupted));
    let base = Base::run(&opened.llama, &clean, &metric, &[])?;
    let other = Base::run(&opened.llama, &corrupted, &metric, &[])?;

    let forward = middle(|| {
        let _ = opened.llama.forward(&Packed::new([clean.as_slice()]), &mut ());
        Ok(())
    })?;
    let ask = Ask { values: Values::Run(&other, &pair.partners), freeze: Freeze::Nothing };
    let mut attributed = Vec::new();
    let pass = middle(|| {
        attributed = base.attributed(&dictionaries, ask)?;
        Ok(())
    })?;
    let start = Instant::now();
    base.integrate(&mut attributed, STEPS)?;
    let integrated = start.elapsed();
    let start = Instant::now();
    base.audit(&mut attributed, Plan { top: 20, drawn: 40, seed: 0, budget: 2048 })?;
    report(clean.len(), &attributed, [forward, pass, integrated, start.elapsed()])
}

/// The middle of some times.
fn middle(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[TIMES / 2])
}

fn report(tokens: usize, attributed: &[Attributed<'_>], times: [Duration; 4]) -> Result<(), Box<dyn Error>> {
    let [forward, pass, integrated, audit] = times.map(|time| time.as_secs_f64());
    let effects = || attributed.iter().flat_map(|attributed| &attributed.effects);
    let (nodes, audited) = (effects().count(), effects().filter(|effect| effect.exact.is_some()).count());
    let mut out = std::io::stdout().lock();
    let threads = std::thread::available_parallelism()?;
    writeln!(out, "SmolLM2-135M-Instruct in f32 on {threads} threads, a prompt of {tokens} tokens\n")?;
    writeln!(out, "forward pass without logits: {forward:.3} s")?;
    writeln!(out, "estimates of {nodes} nodes at three blocks, one pass back: {pass:.3} s")?;
    writeln!(out, "ratio to the forward pass {:.2}", pass / forward)?;
    writeln!(out, "integrated gradients of {STEPS} steps at the same blocks: {integrated:.1} s")?;
    writeln!(out, "audit of {audited} of the nodes by exact patches: {audit:.1} s")?;
    Ok(())
}
