//! The local program to which `hookbridge listen` forwards events.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ListenError;
use crate::providers::{Provider, RequestUrl, WebhookRequest};
use crate::secrets::Secret;
use crate::serve::test_webhook::{RecordedWebhook, SendError, TestWebhook, WebhookSender};

/// An event of the log, as far as the command reads it.
#[derive(Deserialize)]
pub(super) struct RecordedEvent<'a> {
    pub(super) id: String,
    #[serde(rename = "detail-type")]
    pub(super) event_type: String,
    time: Timestamp,
    #[serde(default)]
    pub(super) resources: Vec<String>,
    #[serde(borrow)]
    pub(super) detail: &'a RawValue,
}

impl RecordedEvent<'_> {
    /// The id of the webhook, if the provider sent one, and otherwise the id of the event.
    pub(super) fn display_id(&self) -> &str {
        let mut webhook_urns = self.resources.iter().filter_map(|urn| urn.strip_prefix("urn:webhook:"));
        webhook_urns.find_map(|rest| rest.split_once(':')).map_or(&self.id, |(_, id)| id)
    }
}

/// How the requests look.
pub(super) enum RequestFormat {
    /// The event in EventBridge's envelope.
    Envelope,
    /// The webhook that the provider would have sent, signed with a secret.
    Webhook(&'static Provider, Secret),
}

pub(super) struct Target {
    sender: WebhookSender,
    url: RequestUrl,
    format: RequestFormat,
}

impl Target {
    pub(super) fn new(url: &str, format: RequestFormat) -> Result<Self, ListenError> {
        let url: RequestUrl =
            url.parse().map_err(|error| ListenError::ForwardTo { url: url.to_owned(), error })?;
        let sender = WebhookSender::new(&url).map_err(ListenError::Client)?;
        Ok(Self { sender, url, format })
    }

    /// Forwards an event, and returns the status of the response.
    pub(super) async fn forward(&self, json: &str, event: &RecordedEvent<'_>) -> Result<u16, SendError> {
        let request = match &self.format {
            RequestFormat::Envelope => {
                let mut request = WebhookRequest::post(self.url.clone(), json.as_bytes().to_vec());
                request.add_header("content-type", "application/json");
                request
            }
            RequestFormat::Webhook(provider, secret) => {
                let id = event.resources.iter().find_map(|urn| provider.delivery_id_from_urn(urn));
                // The events of one webhook have its id and a number.
                let id = id.and_then(|id| id.split('#').next()).unwrap_or(&event.id);
                let recorded = RecordedWebhook { delivery_id: id, time: event.time };
                let detail = event.detail.get();
                let webhook =
                    TestWebhook::with_event(provider, &event.event_type, detail, recorded, self.url.clone());
                webhook.sign(secret, Timestamp::now())?
            }
        };
        self.sender.send_for_status(request).await
    }
}
