//! `hookbridge send`: sends a test webhook, signed as its provider signs.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::providers::{self, Provider, RequestUrl};
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
    #[arg(value_parser = providers::find_provider, value_name = "PROVIDER")]
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
        let body = self.data.map(|path| read_body(&path)).transpose()?.map(Into::into);
        let webhook = TestWebhook { provider, event: self.event.as_deref(), body, url };
        let signed = webhook.sign(&Secret::new(secret), jiff::Timestamp::now())?;
        let (status, body) = WebhookSender::new(&signed.url)?.send(signed).await?;
        output::print_line(&if self.json {
            serde_json::json!({"provider": provider.name, "status": status, "answer": body}).to_string()
        } else {
            format!("{status} {}", body.trim_end())
        });
        Ok(if (200..300).contains(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn read_body(path: &PathBuf) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    result.map_err(|error| format!("--data {}: {error}", path.display()))?;
    Ok(bytes)
}
