//! `hookbridge subscriber`: manages subscribers.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::aws;
use crate::cli::completions;
use crate::cli::table::Table;
use crate::db::{Database, DatabaseAddress, OpenDatabaseError};
use crate::delivery::{
    DeliveryClient, DeliverySignature, DeliveryStore, Envelope, KeySource, MAX_OVERLAP, SsrfGuard,
    Subscriber, SubscriberService, SubscriberServiceError, SubscriberUpdate, view,
};
use crate::secrets::{Secret, SecretsManager};
use crate::serve::config::{
    SettingsError, SubscriberFlags, default_data_folder, default_key_folder, default_log_file,
};
use crate::util::output;

/// Manage subscribers
#[derive(Subcommand)]
pub enum SubscriberCommand {
    /// Create a subscriber and print its signing secret, once
    Create(CreateArgs),
    /// List subscribers
    List(StoreArgs),
    /// Show a subscriber
    Show(NameArgs),
    /// Change a subscriber; options that are not given keep their value
    Update(UpdateArgs),
    /// Pause deliveries; pending events wait for up to seven days
    Pause(NameArgs),
    /// Resume deliveries, starting with the backlog
    Resume(NameArgs),
    /// Create a new signing secret and print it, once
    ///
    /// The previous secret keeps signing for the overlap. The signatures sha256 and sha1 have room for one signature: they use
    /// the previous secret alone until the overlap ends. An earlier overlap ends with this one at the latest.
    RotateSecret(RotateSecretArgs),
    /// Delete a subscriber; its pending deliveries are cancelled, its attempts stay recorded
    Delete(NameArgs),
    /// Send a ping and show the response
    Test(NameArgs),
    /// Re-encrypt all secrets with the first key of the key file, after you put a new key first
    EncryptAgain(StoreArgs),
}

#[derive(Args)]
pub struct StoreArgs {
    /// Database with the subscribers: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log_file())]
    database: PathBuf,
    #[command(flatten)]
    flags: SubscriberFlags,
    /// ARN of the secret with a stack's encryption key, instead of a key file
    #[arg(
        long,
        env = "HOOKBRIDGE_SUBSCRIBER_KEY_ARN",
        value_name = "ARN",
        conflicts_with = "subscriber_key"
    )]
    subscriber_key_arn: Option<String>,
    /// Print JSON lines
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Args)]
pub struct NameArgs {
    /// Name of the subscriber
    #[arg(add = completions::subscriber_names())]
    name: String,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct SettingsArgs {
    /// Event type to receive, with `*` for any characters; repeat for several [default: every type]
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_type)]
    types: Vec<String>,
    /// EventBridge event pattern that events must match: {"detail":{"shop":["shop1","shop2"]}}; {} removes it
    #[arg(long, value_name = "PATTERN", value_parser = parse_json)]
    filter: Option<Value>,
    /// Signature scheme [default: standard]
    #[arg(long, value_name = "SCHEME")]
    signature: Option<DeliverySignature>,
    /// Form of the request body: the whole event, or its detail as {"body": ...} [default: event]
    #[arg(long, value_name = "FORM")]
    envelope: Option<Envelope>,
    /// Maximum number of concurrent attempts, from 1 to 1000 [default: 16]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// Seconds to wait for a response, from 1 to 30 [default: 20]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Hours of consecutive failure before the subscriber is paused, up to 8760 [default: 168]
    #[arg(long, value_name = "HOURS")]
    failure_budget: Option<u32>,
}

#[derive(Args)]
pub struct CreateArgs {
    /// Name of the subscriber
    name: String,
    /// URL that receives the events: https://HOST/PATH
    #[arg(long, value_name = "URL")]
    url: String,
    /// Secret that the receiver already has, instead of a new one; any text for the signatures sha256 and sha1
    #[arg(long, env = "HOOKBRIDGE_SUBSCRIBER_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
pub struct UpdateArgs {
    /// Name of the subscriber
    #[arg(add = completions::subscriber_names())]
    name: String,
    /// URL that receives the events
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Receive events of every type
    #[arg(long, conflicts_with = "types")]
    all_types: bool,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
pub struct RotateSecretArgs {
    /// Name of the subscriber
    #[arg(add = completions::subscriber_names())]
    name: String,
    /// Hours for which the previous secret keeps signing, at most 168
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=MAX_OVERLAP.as_hours()))]
    overlap: u16,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Debug, thiserror::Error)]
