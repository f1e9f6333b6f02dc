//! The settings about providers that are asked for their events.

use std::collections::BTreeMap;

use super::{SettingsError, by_provider};
use crate::poller::{BaseUrl, is_valid_api_key, parse_event_types};
use crate::providers;
use crate::secrets::Secret;

/// The longest that a webhook is given to come, in seconds: a day.
const MOST_DELAY: u32 = 86_400;
/// The most of the past that is asked for, in days: no provider keeps more.
const MOST_BACK: u32 = 30;

/// The flags about them.
#[derive(clap::Args, Default)]
pub(super) struct PollFlags {
    /// Ask a provider for the events that it has had, so that those whose webhooks were missed are in the log too, with this
    /// API key (of stripe or sparkpost); in the environment one a line. With --bus eventbridge the log has no webhooks of
    /// Stripe, and all that is asked for is new to it.
    #[arg(
        long,
        env = "HOOKBRIDGE_POLL",
        hide_env_values = true,
        value_name = "PROVIDER=KEY",
        value_delimiter = '\n'
    )]
    pub(super) poll: Vec<String>,
    /// Scheme and host of a provider's API, where they are not the usual ones: `sparkpost=https://api.eu.sparkpost.com`.
    #[arg(long, env = "HOOKBRIDGE_POLL_URL", value_name = "PROVIDER=URL", value_delimiter = '\n')]
    pub(super) poll_url: Vec<String>,
    /// Ask a provider for events of these types only, those that its webhooks are set to: stripe=invoice.paid,charge.failed.
    #[arg(long, env = "HOOKBRIDGE_POLL_TYPES", value_name = "PROVIDER=TYPE,...", value_delimiter = '\n')]
    pub(super) poll_types: Vec<String>,
    /// How long a webhook is given to come before its event is asked for [default: 300].
    #[arg(long, env = "HOOKBRIDGE_POLL_DELAY", value_name = "SECONDS")]
    pub(super) poll_delay: Option<u32>,
    /// How much of the past the first poll asks for [default: 0].
    #[arg(long, env = "HOOKBRIDGE_POLL_BACK", value_name = "DAYS")]
    pub(super) poll_back: Option<u32>,
}

/// What the file says about them.
pub(super) struct PollFile {
    pub(super) keys: BTreeMap<String, String>,
    pub(super) urls: BTreeMap<String, String>,
    pub(super) types: BTreeMap<String, String>,
    pub(super) delay: Option<u32>,
    pub(super) back: Option<u32>,
}

/// Who is asked, and how.
pub struct Polls {
    /// API keys, by provider.
    pub keys: BTreeMap<&'static str, Secret>,
    /// Where they are asked, when not where all are.
    pub urls: BTreeMap<&'static str, BaseUrl>,
    /// The types that they are asked for, when not for all.
    pub types: BTreeMap<&'static str, Vec<String>>,
    /// Seconds that a webhook is given to come.
    pub delay: u32,
    /// Days that the first poll goes back.
    pub back: u32,
}

impl PollFlags {
    /// Puts flags and file together.
    pub(super) fn settle(self, file: PollFile) -> Result<Polls, SettingsError> {
        let mut keys = BTreeMap::new();
        for (provider, key) in by_provider("poll", "stripe=...", file.keys, self.poll)? {
            if provider.polling.is_none() {
                let can: Vec<_> =
                    providers::ALL.iter().filter(|p| p.polling.is_some()).map(|p| p.name).collect();
                return Err(SettingsError(format!(
                    "poll: {} has no list of events to ask for; these have: {}",
                    provider.name,
                    can.join(", ")
                )));
            }
            let key = Secret::new(key);
            if !is_valid_api_key(&key) {
                return Err(SettingsError(format!(
                    "poll: the API key of {} is empty, or holds a space or another character that no key has",
                    provider.name
                )));
            }
            keys.insert(provider.name, key);
        }
        let mut urls = BTreeMap::new();
        for (provider, url) in by_provider("poll-url", "stripe=https://...", file.urls, self.poll_url)? {
            // Not shown: somebody may have put the key there.
            let wrong = |error| SettingsError(format!("poll-url: that of {}: {error}", provider.name));
            urls.insert(provider.name, url.parse().map_err(wrong)?);
        }
        let mut types = BTreeMap::new();
        for (provider, list) in
            by_provider("poll-types", "stripe=invoice.paid,...", file.types, self.poll_types)?
        {
            types.insert(provider.name, parse_event_types(&list));
        }
        if let Some(name) = urls.keys().chain(types.keys()).find(|name| !keys.contains_key(*name)) {
            return Err(SettingsError(format!(
                "poll: {name} is not asked for its events: there is no key of it"
            )));
        }
        let delay = self.poll_delay.or(file.delay).unwrap_or(300);
        let back = self.poll_back.or(file.back).unwrap_or(0);
        if delay > MOST_DELAY || back > MOST_BACK {
            return Err(SettingsError(format!(
                "poll-delay is at most {MOST_DELAY} seconds, poll-back at most {MOST_BACK} days"
            )));
        }
        Ok(Polls { keys, urls, types, delay, back })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn why(flags: PollFlags) -> String {
        let file = PollFile {
            keys: BTreeMap::new(),
            urls: BTreeMap::new(),
            types: BTreeMap::new(),
            delay: None,
            back: None,
        };
        flags.settle(file).err().unwrap().to_string()
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        let poll = |text: &str| why(PollFlags { poll: vec![text.into()], ..PollFlags::default() });
        insta::assert_snapshot!(poll("github=hunter2"), @"poll: github has no list of events to ask for; these have: sparkpost, stripe");
        insta::assert_snapshot!(poll("stripe=hunter 2"), @"poll: the API key of stripe is empty, or holds a space or another character that no key has");
        insta::assert_snapshot!(poll("hunter2"), @"poll: it is written PROVIDER=VALUE, for example stripe=...");
        let poll_url = vec!["stripe=http://api.stripe.com/hunter2".into()];
        insta::assert_snapshot!(why(PollFlags { poll_url, ..PollFlags::default() }), @"poll-url: that of stripe: the format is https://HOST, without a path (http:// only for this machine)");
        let poll_types = vec!["stripe=invoice.paid".into()];
        insta::assert_snapshot!(why(PollFlags { poll_types, ..PollFlags::default() }), @"poll: stripe is not asked for its events: there is no key of it");
        insta::assert_snapshot!(why(PollFlags { poll_delay: Some(100_000), ..PollFlags::default() }), @"poll-delay is at most 86400 seconds, poll-back at most 30 days");
    }
}
