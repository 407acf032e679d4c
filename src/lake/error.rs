//! What can go wrong with a lake, what to do about it, and the exit code that says so.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use deltalake::DeltaTableError;
use parquet::errors::ParquetError;
use schemas::Uneven;

use super::bucket;
use super::store::is_url;

/// What can go wrong with a lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// Nothing is there.
    #[error("there is no lake at {}", .path.display())]
    NotFound {
        /// Where a lake was looked for.
        path: PathBuf,
    },
    /// A file is where the lake's folder should be.
    #[error("{} is a file, and a lake is a folder", .path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// The folder holds something else than a lake, or nothing.
    #[error("{} is not a lake: {}", .path.display(), .found.as_ref().map_or_else(
        || "it holds no table `games`".to_owned(),
        |found| format!("it holds `{found}`, which belongs to no lake"),
    ))]
    NotALake {
        /// The folder.
        path: PathBuf,
        /// A name in it that a lake does not have.
        found: Option<String>,
    },
    /// The path cannot be written in the URL that a Delta log is opened by.
    #[error("{} is not UTF-8, as the path of a lake must be", .path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A table of a lake that holds games is gone.
    #[error("the lake {} has lost its table `{table}`", .path.display())]
    MissingTable {
        /// The lake.
        path: PathBuf,
        /// The table.
        table: &'static str,
    },
    /// The columns of a table are not those of this layout.
    #[error("table `{table}` of the lake has the columns {found}, and this layout has {expected}")]
    OtherColumns {
        /// The table.
        table: &'static str,
        /// The columns it has, with their types.
        found: String,
        /// The columns it should have.
        expected: String,
    },
    /// The lake was written in a later layout.
    #[error("the lake is in format version {found}, and this program knows up to {supported}")]
    FormatTooNew {
        /// The lake's version.
        found: i32,
        /// The highest known.
        supported: i32,
    },
    /// The lake is in an earlier layout, which can be read and not added to.
    #[error("the lake is in format version {found}, and games are added to version {needed}")]
    FormatTooOld {
        /// The lake's version.
        found: i32,
        /// The one that is written.
        needed: i32,
    },
    /// The run belongs into another lake.
    #[error("{column}{} is {lake} in the lake and {run} in this run",
        .layer.map_or_else(String::new, |layer| format!(" of layer {layer}")))]
    Conflict {
        /// The column of `runs` or `dictionaries` that differs.
        column: &'static str,
        /// The layer whose dictionary differs.
        layer: Option<i32>,
        /// The lake's value.
        lake: String,
        /// The run's value.
        run: String,
    },
    /// The lake has the game already.
    #[error("game `{game_id}` (key {game}) is in the lake already")]
    GameExists {
        /// Its key.
        game: i64,
        /// Its name.
        game_id: String,
    },
    /// A batch is not in order.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// No room, or a limit on the size of files.
    #[error("there is no room to write {}: {source}", .path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not let us.
    #[error("no permission for {}: {source}", .path.display())]
    Denied {
        /// What was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another failure of the file system.
    #[error("{} cannot be read or written: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A table's Delta log cannot be read or added to.
    #[error("the Delta log in {} is unusable: {source}", .path.display())]
    Log {
        /// The table's folder.
        path: PathBuf,
        /// What the log's reader said.
        source: Box<DeltaTableError>,
    },
    /// A Parquet file cannot be read or written.
    #[error("the Parquet file {} is unusable: {source}", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the Parquet library said.
        source: ParquetError,
    },
    /// The entry of a commit was cut off.
    #[error("the log entry {} holds no commit: it was cut off when the machine stopped", .path.display())]
    TornEntry {
        /// The entry.
        path: PathBuf,
    },
    /// A URL that is no place of a lake. It is not repeated: it may hold a secret.
    #[error("a URL of a lake is {scheme}://BUCKET/PATH, and this one {what}")]
    BadUrl {
        /// Its scheme.
        scheme: String,
        /// What is wrong with it.
        what: String,
    },
    /// A store that this program was built without.
    #[error("this program was built without the feature `{feature}` that {scheme}:// needs")]
    NotBuilt {
        /// The scheme of its URLs.
        scheme: String,
        /// The feature.
        feature: &'static str,
    },
    /// The environment does not say who asks.
    #[error("no credentials for {bucket} are in the environment")]
    NoCredentials {
        /// The bucket.
        bucket: String,
    },
    /// The environment says of a lease what is no time.
    #[error("{variable} is `{said}`, and the time of a lease is a number of seconds, 1 at least")]
    BadLease {
        /// The variable.
        variable: &'static str,
        /// What it says.
        said: String,
    },
    /// An object store failed.
    #[error("{} cannot be read or written: {said}", .path.display())]
    Store {
        /// Where.
        path: PathBuf,
        /// What it said, without secrets.
        said: String,
    },
    /// An object store does not let us.
    #[error("no permission for {}: {said}", .path.display())]
    Refused {
        /// What was asked for.
        path: PathBuf,
        /// What it said, without secrets.
        said: String,
    },
    /// Somebody has committed to a table while this writer had the lock.
    #[error("another writer committed version {version} of table `{table}` of {}, which this one was about to", .path.display())]
    Overtaken {
        /// The lake.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The version.
        version: u64,
    },
    /// Somebody has put an object where this writer was about to.
    #[error("another writer put {} there, where this one was about to put its own", .path.display())]
    Occupied {
        /// The object.
        path: PathBuf,
    },
    /// The lease of the writers' lock was over before the writer was done.
    #[error("the writers' lock of {} was lost: this writer stood still for longer than a lease", .path.display())]
    LockLost {
        /// The lake.
        path: PathBuf,
    },
    /// The disk has no room for what a run will write.
    #[error("{} will grow by about {:.1} GB, and its disk has {:.1} GB free", root.display(), *needed as f64 / 1e9, *free as f64 / 1e9)]
    NoRoom {
        /// The lake.
        root: PathBuf,
        /// Bytes that will be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A file does not hold what was written to it.
    #[error("{} holds {found} rows after {written} were written", .path.display())]
    RowsLost {
        /// The file.
        path: PathBuf,
        /// Rows given.
        written: usize,
        /// Rows in its footer.
        found: usize,
    },
    /// A file does not hold the values that were written to it.
    #[error("{} holds other values in {column} than were written", .path.display())]
    ValuesLost {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// Files that were to take the place of others do not have their rows.
    #[error("{} does not hold the rows that it was to take over", .path.display())]
    RowsChanged {
        /// The file, or the table.
        path: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {what}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is no such game.
    #[error("the lake has no game {game}")]
    NoSuchGame {
        /// Its name or its key.
        game: String,
    },
    /// An object is not as large as what was sent.
    #[error("{} holds {found} bytes after {sent} were sent", .path.display())]
    BytesLost {
        /// The object.
        path: PathBuf,
        /// Bytes sent.
        sent: u64,
        /// Bytes found.
        found: u64,
    },
}

/// Why a batch is refused before anything is written.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The columns of a table differ in length.
    #[error(transparent)]
    Uneven(#[from] Uneven),
    /// The games of a batch come from several runs, or from another than the batch's.
    #[error("a batch holds the games of one run, and this one names `{first}` and `{second}`")]
    SeveralRuns {
        /// One run.
        first: String,
        /// Another.
        second: String,
    },
    /// The rows of an analysis name several.
    #[error("an analysis has one name, and this one has `{first}` and `{second}`")]
    SeveralAnalyses {
        /// One name.
        first: String,
        /// Another.
        second: String,
    },
    /// An analysis says nothing of what it changed.
    #[error("an analysis has one row in `interventions` at least")]
    NoInterventions,
    /// The games belong to a run that neither the batch nor the lake describes.
    #[error("run `{run}` is neither in the batch nor in the lake")]
    UnknownRun {
        /// The run.
        run: String,
    },
    /// Two rows have the same key.
    #[error("table `{table}` has two rows with {key}")]
    Twice {
        /// The table.
        table: &'static str,
        /// The sort columns with their values.
        key: String,
    },
    /// A row belongs to a game that is not in the batch.
    #[error("table `{table}` has rows of game {game}, which is not among the batch's games")]
    UnknownGame {
        /// The table.
        table: &'static str,
        /// The game's key.
        game: i64,
    },
    /// A row belongs to a step that is not in the batch.
    #[error("table `{table}` has rows of game {game}, step {step}, which is not in `steps`")]
    UnknownStep {
        /// The table.
        table: &'static str,
        /// The game's key.
        game: i64,
        /// The step.
        step: i32,
    },
    /// A game has more or fewer steps than it says.
    #[error("game {game} says it has {said} steps, and `steps` has {found} of it")]
    StepsMissing {
        /// The game's key.
        game: i64,
        /// Its `n_steps`.
        said: i32,
        /// Rows in `steps`.
        found: i32,
    },
    /// A step that was run has not all its tokens.
    #[error("step {step} of game {game} says it has {said} tokens, and `tokens` has {found} of it")]
    TokensMissing {
        /// The game's key.
        game: i64,
        /// The step.
        step: i32,
        /// Its `n_tokens`.
        said: i32,
        /// Rows in `tokens`.
        found: i32,
    },
    /// A position is outside its step.
    #[error("table `{table}` has {column} {value} in game {game}, step {step}, which has {n_tokens} tokens")]
    OutsideStep {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Its value.
        value: i32,
        /// The game's key.
        game: i64,
        /// The step.
        step: i32,
        /// The step's length.
        n_tokens: i32,
    },
    /// A number is infinite or none at all.
    #[error("table `{table}` has {column} {value} at {key}")]
    NotFinite {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// NaN or an infinity.
        value: f32,
        /// The sort columns with their values.
        key: String,
    },
    /// There are features of a layer that no dictionary is known for.
    #[error("there are features of layer {layer}, and neither the batch nor the lake has its dictionary")]
    NoDictionary {
        /// The layer.
        layer: i32,
    },
}

impl LakeError {
    /// What to do about it, if that is not plain from the message.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { .. } | Self::NotALake { found: None, .. } => {
                "`saelake collect --lake DIR` makes a lake; check the path"
            }
            Self::NotALake { found: Some(_), .. } | Self::NotAFolder { .. } | Self::NotUtf8 { .. } => {
                "name an empty folder, one that does not exist yet, or a lake"
            }
            Self::FormatTooNew { .. } => "use the version of saelake that wrote it, or a later one",
            Self::FormatTooOld { .. } => {
                "`saelake lake upgrade LAKE` brings it up to date; questions can be asked as it is"
            }
            Self::Conflict { .. } => {
                "one lake holds one model, one set of dictionaries and one way of keeping rows; \
                 collect into another lake"
            }
            Self::GameExists { .. } => "give the game another name, or use another seed",
            Self::NoRoom { .. } => {
                "make room, run fewer games, or keep less: --top-k, --attention decision, --layers"
            }
            Self::Full { .. } => "make room and run the same command again; what is committed is kept",
            Self::Denied { .. } => "check who owns the folder, and that it is not mounted read-only",
            Self::BadUrl { .. } | Self::NoCredentials { .. } => {
                "credentials come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL"
            }
            Self::NotBuilt { feature, .. } => {
                return Some(format!("build it with `cargo build --release --features {feature}`"));
            }
            Self::Refused { .. } => "check the credentials in the environment, and what they allow",
            Self::Overtaken { .. } | Self::Occupied { .. } | Self::LockLost { .. } => {
                "run the same command again; it goes on with what is missing"
            }
            Self::Batch(_) => "this is a mistake in saelake; nothing was committed",
            Self::NoSuchGame { .. } => "`saelake query games LAKE` lists the games",
            _ => return self.hint_of_damage().map(str::to_owned),
        };
        Some(hint.to_owned())
    }

    /// The same of what is not as it was written.
    const fn hint_of_damage(&self) -> Option<&'static str> {
        Some(match self {
            Self::MissingTable { .. } | Self::OtherColumns { .. } => {
                "restore the lake from a copy, or collect into a new one"
            }
            Self::Log { .. } => {
                "`saelake lake verify LAKE` says what is wrong; restore the lake from a copy if it cannot be repaired"
            }
            Self::TornEntry { .. } => {
                "`saelake lake verify LAKE --repair` sets it aside, if it is the last one"
            }
            Self::Damaged { .. } | Self::Parquet { .. } => {
                "`saelake lake verify LAKE` says what is wrong, and with --repair sets it aside"
            }
            Self::RowsLost { .. }
            | Self::ValuesLost { .. }
            | Self::BytesLost { .. }
            | Self::RowsChanged { .. } => {
                "nothing was committed; if it happens again, check the disk and the memory of this machine"
            }
            _ => return None,
        })
    }

    /// 2 if the path or the run does not suit, 3 if the lake cannot be read or written.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. }
            | Self::NotAFolder { .. }
            | Self::NotALake { .. }
            | Self::NotUtf8 { .. }
            | Self::FormatTooOld { .. }
            | Self::NoSuchGame { .. }
            | Self::BadUrl { .. }
            | Self::NotBuilt { .. }
            | Self::NoCredentials { .. }
            | Self::BadLease { .. }
            | Self::Conflict { .. }
            | Self::GameExists { .. }
            | Self::Batch(_) => 2,
            _ => 3,
        }
    }

    /// A failure of the file system at `path`, by its kind.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let path = path.to_owned();
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full { path, source },
            PermissionDenied | ReadOnlyFilesystem => Self::Denied { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// A failure of an object store at `path`, by its kind.
    pub(crate) fn store(path: &Path, source: &object_store::Error) -> Self {
        use object_store::Error::{PermissionDenied, Unauthenticated};
        let (path, said) = (path.to_owned(), bucket::said(source));
        let is_refused = matches!(source, PermissionDenied { .. } | Unauthenticated { .. });
        // What a list says of it is not told apart.
        if is_refused || ["401", "403"].iter().any(|code| said.contains(&format!("status code: {code}"))) {
            return Self::Refused { path, said };
        }
        Self::Store { path, said }
    }

    /// A failure of the Delta log of the table in `path`: the file system's if one is at the bottom of it. What an object
    /// store says is not repeated in full: it may hold a secret.
    pub(crate) fn log(path: &Path, source: DeltaTableError) -> Self {
        if let Some(system) = system_error(&source) {
            return Self::io(path, system);
        }
        if !is_url(path) {
            return Self::Log { path: path.to_owned(), source: Box::new(source) };
        }
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&source);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<object_store::Error>() {
                return Self::store(path, error);
            }
            cause = error.source();
        }
        Self::Store { path: path.to_owned(), said: bucket::said(&source) }
    }

    /// A failure of the Parquet file at `path`: the file system's if one is at the bottom of it.
    pub(crate) fn parquet(path: &Path, source: ParquetError) -> Self {
        match system_error(&source) {
            Some(system) => Self::io(path, system),
            None => Self::Parquet { path: path.to_owned(), source },
        }
    }
}

/// The error of the operating system that caused `error`.
fn system_error(error: &(dyn StdError + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code));
        }
        cause = error.source();
    }
    None
}
