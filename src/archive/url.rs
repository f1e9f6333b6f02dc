//! The location of an archive, written as `s3://bucket/prefix` or the path of a folder.

use std::path::PathBuf;
use std::str::FromStr;

/// The location of an archive: `s3://bucket/prefix`, or the path of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveUrl {
    /// An S3 bucket.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// The prefix of all object keys of the archive: empty, or text that ends with a slash.
        prefix: String,
    },
    /// A local folder.
    Folder(PathBuf),
}

/// The text is not an [`ArchiveUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is neither s3://BUCKET/PREFIX nor a folder")]
pub struct ArchiveUrlError(String);

impl FromStr for ArchiveUrl {
    type Err = ArchiveUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(location) = text.strip_prefix("s3://") else {
            let is_folder = !text.is_empty() && !text.contains("://");
            return if is_folder { Ok(Self::Folder(text.into())) } else { Err(ArchiveUrlError(text.into())) };
        };
        let (bucket, prefix) = location.split_once('/').unwrap_or((location, ""));
        if bucket.is_empty() {
            return Err(ArchiveUrlError(text.into()));
        }
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self::S3 { bucket: bucket.into(), prefix })
    }
}

/// Parses the archive URL of a Lambda function. The URL must name an S3 bucket. Returns the bucket and the key prefix.
///
/// # Errors
/// The text is not an archive URL, or it names a folder.
pub fn parse_s3_location(text: &str) -> Result<(String, String), String> {
    match text.parse().map_err(|error: ArchiveUrlError| error.to_string())? {
        ArchiveUrl::S3 { bucket, prefix } => Ok((bucket, prefix)),
        ArchiveUrl::Folder(_) => {
            Err("a Lambda function has no persistent folder; use s3://BUCKET/PREFIX".into())
        }
    }
}

impl std::fmt::Display for ArchiveUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(folder) => write!(f, "{}", folder.display()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_archive_url_is_a_bucket_with_optional_prefix_or_a_folder() {
        let parse = |text: &str| text.parse::<ArchiveUrl>();
        let s3 = |prefix: &str| Ok(ArchiveUrl::S3 { bucket: "raw".into(), prefix: prefix.into() });
        assert_eq!(parse("s3://raw"), s3(""));
        assert_eq!(parse("s3://raw/"), s3(""));
        assert_eq!(parse("s3://raw/a/b/"), s3("a/b/"));
        assert_eq!(parse("data/raw"), Ok(ArchiveUrl::Folder("data/raw".into())));
        assert!(parse("s3://").is_err() && parse("").is_err() && parse("https://raw").is_err());
    }
}
