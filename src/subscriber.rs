//! `hookbridge subscriber`: who receives events from us.

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::aws;
use crate::dispatch::{
    Changes, Envelope, Guard, KeySource, LONGEST_OVERLAP, ManageError, Manager, Poster, Scheme, Store,
    Subscriber, view,
};
use crate::log::{AnyLog, LogAddress, OpenLogError};
use crate::output;
use crate::secrets::{Secret, SecretsManager};
use crate::serve::settings::{
    SettingsError, SubscriberFile, SubscriberFlags, default_data, default_log, key_place,
};

/// Manage subscribers.
#[derive(Subcommand)]
pub enum SubscriberCommand {
    /// Make a subscriber, and print the secret that it verifies our signatures with. It is printed once.
    Create(Create),
    /// List the subscribers.
    List(Place),
    /// Show one.
    Show(Named),
    /// Change one; what is not given stays.
    Update(Update),
    /// Pause deliveries; pending events wait for up to seven days.
    Pause(Named),
    /// Resume deliveries, starting with the backlog.
    Resume(Named),
    /// Make a new secret, and print it once. The old one signs too for some time; with the signatures sha256 and sha1, which have
    /// room for one, it alone does until then. What was said of secrets before that ends with it at the latest.
    RotateSecret(Rotate),
    /// Remove one. What it is owed is cancelled; what was tried stays on record.
    Delete(Named),
    /// Send it a ping, and show the answer.
    Test(Named),
    /// Encrypt every secret anew with the first key of the file, after a key was put before the old ones.
    EncryptAgain(Place),
}

/// Where subscribers are kept.
#[derive(Args)]
pub struct Place {
    /// The log's database, where subscribers are kept too: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log())]
    database: PathBuf,
    #[command(flatten)]
    flags: SubscriberFlags,
    /// The secret of a stack with the key that subscribers' secrets are encrypted with, instead of a file.
    #[arg(
        long,
        env = "HOOKBRIDGE_SUBSCRIBER_KEY_ARN",
        value_name = "ARN",
        conflicts_with = "subscriber_key"
    )]
    subscriber_key_arn: Option<String>,
    /// Print JSON lines.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// One subscriber.
#[derive(Args)]
pub struct Named {
    /// Its name.
    name: String,
    #[command(flatten)]
    place: Place,
}

/// What a subscriber wants.
#[derive(Args)]
struct Wants {
    /// A type of events that it receives, `*` standing for any characters; may be given several times [default: every type].
    #[arg(long = "type", value_name = "TYPE", value_parser = one_type)]
    types: Vec<String>,
    /// An EventBridge event pattern that its events must match: {"detail":{"shop":["shop1","shop2"]}}; {} takes it away.
    #[arg(long, value_name = "PATTERN", value_parser = json)]
    filter: Option<Value>,
    /// How it is signed [default: standard].
    #[arg(long, value_name = "SCHEME")]
    signature: Option<Scheme>,
    /// What is sent: the whole event, or its detail as {"body": ...} [default: event].
    #[arg(long, value_name = "FORM")]
    envelope: Option<Envelope>,
    /// How many deliveries are tried at once, at most, from 1 to 1000 [default: 16].
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// How long an answer may take, in seconds, from 1 to 30 [default: 20].
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// After how many hours in which every attempt failed it is paused, up to 8760 [default: 168].
    #[arg(long, value_name = "HOURS")]
    failure_budget: Option<u32>,
}

/// A new subscriber.
#[derive(Args)]
pub struct Create {
    /// What it is known by.
    name: String,
    /// Where it receives: https://HOST/PATH.
    #[arg(long, value_name = "URL")]
    url: String,
    /// A secret that it has already, instead of a new one: for the signatures sha256 and sha1 any text.
    #[arg(long, env = "HOOKBRIDGE_SUBSCRIBER_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    #[command(flatten)]
    wants: Wants,
    #[command(flatten)]
    place: Place,
}

/// What a subscriber is to be.
#[derive(Args)]
pub struct Update {
    /// Its name.
    name: String,
    /// Where it receives.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    wants: Wants,
    /// It receives events of every type.
    #[arg(long, conflicts_with = "types")]
    all_types: bool,
    #[command(flatten)]
    place: Place,
}

/// A new secret.
#[derive(Args)]
pub struct Rotate {
    /// Its name.
    name: String,
    /// For how long the old secret signs too, in hours, at most 168.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=LONGEST_OVERLAP.as_hours()))]
    overlap: u16,
    #[command(flatten)]
    place: Place,
}

/// Why a command about subscribers came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SubscriberError {
    /// There is no database.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// A setting.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no client.
    #[error("no subscriber can be sent to")]
    Client(#[from] reqwest::Error),
    /// It was not done.
    #[error(transparent)]
    Manage(#[from] ManageError),
    /// The secret was not printed.
    #[error(
        "the secret of {0} was made and could not be printed; hookbridge subscriber rotate-secret {0} makes another"
    )]
    NotShown(String),
    /// The ping came to nothing.
    #[error("the ping was not taken by {0}")]
    NotTaken(String),
}

