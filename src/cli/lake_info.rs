//! `saelake lake info`: a lake at a glance.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use schemas::{dictionaries, runs};
use serde_json::{Value, json};

use super::lake::Format;
use super::{Ending, ui};
use crate::error::Error;
use crate::lake::{Info, Lake};

/// What to look at.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Says what a lake holds.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let info = Lake::open(&options.lake)?.info()?;
    let said = match options.format {
        Format::Text => render(&info),
        Format::Json => format!("{}\n", to_json(&info)),
    };
    ui::data(said.as_bytes())?;
    Ok(Ending::Done)
}

/// The description as text.
fn render(info: &Info) -> String {
    let mut text = String::new();
    let layers = info.layers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        text,
        "format {}: {} games, {} steps, {} tokens, layers {layers}\n",
        info.format_version, info.games, info.steps, info.tokens
    );
    let _ = writeln!(text, "{:<16}{:>8}{:>12}{:>14}{:>14}", "table", "files", "rows", "bytes", "bytes/token");
    for table in &info.tables {
        let each = table.bytes_per_token.map_or_else(|| "-".to_owned(), |each| format!("{each:.1}"));
        let _ = writeln!(
            text,
            "{:<16}{:>8}{:>12}{:>14}{each:>14}",
            table.name, table.files, table.rows, table.bytes
        );
        if table.orphans > 0 {
            let _ = writeln!(text, "  and {} files of games that were never committed", table.orphans);
        }
    }
    for run in &info.runs {
        let _ = writeln!(
            text,
            "\nrun {}: {} on {} in {}, {}, seed {}, begun {}, positions {}, {} bits of an activation",
            run.run,
            run.model,
            run.device,
            run.dtype,
            run.source,
            run.seed,
            run.started_at,
            run.positions,
            run.activation_bits
        );
    }
    for dictionary in &info.dictionaries {
        let _ = writeln!(
            text,
            "dictionary {}: {} ({}), {} features, measured L0 {:.1}, explained variance {:.4}{}",
            dictionary.hook,
            dictionary.source,
            dictionary.format,
            dictionary.d_sae,
            dictionary.measured_l0,
            dictionary.measured_explained_variance,
            if dictionary.verified { "" } else { ", NOT VERIFIED" }
        );
    }
    text
}

fn to_json(info: &Info) -> Value {
    let tables = info.tables.iter().map(|table| {
        json!({
            "name": table.name,
            "files": table.files,
            "rows": table.rows,
            "bytes": table.bytes,
            "bytes_per_token": table.bytes_per_token,
            "orphans": table.orphans,
        })
    });
    json!({
        "format_version": info.format_version,
        "games": info.games,
        "steps": info.steps,
        "tokens": info.tokens,
        "layers": info.layers,
        "tables": tables.collect::<Value>(),
        "runs": info.runs.iter().map(run_to_json).collect::<Value>(),
        "dictionaries": info.dictionaries.iter().map(dictionary_to_json).collect::<Value>(),
    })
}

fn run_to_json(run: &runs::Row) -> Value {
    json!({
        "run": run.run,
        "saelake_version": run.saelake_version,
        "started_at": run.started_at,
        "model": run.model,
        "model_hash": run.model_hash,
        "source": run.source,
        "seed": run.seed,
        "device": run.device,
        "dtype": run.dtype,
        "top_k": run.top_k,
        "attention": run.attention,
        "positions": run.positions,
        "activation_bits": run.activation_bits,
        // Written as JSON; what another program wrote may be any text.
        "settings": serde_json::from_str::<Value>(&run.settings).unwrap_or_else(|_| run.settings.clone().into()),
    })
}

/// Numbers that are not known are none.
fn dictionary_to_json(dictionary: &dictionaries::Row) -> Value {
    json!({
        "run": dictionary.run,
        "layer": dictionary.layer,
        "hook": dictionary.hook,
        "format": dictionary.format,
        "source": dictionary.source,
        "hash": dictionary.hash,
        "d_sae": dictionary.d_sae,
        "measured_l0": dictionary.measured_l0,
        "measured_explained_variance": dictionary.measured_explained_variance,
        "verified": dictionary.verified,
    })
}
