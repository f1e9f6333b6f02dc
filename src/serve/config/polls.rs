//! Settings of the pollers, which find missed webhooks in the providers' event lists.

use std::collections::BTreeMap;

use super::{ServeFlags, SettingsError, parse_per_provider};
use crate::poller::redelivery::Hook;
use crate::poller::{BaseUrl, is_valid_api_key, parse_event_types};
use crate::providers;
use crate::secrets::Secret;

/// The provider whose failed deliveries are requested again.
pub const GITHUB: &str = "github";
/// The start of the private key of a GitHub App.
const PEM_START: &[u8] = b"-----BEGIN";
/// The maximum of `poll-delay`: one day.
const MAX_DELAY_SECONDS: u32 = 86_400;
/// The maximum of `poll-back`: the longest time for which any provider keeps its events.
const MAX_BACK_DAYS: u32 = 30;

pub struct PollSettings {
    /// The API keys, by the name of the provider.
    pub keys: BTreeMap<&'static str, Secret>,
    /// The webhooks at GitHub whose failed deliveries are requested again.
    pub hooks: Vec<Hook>,
    /// The base URLs of APIs, by provider, where they differ from the provider's default.
    pub urls: BTreeMap<&'static str, BaseUrl>,
    /// The event types to poll for, by provider; all types for a provider without an entry.
    pub types: BTreeMap<&'static str, Vec<String>>,
    /// How long to wait for a webhook before its event counts as missed.
    pub delay_seconds: u32,
    /// The number of past days that the first poll covers.
    pub back_days: u32,
}

impl PollSettings {
    pub(super) fn from_flags(flags: &ServeFlags) -> Result<Self, SettingsError> {
        let mut keys = BTreeMap::new();
        for (provider, key) in
            parse_per_provider("poll", "stripe=...", &join_keys(&flags.poll), &providers::PROVIDERS)?
        {
            if provider.polling.is_none() && provider.name != GITHUB {
                let is_pollable =
                    |provider: &&providers::Provider| provider.polling.is_some() || provider.name == GITHUB;
                let pollable: Vec<_> =
                    providers::PROVIDERS.into_iter().filter(is_pollable).map(|p| p.name).collect();
                return Err(SettingsError(format!(
                    "poll: {} has no event list to poll; providers with one: {}",
                    provider.name,
                    pollable.join(", ")
                )));
            }
            let key = Secret::new(key);
            // The key of a GitHub App has several lines.
            let is_private_key = provider.name == GITHUB && key.expose().starts_with(PEM_START);
            if !is_valid_api_key(&key) && !is_private_key {
                return Err(SettingsError(format!(
                    "poll: the API key of {} is empty or contains a space or control character",
                    provider.name
                )));
            }
            keys.insert(provider.name, key);
        }
        let mut urls = BTreeMap::new();
        for (provider, url) in
            parse_per_provider("poll-url", "stripe=https://...", &flags.poll_url, &providers::PROVIDERS)?
        {
            // The error does not contain the value, because an API key may have been entered in place of the URL.
            let url_error = |error| SettingsError(format!("poll-url: {}: {error}", provider.name));
            urls.insert(provider.name, url.parse().map_err(url_error)?);
        }
        let mut types = BTreeMap::new();
        for (provider, list) in parse_per_provider(
            "poll-types",
            "stripe=invoice.paid,...",
            &flags.poll_types,
            &providers::PROVIDERS,
        )? {
            types.insert(provider.name, parse_event_types(&list));
        }
        if let Some(name) = urls.keys().chain(types.keys()).find(|name| !keys.contains_key(*name)) {
            return Err(SettingsError(format!(
                "poll: no API key for {name}, so its other poll settings have no effect"
            )));
        }
        let hook_error = |error| SettingsError(format!("poll-hook: {error}"));
        let hooks = flags.poll_hook.iter().filter(|text| !text.is_empty());
        let hooks: Vec<Hook> =
            hooks.map(|text| text.parse().map_err(hook_error)).collect::<Result<_, _>>()?;
        if keys.contains_key(GITHUB) == hooks.is_empty() {
            return Err(SettingsError(
                "poll: GitHub needs both a token (--poll github=TOKEN) and a webhook (--poll-hook repos/OWNER/NAME/hooks/ID)"
                    .into(),
            ));
        }
        let has_private_key = keys.get(GITHUB).is_some_and(|key| key.expose().starts_with(PEM_START));
        if let Some(hook) = hooks.iter().find(|hook| matches!(hook, Hook::App { .. }) != has_private_key) {
            return Err(SettingsError(format!(
                "poll-hook: {hook} needs {}; run a second server for other webhooks",
                if has_private_key {
                    "a token instead of a private key"
                } else {
                    "the private key of the GitHub App"
                }
            )));
        }
        let delay = flags.poll_delay.unwrap_or(300);
        let back = flags.poll_back.unwrap_or(0);
        if delay > MAX_DELAY_SECONDS || back > MAX_BACK_DAYS {
            return Err(SettingsError(format!(
                "poll-delay must be at most {MAX_DELAY_SECONDS} seconds, poll-back at most {MAX_BACK_DAYS} days"
            )));
        }
        Ok(Self { keys, hooks, urls, types, delay_seconds: delay, back_days: back })
    }
}

