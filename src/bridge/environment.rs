//! Configuration of the `bridge` function (environment variables).

use std::time::Duration;

use crate::archive::parse_s3_location;
use crate::bus::is_bus_v2;
use crate::lambda::{EnvironmentError, Variables};
use crate::providers::{self, FieldLocation, GENERIC_SETTINGS, GenericSettings, Provider, PublicUrl};
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
/// How long a published webhook is not published again, by default.
const DEFAULT_REPEAT_WINDOW: Duration = Duration::from_secs(300);
/// Maximum of `REPEAT_WINDOW_SECONDS`.
const MAX_REPEAT_WINDOW_SECONDS: i64 = 3600;
/// Maximum of `PREVIOUS_SECRET_GRACE_SECONDS`: one year.
const MAX_GRACE_SECONDS: i64 = 31_536_000;

/// Configuration of the function `bridge`.
#[derive(Debug)]
pub struct BridgeEnvironment {
    /// The providers that send webhooks, each with the ARN of the Secrets Manager secret with which it signs them: `PROVIDER` and
    /// `WEBHOOK_SECRET_ARN`; or `PROVIDERS`, and for each provider `WEBHOOK_SECRET_ARN_<NAME>` or `WEBHOOK_SECRET_ARN_<NUMBER>`.
    pub providers: Vec<(&'static Provider, String)>,
    /// `NEXT_SECRET_ARN`: the ARN of the secret with which the provider will sign next; only with `PROVIDER`.
    pub next_secret_arn: Option<String>,
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
    /// `REPEAT_WINDOW_SECONDS` (default 300): how long a published webhook is not published again; 0 publishes every repetition.
    pub repeat_window: Duration,
    /// `EVENT_GROUP`: where a webhook states the group of its events, as `header:NAME` or `json:/POINTER`.
    pub event_group: Option<FieldLocation>,
}

impl BridgeEnvironment {
    /// Reads the configuration; `variable` looks up one environment variable. An empty variable counts as unset.
    ///
    /// # Errors
    /// When a variable is missing or invalid. The error names the first such variable.
    pub fn load(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        let invalid = |name, problem: String| EnvironmentError::new(name, problem);
        let seconds = |name, default: Duration, max: i64| {
            let default = i64::try_from(default.as_secs()).unwrap_or(max);
            let seconds = variables.integer(name, default, 0..=max, "seconds")?;
            Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
        };
        let providers = load_providers(&variables)?;
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
        let archive = parse_archive(&providers, variables.get("ARCHIVE_URL"))
            .map_err(|problem| invalid("ARCHIVE_URL", problem))?;
        let bus = variables.get("EVENT_BUS_NAME").unwrap_or_else(|| "default".into());
        let event_group = variables.get("EVENT_GROUP");
        let event_group = event_group
            .map(|text| parse_event_group(&text, &bus).map_err(|problem| invalid("EVENT_GROUP", problem)))
            .transpose()?;
        let next_secret_arn = variables.get("NEXT_SECRET_ARN");
        if next_secret_arn.is_some() && variables.get("PROVIDERS").is_some() {
            let problem = "several providers have no next secret; add a line to the secret of the provider";
            return Err(invalid("NEXT_SECRET_ARN", problem.into()));
        }
        let defaults = CacheTtls::default();
        Ok(Self {
            providers,
            next_secret_arn,
            bus,
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
            repeat_window: seconds(
                "REPEAT_WINDOW_SECONDS",
                DEFAULT_REPEAT_WINDOW,
                MAX_REPEAT_WINDOW_SECONDS,
            )?,
            event_group,
        })
    }
}

/// The `PROVIDER` that the variables `GENERIC_*` describe.
const GENERIC: &str = "generic";

/// The names of the variables `GENERIC_*`, in the order of [`GENERIC_SETTINGS`].
const GENERIC_VARIABLES: [&str; GENERIC_SETTINGS.len()] = [
    "GENERIC_SOURCE",
    "GENERIC_SCHEME",
    "GENERIC_HEADER",
    "GENERIC_PREFIX",
    "GENERIC_ENCODING",
    "GENERIC_SEPARATOR",
    "GENERIC_KEY",
    "GENERIC_SIGNED",
    "GENERIC_TIMESTAMP_HEADER",
    "GENERIC_TIMESTAMP_PREFIX",
    "GENERIC_TOLERANCE_SECONDS",
    "GENERIC_ID_HEADER",
    "GENERIC_BODY_HASH_CLAIM",
    "GENERIC_SIGNATURE_FIELDS",
    "GENERIC_SIGNED_FIELDS",
    "GENERIC_ELEMENTS",
    "GENERIC_EVENT_TYPE",
    "GENERIC_DELIVERY_ID",
    "GENERIC_EVENT_TIME",
    "GENERIC_SPLIT",
    "GENERIC_HANDSHAKE",
    "GENERIC_SUCCESS",
];

/// The provider that the variables `GENERIC_*` describe.
fn generic_provider(
    variables: &Variables<impl Fn(&str) -> Option<String>>,
) -> Result<&'static Provider, EnvironmentError> {
    let settings = GENERIC_SETTINGS.into_iter().zip(GENERIC_VARIABLES);
    let values = settings.filter_map(|(setting, name)| Some((setting.to_owned(), variables.get(name)?)));
    let label = |setting: &str| format!("GENERIC_{}", setting.to_ascii_uppercase());
    GenericSettings::new(values.collect(), &label).build(GENERIC).map_err(|error| {
        let name = GENERIC_VARIABLES.into_iter().find(|name| *name == error.setting);
        EnvironmentError::new(name.unwrap_or("PROVIDER"), error.problem)
    })
}

