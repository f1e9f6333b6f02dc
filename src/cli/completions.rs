//! `hookbridge completions` and `hookbridge man`: files for the shell and for `man`, generated from the arguments of the command.
//!
//! The shell's script runs the command with the variable `COMPLETE` to get the completions, so that these can be the names of
//! subscribers, too.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command};
use clap_complete::env::Shells;
use clap_complete::{ArgValueCandidates, CompletionCandidate, Shell};
use tokio::time::timeout;

use crate::db::Database;
use crate::delivery::DeliveryStore;
use crate::providers::PROVIDERS;
use crate::serve::config::default_log_file;
use crate::template::Template;
use crate::util::output;

/// The variable with which the shell's script runs the command.
const COMPLETE_VARIABLE: &str = "COMPLETE";
/// How long the names of subscribers may take.
const NAMES_TIMEOUT: Duration = Duration::from_secs(1);

/// Print the completion script for a shell
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Write the manual pages to a folder: one for the command and one for each subcommand
#[derive(Args)]
pub struct Man {
    /// The folder, for example ~/.local/share/man/man1; it is created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the manual pages to {folder}: {error}; choose a folder that you can write to", folder = folder.display())]
pub struct ManError {
    folder: PathBuf,
    error: io::Error,
}

impl Completions {
    /// Prints the completion script of `command`, which runs the command by its name.
    ///
    /// # Errors
    /// There is no script for the shell.
    pub fn run(self, command: &Command) -> io::Result<()> {
        let (name, mut script) = (command.get_name(), Vec::new());
        let shells = Shells::builtins();
        let shell = shells.completer(&self.shell.to_string()).ok_or(io::ErrorKind::Unsupported)?;
        shell.write_registration(COMPLETE_VARIABLE, name, name, name, &mut script)?;
        output::print_line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

impl Man {
    /// Writes the pages of `command`.
    pub fn run(self, command: Command) -> Result<(), ManError> {
        let write = || -> io::Result<()> {
            std::fs::create_dir_all(&self.folder)?;
            clap_mangen::generate_to(command, &self.folder)
        };
        write().map_err(|error| ManError { folder: self.folder.clone(), error })?;
        output::print_line(&format!("the manual pages are in {}", self.folder.display()));
        Ok(())
    }
}

/// The names of the providers, for completion.
pub(super) fn provider_names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let candidate = |provider: &crate::providers::Provider| {
            CompletionCandidate::new(provider.name).help(Some(provider.title.into()))
        };
        PROVIDERS.into_iter().map(candidate).collect()
    })
}

/// The names of the templates, for completion.
pub(super) fn template_names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        Template::all().into_iter().map(|template| CompletionCandidate::new(template.name())).collect()
    })
}

/// The names of the subscribers, for completion; none if the database of `HOOKBRIDGE_DATABASE`, or the default log, cannot be read.
pub(super) fn subscriber_names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let names = runtime
            .map(|runtime| runtime.block_on(async { timeout(NAMES_TIMEOUT, read_subscriber_names()).await }));
        let names = names.ok().and_then(Result::ok).flatten().unwrap_or_default();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

async fn read_subscriber_names() -> Option<Vec<String>> {
    let database = std::env::var_os("HOOKBRIDGE_DATABASE").map_or_else(default_log_file, PathBuf::from);
    let (db, _) = Database::open_existing(&database, 1).await.ok()?;
    let subscribers = DeliveryStore::new(db).subscribers.list(None).await.ok()?;
    Some(subscribers.into_iter().map(|subscriber| subscriber.name).collect())
}
