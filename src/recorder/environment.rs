//! What the function `recorder` is told by its environment.

use jiff::SignedDuration;
use secrecy::SecretString;

use crate::archive::bucket;
use crate::invocation::EnvironmentError;

/// The longest retention: a hundred years.
const MOST_DAYS: i64 = 36_500;

/// The environment of the function `recorder`.
#[derive(Debug)]
pub struct Environment {
    /// `DATABASE_URL`, which may hold a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: where the database's credentials are.
    pub database_secret_arn: Option<String>,
    /// `ARCHIVE_URL`: the bucket of the batches, and the prefix in it.
    pub archive: (String, String),
    /// The bus that events are also put on: `EVENT_BUS_NAME` (`default`), when `PUBLISH` is `true`.
    pub publish: Option<String>,
    /// `RETENTION_DAYS`: how long events are kept; for ever when it is not set, or 0.
    pub retention: Option<SignedDuration>,
    /// `RETENTION_BYTES`: how many bytes of events are kept; all when it is not set, or 0.
    pub keep_bytes: Option<u64>,
}

impl Environment {
    /// Reads the environment through `variable`; a variable that is empty is not set.
    ///
    /// # Errors
    /// The first variable that is missing or wrong.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let wrong = |name, problem: String| EnvironmentError { name, problem };
        let url = variable("ARCHIVE_URL").ok_or_else(|| {
            wrong("ARCHIVE_URL", "not set; it names the s3://BUCKET/PREFIX of the batches".into())
        })?;
        let archive = bucket(&url).map_err(|problem| wrong("ARCHIVE_URL", problem))?;
        let publish = match variable("PUBLISH").as_deref() {
            None | Some("false") => None,
            Some("true") => Some(variable("EVENT_BUS_NAME").unwrap_or_else(|| "default".into())),
            Some(other) => {
                return Err(wrong("PUBLISH", format!("'{other}' is neither true nor false")));
            }
        };
        let retention = match variable("RETENTION_DAYS").as_deref() {
            None | Some("0") => None,
            Some(text) => {
                let days = text.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
                let problem = || format!("'{text}' is not a number of days up to {MOST_DAYS}");
                Some(SignedDuration::from_hours(24 * days.ok_or_else(|| wrong("RETENTION_DAYS", problem()))?))
            }
        };
        let keep_bytes = match variable("RETENTION_BYTES").as_deref() {
            None | Some("0") => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| wrong("RETENTION_BYTES", format!("'{text}' is not a number of bytes")))?,
            ),
        };
        Ok(Self {
            retention,
            keep_bytes,
            database_url: variable("DATABASE_URL").map(Into::into),
            database_secret_arn: variable("DATABASE_SECRET_ARN"),
            archive,
            publish,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, String> {
        let base = [("ARCHIVE_URL", "s3://raw/a")];
        let all: Vec<_> = base.iter().chain(variables).copied().collect();
        let find = |name: &str| all.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Environment::read(find).map_err(|error| error.to_string())
    }

    #[test]
    fn events_are_published_where_it_is_said() {
        assert_eq!(read(&[]).unwrap().publish, None);
        assert_eq!(read(&[("PUBLISH", "false"), ("EVENT_BUS_NAME", "b")]).unwrap().publish, None);
        assert_eq!(read(&[("PUBLISH", "true")]).unwrap().publish.as_deref(), Some("default"));
        assert_eq!(
            read(&[("PUBLISH", "true"), ("EVENT_BUS_NAME", "b")]).unwrap().publish.as_deref(),
            Some("b")
        );
        insta::assert_snapshot!(read(&[("PUBLISH", "yes")]).unwrap_err(), @"environment variable PUBLISH: 'yes' is neither true nor false");
        assert_eq!(read(&[("RETENTION_DAYS", "0")]).unwrap().retention, None);
        assert_eq!(read(&[("RETENTION_DAYS", "2")]).unwrap().retention, Some(SignedDuration::from_hours(48)));
        insta::assert_snapshot!(read(&[("RETENTION_DAYS", "-1")]).unwrap_err(), @"environment variable RETENTION_DAYS: '-1' is not a number of days up to 36500");
        assert_eq!(read(&[("RETENTION_BYTES", "0")]).unwrap().keep_bytes, None);
        assert_eq!(read(&[("RETENTION_BYTES", "5000000")]).unwrap().keep_bytes, Some(5_000_000));
        insta::assert_snapshot!(read(&[("RETENTION_BYTES", "5G")]).unwrap_err(), @"environment variable RETENTION_BYTES: '5G' is not a number of bytes");
        insta::assert_snapshot!(read(&[("ARCHIVE_URL", "")]).unwrap_err(), @"environment variable ARCHIVE_URL: not set; it names the s3://BUCKET/PREFIX of the batches");
        insta::assert_snapshot!(read(&[("ARCHIVE_URL", "raw")]).unwrap_err(), @"environment variable ARCHIVE_URL: a function has no folder that stays; it must be s3://BUCKET/PREFIX");
    }
}
