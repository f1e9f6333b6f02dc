//! `serve --demo`: sends signed webhooks of some well-known providers, and one forged webhook, to the server itself over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::providers::PublicUrl;
use crate::secrets::Secret;
use crate::serve::endpoints::{WebhookEndpoint, WebhookEndpoints};
use crate::serve::terminal::Terminal;
use crate::serve::test_webhook::SampleTarget;

/// The providers whose webhooks the demo sends.
const DEMO_PROVIDERS: [&str; 6] = ["github", "shopify", "slack", "sparkpost", "stripe", "twilio"];

/// Runs the demo and prints its outcome. The server keeps running even if the demo fails.
pub(in crate::serve) async fn run(
    address: SocketAddr,
    public_url: Option<&PublicUrl>,
    endpoints: &WebhookEndpoints,
    terminal: &Terminal,
) {
    let demo = Demo { address, public_url, terminal };
    let result = match demo.send_all(endpoints).await {
        Ok(()) => format!(
            "demo: done. Six webhooks became events, and the forged one was refused. See them in the console:

  http://{address}/

Its section Send sends more. The server keeps running; stop it with Ctrl-C."
        ),
        Err(error) => format!("demo: failed: {error}. The server keeps running; stop it with Ctrl-C."),
    };
    terminal.print_line(&result);
}

struct Demo<'a> {
    address: SocketAddr,
    public_url: Option<&'a PublicUrl>,
    terminal: &'a Terminal,
}

impl Demo<'_> {
    async fn send_all(&self, endpoints: &WebhookEndpoints) -> Result<(), String> {
        let endpoints: Vec<_> = endpoints
            .iter()
            .filter(|endpoint| DEMO_PROVIDERS.contains(&endpoint.handler.provider.name))
            .collect();
        for endpoint in &endpoints {
            let title = endpoint.handler.provider.title;
            self.terminal.print_line(&format!("demo: a webhook, signed as {title} signs"));
            self.send_sample(endpoint, &endpoint.secret, true).await?;
        }
        if let Some(endpoint) = endpoints.first() {
            let title = endpoint.handler.provider.title;
            self.terminal
                .print_line(&format!("demo: a forged {title} webhook, signed with a guessed secret"));
            self.send_sample(endpoint, &Secret::new("a guess"), false).await?;
        }
        Ok(())
    }

    /// Signs and sends a provider's sample webhook. Fails if the server accepts a forged webhook or rejects a genuine one.
    async fn send_sample(
        &self,
        endpoint: &Arc<WebhookEndpoint>,
        secret: &Secret,
        is_genuine: bool,
    ) -> Result<(), String> {
        let provider = endpoint.handler.provider;
        let target = SampleTarget { address: self.address, public_url: self.public_url };
        let (status, body) = target.send(provider, None, secret).await.map_err(|error| error.to_string())?;
        self.terminal.print_line(&format!("    answered {status} {}\n", body.trim_end()));
        if is_genuine == (200..300).contains(&status) {
            Ok(())
        } else {
            Err(format!("the response to the {} webhook had an unexpected status: {status}", provider.title))
        }
    }
}
