//! Configuration of `hookbridge serve`. A flag overrides an environment variable, which overrides the TOML file.

mod delivery;
mod listen;
mod polls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use serde::{Deserialize, Deserializer};

pub use delivery::{DeliverySettings, SubscriberFlags};
pub use listen::{DEFAULT_LISTEN, ListenAddress, ListenAddressError};
pub use polls::{GITHUB, PollSettings};

use crate::archive::ArchiveUrl;
use crate::bridge::{DEFAULT_MAX_ENTRY_BYTES, parse_event_group, parse_max_entry_bytes};
use crate::db::DatabaseAddress;
use crate::providers::{self, FieldLocation, GenericSettings, Provider, PublicUrl};
use crate::secrets::Secret;

/// Run everything on this machine: receive webhooks, serve the log, deliver to subscribers.
///
/// Without settings it listens on 127.0.0.1:8787, creates a development secret for every provider, and prints how to send a first
/// webhook.
// The TOML file has the same settings as the flags, under the same names. A flag with repeated PROVIDER=VALUE pairs is a table in
// the file.
#[derive(clap::Args, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ServeFlags {
    /// TOML file with the same settings: `listen = "..."`, and so on; secrets as `[secret]` `github = "..."`.
    #[arg(long, env = "HOOKBRIDGE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8787].
    #[arg(long, env = "HOOKBRIDGE_LISTEN", value_name = "ADDRESS")]
    listen: Option<ListenAddress>,
    /// Folder for events, batches and development secrets [default: hookbridge-data].
    #[arg(long, env = "HOOKBRIDGE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Signing secret of a provider, instead of a development secret; repeat for several providers, in the environment one per
    /// line.
    #[arg(
        long,
        env = "HOOKBRIDGE_SECRET",
        hide_env_values = true,
        value_name = "PROVIDER=VALUE",
        value_delimiter = '\n'
    )]
    #[serde(deserialize_with = "deserialize_pairs")]
    secret: Vec<String>,
    /// Bus to publish events on: `local` (a file in the data folder) or `eventbridge:NAME`, with the name or ARN of the bus
    /// [default: local].
    #[arg(long, env = "HOOKBRIDGE_BUS", value_name = "BUS")]
    bus: Option<String>,
    /// Where a webhook states the group of its events, as `header:NAME` or `json:/POINTER`. FIFO subscribers of a bus
    /// whose ARN contains `event-busv2` get the events of a group in their order.
    #[arg(long, env = "HOOKBRIDGE_EVENT_GROUP", value_name = "LOCATION")]
    event_group: Option<String>,
    /// Archive for batches: a folder, or `s3://BUCKET/PREFIX` [default: archive, in the data folder].
    #[arg(long, env = "HOOKBRIDGE_ARCHIVE", value_name = "URL")]
    archive: Option<String>,
    /// Database of the event log: a file, or `postgres://USER:PASSWORD@HOST/DATABASE` [default: log.db, in the data folder].
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// API token required to read the log; without one, only local requests are accepted.
    #[arg(long, env = "HOOKBRIDGE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// API key to poll a provider (stripe or sparkpost) for events whose webhooks were missed, or a token with which failed
    /// deliveries of github are requested again; repeat for several, in the environment one per line. With --bus eventbridge the
    /// log has no Stripe webhooks, so every polled Stripe event is new to it.
    #[arg(
        long,
        env = "HOOKBRIDGE_POLL",
        hide_env_values = true,
        value_name = "PROVIDER=KEY",
        value_delimiter = '\n'
    )]
    #[serde(deserialize_with = "deserialize_pairs")]
    poll: Vec<String>,
    /// Webhook at GitHub whose failed deliveries are requested again, with the token of `--poll github=TOKEN`: repos/OWNER/NAME/hooks/ID,
    /// orgs/NAME/hooks/ID, or app/ID with the private key of the GitHub App as token; repeat for several.
    #[arg(long, env = "HOOKBRIDGE_POLL_HOOK", value_name = "HOOK", value_delimiter = ',')]
    poll_hook: Vec<String>,
    /// Scheme and host of a provider's API, if not the default: `sparkpost=https://api.eu.sparkpost.com`.
    #[arg(long, env = "HOOKBRIDGE_POLL_URL", value_name = "PROVIDER=URL", value_delimiter = '\n')]
    #[serde(deserialize_with = "deserialize_pairs")]
    poll_url: Vec<String>,
    /// Event types to poll for, as configured for the provider's webhooks: stripe=invoice.paid,charge.failed.
    #[arg(long, env = "HOOKBRIDGE_POLL_TYPES", value_name = "PROVIDER=TYPE,...", value_delimiter = '\n')]
    #[serde(deserialize_with = "deserialize_pairs")]
    poll_types: Vec<String>,
    /// Seconds to wait for a webhook before its event counts as missed [default: 300].
    #[arg(long, env = "HOOKBRIDGE_POLL_DELAY", value_name = "SECONDS")]
    poll_delay: Option<u32>,
    /// Days of the past that the first poll covers [default: 0].
    #[arg(long, env = "HOOKBRIDGE_POLL_BACK", value_name = "DAYS")]
    poll_back: Option<u32>,
    /// Allow subscribers at these internal addresses, also without TLS: 127.0.0.1, or 10.1.0.0/16; repeat for several.
    #[arg(long, env = "HOOKBRIDGE_ALLOW_TO", value_name = "RANGE", value_delimiter = ',')]
    allow_to: Vec<String>,
    /// File with the key that encrypts subscribers' secrets; `hookbridge serve` creates it [default: subscriber.key, beside the
    /// log's file, or in the data folder if the log is a database].
    #[arg(long, env = "HOOKBRIDGE_SUBSCRIBER_KEY", value_name = "FILE")]
    subscriber_key: Option<PathBuf>,
    /// URL of the tunnel or proxy in front, as it is configured at providers that sign URLs, with its query.
    #[arg(long, env = "HOOKBRIDGE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Maximum size of an event in bytes, as EventBridge counts it [default: 262144].
    #[arg(long, env = "HOOKBRIDGE_MAX_ENTRY_BYTES", value_name = "BYTES")]
    max_entry_bytes: Option<usize>,
    /// Maximum number of webhooks in flight; further ones are answered 429 [default: 256].
    #[arg(long, env = "HOOKBRIDGE_CONCURRENCY", value_name = "NUMBER")]
    concurrency: Option<usize>,
    /// Send the server a signed webhook of six providers, and a forged one, and print the outcomes.
    #[arg(long, env = "HOOKBRIDGE_DEMO", value_parser = FalseyValueParser::new())]
    demo: bool,
    /// Print JSON lines.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// The providers that only the file describes.
    #[arg(skip)]
    provider: BTreeMap<String, BTreeMap<String, GenericSetting>>,
    /// Print nothing about single webhooks.
    #[arg(long, env = "HOOKBRIDGE_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusSetting {
    /// A file in the data folder.
    Local,
    /// The name or ARN of an EventBridge bus.
    EventBridge(String),
}

