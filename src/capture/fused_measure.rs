//! What dictionaries on a GPU make of some prompts.

use std::collections::BTreeMap;
use std::ops::Range;

use gpu::{Buffer, Features, Rows, Taken};

use super::CaptureError;
use super::fused::pack;
use super::prepare::Prepared;
use crate::dictionary::{Encoded, Measured};
use crate::model::OnGpu;

/// The features of a row that are looked at for the share of those that never fire: a dictionary with more of them is no
/// sparse one.
const LOOKED_AT: usize = 1024;

/// What each dictionary makes of the plain tokens of `steps`.
pub(super) fn measure(
    model: &OnGpu,
    dictionaries: &BTreeMap<usize, gpu::Dictionary>,
    steps: &[Prepared],
) -> Result<Vec<Measured>, CaptureError> {
    let device = &model.device;
    let prompts = steps.iter().map(Prepared::ids).collect::<Vec<_>>();
    let (batch, ranges) = pack(device, &prompts, false)?;
    let plain = |(step, range): (&Prepared, &Range<usize>)| {
        step.plain_positions().map(|position| (range.start + position) as i32).collect::<Vec<_>>()
    };
    let places = steps.iter().zip(&ranges).flat_map(plain).collect::<Vec<_>>();
    let mut taken = Taken::default();
    for (layer, dictionary) in dictionaries {
        taken.residuals.insert(*layer, Rows::new(device, &places, dictionary.d_in)?);
    }
    model.llama.forward(device, &batch, None, (&BTreeMap::new(), &taken))?;
    let of_layer = |(dictionary, rows): (_, &Rows)| measure_rows(device, dictionary, &rows.out, places.len());
    dictionaries.values().zip(taken.residuals.values()).map(of_layer).collect()
}

fn measure_rows(
    device: &gpu::Device,
    dictionary: &gpu::Dictionary,
    x: &Buffer,
    n: usize,
) -> Result<Measured, CaptureError> {
    let kept = LOOKED_AT.min(dictionary.d_sae);
    let features = Features::new(device, n, kept)?;
    dictionary.encode(device, x, &features)?;
    let found = features.out.read::<u32>(device, n * (2 * kept + 5))?;
    let floats = |start: usize, count: usize| {
        found[start..start + count].iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>()
    };
    let column = |place: usize| floats(2 * n * kept + place * n, n);
    let encoded = Encoded {
        x: &x.floats(device, n * dictionary.d_in)?,
        l0: &column(0),
        norms: &column(3),
        errors: &column(4),
        index: &found[..n * kept],
        value: &floats(n * kept, n * kept),
        d_sae: dictionary.d_sae,
    };
    Ok(encoded.measured())
}