impl Place {
    async fn manager(&self) -> Result<Manager<AnyLog>, SubscriberError> {
        let address: LogAddress = self.database.to_string_lossy().parse().map_err(OpenLogError::from)?;
        let place = key_place(&address, &default_data());
        let subscribing = self.flags.clone().settle(SubscriberFile::default(), &place)?;
        let (log, _) = AnyLog::open_existing(&self.database, 2).await?;
        let keys = match &self.subscriber_key_arn {
            Some(arn) => KeySource::secret(SecretsManager::new(&aws::command_config().await, arn.clone())),
            None => KeySource::File(subscribing.key),
        };
        Ok(Manager {
            store: Store::new(log),
            keys,
            poster: Poster::new(Guard::new(subscribing.allowed))?,
            clock: Arc::new(Timestamp::now),
        })
    }

    /// Says what was done, for a program or for a person.
    fn say(&self, done: &Value, to_a_person: &str) {
        if self.json {
            output::line(&done.to_string());
        } else {
            output::complain(to_a_person);
        }
    }

    /// Prints what there is to see, the same way.
    fn print(&self, shown: &Value) {
        if self.json {
            output::line(&shown.to_string());
        } else {
            output::line(&text(shown));
        }
    }
}

impl Wants {
    fn changes(self, url: Option<String>) -> Changes {
        let Self { types, filter, signature, envelope, limit, timeout, failure_budget } = self;
        let types = Some(types).filter(|types| !types.is_empty());
        Changes { url, types, filter, signature, envelope, limit, timeout, failure_budget }
    }
}

impl SubscriberCommand {
    /// Does it, and shows what came of it.
    ///
    /// # Errors
    /// [`SubscriberError`].
    pub async fn run(self) -> Result<(), SubscriberError> {
        let shown_of = |subscriber: &Subscriber| view::subscriber(subscriber, Timestamp::now());
        match self {
            Self::Create(Create { name, url, secret, wants, place }) => {
                let given = secret.map(Secret::new);
                let is_given = given.is_some();
                let (made, secret) =
                    place.manager().await?.create(&name, wants.changes(Some(url)), given).await?;
                let mut shown = shown_of(&made);
                if !is_given {
                    shown["secret"] = String::from_utf8_lossy(secret.expose()).into();
                }
                place.print(&shown);
                if !is_given && output::has_failed() {
                    return Err(SubscriberError::NotShown(name));
                }
            }
            Self::List(place) => {
                let subscribers = place.manager().await?.store.subscribers(None).await;
                for subscriber in subscribers.map_err(ManageError::from)? {
                    place.print(&shown_of(&subscriber));
                }
            }
            Self::Show(Named { name, place }) => {
                place.print(&shown_of(&place.manager().await?.find(&name).await?));
            }
            Self::Update(Update { name, url, wants, all_types, place }) => {
                let mut changes = wants.changes(url);
                if all_types {
                    changes.types = Some(Vec::new());
                }
                let updated = place.manager().await?.update(&name, changes).await?;
                place.print(&shown_of(&updated));
            }
            Self::Pause(Named { name, place }) => {
                place.print(&shown_of(&place.manager().await?.pause(&name).await?));
            }
            Self::Resume(Named { name, place }) => {
                place.print(&shown_of(&place.manager().await?.resume(&name).await?));
            }
            Self::RotateSecret(Rotate { name, overlap, place }) => {
                let overlap = SignedDuration::from_hours(overlap.into());
                let manager = place.manager().await?;
                let secret = manager.rotate(&name, overlap).await?;
                let mut shown = shown_of(&manager.find(&name).await?);
                shown["secret"] = String::from_utf8_lossy(secret.expose()).into();
                place.print(&shown);
                if output::has_failed() {
                    return Err(SubscriberError::NotShown(name));
                }
            }
            Self::Delete(Named { name, place }) => {
                place.manager().await?.remove(&name).await?;
                let done = json!({"object": "done", "subscriber": name});
                place.say(&done, &format!("{name} is deleted, and what waited for it is cancelled"));
            }
            Self::Test(Named { name, place }) => {
                let tried = place.manager().await?.test(&name).await?;
                place.print(&view::test(&tried));
                if !tried.is_good() {
                    return Err(SubscriberError::NotTaken(name));
                }
            }
            Self::EncryptAgain(place) => {
                let done = place.manager().await?.encrypt_again().await?;
                let said = format!("secrets that were encrypted with another key: {done}");
                place.say(&json!({"object": "done", "secrets": done}), &said);
            }
        }
        Ok(())
    }
}

fn one_type(text: &str) -> Result<String, String> {
    if text.contains(',') {
        let filter = json!({"detail-type": [text]});
        return Err(format!(
            "one type each: --type A --type B; for a type with a comma: --filter '{filter}'"
        ));
    }
    Ok(text.to_owned())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// For a person: a line for each field that says something, the name first.
pub(crate) fn text(shown: &Value) -> String {
    let mut lines = Vec::new();
    let mut fields: Vec<_> = shown.as_object().into_iter().flatten().collect();
    fields.sort_by_key(|(name, _)| !matches!(name.as_str(), "name" | "id" | "number"));
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => {
                // Further lines stand under the first: they are no fields.
                let text = harmless(text).replace('\n', &format!("\n{:17}", ""));
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

/// Whether a character changes the direction in which others are shown. Source: Unicode Standard Annex 9, 2.
fn turns_around(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes control characters in untrusted text.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && char != '\n' && char != '\t' || turns_around(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_said_looks_like_no_field_of_ours() {
        let shown = json!({
            "object": "test", "status": 500, "error": null, "answer": "no\nstatus 200\n\u{1b}[2J\u{202e}",
        });
        assert_eq!(
            text(&shown),
            "answer           no\n                 status 200\n                 \\u{1b}[2J\\u{202e}\nstatus           500\n"
        );
    }
}
