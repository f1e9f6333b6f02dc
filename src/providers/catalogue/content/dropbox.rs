//! Dropbox: notifications that the files of an account have changed.
//!
//! Dropbox waits 10 s for a response and retries for about ten minutes with exponential backoff. A
//! notification names only the accounts; the subscriber fetches the changes with Dropbox's API.

use http::Method;

use crate::providers::{
    Handshake, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Dropbox signs the raw body with HMAC-SHA256 and sends the signature in hex in `X-Dropbox-Signature`. It
/// tests a new endpoint with a GET request, whose query parameter `challenge` the response must repeat.
/// hookbridge returns status 200, because older Dropbox documentation treats any other status as a failure.
pub const DROPBOX: Provider = Provider {
    name: "dropbox",
    title: "Dropbox",
    documentation: "https://www.dropbox.com/developers/reference/webhooks",
    secret_hint: "The app secret, from the Settings page of the app in the Dropbox App Console.",
    source: "dropbox.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-dropbox-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded notification at any time, because the signature has no timestamp. A replay only makes subscribers fetch changes again.",
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