impl std::fmt::Display for BusSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::EventBridge(name) => write!(f, "eventbridge:{name}"),
        }
    }
}

/// Validated settings of a server.
pub struct ServeSettings {
    pub listen: SocketAddr,
    pub data: PathBuf,
    /// The providers of the catalogue, and those that the file describes.
    pub providers: Vec<&'static Provider>,
    /// The signing secrets, by the name of the provider.
    pub secrets: BTreeMap<&'static str, String>,
    pub bus: BusSetting,
    pub event_group: Option<FieldLocation>,
    pub archive: ArchiveUrl,
    pub database: DatabaseAddress,
    /// The API token; if it is `None`, the API accepts only local requests, and with `public_url` no requests.
    pub token: Option<String>,
    pub polls: PollSettings,
    pub delivery: DeliverySettings,
    /// The public URL of the tunnel or proxy in front of the server; `None` without one.
    pub public_url: Option<PublicUrl>,
    pub max_entry_bytes: usize,
    /// The maximum number of webhooks in flight.
    pub concurrency: usize,
    pub demo: bool,
    pub json: bool,
    pub quiet: bool,
}

/// An invalid setting. The error's text contains no secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

impl ServeFlags {
    /// Returns these settings, with the value from `file` for each setting that is missing in `self`.
    fn or(self, file: Self) -> Self {
        let list = |flags: Vec<String>, file: Vec<String>| if flags.is_empty() { file } else { flags };
        // A later pair overrides an earlier one of the same provider, so the flags' pairs follow the file's.
        let pairs = |flags: Vec<String>, file: Vec<String>| [file, flags].concat();
        Self {
            config: self.config,
            listen: self.listen.or(file.listen),
            data: self.data.or(file.data),
            secret: pairs(self.secret, file.secret),
            bus: self.bus.or(file.bus),
            event_group: self.event_group.or(file.event_group),
            archive: self.archive.or(file.archive),
            database: self.database.or(file.database),
            token: self.token.or(file.token),
            poll: pairs(self.poll, file.poll),
            poll_hook: list(self.poll_hook, file.poll_hook),
            poll_url: pairs(self.poll_url, file.poll_url),
            poll_types: pairs(self.poll_types, file.poll_types),
            poll_delay: self.poll_delay.or(file.poll_delay),
            poll_back: self.poll_back.or(file.poll_back),
            allow_to: list(self.allow_to, file.allow_to),
            subscriber_key: self.subscriber_key.or(file.subscriber_key),
            public_url: self.public_url.or(file.public_url),
            max_entry_bytes: self.max_entry_bytes.or(file.max_entry_bytes),
            concurrency: self.concurrency.or(file.concurrency),
            demo: self.demo || file.demo,
            json: self.json || file.json,
            provider: file.provider,
            quiet: self.quiet || file.quiet,
        }
    }

