//! What dictionaries on a GPU make of some prompts.

use std::collections::BTreeMap;

use gpu::{Batch, Buffer, Features};

use super::CaptureError;
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
    let (mut ids, mut lengths, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        let plain = step.tokens().iter().enumerate().skip(1).filter(|(_, token)| !token.is_special);
        rows.extend(plain.map(|(position, _)| (ids.len() + position) as i32));
        ids.extend(step.tokens().iter().map(|token| token.id.cast_signed()));
        lengths.push(step.tokens().len());
    }
    let batch = Batch::new(device, &ids, &lengths)?;
    let mut measured = Vec::new();
    for (layer, dictionary) in dictionaries {
        let residual = model.llama.after(device, &batch, *layer)?;
        let x = residual.rows(device, &rows, dictionary.d_in)?;
        measured.push(measure_rows(device, dictionary, &x, rows.len())?);
    }
    Ok(measured)
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
