//! The pages in `docs/providers`, in Markdown.

use std::fmt::Write as _;

use super::description::{describe_handshake, describe_signature, summarize_signature};
use crate::providers::{BodyFormat, PROVIDERS, Provider, SignatureScheme};

/// Renders the page that lists all providers.
pub(super) fn render_index() -> String {
    let mut page = String::from(
        "# Providers\n\nhookbridge verifies the webhooks of these providers. Each page says what to enter where, how the provider \
         signs, and which events you get. For a provider that is not listed, see [any provider](../how-to/any-provider.md).\n\n\
         | provider | `source` | signature | events |\n|---|---|---|---|\n",
    );
    for provider in PROVIDERS {
        let events = match provider.split {
            _ if provider.sends_batches() => "batches, archived",
            Some(_) => "one for each element",
            None => "one",
        };
        let _ = writeln!(
            page,
            "| [{}]({}.md) | `{}` | {} | {events} |",
            provider.title,
            provider.name,
            provider.source,
            summarize_signature(&provider.signature_scheme)
        );
    }
    page
}

/// Renders the page.
pub(super) fn render(provider: &'static Provider) -> String {
    let Provider { name, title, source, documentation, secret_hint, .. } = provider;
    let mut page = format!(
        "# {title}\n\n| | |\n|---|---|\n| name in hookbridge | `{name}` |\n| `source` of the events | `{source}` |\n| \
         documentation | <{documentation}> |\n\n"
    );
    let archive = match provider.sends_batches() {
        true => " ArchiveBucketName=BUCKET",
        false => "",
    };
    let (question, next_step) = match provider.transmits_secret() {
        true => (
            ". Leave the secret empty",
            "\n4. Read the secret that the function stored, with the command that `scripts/deploy` prints. Enter it where the provider asks \
             for it, or compare it with the one that the provider shows.",
        ),
        false => (", which asks for the secret", ""),
    };
    let _ = write!(
        page,
        "## Set up\n\n1. The secret: {}\n2. Deploy the stack{question}: `scripts/deploy {name}{archive}`\n3. At \
         {title}, enter the URL that the command prints.{next_step}\n\nOn your machine, `hookbridge serve` receives the webhooks at `/hooks/{name}`. \
         To send a test webhook there, run `hookbridge send {name}`.\n\n",
        with_lower_case_article(secret_hint)
    );
    let _ = write!(page, "## Signature\n\n{}\n\n", describe_signature(&provider.signature_scheme));
    if signs_url(&provider.signature_scheme) {
        page.push_str(
            "The signature covers the URL as it is configured at the provider. If the function receives another URL, for example behind \
             a proxy, set the stack's parameter `PublicUrl`.\n\n",
        );
    }
    page.push_str(
        "The secret may contain several keys, one on each line. A webhook is valid if it is signed with any of them.\n\n",
    );
    if let Some(weakness) = provider.weakness {
        let _ = write!(page, "**Weakness:** {weakness}\n\n");
    }
    if !provider.signature_scheme.covers_body() {
        page.push_str(
            "The signature does not cover the whole event. Such an event has the resource `urn:hookbridge:body-not-signed`.\n\n",
        );
    }
    if !provider.handshakes.is_empty() {
        page.push_str("## Handshake\n\n");
        for handshake in provider.handshakes {
            let _ = writeln!(page, "- {}", describe_handshake(handshake));
        }
        page.push_str("\nA handshake is never published.\n\n");
    }
    render_events(provider, &mut page);
    page
}

fn render_events(provider: &'static Provider, page: &mut String) {
    let source = provider.source;
    let cell = |location: Option<crate::providers::FieldLocation>| {
        location.map_or("none".to_owned(), |location| location.to_string())
    };
    page.push_str("## Events\n\n");
    match (&provider.body_format, provider.split) {
        (BodyFormat::Custom { detail, .. }, _) => {
            let _ = write!(page, "{detail}\n\n");
        }
        (_, Some("")) => page.push_str("A body that is a JSON array contains one event in each element.\n\n"),
        (_, Some(pointer)) => {
            let _ = write!(page, "Each element of the array at `{pointer}` in the body is an event.\n\n");
        }
        (BodyFormat::Batch(_), None) => page.push_str(
            "The function archives each batch as it was received. The recorder splits it into events.\n\n",
        ),
        (_, None) => page.push_str("A webhook is one event, whose `detail` is the webhook's JSON.\n\n"),
    }
    let _ = write!(
        page,
        "| field of the event | value |\n|---|---|\n| `source` | `{source}` |\n| `detail-type` | {}; else `{}` |\n| `resources` | \
         `urn:webhook:{}:ID`, with the ID from: {} |\n| `time` | {}; else the time of arrival |\n\n",
        cell(provider.event_type),
        provider.default_event_type(),
        provider.name,
        cell(provider.delivery_id),
        cell(provider.event_time)
    );
    let status = if provider.sends_batches() { 200 } else { provider.success.status };
    let _ = write!(page, "An accepted webhook is answered {status}.\n\n");
    let types: Vec<String> =
        provider.samples.iter().map(|sample| format!("`{}`", sample.event_type)).collect();
    if provider.event_type.is_some() {
        let _ = write!(
            page,
            "`hookbridge send {} --event TYPE` has samples of the types {}.\n\n",
            provider.name,
            types.join(", ")
        );
    }
    if let Some(sample) = provider.samples.first().filter(|_| !provider.sends_batches()) {
        let detail_type = match provider.event_type {
            Some(_) if provider.name != "twilio" => sample.event_type.to_owned(),
            _ => provider.default_event_type(),
        };
        let pattern = format!(r#"{{"source":["{source}"],"detail-type":["{detail_type}"]}}"#);
        let _ = write!(
            page,
            "A rule that matches such events:\n\n```sh\naws events put-rule --name {} --event-pattern '{pattern}'\n```\n",
            provider.name
        );
    }
}

/// Whether the signature covers the URL.
fn signs_url(scheme: &SignatureScheme) -> bool {
    match scheme {
        SignatureScheme::Header(scheme) => scheme.signs_url(),
        SignatureScheme::AnyOf(schemes) => schemes.iter().any(signs_url),
        _ => false,
    }
}

/// The sentence with a first word that can follow a colon: `The secret` becomes `the secret`.
fn with_lower_case_article(sentence: &str) -> String {
    for (article, lower) in [("The ", "the "), ("A ", "a "), ("An ", "an ")] {
        if let Some(rest) = sentence.strip_prefix(article) {
            return format!("{lower}{rest}");
        }
    }
    sentence.to_owned()
}
