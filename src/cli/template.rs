//! `hookbridge template`: prints a CloudFormation template.

use clap::Args;

use crate::template::Template;
use crate::util::output;

/// Print a CloudFormation template: of a provider, a poller, the event log or the dispatcher.
#[derive(Args)]
pub struct TemplateCommand {
    /// Name of the template: a provider (github), a poller (stripe-poller), event-log or dispatch.
    #[arg(value_parser = Template::find, value_name = "NAME")]
    template: Template,
}

impl TemplateCommand {
    pub fn run(self) {
        output::print_line(self.template.text().trim_end());
    }
}