pub enum SubscriberCommandError {
    #[error(transparent)]
    Log(#[from] OpenDatabaseError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot create the HTTP client")]
    Client(#[from] std::io::Error),
    #[error(transparent)]
    Service(#[from] SubscriberServiceError),
    #[error(
        "the new secret of {0} could not be printed; create another with: hookbridge subscriber rotate-secret {0}"
    )]
    SecretNotPrinted(String),
    #[error("{0} did not accept the ping")]
    PingRejected(String),
}

impl StoreArgs {
    async fn open_service(&self) -> Result<SubscriberService, SubscriberCommandError> {
        let address: DatabaseAddress =
            self.database.to_string_lossy().parse().map_err(OpenDatabaseError::from)?;
        let key_folder = default_key_folder(&address, &default_data_folder());
        let settings = self.flags.clone().resolve(&key_folder)?;
        let (db, _) = Database::open_existing(&self.database, 2).await?;
        let keys = match &self.subscriber_key_arn {
            Some(arn) => KeySource::from_secrets_manager(SecretsManager::new(
                &aws::command_config().await,
                arn.clone(),
            )),
            None => KeySource::File(settings.key_file),
        };
        Ok(SubscriberService {
            store: DeliveryStore::new(db),
            keys,
            client: DeliveryClient::new(SsrfGuard::new(settings.allowed_networks))?,
            clock: Arc::new(Timestamp::now),
        })
    }

    /// Prints `object` with --json, otherwise `message`.
    fn print_result(&self, object: &Value, message: &str) {
        if self.json {
            output::print_line(&object.to_string());
        } else {
            output::print_error(message);
        }
    }

