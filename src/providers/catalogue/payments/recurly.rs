//! Recurly: changes to accounts, subscriptions, invoices and payments.
//!
//! Recurly waits 5 s for a response and retries up to 10 times at growing intervals. The endpoint must use
//! JSON, because Recurly does not sign XML. An event names the changed object; the subscriber fetches its
//! data with Recurly's API.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent,
    SignedTimestamp, SigningPart, TimestampFormat,
};

/// Recurly signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `TIMESTAMP,SIGNATURE` in `recurly-signature`,
/// with the timestamp in milliseconds and the signature in hex. For 24 hours after the key was regenerated,
/// the header has two signatures; one valid signature is enough. Like Recurly's SDK, hookbridge rejects
/// timestamps that are more than 5 minutes in the past or in the future.
pub const RECURLY: Provider = Provider {
    name: "recurly",
    title: "Recurly",
    documentation: "https://docs.recurly.com/recurly-subscriptions/docs/signature-verification",
    secret_hint: "The secret key (64 hex digits) of the webhook endpoint, from Integrations > Webhooks > Webhook Endpoints in Recurly.",
    source: "recurly.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["recurly-signature"],
        header_format: HeaderFormat::List(","),
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Milliseconds,
            ..SignedTimestamp::in_signature_header("")
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/object_type"),
        FieldLocation::Body("/event_type"),
    ])),
    delivery_id: Some(FieldLocation::Header("recurly-notification-id")),
    event_time: Some(FieldLocation::Body("/event_time")),
    samples: &[
        SampleWebhook {
            event_type: "account.created",
            body: r#"{"id":"acc0exampl01","object_type":"account","site_id":"site0example","event_type":"created","event_time":"2026-11-20T21:18:40Z","account_code":"example-1001"}"#,
            time_placeholder: "2026-11-20T21:18:40Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "subscription.canceled",
            body: r#"{"id":"sub0exampl01","object_type":"subscription","site_id":"site0example","event_type":"canceled","event_time":"2026-11-21T09:00:00Z","uuid":"63ab531e1d5b1d47eaf1ef44eeb853c3"}"#,
            time_placeholder: "2026-11-21T09:00:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