/// Reads the providers and the ARNs of their secrets.
fn load_providers(
    variables: &Variables<impl Fn(&str) -> Option<String>>,
) -> Result<Vec<(&'static Provider, String)>, EnvironmentError> {
    let find = |variable, name: &str| match name {
        GENERIC => generic_provider(variables),
        name => {
            providers::find_provider(name).map_err(|error| EnvironmentError::new(variable, error.to_string()))
        }
    };
    let Some(list) = variables.get("PROVIDERS") else {
        let name = variables.require("PROVIDER", "the provider of the webhooks")?;
        let provider = find("PROVIDER", &name)?;
        let description = "the Secrets Manager secret that signs the webhooks";
        return Ok(vec![(provider, variables.require("WEBHOOK_SECRET_ARN", description)?)]);
    };
    let invalid = |problem: String| Err(EnvironmentError::new("PROVIDERS", problem));
    if variables.get("PROVIDER").is_some() {
        return invalid("contradicts PROVIDER; remove one of them".into());
    }
    // A parameter of the template that is empty leaves an empty name, which has a number, too.
    let names = list.split(',').map(str::trim).enumerate().filter(|(_, name)| !name.is_empty());
    let mut loaded: Vec<(&'static Provider, String)> = Vec::new();
    for (index, name) in names {
        let provider = find("PROVIDERS", name)?;
        if loaded.iter().any(|(other, _)| other.name == provider.name) {
            return invalid(format!("{name} occurs twice"));
        }
        if provider.sends_batches() {
            return invalid(format!("{name} sends batches, which need a function of their own"));
        }
        let by_name = format!("WEBHOOK_SECRET_ARN_{}", name.to_ascii_uppercase().replace('-', "_"));
        let by_number = format!("WEBHOOK_SECRET_ARN_{}", index + 1);
        let arn = [&by_name, &by_number].into_iter().find_map(|name| variables.get(name));
        let Some(arn) = arn else {
            return invalid(format!("{by_name} is not set; it names the Secrets Manager secret of {name}"));
        };
        loaded.push((provider, arn));
    }
    if loaded.is_empty() {
        return invalid(format!("'{list}' names no provider"));
    }
    Ok(loaded)
}

/// Parses `ARCHIVE_URL`, which is required if a provider sends batches.
fn parse_archive(
    providers: &[(&'static Provider, String)],
    url: Option<String>,
) -> Result<Option<(String, String)>, String> {
    match url {
        None => match providers.iter().find(|(provider, _)| provider.sends_batches()) {
            Some((provider, _)) => Err(format!(
                "not set; it names the s3://BUCKET/PREFIX that stores the batches of {}",
                provider.title
            )),
            None => Ok(None),
        },
        // The recorder does not have the settings of the provider, so it could not read the archived webhooks.
        Some(_) if providers.iter().any(|(provider, _)| provider.name == GENERIC) => {
            Err("the event log cannot record archived webhooks of PROVIDER=generic; publish them on a bus"
                .into())
        }
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

/// Parses the location of the group of an event: `header:NAME` or `json:/POINTER`.
///
/// # Errors
/// When the text is not such a location, or `bus` is a classic bus, which has no groups.
pub fn parse_event_group(text: &str, bus: &str) -> Result<FieldLocation, String> {
    if !is_bus_v2(bus) {
        return Err(format!(
            "the bus '{bus}' has no event groups; name a bus whose ARN contains event-busv2, or remove the group"
        ));
    }
    match FieldLocation::parse(text.to_owned().leak()) {
        Some(location @ (FieldLocation::Header(_) | FieldLocation::Body(_))) => Ok(location),
        _ => Err(format!("'{text}' is not header:NAME or json:/POINTER")),
    }
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
        assert_eq!((environment.providers[0].0.name, environment.bus.as_str()), ("github", bus));
        assert_eq!(environment.max_entry_bytes, 1_048_576);
        assert_eq!(environment.public_url, "https://hooks.example/in".parse().ok());
        assert_eq!(environment.overflow_bucket.as_deref(), Some("large"));
        assert!(environment.spill_queue_url.is_some_and(|url| url.ends_with("/spill")));
        assert_eq!(environment.cache_ttls.time_to_live, Duration::from_secs(60));
        assert_eq!(environment.cache_ttls.previous_grace, Duration::ZERO);
    }

    #[test]
    fn a_group_needs_a_bus_that_has_groups() {
        let arn = "arn:aws:events:us-east-1:000000000000:event-busv2/orders/abcdefghij0123456789abcde";
        let with = |bus, group| {
            load(&[("EVENT_BUS_NAME", bus), ("EVENT_GROUP", group)])
                .map(|environment| environment.event_group)
        };
        let header = with(arn, "header:X-GitHub-Event").unwrap();
        assert!(matches!(header, Some(FieldLocation::Header("x-github-event"))));
        assert!(matches!(with(arn, "json:/order/id").unwrap(), Some(FieldLocation::Body("/order/id"))));
        assert!(with(arn, "").unwrap().is_none());
        insta::assert_snapshot!(with(arn, "/order/id").unwrap_err(), @"environment variable EVENT_GROUP: '/order/id' is not header:NAME or json:/POINTER");
        insta::assert_snapshot!(with("orders", "json:/order").unwrap_err(), @"environment variable EVENT_GROUP: the bus 'orders' has no event groups; name a bus whose ARN contains event-busv2, or remove the group");
    }

    #[test]
    fn several_providers_have_secrets_by_name_or_number() {
        let load = |variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
            };
            BridgeEnvironment::load(lookup).map_err(|error| error.to_string()).map(|environment| {
                let providers = environment.providers.iter();
                providers.map(|(provider, arn)| format!("{} {arn}", provider.name)).collect::<Vec<_>>()
            })
        };
        let arns = [("WEBHOOK_SECRET_ARN_GITHUB", "a"), ("WEBHOOK_SECRET_ARN_2", "b")];
        let with = |providers| load(&[&arns[..], &[("PROVIDERS", providers)]].concat());
        assert_eq!(with("github, cal-com").unwrap(), ["github a", "cal-com b"]);
        insta::assert_snapshot!(with("cal-com").unwrap_err(), @"environment variable PROVIDERS: WEBHOOK_SECRET_ARN_CAL_COM is not set; it names the Secrets Manager secret of cal-com");
        insta::assert_snapshot!(with("github,github").unwrap_err(), @"environment variable PROVIDERS: github occurs twice");
        insta::assert_snapshot!(with("github,sparkpost").unwrap_err(), @"environment variable PROVIDERS: sparkpost sends batches, which need a function of their own");
        insta::assert_snapshot!(with(" , ").unwrap_err(), @"environment variable PROVIDERS: ' , ' names no provider");
        insta::assert_snapshot!(with("gitlub").unwrap_err(), @"environment variable PROVIDERS: unknown provider 'gitlub'; similar names: github, gitlab; `hookbridge providers` lists all");
        let next = [&arns[..], &[("PROVIDERS", "github"), ("NEXT_SECRET_ARN", "n")]].concat();
        insta::assert_snapshot!(load(&next).unwrap_err(), @"environment variable NEXT_SECRET_ARN: several providers have no next secret; add a line to the secret of the provider");
        let both = load(&[("PROVIDERS", "github"), ("PROVIDER", "github")]);
        insta::assert_snapshot!(both.unwrap_err(), @"environment variable PROVIDERS: contradicts PROVIDER; remove one of them");
    }

    #[test]
    fn generic_variables_describe_a_provider() {
        let generic = |variables: &[(&str, &str)]| {
            load(&[&[("PROVIDER", "generic"), ("GENERIC_SOURCE", "acme.com")], variables].concat())
        };
        let variables = [("GENERIC_SCHEME", "hmac-sha256"), ("GENERIC_HEADER", "X-Acme-Signature")];
        assert_eq!(generic(&variables).unwrap().providers[0].0.source, "acme.com");
        insta::assert_snapshot!(generic(&[]).unwrap_err(), @"environment variable GENERIC_SCHEME: not set; it names the signature scheme, one of hmac-sha1, hmac-sha256, hmac-sha512, ed25519, ecdsa-p256, token, basic, bearer, standard-webhooks, jws, body-hmac-sha1, body-hmac-sha256, body-token");
        let archived = generic(&[&variables[..], &[("ARCHIVE_URL", "s3://raw")]].concat());
        insta::assert_snapshot!(archived.unwrap_err(), @"environment variable ARCHIVE_URL: the event log cannot record archived webhooks of PROVIDER=generic; publish them on a bus");
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
