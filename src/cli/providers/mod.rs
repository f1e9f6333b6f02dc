//! `hookbridge providers`: lists the providers, or describes one.

mod description;
mod page;

use clap::Args;

use crate::cli::completions;
use crate::cli::table::Table;
use crate::providers::{self, PROVIDERS, Provider};
use crate::util::output;

/// List the providers, or describe one: its signature, handshakes, events and response.
#[derive(Args)]
pub struct Providers {
    /// Provider to describe, as a page of Markdown.
    #[arg(value_parser = providers::find_provider, add = completions::provider_names(), value_name = "PROVIDER")]
    provider: Option<&'static Provider>,
    /// Print only the names.
    #[arg(long, conflicts_with_all = ["provider", "json", "markdown"])]
    names: bool,
    /// Print the list as a page of Markdown.
    #[arg(long, conflicts_with_all = ["provider", "json"])]
    markdown: bool,
    /// Print JSON: an array of all providers, or an object.
    #[arg(long)]
    json: bool,
}

impl Providers {
    pub fn run(self) {
        match (self.provider, self.json) {
            (Some(provider), false) => output::print_line(page::render(provider).trim_end()),
            (Some(provider), true) => output::print_line(&to_json(provider).to_string()),
            (None, true) => {
                let providers: Vec<_> = PROVIDERS.into_iter().map(to_json).collect();
                output::print_line(&serde_json::Value::from(providers).to_string());
            }
            (None, false) if self.markdown => output::print_line(page::render_index().trim_end()),
            (None, false) if self.names => {
                for provider in PROVIDERS {
                    output::print_line(provider.name);
                }
            }
            (None, false) => {
                let mut table = Table::new(["PROVIDER", "FEATURES", "SIGNATURE"]);
                for provider in PROVIDERS {
                    let features = [
                        (!provider.handshakes.is_empty()).then_some("handshake"),
                        provider.split.map(|_| "several events"),
                        provider.sends_batches().then_some("batches"),
                        provider.polling.as_ref().map(|_| "poller"),
                    ];
                    let features: Vec<&str> = features.into_iter().flatten().collect();
                    let signature = description::summarize_signature(&provider.signature_scheme);
                    table.add_row([provider.name.to_owned(), features.join(", "), signature.to_string()]);
                }
                table.print();
            }
        }
    }
}

fn to_json(provider: &'static Provider) -> serde_json::Value {
    let location = |location: Option<providers::FieldLocation>| location.map(|location| location.to_string());
    let handshakes: Vec<_> = provider.handshakes.iter().map(description::describe_handshake).collect();
    serde_json::json!({
        "name": provider.name,
        "title": provider.title,
        "source": provider.source,
        "documentation": provider.documentation,
        "secret": provider.secret_hint,
        "signature": description::describe_signature(&provider.signature_scheme),
        "tolerance_seconds": description::tolerance_seconds(&provider.signature_scheme),
        "weakness": provider.weakness,
        "handshakes": handshakes,
        "event_type": location(provider.event_type),
        "delivery_id": location(provider.delivery_id),
        "event_time": location(provider.event_time),
        "events_array": provider.split,
        "response_status": if provider.sends_batches() { 200 } else { provider.success.status },
        "sample_types": provider.samples.iter().map(|sample| sample.event_type).collect::<Vec<_>>(),
    })
}