    /// Adds the settings of the configuration file to those of flags and environment variables, and validates the result.
    ///
    /// # Errors
    /// The first invalid setting, with the expected form.
    pub fn resolve(self) -> Result<ServeSettings, SettingsError> {
        let flags = match &self.config {
            Some(path) => {
                let file = read_config(path)?;
                self.or(file)
            }
            None => self,
        };
        let max_entry_bytes = flags.max_entry_bytes.unwrap_or(DEFAULT_MAX_ENTRY_BYTES);
        parse_max_entry_bytes(&max_entry_bytes.to_string())
            .map_err(|error| SettingsError(format!("max-entry-bytes: {error}")))?;
        let concurrency = flags.concurrency.unwrap_or(256);
        if concurrency == 0 || concurrency > 65_536 {
            return Err(SettingsError(format!(
                "concurrency: {concurrency} is out of range, expected 1 to 65536"
            )));
        }
        let mut providers = providers::PROVIDERS.to_vec();
        for (name, settings) in &flags.provider {
            providers.push(generic_provider(name, settings)?);
        }
        let mut secrets = BTreeMap::new();
        for (provider, value) in parse_per_provider("secret", "github=...", &flags.secret, &providers)? {
            if Secret::new(value.as_str()).is_empty() {
                return Err(SettingsError(format!("secret: the secret of {} is empty", provider.name)));
            }
            secrets.insert(provider.name, value);
        }
        let polls = PollSettings::from_flags(&flags)?;
        let data = flags.data.unwrap_or_else(default_data_folder);
        let archive = match flags.archive.filter(|url| !url.is_empty()) {
            Some(url) => url.parse().map_err(|error| SettingsError(format!("archive: {error}")))?,
            None => ArchiveUrl::Folder(data.join("archive")),
        };
        let database = match flags.database.filter(|url| !url.is_empty()) {
            Some(url) => url.parse().map_err(|error| SettingsError(format!("database: {error}")))?,
            None => DatabaseAddress::File(data.join(LOG_FILE)),
        };
        let subscribers = SubscriberFlags { allow_to: flags.allow_to, subscriber_key: flags.subscriber_key };
        let delivery = subscribers.resolve(&default_key_folder(&database, &data))?;
        let bus = parse_bus(flags.bus.as_deref().unwrap_or("local"))?;
        let bus_name = match &bus {
            BusSetting::Local => "local",
            BusSetting::EventBridge(name) => name,
        };
        let event_group = flags.event_group.filter(|text| !text.is_empty());
        let event_group = event_group.map(|text| parse_event_group(&text, bus_name)).transpose();
        let event_group = event_group.map_err(|error| SettingsError(format!("event-group: {error}")))?;
        let listen = flags.listen.map_or(DEFAULT_LISTEN, |listen| listen.0);
        let token = flags.token.filter(|token| !token.is_empty());
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(SettingsError(format!(
                "listen: {listen} can be reached from other machines, and the log contains personal data: set an API token, for example with --token \"$(openssl rand -hex 32)\""
            )));
        }
        Ok(ServeSettings {
            listen,
            database,
            token,
            polls,
            delivery,
            data,
            archive,
            providers,
            secrets,
            bus,
            event_group,
            public_url: match flags.public_url.filter(|url| !url.is_empty()) {
                Some(url) => {
                    Some(url.parse().map_err(|e| SettingsError(format!("public-url: '{url}': {e}")))?)
                }
                None => None,
            },
            max_entry_bytes,
            concurrency,
            demo: flags.demo,
            json: flags.json,
            quiet: flags.quiet,
        })
    }
}

