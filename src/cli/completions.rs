//! `hookbridge completions` and `hookbridge man`: files for the shell and for `man`, generated from the arguments of the command.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::util::output;

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
    /// Prints the completion script of `command`.
    pub fn run(self, mut command: Command) {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        output::print_line(String::from_utf8_lossy(&script).trim_end());
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
