//! Where models and dictionaries come from: a local folder, or a Hugging Face repository through the local
//! cache and the hub.

use std::env;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};

use super::error::ModelError;

/// A folder of files, some of which may still have to be fetched.
#[derive(Clone, Debug)]
pub struct Located {
    /// Where the files are, or will be.
    pub folder: PathBuf,
    /// The commit, where the folder is a snapshot of a repository.
    pub revision: Option<String>,
    /// The repository that missing files are fetched from.
    repository: Option<Repository>,
}

/// A repository at a commit.
#[derive(Clone, Debug)]
struct Repository {
    id: String,
    commit: String,
    hub: Hub,
}

/// The local cache, and whether and how the hub may be asked.
#[derive(Clone, Debug)]
pub struct Hub {
    /// The folder that holds `models--org--name` folders.
    pub cache: PathBuf,
    /// Whether the network may be used.
    pub network: Network,
    /// The token of an account, for gated and private repositories.
    pub token: Option<String>,
}

/// Whether the network may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Only what is in the cache.
    Offline,
    /// The hub is asked for what the cache lacks.
    Online,
}

/// Locates `source`, a folder or `org/name[@revision]`, with the cache and hub that the environment names.
///
/// # Errors
/// When it is neither, or a repository that is not cached and cannot be asked for.
pub fn locate(source: &str) -> Result<Located, ModelError> {
    Hub::from_env().locate(source)
}

impl Hub {
    /// The cache of `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` or the home folder,
    /// in that order; offline when `HF_HUB_OFFLINE` is set; with the token of `HF_TOKEN` or of the cache.
    pub fn from_env() -> Self {
        let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || folder("HOME").unwrap_or_default().join(".cache");
        let hugging_face = folder("HF_HOME")
            .unwrap_or_else(|| folder("XDG_CACHE_HOME").unwrap_or_else(home).join("huggingface"));
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hugging_face.join("hub"));
        let offline = env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_set(&value));
        let token = env::var("HF_TOKEN")
            .or_else(|_| std::fs::read_to_string(hugging_face.join("token")))
            .map(|token| token.trim().to_owned());
        Self {
            cache,
            network: if offline { Network::Offline } else { Network::Online },
            token: token.ok().filter(|token| !token.is_empty()),
        }
    }

    /// Locates `source`; see [`locate`].
    ///
    /// # Errors
    /// As [`locate`].
    pub fn locate(&self, source: &str) -> Result<Located, ModelError> {
        if Path::new(source).is_dir() {
            return Ok(Located { folder: source.into(), revision: None, repository: None });
        }
        let (id, revision) = source.split_once('@').unwrap_or((source, "main"));
        if !is_id(id) || !is_revision(revision) {
            return Err(ModelError::NotFound { name: source.to_owned() });
        }
        let commit = match self.cached_commit(id, revision)? {
            Some(commit) => commit,
            None => self.commit_on_hub(id, revision)?,
        };
        let folder = self.folder(id).join("snapshots").join(&commit);
        let repository = Repository { id: id.to_owned(), commit: commit.clone(), hub: self.clone() };
        Ok(Located { folder, revision: Some(commit), repository: Some(repository) })
    }

    /// `models--org--name` in the cache.
    fn folder(&self, id: &str) -> PathBuf {
        self.cache.join(format!("models--{}", id.replace('/', "--")))
    }

    /// The commit that the cache has for a branch, a tag or a commit. Never just any snapshot: which one is
    /// meant is what `refs` says.
    fn cached_commit(&self, id: &str, revision: &str) -> Result<Option<String>, ModelError> {
        let path = self.folder(id).join("refs").join(revision);
        match std::fs::read_to_string(&path) {
            Ok(commit) => Ok(Some(commit.trim().to_owned())),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                let is_commit = self.folder(id).join("snapshots").join(revision).is_dir();
                Ok(is_commit.then(|| revision.to_owned()))
            }
            Err(source) => Err(ModelError::Read { path, source }),
        }
    }

    /// Asks the hub for the commit of a revision, and notes it in the cache.
    fn commit_on_hub(&self, id: &str, revision: &str) -> Result<String, ModelError> {
        let repo = self.repo(id, revision, "repository")?;
        let info = repo.info().map_err(refused(id, revision, "repository"))?;
        let cached = Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned());
        Cache::new(self.cache.clone())
            .repo(cached)
            .create_ref(&info.sha)
            .map_err(|source| ModelError::Read { path: self.folder(id).join("refs"), source })?;
        Ok(info.sha)
    }

    /// The repository on the hub; an error when the network may not be used.
    fn repo(&self, id: &str, revision: &str, file: &str) -> Result<ApiRepo, ModelError> {
        if self.network == Network::Offline {
            return Err(ModelError::Offline {
                id: id.to_owned(),
                file: file.to_owned(),
                cache: self.cache.clone(),
            });
        }
        let mut builder = ApiBuilder::from_cache(Cache::new(self.cache.clone()))
            .with_progress(false)
            .with_token(self.token.clone());
        if let Ok(endpoint) = env::var("HF_ENDPOINT") {
            builder = builder.with_endpoint(endpoint);
        }
        let api = builder.build().map_err(refused(id, revision, file))?;
        Ok(api.repo(Repo::with_revision(id.to_owned(), RepoType::Model, revision.to_owned())))
    }
}

