//! The CloudFormation templates: of a provider's stack, made from the provider's constant, and of the event log.
//!
//! The template is a text with a few gaps, so that it reads like what it becomes. Those in `cloudformation/` are
//! its output.

use crate::providers::{self, Provider};

/// A template.
#[derive(Clone, Copy)]
pub enum Template {
    /// Of a provider's stack.
    Provider(&'static Provider),
    /// Of the event log: recorder, feed and their database.
    EventLog,
}

/// The name of the event log's template.
const EVENT_LOG: &str = "event-log";

/// A name that is no template's.
#[derive(Debug, thiserror::Error)]
#[error("there is no template '{0}'; there are: {names}", names = Template::all().map(Template::name).join(", "))]
pub struct UnknownTemplate(String);

impl Template {
    /// All of them, in the order in which they are listed.
    pub fn all() -> [Self; providers::ALL.len() + 1] {
        let mut all = [Self::EventLog; providers::ALL.len() + 1];
        for (template, provider) in all.iter_mut().zip(providers::ALL) {
            *template = Self::Provider(provider);
        }
        all
    }

    /// What it is called: as its provider, or `event-log`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider(provider) => provider.name,
            Self::EventLog => EVENT_LOG,
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
            Self::EventLog => include_str!("event-log.yaml").to_owned(),
        }
    }
}

/// The template for `provider`, as YAML.
fn of(provider: &Provider) -> String {
    let template =
        if provider.sends_batches() { include_str!("batches.yaml") } else { include_str!("provider.yaml") };
    [
        ("{{name}}", provider.name),
        ("{{title}}", provider.title),
        ("{{source}}", provider.source),
        ("{{documentation}}", provider.documentation),
        ("{{secret_parameter}}", provider.secret_parameter),
        ("{{secret_hint}}", provider.secret_hint),
    ]
    .into_iter()
    .fold(template.to_owned(), |text, (gap, value)| text.replace(gap, value))
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
        }
    }
}
