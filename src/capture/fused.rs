//! Reading steps by the fused kernels of a GPU. A pass is begun, and its rows are made while the next one runs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use gpu::{Batch, Buffer, GpuError, Keep as KeepRows, Kept, Mark, Past, Pinned, Taken};
use rayon::prelude::*;

use super::CaptureError;
use super::choose::Pair;
use super::engine::{Engine, Observed, Pass};
use super::fused_past::{self, Remembered};
use super::generate::{Answer, Drawing};
use super::prepare::Prepared;
use super::rows::{Features, Pattern};
use super::settings::{AttentionKept, Settings};
use crate::dictionary::{Dictionary, Keep, Measured};
use crate::lake::Captured;
use crate::model::{Config, OnGpu};

/// A model and its dictionaries on a GPU.
pub struct Fused<'a> {
    model: &'a OnGpu,
    dictionaries: BTreeMap<usize, gpu::Dictionary>,
    settings: &'a Settings,
    /// Features kept of a position.
    kept: usize,
    /// Memory of the host that no pass writes to.
    free: Mutex<Vec<Pinned>>,
    /// The threads that make rows. The lake's writer has others: behind its long work rows would wait, and the GPU for
    /// them.
    threads: rayon::ThreadPool,
}

impl<'a> Fused<'a> {
    /// Puts dictionaries beside the model.
    ///
    /// # Errors
    /// If a dictionary or a setting is one that the kernels do not know, or there is not enough memory.
    pub fn new(
        model: &'a OnGpu,
        dictionaries: &[Dictionary],
        settings: &'a Settings,
    ) -> Result<Self, CaptureError> {
        let on_gpu = dictionaries
            .iter()
            .map(|dictionary| Ok((dictionary.hook.layer, dictionary.on_gpu(&model.device)?)));
        Self::of(model, on_gpu.collect::<Result<_, CaptureError>>()?, settings)
    }

    /// The same of dictionaries that are on the device, by their layers.
    ///
    /// # Errors
    /// If a setting is one that the kernels do not know.
    pub fn of(
        model: &'a OnGpu,
        dictionaries: BTreeMap<usize, gpu::Dictionary>,
        settings: &'a Settings,
    ) -> Result<Self, CaptureError> {
        let (Keep::Top(kept), AttentionKept::Top(_) | AttentionKept::Decision) =
            (settings.keep, settings.attention)
        else {
            return Err(CaptureError::NotFused("keeping all features or all attention"));
        };
        let half = rayon::current_num_threads().div_ceil(2);
        let threads = rayon::ThreadPoolBuilder::new().num_threads(half).build();
        let threads = threads.map_err(|error| CaptureError::Device(error.to_string()))?;
        Ok(Self { model, dictionaries, settings, kept, free: Mutex::default(), threads })
    }

