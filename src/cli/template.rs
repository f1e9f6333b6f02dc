//! `hookbridge template`: prints a CloudFormation template.

use std::path::PathBuf;

use clap::Args;

use crate::cli::completions;
use crate::template::Template;
use crate::util::output;

/// Print a CloudFormation template: of a provider, a poller, the event log or the dispatcher.
#[derive(Args)]
pub struct TemplateCommand {
    /// Name of the template: a provider (github), generic, multi, a poller (stripe-poller), event-log or dispatch.
    #[arg(value_parser = Template::find, add = completions::template_names(), value_name = "NAME", required_unless_present = "all")]
    template: Option<Template>,
    /// Write all templates to files in this folder instead, which is created if it does not exist.
    #[arg(long, value_name = "DIR", conflicts_with = "template")]
    all: Option<PathBuf>,
}

impl TemplateCommand {
    pub fn run(self) -> Result<(), String> {
        if let Some(template) = self.template {
            output::print_line(template.text().trim_end());
        }
        if let Some(folder) = self.all {
            let io_error = |error: std::io::Error| format!("--all {}: {error}", folder.display());
            std::fs::create_dir_all(&folder).map_err(io_error)?;
            for template in Template::all() {
                let path = folder.join(format!("{}.yaml", template.name()));
                std::fs::write(path, template.text()).map_err(io_error)?;
            }
        }
        Ok(())
    }
}
