//! Configuration of `hookbridge serve`: flags, then environment, then TOML file.

mod dispatch;
mod listen;
mod polls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use serde::Deserialize;

pub use dispatch::{SubscriberFile, SubscriberFlags, Subscribing};
pub use listen::{DEFAULT_LISTEN, Listen, NotAnAddress};
pub use polls::Polls;
use polls::{PollFile, PollFlags};

use crate::archive::ArchiveUrl;
use crate::bridge::{DEFAULT_MAX_ENTRY_BYTES, parse_max_entry_bytes};
use crate::log::LogAddress;
use crate::providers::{self, Provider, PublicUrl};
use crate::secrets::Secret;

/// Receive webhooks on this machine: check each signature, append each event to a file, show what happens.
///
/// With nothing set it listens on 127.0.0.1:8787, makes a development secret for every provider, and says how
/// to send a first webhook.
#[derive(clap::Args, Default)]
pub struct Flags {
    /// A TOML file with the same settings: `listen = "..."`, and so on; secrets as `[secret]` `github = "..."`.
    #[arg(long, env = "HOOKBRIDGE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8787].
    #[arg(long, env = "HOOKBRIDGE_LISTEN", value_name = "ADDRESS")]
    listen: Option<Listen>,
    /// Folder for events, batches and development secrets [default: hookbridge-data].
    #[arg(long, env = "HOOKBRIDGE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The secret that a provider signs with, instead of a development secret; for each provider one, the last, in the
    /// environment one a line.
    #[arg(
        long,
        env = "HOOKBRIDGE_SECRET",
        hide_env_values = true,
        value_name = "PROVIDER=VALUE",
        value_delimiter = '\n'
    )]
    secret: Vec<String>,
    /// Where events go: `local` (a file in the data folder) or `eventbridge:NAME` [default: local].
    #[arg(long, env = "HOOKBRIDGE_BUS", value_name = "BUS")]
    bus: Option<String>,
    /// Where batches are kept: a folder, or `s3://BUCKET/PREFIX` [default: archive, in the data folder].
    #[arg(long, env = "HOOKBRIDGE_ARCHIVE", value_name = "URL")]
    archive: Option<String>,
    /// The log of what is in the batches: a file, or `postgres://USER:PASSWORD@HOST/DATABASE` [default: log.db, in the
    /// data folder].
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// API token required to read the log; without one, only local requests are accepted.
    #[arg(long, env = "HOOKBRIDGE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    poll: PollFlags,
    #[command(flatten)]
    subscribers: SubscriberFlags,
    /// The URL of a tunnel or proxy in front, as providers that sign URLs see it.
    #[arg(long, env = "HOOKBRIDGE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// The largest event that is taken, in bytes, as EventBridge counts them [default: 262144].
    #[arg(long, env = "HOOKBRIDGE_MAX_ENTRY_BYTES", value_name = "BYTES")]
    max_entry_bytes: Option<usize>,
    /// How many webhooks may be in hand at once; one more is answered 429 [default: 256].
    #[arg(long, env = "HOOKBRIDGE_CONCURRENCY", value_name = "NUMBER")]
    concurrency: Option<usize>,
    /// Also send itself a signed webhook of every provider, and a forged one, and show what becomes of them.
    #[arg(long, env = "HOOKBRIDGE_DEMO", value_parser = FalseyValueParser::new())]
    demo: bool,
    /// Print JSON lines.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Print nothing about single webhooks.
    #[arg(long, env = "HOOKBRIDGE_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,
}

