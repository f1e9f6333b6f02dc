//! Configuration of the `bridge` function (environment variables).

use std::time::Duration;

use crate::archive::parse_s3_location;
use crate::lambda::{EnvironmentError, Variables};
use crate::providers::{self, Provider, PublicUrl};
use crate::secrets::CacheTtls;

/// Default size limit of a `PutEvents` entry, in bytes. EventBridge accepts entries of this size in every region.
pub const DEFAULT_MAX_ENTRY_BYTES: usize = 262_144;
/// Largest size limit that can be configured, in bytes. EventBridge accepts entries of this size in most regions.
const MAX_ENTRY_BYTES: usize = 1_048_576;
/// Maximum of `SECRET_TTL_SECONDS`: one hour, as long as AWS's own caching libraries cache a secret.
const MAX_TTL_SECONDS: i64 = 3600;
/// Maximum of `RESERVED_CONCURRENCY`; the quota of most accounts is 1000.
const MAX_CONCURRENCY: i64 = 1_000_000;
/// The number of instances that is assumed for a function without reserved concurrency.
const UNRESERVED_CONCURRENCY: u32 = 100;
/// Maximum of `PREVIOUS_SECRET_GRACE_SECONDS`: one year.
const MAX_GRACE_SECONDS: i64 = 31_536_000;

/// Configuration of the function `bridge`.
#[derive(Debug)]
pub struct BridgeEnvironment {
    /// `PROVIDER`: the provider that sends the webhooks.
    pub provider: &'static Provider,
    /// `WEBHOOK_SECRET_ARN`: the ARN of the Secrets Manager secret with which the provider signs webhooks.
    pub secret_arn: String,
    /// `EVENT_BUS_NAME`: the name or ARN of the EventBridge bus; `default` when unset.
    pub bus: String,
    /// `MAX_ENTRY_BYTES`: the size limit of a `PutEvents` entry, in bytes; 262,144 when unset.
    pub max_entry_bytes: usize,
    /// `PUBLIC_URL`: the URL of the custom domain in front of the function, if any.
    pub public_url: Option<PublicUrl>,
    /// `OVERFLOW_BUCKET`: the S3 bucket for the `detail` of an event too large for an entry; if unset, such an event fails.
    pub overflow_bucket: Option<String>,
    /// `ARCHIVE_URL`: the bucket and the key prefix of the archive. When the variable is set, the function archives webhooks
    /// instead of publishing them. Required for a provider that sends batches.
    pub archive: Option<(String, String)>,
    /// `SPILL_QUEUE_URL`: the SQS queue for events that the bus did not accept; if unset, such an event fails.
    pub spill_queue_url: Option<String>,
    /// The number of instances that share the limit on log lines: `RESERVED_CONCURRENCY` (default 1); 100 if it is 0, that is, if no
    /// concurrency is reserved.
    pub concurrency: u32,
    /// `SECRET_TTL_SECONDS` (default 300): how long a secret is cached. `PREVIOUS_SECRET_GRACE_SECONDS` (default
    /// 86,400): how long the previous secret stays valid after a rotation.
    pub cache_ttls: CacheTtls,
}