    /// Host memory for `bytes`, of a pass that is over if there is one.
    fn host(&self, bytes: usize) -> Result<Pinned, GpuError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        match free.iter().position(|memory| memory.len() >= bytes) {
            Some(place) => Ok(free.swap_remove(place)),
            // Passes differ a little in size, and pinned memory is slow to make.
            None => Pinned::new(&self.model.device, bytes + bytes / 4),
        }
    }

    fn give_back(&self, memory: Pinned) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
    }

    /// Room for what is taken of a batch.
    fn room(&self, batch: &Batch, decisions: &[usize]) -> Result<Taken, GpuError> {
        let strongest = self.settings.attention.strongest();
        let keep = KeepRows { strongest, decisions: decisions.to_vec() };
        let (device, heads) = (&self.model.device, self.config().n_heads);
        let mut taken = Taken::default();
        for layer in &self.settings.layers {
            taken.patterns.insert(*layer, Kept::new(device, batch, &keep, heads)?);
            if let Some(dictionary) = self.dictionaries.get(layer) {
                let kept = self.kept.min(dictionary.d_sae);
                let features = gpu::Features::new(device, batch.tokens(), kept)?;
                taken.features.insert(*layer, features);
            }
        }
        Ok(taken)
    }

    /// Sends a buffer to the host.
    fn send(&self, buffer: &Buffer) -> Result<Pinned, GpuError> {
        let mut host = self.host(buffer.len())?;
        buffer.send(&self.model.device, &mut host, buffer.len())?;
        Ok(host)
    }

    fn begin(&self, steps: &[&Prepared], tokens: &[[u32; 2]], remember: bool) -> Result<Sent, GpuError> {
        let (device, llama) = (&self.model.device, &self.model.llama);
        let prompts = steps.iter().map(|step| step.ids()).collect::<Vec<_>>();
        let (batch, ranges) = pack(device, &prompts, remember)?;
        let decisions = steps.iter().map(|step| step.decision).collect::<Vec<_>>();
        let taken = self.room(&batch, &decisions)?;
        let n_rows = fused_past::rows(&prompts);
        let past =
            remember.then(|| Past::new(device, &llama.shape, llama.blocks.len(), n_rows)).transpose()?;
        let residual = llama.forward(device, &batch, past.as_ref(), (&self.dictionaries, &taken))?;
        let rows = ranges.iter().zip(&decisions).map(|(range, decision)| (range.start + decision) as i32);
        let ids = tokens.as_flattened().iter().map(|id| id.cast_signed()).collect::<Vec<_>>();
        let picked = llama.pick(device, &residual, &rows.collect::<Vec<_>>(), (&ids, 2))?;
        let features = taken
            .features
            .iter()
            .map(|(layer, features)| Ok((*layer, features.kept, self.send(&features.out)?)));
        let features = features.collect::<Result<Vec<_>, GpuError>>()?;
        let patterns =
            taken.patterns.iter().map(|(layer, kept)| Ok((*layer, kept.counts, self.send(&kept.out)?)));
        let patterns = patterns.collect::<Result<Vec<_>, GpuError>>()?;
        let picked = self.send(&picked)?;
        let (done, tokens) = (device.mark()?, batch.tokens());
        Ok(Sent { features, patterns, picked, done, tokens, ranges, prompts, past })
    }

    fn rows_of(&self, sent: &Sent, at: &Place) -> Captured {
        let mut captured = Captured::default();
        for (layer, kept, memory) in &sent.features {
            let (n, kept) = (sent.tokens, *kept);
            let column = |place: usize| memory.numbers::<f32>(4 * (2 * n * kept + place * n), n);
            let features = Features {
                index: memory.numbers(0, n * kept),
                value: memory.numbers(4 * n * kept, n * kept),
                width: kept,
                l0: column(0),
                feature_norm: column(1),
                kept_share: column(2),
                residual_norm: column(3),
                reconstruction_error: column(4),
            };
            let layer = *layer as i32;
            let rows = captured.features.entry(layer).or_default();
            features.push(at.key, at.range.clone(), rows, captured.positions.entry(layer).or_default());
        }
        let heads = self.config().n_heads;
        for (layer, counts, memory) in &sent.patterns {
            let starts = counts.iter().scan(0, |sum, count| {
                *sum += count;
                Some(4 * (*sum - count))
            });
            let starts = starts.collect::<Vec<_>>();
            let width = counts[0] / counts[3].max(1);
            // The whole rows of a sequence follow those of the sequences before it, which have `heads` a token.
            let whole = starts[4] + 4 * heads * at.range.start;
            let pattern = Pattern {
                heads,
                positions: at.range.len(),
                decision: at.decision,
                decision_row: memory.numbers(whole, heads * at.range.len()),
                strongest: Some((
                    memory.numbers(starts[0], counts[0]),
                    memory.numbers(starts[1], counts[1]),
                    width,
                )),
                whole: None,
                entropy: memory.numbers(starts[3], counts[3]),
                first: at.range.start,
                stride: sent.tokens,
            };
            let layer = *layer as i32;
            let rows = captured.attention.entry(layer).or_default();
            let kept = self.settings.attention;
            pattern.push(at.key, kept, rows, captured.attention_rows.entry(layer).or_default());
        }
        captured
    }

    fn finish(&self, sent: Sent, places: &[Place]) -> Result<Observed<'_>, CaptureError> {
        sent.done.wait()?;
        let captured = self.threads.install(|| places.par_iter().map(|at| self.rows_of(&sent, at)).collect());
        let n = places.len();
        let (chosen, sums) = (sent.picked.numbers::<f32>(0, 2 * n), sent.picked.numbers::<f32>(8 * n, n));
        let pair = |(logits, sum): (&[f32], &f32)| Pair {
            first: (logits[0] - sum).exp(),
            second: (logits[1] - sum).exp(),
            logit_diff: logits[0] - logits[1],
        };
        let pairs = chosen.chunks_exact(2).zip(sums).map(pair).collect();
        let Sent { features, patterns, picked, prompts, past, .. } = sent;
        let memories = features.into_iter().map(|sent| sent.2).chain(patterns.into_iter().map(|sent| sent.2));
        memories.chain([picked]).for_each(|memory| self.give_back(memory));
        let budget = self.settings.batch_tokens;
        let past = Remembered { model: self.model, prompts, rooms: past, budget };
        Ok(Observed { captured, pairs, past: Box::new(past) })
    }
}

