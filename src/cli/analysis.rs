//! What the lake records of an analysis.

use schemas::interventions;
use sha2::{Digest as _, Sha256};

use super::options::name_of;
use super::ui;
use crate::error::{Error, UsageError};
use crate::intervene::Swap;
use crate::lake::{Analysis, Lake};
use crate::model::Identity;

/// What all arms of an analysis share.
pub(super) struct Described {
    /// 16 hexadecimal digits over the settings and the model, so that the same analysis done again bears the same name.
    pub(super) id: String,
    command: &'static str,
    started_at: String,
    model: String,
    model_hash: String,
    seed: i64,
    settings: String,
}

impl Described {
    /// An analysis by `command` with these settings, as JSON.
    pub(super) fn new(
        command: &'static str,
        identity: &Identity,
        seed: u64,
        settings: &serde_json::Value,
    ) -> Self {
        let settings = settings.to_string();
        let mut hash = Sha256::new();
        hash.update(format!("{command} {} {settings}", identity.hash));
        Self {
            id: format!("{:x}", hash.finalize())[..16].to_owned(),
            command,
            started_at: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            model: name_of(&identity.source),
            model_hash: identity.hash.clone(),
            seed: seed as i64,
            settings,
        }
    }

    /// An arm that changes nothing in particular; what it does is filled in by the caller.
    pub(super) fn arm(&self, arm: usize, name: String, edit: &str) -> interventions::Row {
        interventions::Row {
            analysis: self.id.clone(),
            arm: arm as i32,
            name,
            command: self.command.to_owned(),
            started_at: self.started_at.clone(),
            saelake_version: env!("CARGO_PKG_VERSION").to_owned(),
            model: self.model.clone(),
            model_hash: self.model_hash.clone(),
            edit: edit.to_owned(),
            hook: None,
            layer: None,
            head: None,
            feature: None,
            span: None,
            strength: None,
            scope: "prompt".to_owned(),
            seed: self.seed,
            settings: self.settings.clone(),
        }
    }
}

/// Adds an analysis to the lake, and says so.
pub(super) fn add(lake: &mut Lake, described: &Described, analysis: Analysis) -> Result<(), Error> {
    let written = lake.add_analysis(analysis)?;
    let root = lake.root().display();
    ui::note(&format!("analysis {}: {} rows added to {root}", described.id, written.rows));
    Ok(())
}

/// Other texts for spans, each as SPAN=TEXT.
pub(super) fn swaps(words: &[String]) -> Result<Vec<Swap>, UsageError> {
    let swap = |word: &String| {
        let value = word.clone();
        let (span, text) =
            word.split_once('=').ok_or(UsageError::Value { option: "swap", value, expected: "SPAN=TEXT" })?;
        Ok(Swap { span: span.to_owned(), text: text.to_owned() })
    };
    words.iter().map(swap).collect::<Result<Vec<_>, _>>()
}
