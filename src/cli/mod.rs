//! The command `hookbridge`: one module for each subcommand, with its arguments and what it prints.

mod arguments;
pub mod completions;
pub mod delivery;
pub mod events;
mod events_client;
pub mod export;
pub mod listen;
pub mod load;
pub mod maintain;
mod progress;
pub mod providers;
pub mod redeliver;
pub mod redrive;
pub mod replay;
pub mod send;
pub mod subscriber;
mod table;
pub mod template;
pub mod token;
pub mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::sync::watch;

use crate::serve::{self, config::ServeFlags};
use crate::util::error::error_chain;
use crate::util::output;
use crate::util::style::{Tone, paint_error};

/// Webhooks into AWS, and events out of it.
#[derive(Parser)]
#[command(name = "hookbridge", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(Box<ServeFlags>),
    Send(send::Send),
    Verify(verify::Verify),
    Providers(providers::Providers),
    Template(template::TemplateCommand),
    Load(load::Load),
    Export(export::Export),
    Replay(replay::Replay),
    Redeliver(redeliver::Redeliver),
    Redrive(redrive::Redrive),
    #[command(subcommand)]
    Subscriber(subscriber::SubscriberCommand),
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    #[command(subcommand)]
    Log(LogCommand),
    Token(token::TokenCommand),
    Events(events::Events),
    Listen(Box<listen::Listen>),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// Maintain the event log.
#[derive(Subcommand)]
enum LogCommand {
    Maintain(maintain::Maintain),
}

/// Runs the command that the arguments name, and reports its error.
pub fn run() -> ExitCode {
    // Prints completions and exits if a shell's script runs the command.
    clap_complete::CompleteEnv::with_factory(Cli::command).complete();
    let cli = Cli::parse();
    output::init_terminal_logging();
    let result = serve::build_runtime()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run_command(cli.command)));
    match result {
        Ok(_) if output::output_failed() => ExitCode::FAILURE,
        Ok(code) => code,
        Err(error) => {
            let name = paint_error("hookbridge:", Tone::Bad);
            output::print_error(&format!("{name} {}", error_chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

async fn run_command(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Serve(flags) => serve::run(flags.resolve()?, shutdown_signal()).await?,
        Command::Send(send) => return send.run().await,
        Command::Verify(verify) => return Ok(verify.run()?),
        Command::Providers(providers) => providers.run(),
        Command::Template(template) => template.run()?,
        Command::Load(load) => load.run().await?,
        Command::Export(export) => export.run().await?,
        Command::Replay(replay) => replay.run().await?,
        Command::Redeliver(redeliver) => redeliver.run().await?,
        Command::Redrive(redrive) => redrive.run().await?,
        Command::Subscriber(command) => command.run().await?,
        Command::Delivery(command) => command.run().await?,
        Command::Token(token) => token.run().await?,
        Command::Events(events) => events.run().await?,
        Command::Listen(listen) => listen.run(shutdown_signal()).await?,
        Command::Completions(completions) => completions.run(&Cli::command())?,
        Command::Man(man) => man.run(Cli::command())?,
        Command::Log(LogCommand::Maintain(maintain)) => maintain.run().await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a channel whose value becomes true at the first Ctrl-C or SIGTERM. A second signal ends the process immediately.
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
