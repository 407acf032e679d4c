//! A bucket of an object store, by its URL. Credentials come from the environment and from nowhere else.

use std::env;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path as ObjectPath;

use super::LakeError;

/// Variables of which one at least says where the credentials of S3 come from. Without any of them the client would ask
/// the network for those of the machine, and wait long where nobody answers.
const S3_CREDENTIALS: [&str; 6] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_METADATA_ENDPOINT",
    "AWS_SKIP_SIGNATURE",
];

/// A folder of a bucket.
pub(super) struct Bucket {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Where it is, without a slash at the end: `s3://bucket/folder`.
    pub(super) url: String,
    /// The folder.
    pub(super) prefix: ObjectPath,
}

impl Bucket {
    /// The folder that `url` names: `s3://`, `gs://` or `az://`, then the bucket, then the folder's path.
    ///
    /// # Errors
    /// As [`parse`], and if the store was not built in, or the environment does not say who asks.
    pub(super) fn open(url: &str) -> Result<Self, LakeError> {
        let (scheme, parts) = parse(url)?;
        let (bucket, folders) = parts.split_first().ok_or_else(|| bad(scheme, "has no bucket"))?;
        Ok(Self {
            objects: of_scheme(scheme, bucket)?,
            url: format!("{scheme}://{}", parts.join("/")),
            prefix: folders.iter().copied().collect(),
        })
    }
}

/// The scheme of a URL, and its bucket and folders.
///
/// # Errors
/// [`LakeError::BadUrl`], which does not repeat the URL: it may hold a secret.
pub(super) fn parse(url: &str) -> Result<(&str, Vec<&str>), LakeError> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if !["s3", "gs", "az"].contains(&scheme) {
        return Err(bad("s3, gs or az", "is of another store"));
    }
    if rest.contains('@') {
        return Err(bad(scheme, "holds a user or a key, which belong into the environment"));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-=/".contains(c);
    if !rest.chars().all(is_plain) {
        return Err(bad(scheme, "holds more than a bucket and a path of letters, digits and . _ - = /"));
    }
    let parts = rest.trim_end_matches('/').split('/').collect::<Vec<_>>();
    if parts.iter().any(|part| part.is_empty() || part.chars().all(|c| c == '.')) {
        return Err(bad(scheme, "has no bucket, or an empty part in its path"));
    }
    Ok((scheme, parts))
}

fn bad(scheme: &str, what: &str) -> LakeError {
    LakeError::BadUrl { scheme: scheme.to_owned(), what: what.to_owned() }
}

fn of_scheme(scheme: &str, bucket: &str) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let made = match scheme {
        "s3" => s3(bucket),
        "gs" => gs(bucket),
        "az" => az(bucket),
        _ => return Err(bad("s3, gs or az", "is of another store")),
    };
    made.map_err(|error| match error {
        Missing::Feature(feature) => LakeError::NotBuilt { scheme: scheme.to_owned(), feature },
        Missing::Credentials => LakeError::NoCredentials { bucket: format!("{scheme}://{bucket}") },
        Missing::Setting(error) => LakeError::store(format!("{scheme}://{bucket}").as_ref(), &error),
    })
}

/// Why there is no client.
enum Missing {
    #[cfg_attr(all(feature = "gcp", feature = "azure"), expect(dead_code, reason = "everything is built"))]
    Feature(&'static str),
    Credentials,
    Setting(object_store::Error),
}

impl From<object_store::Error> for Missing {
    fn from(error: object_store::Error) -> Self {
        Self::Setting(error)
    }
}

fn s3(bucket: &str) -> Result<Arc<dyn ObjectStore>, Missing> {
    use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
    if S3_CREDENTIALS.iter().all(|name| env::var_os(name).is_none_or(|value| value.is_empty())) {
        return Err(Missing::Credentials);
    }
    let builder = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_conditional_put(S3ConditionalPut::ETagMatch);
    Ok(Arc::new(builder.build()?))
}

#[cfg(feature = "gcp")]
fn gs(bucket: &str) -> Result<Arc<dyn ObjectStore>, Missing> {
    let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
    Ok(Arc::new(builder.build()?))
}

#[cfg(not(feature = "gcp"))]
fn gs(_: &str) -> Result<Arc<dyn ObjectStore>, Missing> {
    Err(Missing::Feature("gcp"))
}

#[cfg(feature = "azure")]
fn az(container: &str) -> Result<Arc<dyn ObjectStore>, Missing> {
    let builder = object_store::azure::MicrosoftAzureBuilder::from_env().with_container_name(container);
    Ok(Arc::new(builder.build()?))
}

#[cfg(not(feature = "azure"))]
fn az(_: &str) -> Result<Arc<dyn ObjectStore>, Missing> {
    Err(Missing::Feature("azure"))
}

/// What a store said, without the page that came with it, and without any secret of the environment: stores answer with
/// the name of the key that they refuse.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let line = text.split('<').next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut line = line.trim_end_matches([':', ' ']).to_owned();
    let is_of_a_store =
        |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|start| name.starts_with(start));
    let is_secret = |name: &str| ["KEY", "SECRET", "TOKEN", "SAS"].iter().any(|word| name.contains(word));
    for (name, value) in env::vars().filter(|(name, _)| is_of_a_store(name) && is_secret(name)) {
        if !value.is_empty() {
            line = line.replace(&value, &format!("[{name}]"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        let error = Bucket::open(url).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn a_url_holds_a_bucket_and_a_path() {
        for url in [
            "s3://key:word@bucket/lake",
            "s3://bucket/lake?token=word",
            "az://bucket/a#word",
            "s3://bucket/a word",
        ] {
            assert!(!refused(url).contains("word"), "{}", refused(url));
        }
        for url in ["s3://", "s3:///lake", "s3://bucket//lake", "s3://bucket/../lake", "ftp://bucket/lake"] {
            assert!(refused(url).starts_with("a URL of a lake"), "{}", refused(url));
        }
    }

    #[cfg(not(feature = "gcp"))]
    #[test]
    fn a_store_that_was_not_built_is_named_with_its_feature() {
        assert_eq!(
            refused("gs://bucket/lake"),
            "this program was built without the feature `gcp` that gs:// needs"
        );
    }
}
