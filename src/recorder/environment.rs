//! Environment variables of the `recorder` function.

use jiff::SignedDuration;
use secrecy::SecretString;

use crate::archive::parse_s3_location;
use crate::lambda::{EnvironmentError, Variables};

/// The maximum value of `RETENTION_DAYS`: a hundred years.
const MAX_RETENTION_DAYS: i64 = 36_500;

/// Settings of the `recorder` function.
#[derive(Debug)]
pub struct RecorderEnvironment {
    /// `DATABASE_URL`, which may contain a password; `None` if unset.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: the secret with the database credentials; `None` if unset.
    pub database_secret_arn: Option<String>,
    /// `ARCHIVE_URL`: the bucket and the key prefix of the archived batches.
    pub archive: (String, String),
    /// `EVENT_BUS_NAME` (default `default`): the EventBridge bus to publish new events to; `None` unless `PUBLISH` is `true`.
    pub event_bus: Option<String>,
    /// `RETENTION_DAYS`: how long the log keeps events; without limit if unset or 0.
    pub retention: Option<SignedDuration>,
    /// `RETENTION_BYTES`: the maximum size of the log in bytes; without limit if unset or 0.
    pub retention_bytes: Option<u64>,
}

impl RecorderEnvironment {
    /// Reads the settings from the environment; `variable` looks up one environment variable by name. An empty variable counts as
    /// unset.
    ///
    /// # Errors
    /// A variable is missing or invalid. The error names the first such variable.
    pub fn load(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        let invalid = |name, problem: String| EnvironmentError::new(name, problem);
        let url = variables.require("ARCHIVE_URL", "the s3://BUCKET/PREFIX of the batches")?;
        let archive = parse_s3_location(&url).map_err(|problem| invalid("ARCHIVE_URL", problem))?;
        let bus_name = || variables.get("EVENT_BUS_NAME").unwrap_or_else(|| "default".into());
        let event_bus = variables.boolean("PUBLISH")?.then(bus_name);
        let days = variables.integer("RETENTION_DAYS", 0, 0..=MAX_RETENTION_DAYS, "days")?;
        let retention = (days > 0).then(|| SignedDuration::from_hours(24 * days));
        let bytes = variables.integer("RETENTION_BYTES", 0, 0..=i64::MAX, "bytes")?;
        let retention_bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        Ok(Self {
            retention,
            retention_bytes,
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            archive,
            event_bus,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<RecorderEnvironment, String> {
        let base = [("ARCHIVE_URL", "s3://raw/a")];
        let environment: Vec<_> = base.iter().chain(variables).copied().collect();
        let find =
            |name: &str| environment.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        RecorderEnvironment::load(find).map_err(|error| error.to_string())
    }

    #[test]
    fn events_are_published_on_the_configured_bus() {
        assert_eq!(load(&[]).unwrap().event_bus, None);
        assert_eq!(load(&[("PUBLISH", "false"), ("EVENT_BUS_NAME", "b")]).unwrap().event_bus, None);
        assert_eq!(load(&[("PUBLISH", "true")]).unwrap().event_bus.as_deref(), Some("default"));
        assert_eq!(
            load(&[("PUBLISH", "true"), ("EVENT_BUS_NAME", "b")]).unwrap().event_bus.as_deref(),
            Some("b")
        );
        insta::assert_snapshot!(load(&[("PUBLISH", "yes")]).unwrap_err(), @"environment variable PUBLISH: invalid value 'yes', expected true or false");
        assert_eq!(load(&[("RETENTION_DAYS", "0")]).unwrap().retention, None);
        assert_eq!(load(&[("RETENTION_DAYS", "2")]).unwrap().retention, Some(SignedDuration::from_hours(48)));
        insta::assert_snapshot!(load(&[("RETENTION_DAYS", "-1")]).unwrap_err(), @"environment variable RETENTION_DAYS: '-1' is not a whole number of days from 0 to 36500");
        assert_eq!(load(&[("RETENTION_BYTES", "0")]).unwrap().retention_bytes, None);
        assert_eq!(load(&[("RETENTION_BYTES", "5000000")]).unwrap().retention_bytes, Some(5_000_000));
        insta::assert_snapshot!(load(&[("RETENTION_BYTES", "5G")]).unwrap_err(), @"environment variable RETENTION_BYTES: '5G' is not a whole number of bytes from 0 to 9223372036854775807");
        insta::assert_snapshot!(load(&[("ARCHIVE_URL", "")]).unwrap_err(), @"environment variable ARCHIVE_URL: not set; it names the s3://BUCKET/PREFIX of the batches");
        insta::assert_snapshot!(load(&[("ARCHIVE_URL", "raw")]).unwrap_err(), @"environment variable ARCHIVE_URL: a Lambda function has no persistent folder; use s3://BUCKET/PREFIX");
    }
}
