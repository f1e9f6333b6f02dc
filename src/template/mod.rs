//! The CloudFormation templates of all stacks.
//!
//! The templates of provider stacks and pollers are generated. Their sources are YAML with a few placeholders for the values
//! of the provider's constant, so that a source reads like the generated template. The templates of the event log, of
//! delivery (`dispatch`) and of the front doors have no placeholders. `cloudformation/` contains the generated text of the templates
//! that differ; `hookbridge template` prints the template of any provider.

use crate::providers::{self, PollingApi, Provider};

mod generic;
mod multi;

#[derive(Clone, Copy)]
pub enum Template {
    Provider(&'static Provider),
    /// A provider that parameters describe.
    Generic,
    /// One function for several providers.
    Multi,
    Poller(&'static Provider, &'static PollingApi),
    /// Requests failed deliveries of GitHub again.
    GithubPoller,
    /// The recorder, the feed and their database.
    EventLog,
    Dispatch,
    /// A load balancer in front of a provider's function.
    FrontDoorAlb,
    /// An API Gateway HTTP API in front of a provider's function.
    FrontDoorHttpApi,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "unknown template '{0}'; expected a provider (`hookbridge providers` lists them), stripe-poller, sparkpost-poller, github-poller, generic, multi, event-log, dispatch, front-door-alb or front-door-http-api"
)]
pub struct UnknownTemplate(String);

impl Template {
    /// All templates, in the order in which an error message lists their names.
    pub fn all() -> Vec<Self> {
        let pollers = providers::PROVIDERS
            .into_iter()
            .filter_map(|provider| Some(Self::Poller(provider, provider.polling.as_ref()?)));
        providers::PROVIDERS
            .into_iter()
            .map(Self::Provider)
            .chain(pollers)
            .chain([
                Self::Generic,
                Self::Multi,
                Self::GithubPoller,
                Self::EventLog,
                Self::Dispatch,
                Self::FrontDoorAlb,
                Self::FrontDoorHttpApi,
            ])
            .collect()
    }

    /// The name of the template: `PROVIDER`, `PROVIDER-poller`, or for example `event-log`.
    pub fn name(self) -> String {
        match self {
            Self::Provider(provider) => provider.name.into(),
            Self::Generic => "generic".into(),
            Self::Multi => "multi".into(),
            Self::Poller(provider, _) => format!("{}-poller", provider.name),
            Self::GithubPoller => "github-poller".into(),
            Self::EventLog => "event-log".into(),
            Self::Dispatch => "dispatch".into(),
            Self::FrontDoorAlb => "front-door-alb".into(),
            Self::FrontDoorHttpApi => "front-door-http-api".into(),
        }
    }

    pub fn find(name: &str) -> Result<Self, UnknownTemplate> {
        let template = Self::all().into_iter().find(|template| template.name() == name);
        template.ok_or_else(|| UnknownTemplate(name.to_owned()))
    }

    pub fn text(self) -> String {
        match self {
            Self::Provider(provider) => provider_template(provider),
            Self::Generic => generic_template(),
            Self::Multi => multi_template(),
            Self::Poller(provider, polling) => poller_template(provider, polling),
            Self::GithubPoller => include_str!("github-poller.yaml").to_owned(),
            Self::EventLog => include_str!("event-log.yaml").to_owned(),
            Self::Dispatch => include_str!("dispatch.yaml").to_owned(),
            Self::FrontDoorAlb => include_str!("front-door-alb.yaml").to_owned(),
            Self::FrontDoorHttpApi => include_str!("front-door-http-api.yaml").to_owned(),
        }
    }
}

fn provider_template(provider: &Provider) -> String {
    let template =
        if provider.sends_batches() { include_str!("batches.yaml") } else { include_str!("provider.yaml") };
    let template = match provider.transmits_secret() {
        true => make_secret_optional(template),
        false => template.to_owned(),
    };
    fill_placeholders(
        &template,
        &[
            ("{{name}}", provider.name),
            ("{{title}}", provider.title),
            ("{{source}}", provider.source),
            ("{{documentation}}", provider.documentation),
            ("{{secret_parameter}}", &provider.secret_parameter()),
            ("{{secret_hint}}", provider.secret_hint),
            ("{{more_parameter_names}}", ""),
            ("{{more_parameters}}", ""),
            ("{{more_variables}}", ""),
        ],
    )
}

