//! `serve --demo`: the first minute of a newcomer. Webhooks go over HTTP to the server itself, signed as the
//! providers sign, and one of them forged.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::endpoints::{Endpoint, Endpoints};
use super::terminal::Terminal;
use crate::providers::{PublicUrl, RequestUrl};
use crate::secrets::Secret;
use crate::send::{Letter, Sender, Signed};

/// Runs to its end, or says what keeps it from that; the server goes on in either case.
pub(super) async fn run(
    address: SocketAddr,
    public_url: Option<&PublicUrl>,
    endpoints: &Endpoints,
    terminal: &Terminal,
) {
    let demo = Demo { address, public_url, terminal };
    let end = match demo.send_all(endpoints).await {
        Ok(()) => {
            "demo: done. Look into the file of events; the server goes on. Stop with Ctrl-C.".to_owned()
        }
        Err(why) => format!("demo: it went wrong: {why}. The server goes on. Stop with Ctrl-C."),
    };
    terminal.say(&end);
}

struct Demo<'a> {
    address: SocketAddr,
    public_url: Option<&'a PublicUrl>,
    terminal: &'a Terminal,
}

impl Demo<'_> {
    async fn send_all(&self, endpoints: &Endpoints) -> Result<(), String> {
        for endpoint in endpoints.iter() {
            let title = endpoint.bridge.provider.title;
            self.terminal.say(&format!("demo: a webhook, signed as {title} signs"));
            self.send(endpoint, &endpoint.secret, true).await?;
        }
        if let Some(endpoint) = endpoints.iter().next() {
            let title = endpoint.bridge.provider.title;
            self.terminal.say(&format!("demo: a forged one, as if from {title}, signed with a guess"));
            self.send(endpoint, &Secret::new("a guess"), false).await?;
        }
        Ok(())
    }

    async fn send(&self, endpoint: &Arc<Endpoint>, secret: &Secret, genuine: bool) -> Result<(), String> {
        let provider = endpoint.bridge.provider;
        let here = RequestUrl {
            scheme: "http",
            authority: self.address.to_string(),
            path: format!("/hooks/{}", provider.name),
            query: None,
        };
        // Signed for the URL that the provider would know, sent to this machine.
        let to = self.public_url.map_or(here.clone(), |public| public.rewrite(here.clone()));
        let letter = Letter { provider, event: None, body: None, to };
        let signed = letter.sign(secret, Timestamp::now()).map_err(|error| error.to_string())?;
        let sender = Sender::new(&here).map_err(|error| error.to_string())?;
        let signed = Signed { url: here, ..signed };
        let (status, body) = sender.post(signed).await.map_err(|error| error.to_string())?;
        self.terminal.say(&format!("    answered {status} {}\n", body.trim_end()));
        if genuine == (200..300).contains(&status) {
            Ok(())
        } else {
            Err(format!("{} was answered {status}, which is not what was expected", provider.title))
        }
    }
}