/// The TOML file: the same settings under the flags' names.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    listen: Option<Listen>,
    data: Option<PathBuf>,
    secret: BTreeMap<String, String>,
    bus: Option<String>,
    archive: Option<String>,
    database: Option<String>,
    token: Option<String>,
    poll: BTreeMap<String, String>,
    poll_url: BTreeMap<String, String>,
    poll_types: BTreeMap<String, String>,
    poll_delay: Option<u32>,
    poll_back: Option<u32>,
    allow_to: Vec<String>,
    subscriber_key: Option<PathBuf>,
    public_url: Option<String>,
    max_entry_bytes: Option<usize>,
    concurrency: Option<usize>,
    demo: bool,
    json: bool,
    quiet: bool,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusSetting {
    /// A file in the data folder.
    Local,
    /// The EventBridge bus of this name or ARN.
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

/// The settings of a server, whole and checked.
pub struct Settings {
    /// Address and port.
    pub listen: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    /// Secrets by provider.
    pub secrets: BTreeMap<&'static str, String>,
    /// Where events go.
    pub bus: BusSetting,
    /// Where batches are kept.
    pub archive: ArchiveUrl,
    /// Where the log is.
    pub database: LogAddress,
    /// The token of whoever searches the log.
    pub token: Option<String>,
    /// The providers that are asked for their events.
    pub polls: Polls,
    /// What is set about subscribers.
    pub subscribing: Subscribing,
    /// What stands in front.
    pub public_url: Option<PublicUrl>,
    /// The largest entry.
    pub max_entry_bytes: usize,
    /// Webhooks in hand at once.
    pub concurrency: usize,
    /// Whether to run the demo.
    pub demo: bool,
    /// Whether to print JSON lines.
    pub json: bool,
    /// Whether to print nothing about single webhooks.
    pub quiet: bool,
}

/// A setting that cannot be. It never shows a secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SettingsError(String);

impl Flags {
    /// Puts flags, environment and file together.
    ///
    /// # Errors
    /// The first setting that cannot be, and what it should be.
    pub fn settle(self) -> Result<Settings, SettingsError> {
        let file = self.config.as_ref().map_or_else(|| Ok(File::default()), read)?;
        let max_entry_bytes =
            self.max_entry_bytes.or(file.max_entry_bytes).unwrap_or(DEFAULT_MAX_ENTRY_BYTES);
        parse_max_entry_bytes(&max_entry_bytes.to_string())
            .map_err(|problem| SettingsError(format!("max-entry-bytes: {problem}")))?;
        let concurrency = self.concurrency.or(file.concurrency).unwrap_or(256);
        if concurrency == 0 || concurrency > 65_536 {
            return Err(SettingsError(format!("concurrency: {concurrency} is not from 1 to 65536")));
        }
        let mut secrets = BTreeMap::new();
        for (provider, value) in by_provider("secret", "github=...", file.secret, self.secret)? {
            if Secret::new(value.as_str()).is_empty() {
                return Err(SettingsError(format!("secret: the secret of {} is empty", provider.name)));
            }
            secrets.insert(provider.name, value);
        }
        let polls = self.poll.settle(PollFile {
            keys: file.poll,
            urls: file.poll_url,
            types: file.poll_types,
            delay: file.poll_delay,
            back: file.poll_back,
        })?;
        let data = self.data.or(file.data).unwrap_or_else(default_data);
        let archive = match self.archive.or(file.archive).filter(|url| !url.is_empty()) {
            Some(url) => url.parse().map_err(|error| SettingsError(format!("archive: {error}")))?,
            None => ArchiveUrl::Folder(data.join("archive")),
        };
        let database = match self.database.or(file.database).filter(|url| !url.is_empty()) {
            Some(url) => url.parse().map_err(|error| SettingsError(format!("database: {error}")))?,
            None => LogAddress::File(data.join(LOG)),
        };
        let of_file = SubscriberFile { allow_to: file.allow_to, key: file.subscriber_key };
        let subscribing = self.subscribers.settle(of_file, &key_place(&database, &data))?;
        let listen = self.listen.or(file.listen).map_or(DEFAULT_LISTEN, |listen| listen.0);
        let token = self.token.or(file.token).filter(|token| !token.is_empty());
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(SettingsError(format!(
                "listen: {listen} can be reached from other machines, and the log holds addresses of people: set a token for whoever searches it, for example with --token \"$(openssl rand -hex 32)\""
            )));
        }
        Ok(Settings {
            listen,
            database,
            token,
            polls,
            subscribing,
            data,
            archive,
            secrets,
            bus: bus(self.bus.or(file.bus).as_deref().unwrap_or("local"))?,
            public_url: match self.public_url.or(file.public_url).filter(|url| !url.is_empty()) {
                Some(url) => {
                    Some(url.parse().map_err(|e| SettingsError(format!("public-url: '{url}': {e}")))?)
                }
                None => None,
            },
            max_entry_bytes,
            concurrency,
            demo: self.demo || file.demo,
            json: self.json || file.json,
            quiet: self.quiet || file.quiet,
        })
    }
}

/// Where data is kept when nothing else is said: a folder of the current one.
pub fn default_data() -> PathBuf {
    PathBuf::from("hookbridge-data")
}

/// Where the log is when nothing else is said.
pub fn default_log() -> PathBuf {
    default_data().join(LOG)
}

