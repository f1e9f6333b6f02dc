//! The command `hookbridge`.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use hookbridge::delivery::DeliveryCommand;
use hookbridge::export::Export;
use hookbridge::load::Load;
use hookbridge::maintain::Maintain;
use hookbridge::output;
use hookbridge::providers::{self, Provider, RequestUrl};
use hookbridge::replay::Replay;
use hookbridge::secrets::Secret;
use hookbridge::send::{Letter, SendError, Sender};
use hookbridge::serve::settings::{DEFAULT_LISTEN, Flags, default_data};
use hookbridge::serve::{self, development};
use hookbridge::subscriber::SubscriberCommand;
use hookbridge::template::Template;
use hookbridge::token::NewToken;
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
    Serve(Box<Flags>),
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
    Token(NewToken),
}

/// Manage the log.
#[derive(Subcommand)]
enum LogCommand {
    Maintain(Maintain),
}

/// Send a test webhook with a valid provider signature and print the response.
///
/// Without --to and --secret it goes to a `hookbridge serve` that runs on this machine in the same folder.
#[derive(Args)]
struct SendFlags {
    /// Who sends it, for example github.
    #[arg(value_parser = providers::find, value_name = "PROVIDER")]
    provider: &'static Provider,
    /// The event type; not with --data where the provider writes the type into the body.
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Request body file, or - for stdin [default: a sample payload].
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The URL to send it to [default: http://127.0.0.1:8787/hooks/PROVIDER].
    #[arg(long, env = "HOOKBRIDGE_SEND_TO", value_name = "URL")]
    to: Option<String>,
    /// The secret to sign with; given by the environment it does not show in the list of processes.
    #[arg(long, env = "HOOKBRIDGE_SEND_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// Without --secret: the data folder of a `hookbridge serve`, whose development secret is used.
    #[arg(long, env = "HOOKBRIDGE_DATA", value_name = "DIR", default_value_os_t = default_data())]
    secret_from: PathBuf,
    /// Print the answer as a line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Print the CloudFormation template of a provider's stack, of the event log's, or of the dispatcher's.
#[derive(Args)]
struct TemplateFlags {
    /// A provider, for example github, or event-log, or dispatch.
    #[arg(value_parser = Template::find, value_name = "NAME")]
    template: Template,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::for_terminal();
    match serve::runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli.command))) {
        Ok(_) if output::has_failed() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(error) => {
            output::complain(&format!("hookbridge: {}", output::chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Serve(flags) => {
            serve::run(flags.settle()?, end()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Send(flags) => send(flags).await,
        Command::Template(flags) => {
            output::line(flags.template.text().trim_end());
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
fn end() -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        output::complain(
            "hookbridge: shutting down after in-flight requests; press Ctrl-C again to exit now",
        );
        let _ = tell.send(true);
        interrupted().await;
        std::process::exit(130);
    });
    told
}

async fn interrupted() {
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

async fn send(flags: SendFlags) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let provider = flags.provider;
    let secret = match flags.secret {
        Some(secret) => secret,
        None => development::get(&flags.secret_from, provider.name)?,
    };
    let url = flags.to.unwrap_or_else(|| format!("http://{DEFAULT_LISTEN}/hooks/{}", provider.name));
    let to: RequestUrl = url.parse().map_err(|error| SendError::Url { url, error })?;
    let body = flags.data.map(|path| read(&path)).transpose()?.map(Into::into);
    let letter = Letter { provider, event: flags.event.as_deref(), body, to };
    let signed = letter.sign(&Secret::new(secret), jiff::Timestamp::now())?;
    let (status, body) = Sender::new(&signed.url)?.post(signed).await?;
    output::line(&if flags.json {
        serde_json::json!({"provider": provider.name, "status": status, "answer": body}).to_string()
    } else {
        format!("{status} {}", body.trim_end())
    });
    Ok(if (200..300).contains(&status) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| format!("--data {}: {error}", path.display()))?;
    Ok(bytes)
}
