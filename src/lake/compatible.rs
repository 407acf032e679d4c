//! Which runs may share a lake.

use schemas::{dictionaries, runs};

use super::{Lake, LakeError};

impl Lake {
    /// Refuses a run whose rows could not be compared with those of the lake.
    ///
    /// Every run of a lake has the same model (`model_hash`, `d_model`, `n_layers`, `n_heads`), number
    /// format (`dtype`), `bos` policy, `layers`, `top_k`, `attention`, `positions` and `activation_bits`, and the
    /// same dictionary (`hash`, `hook`, `input_scale`, `output_scale`) at the same layers. Device, seed, source,
    /// way of deciding and version of the program may differ; each game names its run.
    ///
    /// # Errors
    /// [`LakeError::Conflict`] names the first difference, [`LakeError::FormatTooNew`] a run that says
    /// it is of a later layout, [`LakeError::FormatTooOld`] a lake of an earlier one.
    pub fn check_compatible(
        &self,
        run: &runs::Row,
        dictionaries: &[dictionaries::Row],
    ) -> Result<(), LakeError> {
        self.check_format()?;
        let (found, supported) = (run.format_version, schemas::FORMAT_VERSION);
        if found > supported {
            return Err(LakeError::FormatTooNew { found, supported });
        }
        for known in self.runs() {
            same_run(known, run)?;
        }
        if self.contents.runs.is_empty() {
            return Ok(());
        }
        if dictionaries.is_empty() && !self.contents.has_run(&run.run) {
            return same_layers(self.dictionaries(), dictionaries);
        }
        self.check_dictionaries(dictionaries)
    }

    /// Refuses other dictionaries than the lake's. A run whose first batch is committed brings none.
    pub(super) fn check_dictionaries(&self, dictionaries: &[dictionaries::Row]) -> Result<(), LakeError> {
        if dictionaries.is_empty() {
            return Ok(());
        }
        same_layers(self.dictionaries(), dictionaries)?;
        for known in self.dictionaries() {
            for new in dictionaries.iter().filter(|new| new.layer == known.layer) {
                same_dictionary(known, new)?;
            }
        }
        Ok(())
    }
}

fn same_run(lake: &runs::Row, run: &runs::Row) -> Result<(), LakeError> {
    let same = |column, lake: &dyn ToString, run: &dyn ToString| same(column, None, lake, run);
    let top_k = |top_k: Option<i32>| top_k.map_or_else(|| "all".to_owned(), |k| k.to_string());
    same("model_hash", &lake.model_hash, &run.model_hash)?;
    same("d_model", &lake.d_model, &run.d_model)?;
    same("n_layers", &lake.n_layers, &run.n_layers)?;
    same("n_heads", &lake.n_heads, &run.n_heads)?;
    same("dtype", &lake.dtype, &run.dtype)?;
    same("bos", &lake.bos, &run.bos)?;
    same("layers", &lake.layers, &run.layers)?;
    same("top_k", &top_k(lake.top_k), &top_k(run.top_k))?;
    same("attention", &lake.attention, &run.attention)?;
    same("positions", &lake.positions, &run.positions)?;
    same("activation_bits", &lake.activation_bits, &run.activation_bits)
}

fn same_layers(lake: &[dictionaries::Row], run: &[dictionaries::Row]) -> Result<(), LakeError> {
    let layers = |rows: &[dictionaries::Row]| {
        let mut layers: Vec<i32> = rows.iter().map(|row| row.layer).collect();
        layers.sort_unstable();
        layers.dedup();
        if layers.is_empty() {
            return "none".to_owned();
        }
        layers.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
    };
    same("layers with a dictionary", None, &layers(lake), &layers(run))
}

fn same_dictionary(lake: &dictionaries::Row, run: &dictionaries::Row) -> Result<(), LakeError> {
    let layer = Some(run.layer);
    let same = |column, lake: &dyn ToString, run: &dyn ToString| same(column, layer, lake, run);
    same("dictionary hash", &lake.hash, &run.hash)?;
    same("dictionary hook", &lake.hook, &run.hook)?;
    same("dictionary input_scale", &lake.input_scale, &run.input_scale)?;
    same("dictionary output_scale", &lake.output_scale, &run.output_scale)
}

fn same(
    column: &'static str,
    layer: Option<i32>,
    lake: &dyn ToString,
    run: &dyn ToString,
) -> Result<(), LakeError> {
    let (lake, run) = (lake.to_string(), run.to_string());
    if lake == run { Ok(()) } else { Err(LakeError::Conflict { column, layer, lake, run }) }
}
