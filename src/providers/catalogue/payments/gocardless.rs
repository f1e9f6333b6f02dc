//! GoCardless: events of payments, mandates and other resources.
//!
//! GoCardless waits 10 s for a response and retries up to 8 times at growing intervals. A redirect is a
//! failure. A retry repeats all events of the webhook.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// GoCardless signs the raw body with HMAC-SHA256 and sends the signature in hex in `Webhook-Signature`.
/// GoCardless documents the status 498 for an invalid signature; hookbridge returns 401, as for every
/// provider, because GoCardless treats every status other than 2xx as a failure.
pub const GOCARDLESS: Provider = Provider {
    name: "gocardless",
    title: "GoCardless",
    documentation: "https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks",
    secret_hint: "The secret of the webhook endpoint, from Developers > Webhook endpoints in the GoCardless dashboard.",
    source: "gocardless.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["webhook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The replay has the same event ids.",
    ),
    split: Some("/events"),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/resource_type"),
        FieldLocation::Body("/action"),
    ])),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "payments.confirmed",
            body: r#"{"events":[{"id":"EV0EXAMPLE0001","created_at":"2026-11-20T10:00:00.000Z","resource_type":"payments","action":"confirmed","links":{"payment":"PM0EXAMPLE001"},"details":{"origin":"gocardless","cause":"payment_confirmed","description":"Enough time has passed since the payment was submitted."},"metadata":{}}],"meta":{"webhook_id":"WB0EXAMPLE001"}}"#,
            id_placeholder: "EV0EXAMPLE0001",
            time_placeholder: "2026-11-20T10:00:00.000Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "mandates.cancelled",
            body: r#"{"events":[{"id":"EV0EXAMPLE0002","created_at":"2026-11-20T10:05:00.000Z","resource_type":"mandates","action":"cancelled","links":{"mandate":"MD0EXAMPLE001","organisation":"OR0EXAMPLE1"},"details":{"origin":"bank","cause":"bank_account_closed","description":"The customer's bank account was closed.","scheme":"bacs","reason_code":"ADDACS-B"},"metadata":{}}],"meta":{"webhook_id":"WB0EXAMPLE002"}}"#,
            id_placeholder: "EV0EXAMPLE0002",
            time_placeholder: "2026-11-20T10:05:00.000Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
