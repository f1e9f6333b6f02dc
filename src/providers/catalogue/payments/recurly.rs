//! Recurly webhooks.
//!
//! Recurly waits 5 s for a response. Retries: up to 10 retries, about 10 + n*2^(n+5) seconds apart.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent,
    SignedTimestamp, SigningPart, TimestampFormat,
};

/// Recurly signs `timestamp.body` of JSON webhooks with HMAC-SHA256 and sends `recurly-signature: <unix
/// milliseconds>,HEX[,HEX]`. Two signatures appear for 24 hours after the key was regenerated; one match is
/// enough. The SDK refuses a timestamp more than 5 minutes off in either direction. XML webhooks are not signed. The
/// body names the object and what happened; the data is fetched from the API.
pub const RECURLY: Provider = Provider {
    name: "recurly",
    title: "Recurly",
    documentation: "https://docs.recurly.com/recurly-subscriptions/docs/signature-verification",
    secret_hint: "The secret key of the endpoint (64 hex characters, used as text, not decoded): Recurly, Integrations, Webhooks, Webhook Endpoints.",
    source: "recurly.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["recurly-signature"],
        header_format: HeaderFormat::List(','),
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
