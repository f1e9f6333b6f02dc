//! The catalogue: a constant for each provider, in folders by field.

pub mod code;
pub mod communication;
pub mod content;
pub mod email;
pub mod identity;
pub mod operations;
pub mod payments;
pub mod standard_webhooks;

use super::Provider;

/// All providers, sorted by name.
pub const PROVIDERS: [&Provider; 81] = [
    &payments::adyen::ADYEN,
    &content::airtable::AIRTABLE,
    &operations::alertmanager::ALERTMANAGER,
    &content::asana::ASANA,
    &identity::auth0::AUTH0,
    &operations::azure_event_grid::AZURE_EVENT_GRID,
    &code::bitbucket::BITBUCKET,
    &content::box_com::BOX,
    &payments::braintree::BRAINTREE,
    &code::buildkite::BUILDKITE,
    &content::cal_com::CAL_COM,
    &content::calendly::CALENDLY,
    &payments::chargebee::CHARGEBEE,
    &code::circleci::CIRCLECI,
    &standard_webhooks::CLERK,
    &operations::cloudevents::CLOUDEVENTS,
    &payments::coinbase_commerce::COINBASE_COMMERCE,
    &content::contentful::CONTENTFUL,
    &code::cursor::CURSOR,
    &email::customer_io::CUSTOMER_IO,
    &operations::datadog::DATADOG,
    &communication::discord::DISCORD,
    &content::docusign::DOCUSIGN,
    &content::dropbox::DROPBOX,
    &content::elevenlabs::ELEVENLABS,
    &identity::fusionauth::FUSIONAUTH,
    &code::github::GITHUB,
    &code::gitlab::GITLAB,
    &payments::gocardless::GOCARDLESS,
    &operations::grafana::GRAFANA,
    &code::heroku::HEROKU,
    &email::hubspot::HUBSPOT,
    &communication::intercom::INTERCOM,
    &code::jira::JIRA,
    &payments::lemon_squeezy::LEMON_SQUEEZY,
    &communication::line::LINE,
    &code::linear::LINEAR,
    &email::mailgun::MAILGUN,
    &email::mandrill::MANDRILL,
    &communication::meta::META,
    &operations::microsoft_graph::MICROSOFT_GRAPH,
    &content::mux::MUX,
    &code::netlify::NETLIFY,
    &content::notion::NOTION,
    &code::npm::NPM,
    &identity::okta::OKTA,
    &standard_webhooks::OPENAI,
    &payments::paddle::PADDLE,
    &operations::pagerduty::PAGERDUTY,
    &standard_webhooks::POLAR,
    &email::postmark::POSTMARK,
    &payments::quickbooks::QUICKBOOKS,
    &payments::razorpay::RAZORPAY,
    &payments::recurly::RECURLY,
    &standard_webhooks::REPLICATE,
    &standard_webhooks::RESEND,
    &content::sanity::SANITY,
    &email::segment::SEGMENT,
    &email::sendgrid::SENDGRID,
    &operations::sentry::SENTRY,
    &payments::shopify::SHOPIFY,
    &communication::slack::SLACK,
    &email::sparkpost::SPARKPOST,
    &payments::square::SQUARE,
    &standard_webhooks::STANDARD_WEBHOOKS,
    &payments::stripe::STRIPE,
    &standard_webhooks::SUPABASE,
    &standard_webhooks::SVIX,
    &communication::telegram::TELEGRAM,
    &content::trello::TRELLO,
    &communication::twilio::TWILIO,
    &communication::twitch::TWITCH,
    &content::typeform::TYPEFORM,
    &code::vercel::VERCEL,
    &content::webflow::WEBFLOW,
    &payments::woocommerce::WOOCOMMERCE,
    &identity::workos::WORKOS,
    &communication::x::X,
    &payments::xero::XERO,
    &communication::zendesk::ZENDESK,
    &communication::zoom::ZOOM,
];

/// Finds the provider that sends batches and whose events have this `source`.
pub fn find_batch_provider(source: &str) -> Option<&'static Provider> {
    PROVIDERS.into_iter().find(|provider| provider.sends_batches() && provider.source == source)
}

/// Finds a provider by name.
///
/// # Errors
/// When no provider has this name. The message names similar providers.
pub fn find_provider(name: &str) -> Result<&'static Provider, UnknownProvider> {
    PROVIDERS.into_iter().find(|p| p.name == name).ok_or_else(|| UnknownProvider(name.to_owned()))
}

/// No provider has this name.
#[derive(Debug)]
pub struct UnknownProvider(pub String);

impl std::error::Error for UnknownProvider {}

impl std::fmt::Display for UnknownProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "unknown provider '{}'", self.0)?;
        let is_similar = |name: &&str| self.0.get(..2).is_some_and(|start| name.starts_with(start));
        let similar: Vec<&str> = PROVIDERS.iter().map(|provider| provider.name).filter(is_similar).collect();
        if !similar.is_empty() {
            write!(f, "; similar names: {}", similar.join(", "))?;
        }
        write!(f, "; `hookbridge providers` lists all")
    }
}
