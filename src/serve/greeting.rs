//! The first output of `serve`: the addresses at which it listens, the places of its data, and commands to try.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::config::{DEFAULT_LISTEN, GITHUB, ServeSettings, default_data_folder, default_log_file};
use super::development_secrets::secrets_path;
use super::endpoints::WebhookEndpoints;
use crate::api::SEARCH_PATHS;
use crate::db::DatabaseAddress;
use crate::util::style::{Tone, paint};

/// A server that starts.
pub(super) struct Greeting<'a> {
    pub(super) settings: &'a ServeSettings,
    pub(super) address: SocketAddr,
    pub(super) endpoints: &'a WebhookEndpoints,
}

impl Greeting<'_> {
    /// The greeting, which is short if the demo follows.
    pub(super) fn text(&self) -> String {
        let Self { settings, address, endpoints } = self;
        let mut text = paint(&format!("hookbridge listens on http://{address}"), Tone::Strong);
        if settings.demo {
            let _ = write!(text, "\nIts data and development secrets are in {}\n", settings.data.display());
            return text;
        }
        text.push_str("\n\n");
        for endpoint in endpoints.iter().filter(|endpoint| !endpoint.has_development_secret) {
            let name = endpoint.handler.provider.name;
            let _ = writeln!(text, "  http://{address}/hooks/{name}  (your secret)");
        }
        let _ = writeln!(
            text,
            "  http://{address}/hooks/PROVIDER  (development secret; PROVIDER is a name from `hookbridge providers`)"
        );
        let recorded_events = match endpoints.event_file() {
            Some(file) => {
                let _ = writeln!(text, "\nEvents go to {}", file.display());
                "all events"
            }
            None => {
                let _ = writeln!(text, "\nEvents go to the bus {}, not to the log", settings.bus);
                "their events"
            }
        };
        let _ = writeln!(
            text,
            "Batches go to {}, and {recorded_events} to the log, {}",
            settings.archive, settings.database
        );
        for provider in settings.polls.keys.keys().filter(|provider| **provider != GITHUB) {
            let _ = writeln!(text, "{provider} is polled for missed events every minute");
        }
        for hook in &settings.polls.hooks {
            let _ = writeln!(
                text,
                "GitHub is polled every minute for failed deliveries of {hook}, which are requested again"
            );
        }
        let search = SEARCH_PATHS[0];
        let _ = writeln!(text, "See them:     http://{address}/ in a browser");
        let _ = writeln!(text, "Read them:    {}", self.curl("/events?after=start&wait=20"));
        let _ = writeln!(text, "Search them:  {}", self.curl(&format!("{search}?from=2016-01-01T00:00")));
        let _ = writeln!(text, "Deliver them: {}", self.subscriber_command("hookbridge"));
        let _ = writeln!(text, "Development secrets are in {}", secrets_path(&settings.data).display());
        let _ = write!(
            text,
            "\nSend a first webhook from another terminal:\n\n  {}\n\nStop with Ctrl-C.\n",
            self.send_command()
        );
        text
    }

    /// The commands to try after the demo.
    pub(super) fn next_steps(&self) -> String {
        let address = self.address;
        let steps = [
            ("See them live", format!("http://{address}/ in a browser")),
            ("Send another", self.send_command()),
            ("Read the events", self.curl("/events?after=start&wait=20")),
            ("Deliver them", self.subscriber_command(&program())),
            ("Deploy to AWS", "scripts/deploy github".to_owned()),
        ];
        let line = |(title, command): &(&str, String)| format!("  {title:<16} {command}");
        steps.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn curl(&self, path: &str) -> String {
        let token = if self.settings.token.is_some() { "-H 'Authorization: Bearer ...' " } else { "" };
        format!("curl {token}'http://{}{path}'", self.address)
    }

    fn subscriber_command(&self, program: &str) -> String {
        let database = match &self.settings.database {
            DatabaseAddress::File(path) if *path == default_log_file() => String::new(),
            DatabaseAddress::File(path) => format!(" --database {}", path.display()),
            DatabaseAddress::Postgres(_) => " --database postgres://...".into(),
        };
        format!("{program} subscriber create NAME --url https://...{database}")
    }

    fn send_command(&self) -> String {
        let mut endpoints = self.endpoints.iter().filter(|endpoint| endpoint.has_development_secret);
        let names: Vec<_> = endpoints.by_ref().map(|endpoint| endpoint.handler.provider.name).collect();
        let development_name = names.iter().find(|name| **name == "github").or(names.first()).copied();
        let name = development_name.unwrap_or("github");
        let mut command = format!("{} send {name}", program());
        if self.address != DEFAULT_LISTEN {
            let _ = write!(command, " --to http://{}/hooks/{name}", self.address);
        }
        if development_name.is_none() {
            command.push_str(" --secret ...");
        } else if self.settings.data != default_data_folder() {
            let _ = write!(command, " --secret-from {}", self.settings.data.display());
        }
        command
    }
}

/// The name by which the command was run.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "hookbridge".into())
}
