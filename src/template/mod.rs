//! The CloudFormation templates: of a provider's stack and of its poller's, made from the provider's constant, of the event log,
//! and of the dispatcher.
//!
//! The template is a text with a few gaps, so that it reads like what it becomes. Those in `cloudformation/` are
//! its output.

use crate::providers::{self, PollingApi, Provider};

/// A template.
#[derive(Clone, Copy)]
pub enum Template {
    /// Of a provider's stack.
    Provider(&'static Provider),
    /// Of the poller of a provider.
    Poller(&'static Provider, &'static PollingApi),
    /// Of the event log: recorder, feed and their database.
    EventLog,
    /// Of the dispatcher: events go out to subscribers.
    Dispatch,
}

/// A name that is no template's.
#[derive(Debug, thiserror::Error)]
#[error("there is no template '{0}'; there are: {names}", names = Template::all().into_iter().map(Template::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownTemplate(String);

impl Template {
    /// All of them, in the order in which they are listed.
    pub fn all() -> Vec<Self> {
        let pollers = providers::ALL
            .into_iter()
            .filter_map(|provider| Some(Self::Poller(provider, provider.polling.as_ref()?)));
        providers::ALL
            .into_iter()
            .map(Self::Provider)
            .chain(pollers)
            .chain([Self::EventLog, Self::Dispatch])
            .collect()
    }

    /// What it is called: as its provider, that with `-poller` behind it, `event-log` or `dispatch`.
    pub fn name(self) -> String {
        match self {
            Self::Provider(provider) => provider.name.into(),
            Self::Poller(provider, _) => format!("{}-poller", provider.name),
            Self::EventLog => "event-log".into(),
            Self::Dispatch => "dispatch".into(),
        }
    }

    /// The template of that name.
    ///
    /// # Errors
    /// [`UnknownTemplate`] lists the names there are.
    pub fn find(name: &str) -> Result<Self, UnknownTemplate> {
        let found = Self::all().into_iter().find(|template| template.name() == name);
        found.ok_or_else(|| UnknownTemplate(name.to_owned()))
    }

    /// The template, as YAML.
    pub fn text(self) -> String {
        match self {
            Self::Provider(provider) => of(provider),
            Self::Poller(provider, polling) => of_poller(provider, polling),
            Self::EventLog => include_str!("event-log.yaml").to_owned(),
            Self::Dispatch => include_str!("dispatch.yaml").to_owned(),
        }
    }
}

/// The template for `provider`, as YAML.
fn of(provider: &Provider) -> String {
    let template =
        if provider.sends_batches() { include_str!("batches.yaml") } else { include_str!("provider.yaml") };
    filled(
        template,
        &[
            ("{{name}}", provider.name),
            ("{{title}}", provider.title),
            ("{{source}}", provider.source),
            ("{{documentation}}", provider.documentation),
            ("{{secret_parameter}}", provider.secret_parameter),
            ("{{secret_hint}}", provider.secret_hint),
        ],
    )
}

/// The template for the poller of `provider`, as YAML.
fn of_poller(provider: &Provider, polling: &PollingApi) -> String {
    filled(
        include_str!("poller.yaml"),
        &[
            ("{{name}}", provider.name),
            ("{{title}}", provider.title),
            ("{{documentation}}", polling.documentation),
            ("{{base}}", polling.base_url),
            ("{{key_parameter}}", polling.api_key_parameter),
            ("{{key_hint}}", polling.api_key_hint),
            ("{{kept_days}}", &polling.retention_days.to_string()),
            ("{{types_hint}}", polling.type_filter_hint),
        ],
    )
}

fn filled(template: &str, gaps: &[(&str, &str)]) -> String {
    gaps.iter().fold(template.to_owned(), |text, (gap, value)| text.replace(gap, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_is_filled() {
        for provider in providers::ALL {
            let text = of(provider);
            assert!(!text.contains("{{"), "{}", provider.name);
            assert!(text.contains(provider.secret_parameter));
            let poller = provider.polling.as_ref().map(|polling| of_poller(provider, polling));
            assert!(!poller.is_some_and(|text| text.contains("{{")), "{}", provider.name);
        }
    }
}