    fn print_object(&self, object: &Value) {
        if self.json {
            output::print_line(&object.to_string());
        } else {
            output::print_line(&format_fields(object));
        }
    }
}

impl SettingsArgs {
    fn into_update(self, url: Option<String>) -> SubscriberUpdate {
        let Self { types, filter, signature, envelope, limit, timeout, failure_budget } = self;
        let types = Some(types).filter(|types| !types.is_empty());
        SubscriberUpdate { url, types, filter, signature, envelope, limit, timeout, failure_budget }
    }
}

impl SubscriberCommand {
    /// Runs the command and prints its result.
    pub async fn run(self) -> Result<(), SubscriberCommandError> {
        let to_json = |subscriber: &Subscriber| view::subscriber_json(subscriber, Timestamp::now());
        match self {
            Self::Create(CreateArgs { name, url, secret, settings, store }) => {
                let existing_secret = secret.map(Secret::new);
                let is_new_secret = existing_secret.is_none();
                let update = settings.into_update(Some(url));
                let (created, secret) =
                    store.open_service().await?.create(&name, update, existing_secret).await?;
                let mut object = to_json(&created);
                if is_new_secret {
                    object["secret"] = String::from_utf8_lossy(secret.expose()).into();
                }
                store.print_object(&object);
                if is_new_secret && output::output_failed() {
                    return Err(SubscriberCommandError::SecretNotPrinted(name));
                }
            }
            Self::List(store) => {
                let subscribers = store.open_service().await?.store.subscribers.list(None).await;
                let mut table = Table::new(["NAME", "STATE", "FAILURES", "TYPES", "URL"]);
                for subscriber in subscribers.map_err(SubscriberServiceError::from)? {
                    if store.json {
                        output::print_line(&to_json(&subscriber).to_string());
                    } else {
                        table.add_row(subscriber_row(&subscriber));
                    }
                }
                table.print();
            }
            Self::Show(NameArgs { name, store }) => {
                store.print_object(&to_json(&store.open_service().await?.find(&name).await?));
            }
            Self::Update(UpdateArgs { name, url, settings, all_types, store }) => {
                let mut update = settings.into_update(url);
                if all_types {
                    update.types = Some(Vec::new());
                }
                let updated = store.open_service().await?.update(&name, update).await?;
                store.print_object(&to_json(&updated));
            }
            Self::Pause(NameArgs { name, store }) => {
                store.print_object(&to_json(&store.open_service().await?.pause(&name).await?));
            }
            Self::Resume(NameArgs { name, store }) => {
                store.print_object(&to_json(&store.open_service().await?.resume(&name).await?));
            }
            Self::RotateSecret(RotateSecretArgs { name, overlap, store }) => {
                let overlap = SignedDuration::from_hours(overlap.into());
                let service = store.open_service().await?;
                let secret = service.rotate_secret(&name, overlap).await?;
                let mut object = to_json(&service.find(&name).await?);
                object["secret"] = String::from_utf8_lossy(secret.expose()).into();
                store.print_object(&object);
                if output::output_failed() {
                    return Err(SubscriberCommandError::SecretNotPrinted(name));
                }
            }
            Self::Delete(NameArgs { name, store }) => {
                store.open_service().await?.delete(&name).await?;
                let result = json!({"object": "done", "subscriber": name});
                store.print_result(
                    &result,
                    &format!("{name} is deleted, and its pending deliveries are cancelled"),
                );
            }
            Self::Test(NameArgs { name, store }) => {
                let attempt = store.open_service().await?.send_ping(&name).await?;
                store.print_object(&view::ping_json(&attempt));
                if !attempt.is_success() {
                    return Err(SubscriberCommandError::PingRejected(name));
                }
            }
            Self::EncryptAgain(store) => {
                let count = store.open_service().await?.reencrypt_secrets().await?;
                let message = format!("secrets re-encrypted: {count}");
                store.print_result(&json!({"object": "done", "secrets": count}), &message);
            }
        }
        Ok(())
    }
}

/// The texts of a subscriber in the list.
fn subscriber_row(subscriber: &Subscriber) -> [String; 5] {
    let state = match &subscriber.paused {
        None => "active".to_owned(),
        Some(pause) => match pause.reason {
            Some(reason) => format!("paused: {}", reason.as_str()),
            None => "paused".to_owned(),
        },
    };
    let types = &subscriber.settings.types;
    let types = if types.is_empty() { "every type".to_owned() } else { types.join(", ") };
    let failures = subscriber.health.failures.to_string();
    [subscriber.name.clone(), state, failures, types, subscriber.url.clone()]
}

fn parse_type(text: &str) -> Result<String, String> {
    if text.contains(',') {
        let filter = json!({"detail-type": [text]});
        return Err(format!(
            "repeat the option for several types (--type A --type B); for a type with a comma use --filter '{filter}'"
        ));
    }
    Ok(text.to_owned())
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// Formats a JSON object as one line for each field that has a value. The field `name`, `id` or `number` comes first, and the
/// field `object` is left out.
pub(crate) fn format_fields(object: &Value) -> String {
    let mut lines = Vec::new();
    let mut fields: Vec<_> = object.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| !matches!(name.as_str(), "name" | "id" | "number"));
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => {
                // Indent the second and further lines of a text, so that they do not look like fields.
                let text = escape_control_characters(text).replace('\n', &format!("\n{:17}", ""));
                lines.push(format!("{name:<16} {text}"));
            }
            Value::Object(fields) => {
                lines.extend(fields.iter().map(|(name, value)| format!("{name:<16} {value}")));
            }
            other => lines.push(format!("{name:<16} {other}")),
        }
    }
    lines.retain(|line| !line.starts_with("object "));
    lines.push(String::new());
    lines.join("\n")
}

/// Whether a character changes the direction of text. Source: Unicode Standard Annex 9, section 2.
fn is_bidi_control(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes control characters, except line feeds and tabs, and characters that change the direction of text, so that
/// untrusted text cannot manipulate the terminal.
pub(super) fn escape_control_characters(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' && char != '\t' || is_bidi_control(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_imitate_a_field() {
        let object = json!({
            "object": "test", "status": 500, "error": null, "answer": "no\nstatus 200\n\u{1b}[2J\u{202e}",
        });
        assert_eq!(
            format_fields(&object),
            "answer           no\n                 status 200\n                 \\u{1b}[2J\\u{202e}\nstatus           500\n"
        );
    }
}
