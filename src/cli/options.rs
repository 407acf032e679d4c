//! What `collect` can be told, on the command line or in a TOML file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::UsageError;

/// Play games or run prompts, and append what the model does inside to a lake.
///
/// Without --prompts, the model plays a slot machine: it starts with $100, each round it bets or stops,
/// and every decision is a step. Games already in the lake are not played again: a second call goes on
/// with the next ones.
#[derive(Clone, Debug, Default, clap::Args, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Options {
    /// The lake: a folder, or `s3://BUCKET/PATH` with credentials in the environment (`AWS_ACCESS_KEY_ID`, …); made if
    /// it is missing
    #[arg(long, value_name = "DIR|URL")]
    pub(super) lake: Option<PathBuf>,
    /// The model: a folder, a Hugging Face id (org/name or org/name@revision) or a GGUF file
    /// [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "DIR|HF_ID|FILE.gguf")]
    pub(super) model: Option<String>,
    /// Dictionaries: a folder or Hugging Face id of one layer or of a folder of layers, repeatable, or
    /// `none` [default: the demo dictionaries of the default model]
    #[arg(long, value_name = "DIR|HF_ID")]
    pub(super) dictionary: Vec<String>,
    /// Captured blocks, 0-based, separated by commas [default: those of the dictionaries]
    #[arg(long, value_delimiter = ',', value_name = "L,L,…")]
    pub(super) layers: Vec<usize>,
    /// Slot-machine games to add [default: 10]
    #[arg(long, value_name = "N", conflicts_with_all = ["prompts", "total_games"])]
    pub(super) games: Option<u32>,
    /// Add the first N games of the seed, but for those that are in the lake already: the same command again finishes
    /// what was interrupted, and then adds nothing
    #[arg(long, value_name = "N", conflicts_with = "prompts")]
    pub(super) total_games: Option<u32>,
    /// Do one part of the request: the games whose key falls to part I of N, counted from 0; 0/1 is all of them. Several
    /// processes may do their parts at once, into one lake [default: what Slurm, a Kubernetes Indexed Job, or `RANK` and
    /// `WORLD_SIZE` say]
    #[arg(long, value_name = "I/N")]
    pub(super) shard: Option<String>,
    /// Run the prompts of a JSONL file instead of slot-machine games
    #[arg(long, value_name = "FILE.jsonl")]
    pub(super) prompts: Option<PathBuf>,
    /// How a decision is made: `choice` draws an option from the model's probabilities of the options,
    /// `generate` lets the model answer freely and parses it [default: choice]
    #[arg(long, value_name = "choice|generate")]
    pub(super) decide: Option<String>,
    /// `fixed` bets of $10 or `variable` ones [default: fixed]
    #[arg(long, value_name = "fixed|variable")]
    pub(super) bet_type: Option<String>,
    /// Prompt components, any of G (goal), M (maximize reward), H (hidden patterns), W (win payout) and
    /// P (win probability), or `none` [default: GMHWP]
    #[arg(long, value_name = "GMHWP")]
    pub(super) components: Option<String>,
    /// Features kept at each position, or `all` [default: 64]
    #[arg(long, value_name = "N|all")]
    pub(super) top_k: Option<String>,
    /// Attention kept beside the whole row of the decision position [default: top:8]
    #[arg(long, value_name = "decision|top:K|full")]
    pub(super) attention: Option<String>,
    /// Positions whose rows are stored: `all`; `new` ones, where those that a step begins with as an earlier step of its
    /// game does are stored there alone; or `last`, the decision position of each step [default: all]
    #[arg(long, value_name = "all|new|last")]
    pub(super) positions: Option<String>,
    /// Bits of the mantissa that activations of features are rounded to, 1 to 23: with 7 the lake is a third smaller
    /// [default: 23, all of them]
    #[arg(long, value_name = "N")]
    pub(super) activation_bits: Option<u32>,
    /// Where the model runs: `auto` is the first GPU, or the CPU where there is none [default: auto]
    #[arg(long, value_name = "auto|cpu|cuda:N")]
    pub(super) device: Option<String>,
    /// Number format of weights and activations [default: f32 on the CPU, bf16 on a GPU]
    #[arg(long, value_name = "f32|bf16|f16")]
    pub(super) dtype: Option<String>,
    /// Seed of the games and of the model's draws [default: 0]
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Temperature of generated answers; 0 takes the likeliest token [default: 0.7]
    #[arg(long, value_name = "T")]
    pub(super) temperature: Option<f32>,
    /// Tokens of a generated answer at most [default: 100]
    #[arg(long, value_name = "N")]
    pub(super) max_new_tokens: Option<usize>,
    /// Tokens that run through the model at once at most [default: 2048 on the CPU, 16384 on a GPU]
    #[arg(long, value_name = "N")]
    pub(super) batch_tokens: Option<usize>,
    /// Games of one commit to the lake at most; large commits begin and end smaller [default: 10 on the CPU, 500 on a GPU]
    #[arg(long, value_name = "N")]
    pub(super) commit_games: Option<usize>,
    /// Use a dictionary even if it explains the first prompts implausibly badly; the lake records it
    #[arg(long)]
    pub(super) allow_unverified_dictionary: bool,
    /// Read options from a TOML file, under the names they have here; the command line wins
    #[arg(long, value_name = "FILE.toml")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,
}

