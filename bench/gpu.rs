//! Times the forward pass, the dictionaries and the answers of random weights on a GPU. Prints rows of the table of
//! `bench-gpu`, and to stderr where the time goes.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write as _, stderr};
use std::time::Instant;

mod random_llama;

use gpu::{
    Batch, Device, Dictionary, Features, GpuError, Keep, Kept, Kind, Llama, Past, Piece, Pinned, Taken,
};

/// Features kept of a token.
const KEPT: usize = 64;

/// Keys kept of a row of attention.
const STRONGEST: usize = 8;

/// Passes of which the middle one counts.
const RUNS: usize = 5;

use random_llama::{BLOCKS, SHAPE, VOCABULARY, dictionary, flop, mixed, model};

struct Bench {
    /// Multiplications and additions a second of products alone.
    ceiling: f64,
    device: Device,
    llama: Llama,
    dictionaries: BTreeMap<usize, Dictionary>,
    out: std::io::Stdout,
}

/// A batch, room for what is taken of it, and where that goes on the host.
struct Work {
    batch: Batch,
    taken: Taken,
    host: Vec<(Pinned, Pinned)>,
}

impl Bench {
    fn work(&self, lengths: &[usize], layers: &[usize]) -> Result<Work, GpuError> {
        let device = &self.device;
        let tokens = lengths.iter().sum::<usize>();
        let ids = (0..tokens).map(|i| (i * 7919 % VOCABULARY) as i32).collect::<Vec<_>>();
        let batch = Batch::new(device, &ids, lengths)?;
        let keep =
            Keep { strongest: STRONGEST, decisions: lengths.iter().map(|length| length - 1).collect() };
        let (mut taken, mut host) = (Taken::default(), Vec::new());
        for layer in layers {
            let features = Features::new(device, tokens, KEPT)?;
            let kept = Kept::new(device, &batch, &keep, SHAPE.n_heads)?;
            host.push((Pinned::new(device, features.out.len())?, Pinned::new(device, kept.out.len())?));
            taken.features.insert(*layer, features);
            taken.patterns.insert(*layer, kept);
        }
        Ok(Work { batch, taken, host })
    }

    /// One pass, with all that is taken brought to the host.
    fn pass(&self, work: &mut Work) -> Result<(), GpuError> {
        self.llama.forward(&self.device, &work.batch, None, (&self.dictionaries, &work.taken))?;
        let taken = work.taken.features.values().zip(work.taken.patterns.values());
        for ((features, kept), (to_features, to_kept)) in taken.zip(&mut work.host) {
            features.out.send(&self.device, to_features, features.out.len())?;
            kept.out.send(&self.device, to_kept, kept.out.len())?;
        }
        Ok(())
    }

    /// Tokens a second of a pass over sequences of the lengths, with the layers in `layers` taken.
    fn run(&mut self, title: &str, lengths: &[usize], layers: &[usize]) -> Result<(), Box<dyn Error>> {
        let mut work = self.work(lengths, layers)?;
        let tokens = work.batch.tokens();
        self.pass(&mut work)?;
        self.device.wait()?;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let start = Instant::now();
            self.pass(&mut work)?;
            self.device.wait()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let rate = tokens as f64 / times[RUNS / 2];
        let share = 100.0 * rate * flop(layers.len()) / self.ceiling;
        let memory = self.device.peak_memory()? as f64 / 1e9;
        writeln!(self.out, "| saelake, passes | {title} | {rate:.0} | {share:.0} % | | {memory:.1} GB |")?;
        writeln!(stderr(), "{title}")?;
        self.device.start_clock();
        self.pass(&mut work)?;
        for (name, (count, time)) in self.device.stop_clock()?.0 {
            let each = time / f64::from(count);
            writeln!(stderr(), "    {name:18} {count:5} x {each:7.3} ms = {time:8.2} ms")?;
        }
        Ok(())
    }
}

/// Tokens that are in the past of every answer when the first of them is timed.
const PROMPT: usize = 300;

/// Tokens of an answer.
const ANSWER: usize = 64;

impl Bench {
    /// Tokens a second of answers, so many at once, drawn one after the other at temperature 0.7.
    fn answers(&mut self, at_once: usize) -> Result<(), Box<dyn Error>> {
        let (device, rows) = (&self.device, at_once * (PROMPT + ANSWER + 1));
        let past = Past::new(device, &SHAPE, BLOCKS, rows)?;
        let last = (0..at_once as i32).collect::<Vec<_>>();
        let (nothing, taken, draws) = (BTreeMap::new(), Taken::default(), vec![0.5; at_once]);
        let mut ids = vec![7; at_once];
        let mut token = |position: usize| -> Result<(), GpuError> {
            let piece = |answer| Piece { past: position, tokens: 1, room: answer * (PROMPT + ANSWER + 1) };
            let batch = Batch::remembered(device, &ids, &(0..at_once).map(piece).collect::<Vec<_>>())?;
            let residual = self.llama.forward(device, &batch, Some(&past), (&nothing, &taken))?;
            ids = self.llama.draw(device, &residual, &last, (&draws, 0.7))?.read::<i32>(device, at_once)?;
            Ok(())
        };
        // What the prompts leave in the past does not matter for the time.
        token(PROMPT)?;
        let start = Instant::now();
        (PROMPT..PROMPT + ANSWER).try_for_each(&mut token)?;
        let each = start.elapsed().as_secs_f64() / ANSWER as f64;
        let (rate, time) = (at_once as f64 / each, each * 1e3);
        let memory = device.peak_memory()? as f64 / 1e9;
        writeln!(self.out, "| saelake, answers | {at_once} at once | {rate:.0} | | | {memory:.1} GB |")?;
        writeln!(stderr(), "{at_once} answers after {PROMPT} tokens: {time:.2} ms a token")?;
        device.start_clock();
        token(PROMPT + ANSWER)?;
        for (name, (count, time)) in device.stop_clock()?.0 {
            writeln!(
                self.out,
                "    {name:18} {count:5} x {:7.3} ms = {time:8.2} ms",
                time / f64::from(count)
            )?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let device = Device::open(0, Kind::Bf16, SHAPE.head)?;
    let out = std::io::stdout();
    writeln!(stderr(), "{}, open and compiled after {:.2} s", device.name()?, start.elapsed().as_secs_f64())?;
    let ceiling = device.product_rate(&SHAPE)?;
    let llama = model(&device)?;
    let mut dictionaries = BTreeMap::new();
    for layer in [8, 15, 31] {
        dictionaries.insert(layer, dictionary(&device, layer, KEPT)?);
    }
    device.wait()?;
    let mut bench = Bench { ceiling, device, llama, dictionaries, out };
    let layers = [8, 15, 31];
    bench.run("mixed, forward alone", &mixed(16_384), &[])?;
    bench.run("mixed", &mixed(16_384), &layers)?;
    bench.run("100", &[100; 160], &layers)?;
    bench.run("512", &[512; 32], &layers)?;
    bench.run("2,048", &[2048; 8], &layers)?;
    bench.run("one of 300", &[300], &layers)?;
    for at_once in [1, 16, 64, 256] {
        bench.answers(at_once)?;
    }
    Ok(())
}