/// The default data folder, which is in the current folder.
pub fn default_data_folder() -> PathBuf {
    PathBuf::from("hookbridge-data")
}

pub fn default_log_file() -> PathBuf {
    default_data_folder().join(LOG_FILE)
}

/// The folder of the default key file: the folder of the log's file, or `data` if the log is in PostgreSQL.
pub fn default_key_folder(database: &DatabaseAddress, data: &Path) -> PathBuf {
    match database {
        DatabaseAddress::File(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        DatabaseAddress::Postgres(_) => data.to_owned(),
    }
}

pub(super) const LOG_FILE: &str = "log.db";

fn read_config(path: &PathBuf) -> Result<ServeFlags, SettingsError> {
    let file_error = |message: String| SettingsError(format!("{}: {message}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| file_error(error.to_string()))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        // The TOML error's own text quotes the line, which may contain a secret, so only its position and parts of its message
        // are used.
        let text_before = error.span().map_or("", |span| &text[..span.start]);
        let line_index = text_before.matches('\n').count();
        // For an unknown field, the message contains no value. For a wrong type, the message quotes the value and is replaced.
        let message = error.message();
        let detail = if message.starts_with("unknown field") {
            message.to_owned()
        } else {
            let setting =
                text.lines().nth(line_index).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
            let setting =
                setting.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            let setting = setting.map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{setting}wrong TOML type")
        };
        file_error(format!("line {}: {detail}", line_index + 1))
    })
}

/// Deserializes a TOML table with a value for each provider into the PROVIDER=VALUE pairs of a flag.
fn deserialize_pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let table = BTreeMap::<String, String>::deserialize(deserializer)?;
    Ok(table.into_iter().map(|(provider, value)| format!("{provider}={value}")).collect())
}

/// A setting of a provider in the file: a text or a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum GenericSetting {
    Text(String),
    Number(i64),
}

/// The provider that the table `[provider.NAME]` describes.
fn generic_provider(
    name: &str,
    settings: &BTreeMap<String, GenericSetting>,
) -> Result<&'static Provider, SettingsError> {
    let is_valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_valid) {
        return Err(SettingsError(format!(
            "provider.{name}: use lower-case letters, digits and hyphens for the name of a provider"
        )));
    }
    if providers::find_provider(name).is_ok() {
        return Err(SettingsError(format!(
            "provider.{name}: hookbridge has this provider; choose another name"
        )));
    }
    let values = settings.iter().map(|(setting, value)| {
        let text = match value {
            GenericSetting::Text(text) => text.clone(),
            GenericSetting::Number(number) => number.to_string(),
        };
        (setting.clone(), text)
    });
    let label = |setting: &str| format!("provider.{name}.{setting}");
    let provider = GenericSettings::new(values.collect(), &label).build(name);
    provider.map_err(|error| SettingsError(error.to_string()))
}

/// Parses the PROVIDER=VALUE pairs of a setting.
fn parse_per_provider(
    setting: &str,
    example: &str,
    pairs: &[String],
    providers: &[&'static Provider],
) -> Result<Vec<(&'static Provider, String)>, SettingsError> {
    let parse_pair = |pair: &String| {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            SettingsError(format!("{setting}: expected PROVIDER=VALUE, for example {example}"))
        })?;
        let provider = providers.iter().copied().find(|provider| provider.name == name);
        let provider = provider.ok_or_else(|| providers::UnknownProvider(name.to_owned()));
        Ok((provider.map_err(|error| SettingsError(format!("{setting}: {error}")))?, value.to_owned()))
    };
    pairs.iter().filter(|pair| !pair.is_empty()).map(parse_pair).collect()
}

