//! Looks at a run's first prompts through its dictionaries before anything is recorded.

use burn::tensor::{Int, Tensor, TensorData};

use super::prepare::Prepared;
use crate::dictionary::{Dictionary, DictionaryError, Measured};
use crate::model::{Hook, Llama, Packed, Tap};

/// What each dictionary makes of the first prompts, in the order of `dictionaries`: position 0 and
/// special tokens are left out, because dictionaries are trained without them.
///
/// # Errors
/// If the device fails.
pub fn verify(
    llama: &Llama,
    dictionaries: &[Dictionary],
    steps: &[Prepared],
) -> Result<Vec<Measured>, DictionaryError> {
    let ids: Vec<Vec<u32>> = steps.iter().map(Prepared::ids).collect();
    let packed = Packed::new(ids.iter().map(Vec::as_slice));
    let rows: Vec<i64> = steps
        .iter()
        .zip(packed.ranges())
        .flat_map(|(step, range)| step.plain_positions().map(move |position| (range.start + position) as i64))
        .collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::from(rows.as_slice()), llama.device());
    let mut probe = Probe { dictionaries, rows, measured: Vec::new() };
    probe.measured.resize_with(dictionaries.len(), || None);
    let _ = llama.forward(&packed, &mut probe);
    probe.measured.into_iter().flatten().collect()
}

/// The tap that measures instead of recording.
struct Probe<'a> {
    dictionaries: &'a [Dictionary],
    rows: Tensor<1, Int>,
    measured: Vec<Option<Result<Measured, DictionaryError>>>,
}

impl Tap for Probe<'_> {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        for (dictionary, measured) in self.dictionaries.iter().zip(&mut self.measured) {
            if dictionary.hook == hook {
                *measured = Some(dictionary.measure(&x.clone().select(0, self.rows.clone())));
            }
        }
        x
    }
}