impl Located {
    /// The path of `name`, fetched if it is not there yet.
    ///
    /// # Errors
    /// When a local folder lacks it, or it cannot be fetched.
    pub fn file(&self, name: &str) -> Result<PathBuf, ModelError> {
        let path = self.folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
        let Some(Repository { id, commit, hub }) = &self.repository else {
            return Err(ModelError::MissingFile { folder: self.folder.clone(), name: name.to_owned() });
        };
        hub.repo(id, commit, name)?.download(name).map_err(refused(id, commit, name))
    }

    /// The path of `name`, or nothing where the folder or repository has no such file.
    ///
    /// # Errors
    /// When it cannot be fetched for another reason. Offline, what the cache lacks counts as absent.
    pub fn optional_file(&self, name: &str) -> Result<Option<PathBuf>, ModelError> {
        match self.file(name) {
            Ok(path) => Ok(Some(path)),
            Err(
                ModelError::MissingFile { .. } | ModelError::NotOnHub { .. } | ModelError::Offline { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every file, as `/`-separated names below the folder, sorted. Asks the hub when it may, since a cached
    /// snapshot need not be whole.
    ///
    /// # Errors
    /// When the folder cannot be read or the hub not be asked.
    pub fn names(&self) -> Result<Vec<String>, ModelError> {
        let mut names = match &self.repository {
            Some(Repository { id, commit, hub }) if hub.network == Network::Online => {
                let info = hub.repo(id, commit, "repository")?.info();
                let info = info.map_err(refused(id, commit, "repository"))?;
                info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()
            }
            _ => {
                let mut names = Vec::new();
                list(&self.folder, "", &mut names)?;
                names
            }
        };
        names.sort_unstable();
        Ok(names)
    }
}

/// Adds the files below `folder` to `names`, each after `prefix`.
fn list(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), ModelError> {
    let read = |source| ModelError::Read { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

/// Turns what the hub answers into what it means.
fn refused(id: &str, revision: &str, file: &str) -> impl FnOnce(ApiError) -> ModelError {
    let (id, revision, file) = (id.to_owned(), revision.to_owned(), file.to_owned());
    move |error| match status(&error) {
        Some(401 | 403) => ModelError::Gated { id },
        Some(404) => ModelError::NotOnHub { id, revision, file },
        _ => ModelError::Hub { id, source: Box::new(error) },
    }
}

/// The HTTP status of an answer.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match error.as_ref() {
            ureq::Error::Status(code, _) => Some(*code),
            ureq::Error::Transport(_) => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// Whether a switch of the environment is on, as `huggingface_hub` reads it.
fn is_set(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// Whether `id` can be a repository's: `org/name` of letters, digits, `-`, `_` and `.`.
fn is_id(id: &str) -> bool {
    let valid = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    id.split_once('/').is_some_and(|(organization, name)| valid(organization) && valid(name))
}

/// Whether `revision` can be a branch, a tag or a commit, and leads nowhere else in the cache.
fn is_revision(revision: &str) -> bool {
    !revision.is_empty()
        && revision.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !revision.contains('\\')
}