fn parse_bus(text: &str) -> Result<BusSetting, SettingsError> {
    match text.split_once(':') {
        None if text == "local" => Ok(BusSetting::Local),
        Some(("eventbridge", name)) if !name.is_empty() => Ok(BusSetting::EventBridge(name.to_owned())),
        _ => Err(SettingsError(format!("bus: invalid value '{text}', expected local or eventbridge:NAME"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn flags_with_config_file(text: &str) -> (tempfile::NamedTempFile, ServeFlags) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let flags = ServeFlags { config: Some(file.path().to_owned()), ..ServeFlags::default() };
        (file, flags)
    }

    #[test]
    fn every_flag_has_an_environment_variable_and_a_file_key() {
        let command = <ServeFlags as clap::Args>::augment_args(clap::Command::new("serve"));
        let is_unknown = |key: &str| {
            // No setting accepts nested lists, so parsing always fails; an unknown key fails with its own message.
            let error = toml::from_str::<ServeFlags>(&format!("{key} = [[[]]]")).err().unwrap();
            error.message().starts_with("unknown field")
        };
        assert!(is_unknown("lisen"));
        let flags: Vec<_> = command.get_arguments().collect();
        assert!(flags.len() > 15);
        for flag in flags {
            let long = flag.get_long().unwrap();
            let variable = format!("HOOKBRIDGE_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(flag.get_env().unwrap().to_str(), Some(variable.as_str()));
            assert!(long == "config" || !is_unknown(long), "{long} is no key of the file");
        }
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let text = "listen = \"127.0.0.1:1\"\nbus = \"eventbridge:orders\"\n[secret]\ngithub = \"a\"\nstripe = \"b\"\n";
        let (_file, flags) = flags_with_config_file(text);
        let listen = Some("127.0.0.1:2".parse().unwrap());
        let settings = ServeFlags { listen, secret: vec!["github=c=d".into()], ..flags }.resolve().unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.bus, BusSetting::EventBridge("orders".into()));
        assert_eq!(settings.secrets["github"], "c=d");
        assert_eq!(settings.secrets["stripe"], "b");
        assert_eq!(settings.concurrency, 256);
    }

    #[test]
    fn errors_never_contain_the_secret() {
        let error_message = |flags: ServeFlags| flags.resolve().err().unwrap().to_string();
        let secret =
            |text: &str| error_message(ServeFlags { secret: vec![text.into()], ..ServeFlags::default() });
        insta::assert_snapshot!(secret("hunter2"), @"secret: expected PROVIDER=VALUE, for example github=...");
        insta::assert_snapshot!(secret("github="), @"secret: the secret of github is empty");
        insta::assert_snapshot!(secret("gitlub=hunter2"), @"secret: unknown provider 'gitlub'; similar names: github, gitlab; `hookbridge providers` lists all");
        insta::assert_snapshot!(error_message(ServeFlags { bus: Some("sqs".into()), ..ServeFlags::default() }), @"bus: invalid value 'sqs', expected local or eventbridge:NAME");
        let (file, flags) =
            flags_with_config_file("listen = \"127.0.0.1:1\"\n[secret]\ngithub = [\"hunter2\"]\n");
        let message = error_message(flags).replace(&file.path().display().to_string(), "FILE");
        insta::assert_snapshot!(message, @"FILE: line 3: github: wrong TOML type");
        let (file, flags) = flags_with_config_file("bus = \"local\"\n\n# once\nfoo = 1\n");
        let message = error_message(flags).replace(&file.path().display().to_string(), "FILE");
        assert!(message.starts_with("FILE: line 4: unknown field `foo`"), "{message}");
        let (_file, flags) = flags_with_config_file("secret = \"github=hunter2\"\n");
        assert!(!error_message(flags).contains("hunter2"));
        let (file, flags) = flags_with_config_file("lisen = 1\n");
        let message = error_message(flags).replace(&file.path().display().to_string(), "FILE");
        assert!(
            message.starts_with("FILE: line 1: unknown field `lisen`, expected one of `listen`"),
            "{message}"
        );
    }
}