impl BridgeEnvironment {
    /// Reads the configuration; `variable` looks up one environment variable. An empty variable counts as unset.
    ///
    /// # Errors
    /// When a variable is missing or invalid. The error names the first such variable.
    pub fn load(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        let invalid = |name, problem: String| EnvironmentError::new(name, problem);
        let seconds = |name, default: Duration, max: i64| {
            let default = i64::try_from(default.as_secs()).unwrap_or(max);
            let seconds = variables.integer(name, default, 0..=max, "seconds")?;
            Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
        };
        let provider =
            providers::find_provider(&variables.require("PROVIDER", "the provider of the webhooks")?)
                .map_err(|error| invalid("PROVIDER", error.to_string()))?;
        let max_entry_bytes = match variables.get("MAX_ENTRY_BYTES") {
            None => DEFAULT_MAX_ENTRY_BYTES,
            Some(text) => {
                parse_max_entry_bytes(&text).map_err(|problem| invalid("MAX_ENTRY_BYTES", problem))?
            }
        };
        let public_url = match variables.get("PUBLIC_URL") {
            None => None,
            Some(text) => Some(text.parse().map_err(|e| invalid("PUBLIC_URL", format!("'{text}': {e}")))?),
        };
        let spill_queue_url = variables.get("SPILL_QUEUE_URL");
        if let Some(url) = spill_queue_url.as_ref().filter(|url| !url.starts_with("http")) {
            return Err(invalid("SPILL_QUEUE_URL", format!("'{url}' is not the URL of an SQS queue")));
        }
        let archive = parse_archive(provider, variables.get("ARCHIVE_URL"))
            .map_err(|problem| invalid("ARCHIVE_URL", problem))?;
        let defaults = CacheTtls::default();
        Ok(Self {
            provider,
            secret_arn: variables
                .require("WEBHOOK_SECRET_ARN", "the Secrets Manager secret that signs the webhooks")?,
            bus: variables.get("EVENT_BUS_NAME").unwrap_or_else(|| "default".into()),
            max_entry_bytes,
            public_url,
            overflow_bucket: variables.get("OVERFLOW_BUCKET"),
            archive,
            spill_queue_url,
            concurrency: match variables.integer(
                "RESERVED_CONCURRENCY",
                1,
                0..=MAX_CONCURRENCY,
                "instances",
            )? {
                0 => UNRESERVED_CONCURRENCY,
                reserved => u32::try_from(reserved).unwrap_or(UNRESERVED_CONCURRENCY),
            },
            cache_ttls: CacheTtls {
                time_to_live: seconds("SECRET_TTL_SECONDS", defaults.time_to_live, MAX_TTL_SECONDS)?,
                previous_grace: seconds(
                    "PREVIOUS_SECRET_GRACE_SECONDS",
                    defaults.previous_grace,
                    MAX_GRACE_SECONDS,
                )?,
                ..defaults
            },
        })
    }
}

/// Parses `ARCHIVE_URL`, which is required if the provider sends batches.
fn parse_archive(provider: &Provider, url: Option<String>) -> Result<Option<(String, String)>, String> {
    match url {
        None if provider.sends_batches() => Err(format!(
            "not set; it names the s3://BUCKET/PREFIX that stores the batches of {}",
            provider.title
        )),
        None => Ok(None),
        Some(url) => parse_s3_location(&url).map(Some),
    }
}

