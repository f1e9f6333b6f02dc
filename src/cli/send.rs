//! `hookbridge send`: sends a test webhook, signed as its provider signs.

use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use clap::Args;
use clap::builder::FalseyValueParser;

use super::arguments::read_file_or_stdin;
use crate::cli::completions;
use crate::providers::{self, Provider, RequestUrl, WebhookRequest};
use crate::secrets::Secret;
use crate::serve::config::{DEFAULT_LISTEN, default_data_folder};
use crate::serve::development_secrets;
use crate::serve::test_webhook::{SendError, TestWebhook, WebhookSender};
use crate::util::output;

/// Send a test webhook with a valid provider signature and print the response.
///
/// Without --to and --secret it goes to a `hookbridge serve` that runs on this machine in the same folder.
#[derive(Args)]
pub struct Send {
    /// Provider whose webhook to send, for example github.
    #[arg(value_parser = providers::find_provider, add = completions::provider_names(), value_name = "PROVIDER")]
    provider: &'static Provider,
    /// Event type; not with --data if the provider writes the type into the body.
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Request body file, or - for stdin [default: a sample payload].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// URL to send to [default: http://127.0.0.1:8787/hooks/PROVIDER].
    #[arg(long, env = "HOOKBRIDGE_SEND_TO", value_name = "URL")]
    to: Option<String>,
    /// Secret to sign with; set it in the environment to hide it from the list of processes.
    #[arg(long, env = "HOOKBRIDGE_SEND_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// Without --secret: data folder of a `hookbridge serve` whose development secret is used.
    #[arg(long, env = "HOOKBRIDGE_DATA", value_name = "DIR", default_value_os_t = default_data_folder())]
    secret_from: PathBuf,
    /// Print the request as a curl command instead of sending it.
    #[arg(long)]
    stdout: bool,
    /// Print the response as a line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Send {
    /// Sends the webhook and prints the response. The exit code says whether the status was from 200 to 299.
    pub async fn run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let provider = self.provider;
        let secret = match self.secret {
            Some(secret) => secret,
            None => development_secrets::read_signing_secret(&self.secret_from, provider.name)?,
        };
        let url = self.to.unwrap_or_else(|| format!("http://{DEFAULT_LISTEN}/hooks/{}", provider.name));
        let url: RequestUrl = url.parse().map_err(|error| SendError::Url { url, error })?;
        let body = self
            .data
            .map(|path| read_file_or_stdin(&path))
            .transpose()
            .map_err(|error| format!("--data {error}"))?
            .map(Into::into);
        let webhook = TestWebhook { provider, event: self.event.as_deref(), body, url, recorded: None };
        let signed = webhook.sign(&Secret::new(secret), jiff::Timestamp::now())?;
        if self.stdout {
            output::print_line(&curl_command(&signed));
            return Ok(ExitCode::SUCCESS);
        }
        let (status, body) = WebhookSender::new(&signed.url)?.send(signed).await?;
        output::print_line(&if self.json {
            serde_json::json!({"provider": provider.name, "status": status, "answer": body}).to_string()
        } else {
            format!("{status} {}", body.trim_end())
        });
        Ok(if (200..300).contains(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The request as a command for a POSIX shell.
fn curl_command(request: &WebhookRequest) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut command = format!("curl -i -X {} {}", request.method, quote(&request.url.to_string()));
    for (name, value) in &request.headers {
        command += &format!(" \\\n  -H {}", quote(&format!("{name}: {value}")));
    }
    match std::str::from_utf8(&request.body) {
        Ok(body) => command += &format!(" \\\n  --data-binary {}", quote(body)),
        Err(_) => {
            let body = base64::engine::general_purpose::STANDARD.encode(&request.body);
            command = format!("echo {body} | base64 -d | {command} \\\n  --data-binary @-");
        }
    }
    command
}
