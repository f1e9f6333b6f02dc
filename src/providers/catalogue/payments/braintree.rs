//! Braintree: payments, subscriptions and disputes.
//!
//! Braintree waits 30 s for a response and retries every hour for 24 hours, in the sandbox for 3 hours. Its payload is XML, which an
//! event contains as text, beside the kind and the time of the notification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::event::Detail;
#[cfg(feature = "command")]
use crate::event::Fields;
#[cfg(feature = "command")]
use crate::providers::form_encode;
use crate::providers::{
    Algorithm, BodyFormat, Details, FieldLocation, Form, FormSignature, Handshake, KeyFormat, Provider,
    SampleWebhook, SignatureFormat, SignatureScheme, TranslationError, VerifiedWebhook,
};

const PAYLOAD_FIELD: &str = "bt_payload";

/// Braintree posts a form with the notification, as XML in base64, in `bt_payload`. In `bt_signature`, it sends for each of the
/// account's keys the public key, `|` and the HMAC-SHA1 in hex, keyed with the SHA-1 hash of the private key. Source: the classes
/// `WebhookNotificationGateway` and `Digest` of Braintree's SDKs.
pub const BRAINTREE: Provider = Provider {
    name: "braintree",
    title: "Braintree",
    documentation: "https://developer.paypal.com/braintree/docs/guides/webhooks/parse",
    secret_hint: "The public and the private API key in the form PUBLIC_KEY|PRIVATE_KEY, from API > Keys in Braintree's Control Panel.",
    source: "braintreepayments.com",
    signature_scheme: SignatureScheme::Form(FormSignature {
        signature_field: "bt_signature",
        signed_field: PAYLOAD_FIELD,
        format: &SignatureFormat {
            prefix: "",
            algorithm: Algorithm::HmacSha1,
            key_format: KeyFormat::Sha1OfPrivateKey,
        },
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp, and a notification has no id. HMAC-SHA1 is below current practice, although no practical attack on it is known.",
    ),
    handshakes: &[Handshake::QuerySignature { parameter: "bt_challenge" }],
    body_format: BodyFormat::Custom {
        parse: parse_details,
        #[cfg(feature = "command")]
        write: write_body,
        detail: "The `detail` has the fields `kind` and `timestamp`, and `xml`, which is the notification as Braintree wrote it.",
    },
    event_type: Some(FieldLocation::Body("/kind")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "subscription_charged_successfully",
            body: "bt_signature=SIGNATURE&bt_payload=PD94bWwgdmVyc2lvbj0iMS4wIiBlbmNvZGluZz0iVVRGLTgiPz4KPG5vdGlmaWNhdGlvbj4KICA8%0Aa2luZD5zdWJzY3JpcHRpb25fY2hhcmdlZF9zdWNjZXNzZnVsbHk8L2tpbmQ%2BCiAgPHRpbWVzdGFt%0AcCB0eXBlPSJkYXRldGltZSI%2BMjAyNi0xMS0yMFQyMTozMDowMFo8L3RpbWVzdGFtcD4KICA8c3Vi%0AamVjdD48c3Vic2NyaXB0aW9uPjxpZD5zdWJfZXhhbXBsZV8xPC9pZD48c3RhdHVzPkFjdGl2ZTwv%0Ac3RhdHVzPjxwcmljZT4xMi4wMDwvcHJpY2U%2BPC9zdWJzY3JpcHRpb24%2BPC9zdWJqZWN0Pgo8L25v%0AdGlmaWNhdGlvbj4K%0A",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "dispute_opened",
            body: "bt_signature=SIGNATURE&bt_payload=PD94bWwgdmVyc2lvbj0iMS4wIiBlbmNvZGluZz0iVVRGLTgiPz4KPG5vdGlmaWNhdGlvbj4KICA8%0Aa2luZD5kaXNwdXRlX29wZW5lZDwva2luZD4KICA8dGltZXN0YW1wIHR5cGU9ImRhdGV0aW1lIj4y%0AMDI2LTExLTIwVDIxOjMxOjAwWjwvdGltZXN0YW1wPgogIDxzdWJqZWN0PjxkaXNwdXRlPjxpZD5k%0AaXNfZXhhbXBsZV8xPC9pZD48YW1vdW50PjUwLjAwPC9hbW91bnQ%2BPHN0YXR1cz5vcGVuPC9zdGF0%0AdXM%2BPGtpbmQ%2BY2hhcmdlYmFjazwva2luZD48L2Rpc3B1dGU%2BPC9zdWJqZWN0Pgo8L25vdGlmaWNh%0AdGlvbj4K%0A",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "check",
            body: "bt_signature=SIGNATURE&bt_payload=PD94bWwgdmVyc2lvbj0iMS4wIiBlbmNvZGluZz0iVVRGLTgiPz4KPG5vdGlmaWNhdGlvbj4KICA8%0Aa2luZD5jaGVjazwva2luZD4KICA8dGltZXN0YW1wIHR5cGU9ImRhdGV0aW1lIj4yMDI2LTExLTIw%0AVDIxOjMyOjAwWjwvdGltZXN0YW1wPgogIDxzdWJqZWN0PjxjaGVjayB0eXBlPSJib29sZWFuIj50%0AcnVlPC9jaGVjaz48L3N1YmplY3Q%2BCjwvbm90aWZpY2F0aW9uPgo%3D%0A",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// The notification's kind, time and XML.
fn parse_details(webhook: &VerifiedWebhook) -> Result<Details, TranslationError> {
    let invalid = || TranslationError::InvalidFormField(PAYLOAD_FIELD);
    let form = Form::parse(webhook.body());
    let base64: Vec<u8> = form
        .get(PAYLOAD_FIELD)
        .ok_or_else(invalid)?
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let xml =
        BASE64.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(invalid)?;
    // Anyone can have hex digits signed as a challenge. Their base64 never decodes to a text that begins with `<`.
    if !xml.trim_start().starts_with('<') {
        return Err(invalid());
    }
    // The elements inside the subject have names of their own.
    let notification = xml.split("<subject").next().unwrap_or_default();
    let mut detail = serde_json::Map::new();
    for name in ["kind", "timestamp"] {
        if let Some(text) = element_text(notification, name) {
            detail.insert(name.to_owned(), text.into());
        }
    }
    detail.insert("xml".to_owned(), xml.as_str().into());
    Ok(Details::One(Detail::parse(serde_json::Value::from(detail).to_string().as_bytes())?))
}

/// A form with the notification, and a placeholder of the signature.
#[cfg(feature = "command")]
fn write_body(detail: &str) -> String {
    let xml = Fields::parse_json(detail).text("/xml").unwrap_or_default();
    format!("bt_signature=SIGNATURE&{PAYLOAD_FIELD}={}", form_encode(&BASE64.encode(xml)))
}

/// The text of the first element of this name, which contains no other element.
fn element_text<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (content, _) = xml.split_once(&format!("</{name}>"))?;
    let (_, tag) = content.rsplit_once(&format!("<{name}"))?;
    let (attributes, text) = tag.split_once('>')?;
    let is_same_name = attributes.is_empty() || attributes.starts_with(' ');
    is_same_name.then(|| text.trim())
}
