//! Times the forward pass and the dictionaries of random weights on a GPU, and says where the time goes.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

mod random_llama;

use gpu::{Batch, Device, Dictionary, Features, GpuError, Keep, Kept, Kind, Llama, Pinned, Shape, Taken};

/// Features kept of a token.
const KEPT: usize = 64;

/// Keys kept of a row of attention.
const STRONGEST: usize = 8;

/// Passes of which the middle one counts.
const RUNS: usize = 5;

/// Multiplications and additions of a token's products, of the blocks and of a dictionary.
fn flop(n_dictionaries: usize) -> f64 {
    let Shape { d_model, d_ff, .. } = SHAPE;
    let of_block = d_model * SHAPE.qkv() + d_model * d_model + 3 * d_model * d_ff;
    2.0 * (BLOCKS * of_block + n_dictionaries * d_model * D_SAE) as f64
}

use random_llama::{BLOCKS, D_SAE, SHAPE, VOCABULARY, dictionary, mixed, model};

struct Bench {
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
        self.llama.forward(&self.device, &work.batch, &self.dictionaries, &work.taken)?;
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
        let middle = times[RUNS / 2];
        let (rate, products) = (tokens as f64 / middle, tokens as f64 / middle * flop(layers.len()) / 1e12);
        let time = middle * 1e3;
        writeln!(
            self.out,
            "{title}: {tokens} tokens, {time:.1} ms, {rate:.0} tok/s, products {products:.0} TFLOP/s"
        )?;
        self.device.start_clock();
        self.pass(&mut work)?;
        for (name, (count, time)) in self.device.stop_clock()? {
            let each = time / f64::from(count);
            writeln!(self.out, "    {name:18} {count:5} x {each:7.3} ms = {time:8.2} ms")?;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let device = Device::open(0, Kind::Bf16, SHAPE.head)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}, open and compiled after {:.2} s", device.name()?, start.elapsed().as_secs_f64())?;
    let llama = model(&device)?;
    let mut dictionaries = BTreeMap::new();
    for layer in [8, 15, 31] {
        dictionaries.insert(layer, dictionary(&device, layer, KEPT)?);
    }
    device.wait()?;
    writeln!(
        out,
        "weights made after {:.2} s, {:?} bytes free",
        start.elapsed().as_secs_f64(),
        device.memory()?
    )?;
    let mut bench = Bench { device, llama, dictionaries, out };
    let layers = [8, 15, 31];
    bench.run("8 x 512, forward", &[512; 8], &[])?;
    bench.run("32 x 512, forward", &[512; 32], &[])?;
    bench.run("32 x 512, three layers", &[512; 32], &layers)?;
    bench.run("mixed 16k, forward", &mixed(16_384), &[])?;
    bench.run("mixed 16k, three layers", &mixed(16_384), &layers)?;
    bench.run("160 x 100, three layers", &[100; 160], &layers)?;
    bench.run("8 x 2048, three layers", &[2048; 8], &layers)?;
    bench.run("one of 300, three layers", &[300], &layers)?;
    Ok(())
}