/// What is on its way to the host.
struct Sent {
    /// By layer: how many features a position has, and the memory.
    features: Vec<(usize, usize, Pinned)>,
    /// By layer: how many numbers each part has, and the memory.
    patterns: Vec<(usize, [usize; 5], Pinned)>,
    picked: Pinned,
    done: Mark,
    tokens: usize,
    ranges: Vec<Range<usize>>,
    prompts: Vec<Vec<u32>>,
    past: Option<Past>,
}

/// A step, and where it is in the pass.
struct Place {
    key: (i64, i32),
    decision: usize,
    range: Range<usize>,
}

/// Packs sequences, to go on from them later or not: the batch, and where each of them is in it.
pub(super) fn pack(
    device: &gpu::Device,
    sequences: &[Vec<u32>],
    remember: bool,
) -> Result<(Batch, Vec<Range<usize>>), GpuError> {
    let ids = sequences.concat().into_iter().map(u32::cast_signed).collect::<Vec<_>>();
    let lengths = sequences.iter().map(Vec::len).collect::<Vec<_>>();
    let mut end = 0;
    let ranges = lengths.iter().map(|length| {
        end += length;
        end - length..end
    });
    let ranges = ranges.collect();
    let batch = if remember {
        Batch::remembered(device, &ids, &fused_past::pieces(sequences))?
    } else {
        Batch::new(device, &ids, &lengths)?
    };
    Ok((batch, ranges))
}

impl Engine for Fused<'_> {
    fn config(&self) -> &Config {
        self.model.config()
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn start(
        &self,
        steps: &[&Prepared],
        tokens: &[[u32; 2]],
        remember: bool,
    ) -> Result<Pass<'_>, CaptureError> {
        let sent = self.begin(steps, tokens, remember)?;
        let place = |(step, range): (&&Prepared, &Range<usize>)| Place {
            key: (step.game, step.step),
            decision: step.decision,
            range: range.clone(),
        };
        let places = steps.iter().zip(&sent.ranges).map(place).collect::<Vec<_>>();
        Ok(Box::new(move || self.finish(sent, &places)))
    }

    fn generate(
        &self,
        prompts: &[Vec<u32>],
        drawing: &Drawing,
        draw: &mut dyn FnMut(usize) -> f32,
    ) -> Result<Vec<Answer>, CaptureError> {
        super::fused_answers::answer(self.model, prompts, (drawing, self.settings.batch_tokens), draw)
    }

    fn measure(&self, steps: &[Prepared]) -> Result<Vec<Measured>, CaptureError> {
        super::fused_measure::measure(self.model, &self.dictionaries, steps)
    }
}