/// Changes the template for a provider that transmits the secret in a handshake: the stack may be created without it, and the
/// function may then store it.
fn make_secret_optional(template: &str) -> String {
    template
        .replace(
            "Nothing else is allowed.\n",
            "If the secret has no\n# value, the function may store the one that {{title}} sends. Nothing else is allowed.\n",
        )
        .replace(
            "    AllowedPattern: \"[\\\\s\\\\S]+\"\n    ConstraintDescription: The secret must not be empty.\n",
            "    Default: \"\"\n",
        )
        .replace(
            "      {{secret_hint}}\n",
            "      {{secret_hint}}\n      Leave it empty to store the secret that {{title}} sends first.\n",
        )
        .replace(
            "\nConditions:\n",
            "\nConditions:\n  HasSecret: !Not [!Equals [!Ref {{secret_parameter}}, \"\"]]\n",
        )
        .replace(
            "      SecretString: !Ref {{secret_parameter}}\n",
            "      # Without a value, the secret has no version until the function stores one.\n      \
             SecretString: !If [HasSecret, !Ref {{secret_parameter}}, !Ref AWS::NoValue]\n",
        )
        .replace(
            "                Action: secretsmanager:GetSecretValue\n                Resource: !Ref WebhookSecret\n",
            "                Action: secretsmanager:GetSecretValue\n                Resource: !Ref WebhookSecret\n              \
             - Sid: StoreTheFirstSecret\n                Effect: Allow\n                \
             Action: secretsmanager:PutSecretValue\n                Resource: !Ref WebhookSecret\n",
        )
        .replace(
            "  LambdaFunctionName:\n",
            "  HowToReadTheSecret:\n    Description: Command that prints the secret that the function stored\n    \
             Value: !Sub aws secretsmanager get-secret-value --secret-id ${WebhookSecret} --query SecretString --output text\n  \
             LambdaFunctionName:\n",
        )
}

fn generic_template() -> String {
    let archive_rule = "\
# The event log does not have the settings of the provider, so it could not record archived webhooks.
Rules:
  NoArchive:
    Assertions:
      - Assert: !Equals [!Ref ArchiveBucketName, \"\"]
        AssertDescription: A generic provider cannot be archived. Leave ArchiveBucketName empty.

Parameters:
";
    let template =
        include_str!("provider.yaml").replace("Parameters:\n  {{", &format!("{archive_rule}  {{{{"));
    fill_placeholders(
        &template,
        &[
            ("{{name}}", "generic"),
            ("below {{title}}'s own", "below the provider's own"),
            (". {{title}}'s", ". The provider's"),
            (" at {{title}}", " at the provider"),
            (". {{title}} cannot", ". The provider cannot"),
            ("; {{title}} may", "; the provider may"),
            ("{{title}}", "Generic"),
            ("{{documentation}}", "see the provider"),
            ("{{secret_parameter}}", "GenericWebhookSecret"),
            ("{{secret_hint}}", "The secret, the token, user:password, or the public key of the provider."),
            ("{{more_parameter_names}}", &generic::parameter_names()),
            ("{{more_parameters}}", &generic::parameters()),
            ("{{more_variables}}", &generic::variables()),
        ],
    )
}

fn multi_template() -> String {
    let template = multi::convert(include_str!("provider.yaml"));
    fill_placeholders(
        &template,
        &[
            ("{{name}}", "multi"),
            ("{{documentation}}", "see `hookbridge providers`"),
            (
                "URL to enter at {{title}}",
                "URL without its path. At each provider, enter the URL with the provider's name as its path",
            ),
            ("{default: \"{{title}}\"}", "{default: Providers}"),
            ("hookbridge: {{title}} webhooks", "hookbridge: webhooks of several providers"),
            ("# {{title}} webhooks", "# Webhooks of several providers"),
            (". {{title}}'s", ". The providers'"),
            ("below {{title}}'s own", "below the providers' own"),
            (" at {{title}}", " at the provider"),
            ("; {{title}} may", "; the providers may"),
            (". {{title}} cannot", ". The providers cannot"),
            ("More {{title}} webhooks", "More webhooks"),
            ("for {{title}} webhooks", "for webhooks"),
            ("Verifies {{title}} webhooks", "Verifies webhooks of several providers"),
            ("spilled {{title}} events", "spilled events"),
            ("{{title}} webhooks", "Webhooks"),
            ("{{title}} events", "Events"),
            ("{{more_parameter_names}}", ""),
            ("{{more_parameters}}", ""),
            ("{{more_variables}}", ""),
        ],
    )
}

fn poller_template(provider: &Provider, polling: &PollingApi) -> String {
    fill_placeholders(
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

fn fill_placeholders(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (placeholder, value)| text.replace(placeholder, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        for provider in providers::PROVIDERS {
            let text = provider_template(provider);
            assert!(!text.contains("{{"), "{}", provider.name);
            assert!(text.contains(&provider.secret_parameter()));
            let poller = provider.polling.as_ref().map(|polling| poller_template(provider, polling));
            assert!(!poller.is_some_and(|text| text.contains("{{")), "{}", provider.name);
        }
    }
}
