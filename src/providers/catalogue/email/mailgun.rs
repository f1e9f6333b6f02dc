//! Mailgun: deliveries, failures and other events of sent email.
//!
//! Mailgun retries after any status other than 200 and 406: after 5, 10 and 15 minutes, then 1, 2 and 4
//! hours. hookbridge does not accept legacy webhooks and inbound routes, which are forms.

use crate::providers::{
    BodySignature, Encoding, FieldLocation, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SuccessResponse,
};

/// Mailgun signs a timestamp followed by a random token with HMAC-SHA256, and sends both and the hex
/// signature in the object `signature` of the body. A subaccount's webhooks also have a signature with the
/// primary account's key; one valid signature is enough. hookbridge does not limit the age of the timestamp,
/// because Mailgun documents no limit and retries for 8 hours.
pub const MAILGUN: Provider = Provider {
    name: "mailgun",
    title: "Mailgun",
    documentation: "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
    secret_hint: "The HTTP webhook signing key of the Mailgun account, from API Security in the control panel, not an API key.",
    source: "mailgun.com",
    signature_scheme: SignatureScheme::Body(BodySignature {
        elements: None,
        signatures: &["/signature/signature", "/signature/parent-signature"],
        format: &SignatureFormat::hmac_sha256(""),
        encoding: Encoding::Hex,
        signed_fields: &["/signature/timestamp", "/signature/token"],
        separator: "",
    }),
    weakness: Some(
        "The signature covers only a timestamp and a token, not the event. An attacker who reads one webhook can send any event with the same signature, at any time.",
    ),
    event_type: Some(FieldLocation::Body("/event-data/event")),
    delivery_id: Some(FieldLocation::Body("/event-data/id")),
    event_time: Some(FieldLocation::Body("/event-data/timestamp")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "delivered",
            body: r#"{"signature":{"timestamp":"1793000000","token":"0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f607182","signature":"SIGNATURE"},"event-data":{"event":"delivered","id":"CPgfbmQMTCKtHW6uIWtuVe","timestamp":1793000000.123456,"log-level":"info","recipient":"alice@example.com","recipient-domain":"example.com","message":{"headers":{"to":"alice@example.com","from":"shop@example.com","subject":"Your receipt","message-id":"20261030.1@mg.example.com"}},"tags":["receipt"]}}"#,
            id_placeholder: "CPgfbmQMTCKtHW6uIWtuVe",
            time_placeholder: "1793000000.123456",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "failed",
            body: r#"{"signature":{"timestamp":"1793000060","token":"1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293","signature":"SIGNATURE"},"event-data":{"event":"failed","id":"G9Bn5sl1TC6nu79C8C0bwg","timestamp":1793000060.5,"log-level":"error","severity":"permanent","reason":"suppress-bounce","recipient":"bob@example.com","delivery-status":{"code":605,"message":"Not delivering to previously bounced address"},"message":{"headers":{"message-id":"20261030.2@mg.example.com"}}}}"#,
            id_placeholder: "G9Bn5sl1TC6nu79C8C0bwg",
            time_placeholder: "1793000060.5",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "opened",
            body: r#"{"signature":{"timestamp":"1793000120","token":"2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4","signature":"SIGNATURE"},"event-data":{"event":"opened","id":"Ase7i2zsRYeDXztHGENqRA","timestamp":1793000120.25,"log-level":"info","recipient":"alice@example.com","ip":"203.0.113.7","client-info":{"client-type":"mobile app","device-type":"mobile"},"message":{"headers":{"message-id":"20261030.1@mg.example.com"}}}}"#,
            id_placeholder: "Ase7i2zsRYeDXztHGENqRA",
            time_placeholder: "1793000120.25",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
