//! `serve --demo`: sends signed webhooks of some well-known providers, and one forged webhook, to the server itself over HTTP, and
//! prints on one screen what became of them and what to try next.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::log::EventLog;
use crate::secrets::Secret;
use crate::serve::endpoints::WebhookEndpoint;
use crate::serve::greeting::Greeting;
use crate::serve::terminal::Terminal;
use crate::serve::test_webhook::SampleTarget;
use crate::util::style::{Tone, paint};

/// The providers whose webhooks the demo sends.
const DEMO_PROVIDERS: [&str; 6] = ["github", "shopify", "slack", "sparkpost", "stripe", "twilio"];
/// How long the demo waits until its events are in the log.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);
const RECORD_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A demo on a server that has started.
pub(in crate::serve) struct Demo<'a> {
    pub(in crate::serve) greeting: Greeting<'a>,
    pub(in crate::serve) log: EventLog,
    pub(in crate::serve) terminal: &'a Terminal,
}

impl Demo<'_> {
    /// Runs the demo and prints its outcome. The server keeps running even if the demo fails.
    pub(in crate::serve) async fn run(&self) {
        self.terminal.mute();
        self.terminal.print_line(
            "demo: webhooks, each signed as its provider signs, and sent to this server. It answers:\n",
        );
        let outcome = match self.send_all().await {
            Ok(()) => {
                let next = paint("Try next, from another terminal:", Tone::Strong);
                format!(
                    "\ndemo: done. Six webhooks became events, and the forged one was refused.\n\n{next}\n\n{}\n",
                    self.greeting.next_steps()
                )
            }
            Err(error) => format!("\ndemo: {}: {error}\n", paint("failed", Tone::Bad)),
        };
        self.terminal.print_line(&outcome);
        self.terminal.unmute().await;
        self.terminal.print_line(
            "The server keeps running, and prints each webhook that arrives. Stop it with Ctrl-C.\n",
        );
    }

    async fn send_all(&self) -> Result<(), String> {
        let end = self.end_of_log().await;
        let endpoints: Vec<_> = self
            .greeting
            .endpoints
            .iter()
            .filter(|endpoint| DEMO_PROVIDERS.contains(&endpoint.handler.provider.name))
            .collect();
        for endpoint in &endpoints {
            let samples = endpoint.handler.provider.samples;
            let event_type = samples.first().map_or("", |sample| sample.event_type);
            self.send_sample(endpoint, &endpoint.secret, event_type, true).await?;
        }
        if let Some(endpoint) = endpoints.first() {
            self.send_sample(endpoint, &Secret::new("a guess"), "forged: a guessed secret", false).await?;
        }
        // The commands to try next read these events.
        let deadline = Instant::now() + RECORD_TIMEOUT;
        let expected = i64::try_from(endpoints.len()).unwrap_or_default();
        while self.greeting.endpoints.event_file().is_some()
            && self.end_of_log().await < end + expected
            && Instant::now() < deadline
        {
            sleep(RECORD_POLL_INTERVAL).await;
        }
        Ok(())
    }

    async fn end_of_log(&self) -> i64 {
        self.log.assign_positions().await.unwrap_or_default()
    }

    /// Signs and sends a provider's sample webhook. Fails if the server accepts a forged webhook or rejects a genuine one.
    async fn send_sample(
        &self,
        endpoint: &WebhookEndpoint,
        secret: &Secret,
        description: &str,
        is_genuine: bool,
    ) -> Result<(), String> {
        let provider = endpoint.handler.provider;
        let Greeting { settings, address, .. } = self.greeting;
        let target = SampleTarget { address, public_url: settings.public_url.as_ref() };
        let (status, body) = target.send(provider, None, secret).await.map_err(|error| error.to_string())?;
        let is_accepted = (200..300).contains(&status);
        let answer = format!("{status} {}", body.trim_end());
        let answer = paint(&answer, if is_accepted { Tone::Good } else { Tone::Warning });
        self.terminal.print_line(&format!("  {:<10} {description:<26} {answer}", provider.title));
        if is_genuine == is_accepted {
            Ok(())
        } else {
            Err(format!("the response to the {} webhook had an unexpected status: {status}", provider.title))
        }
    }
}
