//! The description of a provider.

use http::Method;

use super::{
    BatchFormat, BodyFormat, FieldLocation, Handshake, HeaderSignature, PollingApi, RawWebhook,
    SignatureScheme,
};

/// The description of a provider.
#[derive(Debug)]
pub struct Provider {
    /// The identifier in routes, environment variables and file names: lower case, no spaces.
    pub name: &'static str,
    /// The provider's name in its own spelling.
    pub title: &'static str,
    /// URL of the provider's documentation of signatures, the source of the fields below.
    pub documentation: &'static str,
    /// A sentence for operators: what the secret is, and where to find it.
    pub secret_hint: &'static str,
    /// The `Source` of the events: the provider's domain.
    pub source: &'static str,
    /// The signature scheme.
    pub signature_scheme: SignatureScheme,
    /// The attacks that the signature does not prevent, for example with a recorded webhook; `None` if the signature covers the whole webhook.
    pub weakness: Option<&'static str>,
    /// The requests with which the provider tests an endpoint.
    pub handshakes: &'static [Handshake],
    /// Whether the provider may send a webhook with GET, with the parameters of its form in the query.
    pub sends_get: bool,
    /// The format of the webhook bodies, which determines how the bridge makes the `Detail` of an event from a body.
    pub body_format: BodyFormat,
    /// Pointer to the array in the JSON whose elements are events, empty if the JSON is the array; `None` if a webhook is one event.
    /// JSON without this array is one event.
    pub split: Option<&'static str>,
    /// The location of the `DetailType`; `None` if webhooks do not state one.
    pub event_type: Option<FieldLocation>,
    /// The location of the provider's own id of the webhook or event; `None` if it has no id.
    pub delivery_id: Option<FieldLocation>,
    /// The location of the event's time; `None` if webhooks do not state one.
    pub event_time: Option<FieldLocation>,
    /// The response to an accepted webhook.
    pub success: SuccessResponse,
    /// The event-list API, if the provider has one; the poller reads it to find events whose webhooks were missed.
    pub polling: Option<PollingApi>,
    /// The webhooks that `hookbridge send` can send, the default first.
    pub samples: &'static [SampleWebhook],
}

/// The response to an accepted webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuccessResponse {
    /// The status code.
    pub status: u16,
    /// The body. If it is empty, the response to an unverified webhook has an empty body, too.
    pub body: &'static str,
}

impl SuccessResponse {
    /// The response for a provider that accepts any status from 200 to 299.
    pub const ACCEPTED: Self = Self { status: 202, body: "Message forwarded to Amazon EventBridge" };
    /// The response for a provider that accepts only 200.
    pub const OK: Self = Self { status: 200, ..Self::ACCEPTED };
    /// The response for a provider that wants no body.
    pub const NO_CONTENT: Self = Self { status: 204, body: "" };
}

impl Provider {
    /// A provider that sends JSON; a constant names the rest.
    pub const JSON: Self = Self {
        name: "",
        title: "",
        documentation: "",
        secret_hint: "",
        source: "",
        signature_scheme: SignatureScheme::Header(HeaderSignature::HMAC_SHA256),
        weakness: None,
        handshakes: &[],
        sends_get: false,
        body_format: BodyFormat::Json,
        split: None,
        event_type: None,
        delivery_id: None,
        event_time: None,
        success: SuccessResponse::ACCEPTED,
        polling: None,
        samples: &[],
    };

    /// The name of the CloudFormation parameter for the secret.
    pub fn secret_parameter(&self) -> String {
        let title: String = self.title.chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{title}WebhookSecret")
    }

    /// Whether the provider transmits the secret of its webhooks in a handshake.
    pub fn transmits_secret(&self) -> bool {
        let transmits = |handshake: &Handshake| {
            matches!(handshake, Handshake::HeaderEcho { .. } | Handshake::SecretInBody { .. })
        };
        self.handshakes.iter().any(transmits)
    }

    /// The `DetailType` of a webhook that does not state a valid one.
    pub fn default_event_type(&self) -> String {
        format!("{}-webhook-lambda", self.name)
    }

    /// Whether the provider sends batches, which the bridge archives instead of publishing them.
    pub fn sends_batches(&self) -> bool {
        self.batch_format().is_some()
    }

    /// The format of the provider's batches; `None` unless it sends batches.
    pub fn batch_format(&self) -> Option<&'static BatchFormat> {
        match &self.body_format {
            BodyFormat::Batch(format) => Some(format),
            _ => None,
        }
    }

    /// Whether a request can be a webhook or a handshake of the provider. Does not read the body, so that a request that cannot is
    /// rejected before its body is read.
    pub fn may_send(&self, request: &RawWebhook) -> bool {
        let method = request.method();
        self.has_unsigned_handshake_with(method)
            || (self.sends_with(method) && self.signature_scheme.is_present(request))
    }

    /// Whether the provider may send a webhook with this method.
    pub fn sends_with(&self, method: &Method) -> bool {
        *method == Method::POST || (self.sends_get && *method == Method::GET)
    }

    /// The methods of the provider's webhooks and handshakes, as in the header `Allow`.
    pub fn methods(&self) -> String {
        let methods = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST];
        let accepted = methods
            .iter()
            .filter(|method| self.sends_with(method) || self.has_unsigned_handshake_with(method));
        accepted.map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    /// The delivery id in the resource `urn:webhook:<provider>:<delivery id>` of an event; `None` for any other text.
    pub fn delivery_id_from_urn<'u>(&self, urn: &'u str) -> Option<&'u str> {
        urn.strip_prefix("urn:webhook:")?.strip_prefix(self.name)?.strip_prefix(':')
    }

    /// Whether the event contains both its id and its time. An id and a time in the event identify it in every delivery and in
    /// polled pages; a delivery id in a header and the time of arrival do not.
    pub fn identifies_events(&self) -> bool {
        let is_in_detail =
            |location: Option<FieldLocation>| location.is_some_and(FieldLocation::is_in_detail);
        is_in_detail(self.delivery_id) && is_in_detail(self.event_time)
    }
}

/// A sample webhook for tests and `hookbridge send`.
#[derive(Debug, Clone, Copy)]
pub struct SampleWebhook {
    /// The event type.
    pub event_type: &'static str,
    /// The headers that a webhook of this type has besides those of its signature, its type and its id.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body, in the provider's format.
    pub body: &'static str,
    /// The part of the event's id in `body` that `hookbridge send` replaces by random characters; empty if it replaces none.
    pub id_placeholder: &'static str,
    /// The time in `body` that `hookbridge send` replaces by the current time; empty if it replaces none.
    pub time_placeholder: &'static str,
}

impl SampleWebhook {
    /// A sample whose constant names the type and the body, and what else it needs.
    pub const EMPTY: Self =
        Self { event_type: "", headers: &[], body: "", id_placeholder: "", time_placeholder: "" };
}