/// Parses a size limit of `PutEvents` entries, in bytes.
///
/// # Errors
/// When the text is not a number from 1 to 1,048,576.
pub fn parse_max_entry_bytes(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_ENTRY_BYTES).contains(limit));
    limit.ok_or_else(|| format!("'{text}' is not a number of bytes from 1 to {MAX_ENTRY_BYTES}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<BridgeEnvironment, String> {
        let base = [("PROVIDER", "github"), ("WEBHOOK_SECRET_ARN", "arn:aws:secretsmanager:x")];
        let variables: Vec<_> = base.iter().chain(variables).copied().collect();
        let lookup =
            |name: &str| variables.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        BridgeEnvironment::load(lookup).map_err(|e| e.to_string())
    }

    #[test]
    fn unset_variables_have_the_documented_defaults() {
        let environment = load(&[("EVENT_BUS_NAME", ""), ("PUBLIC_URL", "")]).unwrap();
        assert_eq!(environment.bus, "default");
        assert_eq!(environment.max_entry_bytes, 262_144);
        assert_eq!(environment.public_url, None);
        assert_eq!(environment.cache_ttls.time_to_live, Duration::from_secs(300));
        assert_eq!(environment.cache_ttls.previous_grace, Duration::from_secs(86_400));
    }

    #[test]
    fn variables_override_the_defaults() {
        let bus = "arn:aws:events:us-east-1:000000000000:event-bus/orders";
        let environment = load(&[
            ("EVENT_BUS_NAME", bus),
            ("MAX_ENTRY_BYTES", "1048576"),
            ("PUBLIC_URL", "https://hooks.example/in"),
            ("OVERFLOW_BUCKET", "large"),
            ("SPILL_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/000000000000/spill"),
            ("SECRET_TTL_SECONDS", "60"),
            ("PREVIOUS_SECRET_GRACE_SECONDS", "0"),
        ])
        .unwrap();
        assert_eq!((environment.provider.name, environment.bus.as_str()), ("github", bus));
        assert_eq!(environment.max_entry_bytes, 1_048_576);
        assert_eq!(environment.public_url, "https://hooks.example/in".parse().ok());
        assert_eq!(environment.overflow_bucket.as_deref(), Some("large"));
        assert!(environment.spill_queue_url.is_some_and(|url| url.ends_with("/spill")));
        assert_eq!(environment.cache_ttls.time_to_live, Duration::from_secs(60));
        assert_eq!(environment.cache_ttls.previous_grace, Duration::ZERO);
    }

    #[test]
    fn an_invalid_variable_is_named_with_the_expected_value() {
        let load_error = |name, value| load(&[(name, value)]).unwrap_err();
        insta::assert_snapshot!(load_error("PROVIDER", ""), @"environment variable PROVIDER: not set; it names the provider of the webhooks");
        insta::assert_snapshot!(load_error("PROVIDER", "gitlub"), @"environment variable PROVIDER: unknown provider 'gitlub'; similar names: github, gitlab; `hookbridge providers` lists all");
        insta::assert_snapshot!(load_error("WEBHOOK_SECRET_ARN", ""), @"environment variable WEBHOOK_SECRET_ARN: not set; it names the Secrets Manager secret that signs the webhooks");
        insta::assert_snapshot!(load_error("MAX_ENTRY_BYTES", "1048577"), @"environment variable MAX_ENTRY_BYTES: '1048577' is not a number of bytes from 1 to 1048576");
        insta::assert_snapshot!(load_error("SECRET_TTL_SECONDS", "5m"), @"environment variable SECRET_TTL_SECONDS: '5m' is not a whole number of seconds from 0 to 3600");
        insta::assert_snapshot!(load_error("SECRET_TTL_SECONDS", "99999999999"), @"environment variable SECRET_TTL_SECONDS: '99999999999' is not a whole number of seconds from 0 to 3600");
        assert_eq!(
            load(&[("ARCHIVE_URL", "s3://raw")]).unwrap().archive,
            Some(("raw".into(), String::new()))
        );
        insta::assert_snapshot!(load_error("PROVIDER", "sparkpost"), @"environment variable ARCHIVE_URL: not set; it names the s3://BUCKET/PREFIX that stores the batches of SparkPost");
        let sparkpost = |url| load(&[("PROVIDER", "sparkpost"), ("ARCHIVE_URL", url)]);
        insta::assert_snapshot!(sparkpost("raw").unwrap_err(), @"environment variable ARCHIVE_URL: a Lambda function has no persistent folder; use s3://BUCKET/PREFIX");
        insta::assert_snapshot!(sparkpost("s3://").unwrap_err(), @"environment variable ARCHIVE_URL: 's3://' is neither s3://BUCKET/PREFIX nor a folder");
        assert_eq!(sparkpost("s3://raw/a").unwrap().archive, Some(("raw".into(), "a/".into())));
        insta::assert_snapshot!(load_error("SPILL_QUEUE_URL", "spill"), @"environment variable SPILL_QUEUE_URL: 'spill' is not the URL of an SQS queue");
        insta::assert_snapshot!(load_error("PUBLIC_URL", "hooks.example"), @"environment variable PUBLIC_URL: 'hooks.example': it must begin with https:// or http://");
    }
}