/// The folder of the key of subscribers' secrets, when none is named: the log's, where that is a file.
pub fn key_place(database: &LogAddress, data: &Path) -> PathBuf {
    match database {
        LogAddress::File(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
        LogAddress::Postgres(_) => data.to_owned(),
    }
}

/// The log's name in the data folder.
pub(super) const LOG: &str = "log.db";

fn read(path: &PathBuf) -> Result<File, SettingsError> {
    let failed = |why: String| SettingsError(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        // Not the error's own text, which quotes the line, and the line may hold a secret.
        let before = error.span().map_or("", |span| &text[..span.start]);
        let line = before.matches('\n').count();
        // And of its message only the part that names a setting: a wrong type is shown with its value.
        let message = error.message();
        let what = if message.starts_with("unknown field") {
            message.to_owned()
        } else {
            let setting =
                text.lines().nth(line).and_then(|line| line.split_once('=')).map(|(name, _)| name.trim());
            let setting =
                setting.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            let setting = setting.map(|name| format!("{name}: ")).unwrap_or_default();
            format!("{setting}not the TOML this setting needs")
        };
        failed(format!("line {}: {what}", line + 1))
    })
}

/// What is said of single providers: what the file says, then the flags, which count more.
fn by_provider(
    setting: &str,
    example: &str,
    file: BTreeMap<String, String>,
    flags: Vec<String>,
) -> Result<Vec<(&'static Provider, String)>, SettingsError> {
    let mut pairs: Vec<(String, String)> = file.into_iter().collect();
    for pair in flags.into_iter().filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            SettingsError(format!("{setting}: it is written PROVIDER=VALUE, for example {example}"))
        })?;
        pairs.push((name.to_owned(), value.to_owned()));
    }
    let found = |(name, value): (String, String)| {
        let provider = providers::find(&name);
        Ok((provider.map_err(|error| SettingsError(format!("{setting}: {error}")))?, value))
    };
    pairs.into_iter().map(found).collect()
}

fn bus(text: &str) -> Result<BusSetting, SettingsError> {
    match text.split_once(':') {
        None if text == "local" => Ok(BusSetting::Local),
        Some(("eventbridge", name)) if !name.is_empty() => Ok(BusSetting::EventBridge(name.to_owned())),
        _ => Err(SettingsError(format!("bus: '{text}' is neither local nor eventbridge:NAME"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn config(text: &str) -> (tempfile::NamedTempFile, Flags) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let flags = Flags { config: Some(file.path().to_owned()), ..Flags::default() };
        (file, flags)
    }

    #[test]
    fn every_flag_has_its_environment_variable_and_its_key_in_the_file() {
        let command = <Flags as clap::Args>::augment_args(clap::Command::new("serve"));
        let is_unknown = |key: &str| {
            // No setting is a list of lists.
            let error = toml::from_str::<File>(&format!("{key} = [[[]]]")).err().unwrap();
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
    fn a_flag_comes_before_the_file_and_the_file_before_the_default() {
        let text = "listen = \"127.0.0.1:1\"\nbus = \"eventbridge:orders\"\n[secret]\ngithub = \"a\"\nstripe = \"b\"\n";
        let (_file, flags) = config(text);
        let listen = Some("127.0.0.1:2".parse().unwrap());
        let settings = Flags { listen, secret: vec!["github=c=d".into()], ..flags }.settle().unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.bus, BusSetting::EventBridge("orders".into()));
        assert_eq!(settings.secrets["github"], "c=d");
        assert_eq!(settings.secrets["stripe"], "b");
        assert_eq!(settings.concurrency, 256);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let why = |flags: Flags| flags.settle().err().unwrap().to_string();
        let secret = |text: &str| why(Flags { secret: vec![text.into()], ..Flags::default() });
        insta::assert_snapshot!(secret("hunter2"), @"secret: it is written PROVIDER=VALUE, for example github=...");
        insta::assert_snapshot!(secret("github="), @"secret: the secret of github is empty");
        insta::assert_snapshot!(secret("gitlub=hunter2"), @"secret: unknown provider 'gitlub'; the providers are: github, sparkpost, stripe, twilio");
        insta::assert_snapshot!(why(Flags { bus: Some("sqs".into()), ..Flags::default() }), @"bus: 'sqs' is neither local nor eventbridge:NAME");
        let (file, flags) = config("listen = \"127.0.0.1:1\"\n[secret]\ngithub = [\"hunter2\"]\n");
        let said = why(flags).replace(&file.path().display().to_string(), "FILE");
        insta::assert_snapshot!(said, @"FILE: line 3: github: not the TOML this setting needs");
        let (file, flags) = config("bus = \"local\"\n\n# once\nfoo = 1\n");
        let said = why(flags).replace(&file.path().display().to_string(), "FILE");
        assert!(said.starts_with("FILE: line 4: unknown field `foo`"), "{said}");
        let (_file, flags) = config("secret = \"github=hunter2\"\n");
        assert!(!why(flags).contains("hunter2"));
        let (file, flags) = config("lisen = 1\n");
        let said = why(flags).replace(&file.path().display().to_string(), "FILE");
        assert!(said.starts_with("FILE: line 1: unknown field `lisen`, expected one of `listen`"), "{said}");
    }
}