/// Joins the lines of private keys, which were separated like the lines with the keys of several providers.
fn join_keys(lines: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for line in lines {
        match keys.last_mut() {
            Some(key) if key.contains("-----BEGIN") && !key.contains("-----END") => {
                key.push('\n');
                key.push_str(line);
            }
            _ => keys.push(line.clone()),
        }
    }
    keys
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn error_message(flags: &ServeFlags) -> String {
        PollSettings::from_flags(flags).err().unwrap().to_string()
    }

    #[test]
    fn errors_never_contain_the_api_key() {
        let poll =
            |text: &str| error_message(&ServeFlags { poll: vec![text.into()], ..ServeFlags::default() });
        insta::assert_snapshot!(poll("slack=hunter2"), @"poll: slack has no event list to poll; providers with one: github, sparkpost, stripe");
        insta::assert_snapshot!(poll("github=hunter2"), @"poll: GitHub needs both a token (--poll github=TOKEN) and a webhook (--poll-hook repos/OWNER/NAME/hooks/ID)");
        insta::assert_snapshot!(error_message(&ServeFlags { poll_hook: vec!["acme/demo".into()], ..ServeFlags::default() }), @"poll-hook: the format is repos/OWNER/NAME/hooks/ID, orgs/NAME/hooks/ID or app/ID");
        insta::assert_snapshot!(poll("stripe=hunter 2"), @"poll: the API key of stripe is empty or contains a space or control character");
        insta::assert_snapshot!(poll("hunter2"), @"poll: expected PROVIDER=VALUE, for example stripe=...");
        let with_hook = |poll: &str, hook: &str| ServeFlags {
            poll: poll.lines().map(str::to_owned).collect(),
            poll_hook: vec![hook.into()],
            ..ServeFlags::default()
        };
        let pem = "github=-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----";
        let settings = PollSettings::from_flags(&with_hook(pem, "app/7")).unwrap();
        assert_eq!(settings.keys[GITHUB].expose(), pem.trim_start_matches("github=").as_bytes());
        insta::assert_snapshot!(error_message(&with_hook(pem, "orgs/acme/hooks/7")), @"poll-hook: orgs/acme/hooks/7 needs a token instead of a private key; run a second server for other webhooks");
        insta::assert_snapshot!(error_message(&with_hook("github=hunter2", "app/7")), @"poll-hook: app/7 needs the private key of the GitHub App; run a second server for other webhooks");
        let poll_url = vec!["stripe=http://api.stripe.com/hunter2".into()];
        insta::assert_snapshot!(error_message(&ServeFlags { poll_url, ..ServeFlags::default() }), @"poll-url: stripe: the format is https://HOST, without a path (http:// only for this machine)");
        let poll_types = vec!["stripe=invoice.paid".into()];
        insta::assert_snapshot!(error_message(&ServeFlags { poll_types, ..ServeFlags::default() }), @"poll: no API key for stripe, so its other poll settings have no effect");
        insta::assert_snapshot!(error_message(&ServeFlags { poll_delay: Some(100_000), ..ServeFlags::default() }), @"poll-delay must be at most 86400 seconds, poll-back at most 30 days");
    }
}