impl Options {
    /// The options with those of the file behind them.
    pub(super) fn with_file(self) -> Result<Self, UsageError> {
        let Some(path) = self.config.clone() else { return Ok(self) };
        let file = Self::read(&path)?;
        let list = |own: Vec<String>, other| if own.is_empty() { other } else { own };
        // A source of games on the command line replaces the file's, whichever of the three it is.
        let (games, total_games, prompts) = match (self.games, self.total_games, self.prompts) {
            (None, None, None) => (file.games, file.total_games, file.prompts),
            given => given,
        };
        Ok(Self {
            lake: self.lake.or(file.lake),
            model: self.model.or(file.model),
            dictionary: list(self.dictionary, file.dictionary),
            layers: if self.layers.is_empty() { file.layers } else { self.layers },
            games,
            total_games,
            shard: self.shard.or(file.shard),
            prompts,
            decide: self.decide.or(file.decide),
            bet_type: self.bet_type.or(file.bet_type),
            components: self.components.or(file.components),
            top_k: self.top_k.or(file.top_k),
            attention: self.attention.or(file.attention),
            positions: self.positions.or(file.positions),
            activation_bits: self.activation_bits.or(file.activation_bits),
            device: self.device.or(file.device),
            dtype: self.dtype.or(file.dtype),
            seed: self.seed.or(file.seed),
            temperature: self.temperature.or(file.temperature),
            max_new_tokens: self.max_new_tokens.or(file.max_new_tokens),
            batch_tokens: self.batch_tokens.or(file.batch_tokens),
            commit_games: self.commit_games.or(file.commit_games),
            allow_unverified_dictionary: self.allow_unverified_dictionary || file.allow_unverified_dictionary,
            config: None,
        })
    }

    /// Every option as JSON, as the lake records it. Paths are recorded by their last part, so that a lake
    /// does not tell where on a machine it was made. Beside them stands what was measured before the run began.
    pub(super) fn recorded(&self, packing_difference: Option<f32>) -> String {
        let last = |path: &PathBuf| path.file_name().map(PathBuf::from).unwrap_or_default();
        let recorded = Self {
            lake: None,
            model: self.model.as_ref().map(|model| name_of(model)),
            dictionary: self.dictionary.iter().map(|place| name_of(place)).collect(),
            prompts: self.prompts.as_ref().map(last),
            config: None,
            ..self.clone()
        };
        // Options are numbers, texts and lists of them, which JSON always holds.
        let mut settings = serde_json::to_value(&recorded).unwrap_or_default();
        if let (Some(difference), Some(settings)) = (packing_difference, settings.as_object_mut()) {
            settings.insert("packing-difference".to_owned(), difference.into());
        }
        settings.to_string()
    }

    fn read(path: &Path) -> Result<Self, UsageError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| UsageError::Unreadable { path: path.to_owned(), source })?;
        let options: Self = toml::from_str(&text)
            .map_err(|source| UsageError::Config { path: path.to_owned(), source: Box::new(source) })?;
        let sources = [options.games.is_some(), options.total_games.is_some(), options.prompts.is_some()];
        if sources.into_iter().filter(|is_given| *is_given).count() > 1 {
            return Err(UsageError::GamesAndPrompts { path: path.to_owned() });
        }
        Ok(options)
    }
}

/// A Hugging Face id whole, a path by its last part.
pub(super) fn name_of(source: &str) -> String {
    let path = Path::new(source);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    if path.exists() { name.unwrap_or_default() } else { source.to_owned() }
}
