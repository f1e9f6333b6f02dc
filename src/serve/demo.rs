//! `serve --demo`: the first minute of a newcomer. Webhooks go over HTTP to the server itself, signed as the
//! providers sign, and one of them forged.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::ServeError;
use super::endpoints::{Endpoint, Endpoints};
use super::terminal::Terminal;
use crate::providers::RequestUrl;
use crate::secrets::Secret;
use crate::send::{Letter, Sender};

pub(super) async fn run(
    address: SocketAddr,
    endpoints: &Endpoints,
    terminal: &Terminal,
) -> Result<(), ServeError> {
    let demo = Demo { address, terminal, sender: Sender::new()? };
    for endpoint in endpoints.iter() {
        let title = endpoint.bridge.provider.title;
        terminal.say(&format!("demo: a webhook, signed as {title} signs"));
        demo.send(endpoint, &endpoint.secret, 202).await?;
    }
    if let Some(endpoint) = endpoints.iter().next() {
        let title = endpoint.bridge.provider.title;
        terminal.say(&format!("demo: a forged one, as if from {title}, signed with a guess"));
        demo.send(endpoint, &Secret::new("a guess"), 401).await?;
    }
    terminal.say("demo: done. Look into the file of events; the server goes on. Stop with Ctrl-C.");
    Ok(())
}

struct Demo<'a> {
    address: SocketAddr,
    terminal: &'a Terminal,
    sender: Sender,
}

impl Demo<'_> {
    async fn send(&self, endpoint: &Arc<Endpoint>, secret: &Secret, expected: u16) -> Result<(), ServeError> {
        let provider = endpoint.bridge.provider;
        let wrong = |why: String| ServeError::Demo(format!("{}: {why}", provider.title));
        let to = RequestUrl {
            scheme: "http",
            authority: self.address.to_string(),
            path: format!("/hooks/{}", provider.name),
            query: None,
        };
        let letter = Letter { provider, event: None, body: None, to };
        let signed = letter.sign(secret, Timestamp::now()).map_err(|error| wrong(error.to_string()))?;
        let (status, body) = self.sender.post(signed).await.map_err(|error| wrong(error.to_string()))?;
        self.terminal.say(&format!("    answered {status} {}\n", body.trim_end()));
        if status != expected {
            return Err(wrong(format!("answered {status} where {expected} was expected")));
        }
        Ok(())
    }
}
