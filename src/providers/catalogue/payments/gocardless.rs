//! GoCardless webhooks.
//!
//! GoCardless waits 10 s for a response. Retries: up to 8 retries at increasing intervals (1, 2, 10 minutes and on)
//! when there is no 2xx within 10 seconds; redirects are failures.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// GoCardless signs the raw body with HMAC-SHA256 and sends it in lower-case hex in `Webhook-Signature`. A request
/// carries up to 250 events in `events`; it is repeated as a whole when it is not accepted, so each event id must be
/// treated idempotently. There is no timestamp in the signature. GoCardless wants any 2xx and documents 498 for a bad
/// signature.
pub const GOCARDLESS: Provider = Provider {
    name: "gocardless",
    title: "GoCardless",
    documentation: "https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks",
    secret_hint: "The secret of the webhook endpoint, used as text: GoCardless dashboard, Developers, Webhook endpoints, Create, Secret (chosen or generated when the endpoint is made).",
    source: "gocardless.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["webhook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some("No timestamp: a captured request can be replayed."),
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
