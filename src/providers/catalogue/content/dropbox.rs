//! Dropbox webhooks.
//!
//! Dropbox waits 10 s for a response. Retries: errors and timeouts are tried again with exponential backoff for about
//! ten minutes; then the failure shows in the App Console.

use http::Method;

use crate::providers::{
    Handshake, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// HMAC-SHA256 over the raw body in hex, made with the app secret. When the URI is added Dropbox sends a GET request
/// with the query parameter `challenge`, which is echoed as plain text. The notification says whose files changed
/// (`list_folder.accounts`), not what changed; the changes are fetched through the API. It has no delivery id and no
/// event type.
pub const DROPBOX: Provider = Provider {
    name: "dropbox",
    title: "Dropbox",
    documentation: "https://www.dropbox.com/developers/reference/webhooks",
    secret_hint: "The app secret on the Settings page of the app in the Dropbox App Console, a text of 15 letters and digits.",
    source: "dropbox.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-dropbox-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp and no id: a recorded notification can be replayed (it only triggers another look at the account).",
    ),
    handshakes: &[Handshake::QueryChallenge {
        method: &Method::GET,
        parameter: "challenge",
        verify_token: None,
    }],
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "list_folder",
            body: r#"{"list_folder":{"accounts":["dbid:AAH4f99T0taONIb-OurWxbNQ6ywGRopQngc","dbid:AAG2a83T0taOPLc-PrsXycOR7zxHSpqRohd"]},"delta":{"users":[12345678,23456789]}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "list_folder",
            body: r#"{"list_folder":{"accounts":["dbid:AAF1b72S9szNMHa-NqvWxbNQ6ywGRopQngd"]},"delta":{"users":[34567890]}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
