//! The command `hookbridge`.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use hookbridge::cli::delivery::DeliveryCommand;
use hookbridge::cli::export::Export;
use hookbridge::cli::load::Load;
use hookbridge::cli::maintain::Maintain;
use hookbridge::cli::replay::Replay;
use hookbridge::cli::subscriber::SubscriberCommand;
use hookbridge::cli::token::TokenCommand;
use hookbridge::output;
use hookbridge::providers::{self, Provider, RequestUrl};
use hookbridge::secrets::Secret;
use hookbridge::send::{SendError, TestWebhook, WebhookSender};
use hookbridge::serve::settings::{DEFAULT_LISTEN, ServeFlags, default_data_folder};
use hookbridge::serve::{self, development_secrets};
use hookbridge::template::Template;
use tokio::sync::watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Webhooks into AWS, and events out of it.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<ServeFlags>),
    Send(SendFlags),
    Template(TemplateFlags),
    Load(Load),
    Export(Export),
    Replay(Replay),
    #[command(subcommand)]
    Subscriber(SubscriberCommand),
    #[command(subcommand)]
    Delivery(DeliveryCommand),
    #[command(subcommand)]
    Log(LogCommand),
    Token(TokenCommand),
}

/// Maintain the event log.
#[derive(Subcommand)]
enum LogCommand {
    Maintain(Maintain),
}

/// Send a test webhook with a valid provider signature and print the response.
///
/// Without --to and --secret it goes to a `hookbridge serve` that runs on this machine in the same folder.
#[derive(Args)]
struct SendFlags {
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

/// Print a CloudFormation template: of a provider, a poller, the event log or the dispatcher.
#[derive(Args)]
struct TemplateFlags {
    /// Name of the template: a provider (github), a poller (stripe-poller), event-log or dispatch.
    #[arg(value_parser = Template::find, value_name = "NAME")]
    template: Template,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::init_terminal_logging();
    match serve::build_runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli.command))) {
        Ok(_) if output::output_failed() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(error) => {
            output::print_error(&format!("hookbridge: {}", output::error_chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Serve(flags) => {
            serve::run(flags.resolve()?, shutdown_signal()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Send(flags) => send_webhook(flags).await,
        Command::Template(flags) => {
            output::print_line(flags.template.text().trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Load(load) => Ok(load.run().await.map(|()| ExitCode::SUCCESS)?),
        Command::Export(export) => Ok(export.run().await.map(|()| ExitCode::SUCCESS)?),
        Command::Replay(replay) => Ok(replay.run().await.map(|()| ExitCode::SUCCESS)?),
        Command::Subscriber(command) => Ok(command.run().await.map(|()| ExitCode::SUCCESS)?),
        Command::Delivery(command) => Ok(command.run().await.map(|()| ExitCode::SUCCESS)?),
        Command::Token(token) => Ok(token.run().await.map(|()| ExitCode::SUCCESS)?),
        Command::Log(LogCommand::Maintain(maintain)) => {
            Ok(maintain.run().await.map(|()| ExitCode::SUCCESS)?)
        }
    }
}

/// Becomes true at the first Ctrl-C or SIGTERM; the second Ctrl-C ends the process at once.
fn shutdown_signal() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        wait_for_signal().await;
        output::print_error(
            "hookbridge: shutting down after in-flight requests; press Ctrl-C again to exit now",
        );
        let _ = sender.send(true);
        wait_for_signal().await;
        std::process::exit(130);
    });
    receiver
}

async fn wait_for_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn send_webhook(flags: SendFlags) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let provider = flags.provider;
    let secret = match flags.secret {
        Some(secret) => secret,
        None => development_secrets::read_secret(&flags.secret_from, provider.name)?,
    };
    let url = flags.to.unwrap_or_else(|| format!("http://{DEFAULT_LISTEN}/hooks/{}", provider.name));
    let url: RequestUrl = url.parse().map_err(|error| SendError::Url { url, error })?;
    let body = flags.data.map(|path| read_body(&path)).transpose()?.map(Into::into);
    let webhook = TestWebhook { provider, event: flags.event.as_deref(), body, url };
    let signed = webhook.sign(&Secret::new(secret), jiff::Timestamp::now())?;
    let (status, body) = WebhookSender::new(&signed.url)?.send(signed).await?;
    output::print_line(&if flags.json {
        serde_json::json!({"provider": provider.name, "status": status, "answer": body}).to_string()
    } else {
        format!("{status} {}", body.trim_end())
    });
    Ok(if (200..300).contains(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
