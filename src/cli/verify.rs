//! `hookbridge verify`: says whether the signature of a webhook is valid, and which mistake explains a signature that is not.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use http::Method;
use jiff::Timestamp;

use super::arguments::read_file_or_stdin;
use crate::cli::completions;
use crate::providers::{self, Provider, RequestUrl, WebhookRequest, diagnose};
use crate::util::output;
use crate::util::style::{Tone, paint};

/// Check the signature of a webhook, and find the mistake that makes it invalid.
///
/// Tries the mistakes that people make: a body that was parsed and written again, an encoded secret, another URL, header, encoding
/// or algorithm, and a clock that is wrong. The exit status is 0 if the signature is valid.
#[derive(Args)]
pub struct Verify {
    /// Provider whose webhook to check, for example github.
    #[arg(value_parser = providers::find_provider, add = completions::provider_names(), value_name = "PROVIDER")]
    provider: &'static Provider,
    /// Header of the webhook, as curl takes it; repeat for several.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Raw body of the webhook: a file, or - for stdin.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// URL as it is configured at the provider, for a provider that signs the URL [default: https://localhost/].
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Method of the request.
    #[arg(long, value_name = "METHOD", default_value = "POST")]
    method: Method,
    /// Secret; set it in the environment to hide it from the list of processes.
    #[arg(long, env = "HOOKBRIDGE_SEND_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: String,
    /// Time at which the webhook arrived, for example 2026-11-30T09:00:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Also print the signature headers that the provider would send now.
    #[arg(long)]
    show: bool,
    /// Print a line of JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Prints the diagnosis. The exit code says whether the signature is valid.
    pub fn run(self) -> Result<ExitCode, String> {
        let url = self.url.as_deref().unwrap_or("https://localhost/");
        let url: RequestUrl = url.parse().map_err(|error| format!("--url: '{url}': {error}"))?;
        let body = read_file_or_stdin(&self.body).map_err(|error| format!("--body {error}"))?;
        let mut request = WebhookRequest { method: self.method, ..WebhookRequest::post(url, body) };
        for header in &self.header {
            // The value is not part of the error, because it may be a secret.
            let (name, value) = header
                .split_once(':')
                .ok_or("--header: expected 'Name: value', for example 'X-Hub-Signature-256: sha256=...'")?;
            request.add_header(&name.trim().to_ascii_lowercase(), value.trim());
        }
        let now = self.at.unwrap_or_else(Timestamp::now);
        let diagnosis = diagnose(self.provider, &request.to_raw(), &self.secret, now);
        let is_valid = diagnosis.error.is_none();
        if self.json {
            let line = serde_json::json!({
                "provider": self.provider.name,
                "valid": is_valid,
                "error": diagnosis.error.map(|error| error.to_string()),
                "mistakes": diagnosis.mistakes,
                "expected": diagnosis.expected.filter(|_| self.show),
            });
            output::print_line(&line.to_string());
        } else {
            output::print_line(&match diagnosis.error {
                None => format!(
                    "{} {} signed this webhook with the secret",
                    paint("valid:", Tone::Good),
                    self.provider.title
                ),
                Some(error) => format!("{} {error}", paint("invalid:", Tone::Bad)),
            });
            for mistake in &diagnosis.mistakes {
                output::print_line(&format!("  - {mistake}"));
            }
            if !is_valid && diagnosis.mistakes.is_empty() {
                output::print_line(&format!(
                    "  no known mistake explains it; check that the secret belongs to this endpoint and this environment\n  \
                     how {} signs: {}",
                    self.provider.title, self.provider.documentation
                ));
            }
            if let Some(expected) = diagnosis.expected.filter(|_| self.show) {
                output::print_line(&format!("expected now:\n{}", expected.trim_end()));
            }
        }
        Ok(if is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
