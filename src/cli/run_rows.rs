//! What the lake records of a run: its model, its dictionaries, its settings.

use schemas::{FORMAT_VERSION, dictionaries, runs};
use sha2::{Digest as _, Sha256};

use super::collect::Plan;
use super::options::name_of;
use super::request::Games;
use crate::capture::{Prepared, Settings};
use crate::dictionary::{Dictionary, Keep, Measured};
use crate::model::{Model, Opened};

/// The rows that describe a run.
pub(super) struct Described {
    pub(super) run: runs::Row,
    pub(super) dictionaries: Vec<dictionaries::Row>,
}

/// What is known of a run before it begins.
pub(super) struct Facts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) dictionaries: &'a [Dictionary],
    /// What each dictionary does on the first prompts, and whether that is plausible.
    pub(super) measured: &'a [(Measured, bool)],
    pub(super) first: &'a [Prepared],
    /// How far a packed pass was from passes of single steps.
    pub(super) packing_difference: f32,
}

/// Describes a run of which the first game asked for has the key `first_game`.
pub(super) fn describe<M: Model>(
    plan: &Plan,
    opened: &Opened<M>,
    facts: &Facts<'_>,
    first_game: i64,
) -> Described {
    let settings = facts.settings;
    let config = opened.llama.config();
    let mut run = runs::Row {
        run: String::new(),
        format_version: FORMAT_VERSION,
        saelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: String::new(),
        model: name_of(&opened.identity.source),
        model_revision: opened.identity.revision.clone(),
        model_hash: opened.identity.hash.clone(),
        d_model: config.d_model as i32,
        n_layers: config.n_layers as i32,
        n_heads: config.n_heads as i32,
        layers: settings.layers.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
        top_k: match settings.keep {
            Keep::Top(count) => Some(count as i32),
            Keep::All => None,
        },
        attention: settings.attention.to_string(),
        device: plan.machine.name(),
        dtype: plan.dtype.to_string(),
        seed: plan.seed as i64,
        source: match &plan.games {
            Games::SlotMachine { .. } => "slot-machine".to_owned(),
            Games::Prompts { name, .. } => name.clone(),
        },
        decide: match &plan.games {
            Games::SlotMachine { .. } => Some(settings.decide.to_string()),
            Games::Prompts { .. } => None,
        },
        bos: facts.first.first().map_or("none", |step| step.layout.bos.as_str()).to_owned(),
        positions: plan.positions.to_string(),
        activation_bits: plan.activation_bits,
        settings: plan.options.recorded(None),
    };
    let mut rows: Vec<dictionaries::Row> = facts
        .dictionaries
        .iter()
        .zip(facts.measured)
        .map(|(dictionary, measured)| row(dictionary, *measured))
        .collect();
    run.run = name(&run, &rows, first_game);
    // What was measured may differ in its last bits the next time, and is no part of the name.
    run.settings = plan.options.recorded(Some(facts.packing_difference));
    run.started_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for row in &mut rows {
        row.run.clone_from(&run.run);
    }
    Described { run, dictionaries: rows }
}

/// 16 hexadecimal digits over everything that makes the run what it is, so that the same run done again
/// bears the same name.
fn name(run: &runs::Row, dictionaries: &[dictionaries::Row], first: i64) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{run:?} {first}"));
    for dictionary in dictionaries {
        hash.update(&dictionary.hash);
    }
    format!("{:x}", hash.finalize())[..16].to_owned()
}

fn row(dictionary: &Dictionary, (measured, verified): (Measured, bool)) -> dictionaries::Row {
    let provenance = &dictionary.provenance;
    let norms: Vec<serde_json::Value> = dictionary.decoder_norms.iter().map(|norm| (*norm).into()).collect();
    dictionaries::Row {
        run: String::new(),
        layer: dictionary.hook.layer as i32,
        hook: dictionary.hook.to_string(),
        format: provenance.format.to_string(),
        source: name_of(&provenance.source),
        revision: provenance.revision.clone(),
        hash: provenance.hash.clone(),
        neuronpedia: provenance.neuronpedia.clone(),
        d_sae: dictionary.d_sae as i32,
        d_in: dictionary.d_in as i32,
        activation: dictionary.activation.name(),
        input_scale: dictionary.input_scale(),
        output_scale: dictionary.output_scale,
        decoder_norms: serde_json::Value::from(norms).to_string(),
        measured_l0: measured.l0 as f32,
        measured_explained_variance: measured.explained_variance as f32,
        verified,
    }
}
