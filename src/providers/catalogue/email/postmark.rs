//! Postmark: deliveries, bounces and other events of email.
//!
//! After 408, 429, 5xx or a timeout, Postmark retries up to six times in 51 minutes. It does not retry after
//! another 4xx status, so a wrong password loses events. It retries inbound email 10 times in 10.5 hours. It
//! accepts a new or changed webhook only if its test events get status 200.

use crate::providers::{
    FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme, SuccessResponse,
};

/// Postmark signs nothing. It sends the user and the password of the webhook with HTTP basic authentication.
/// hookbridge does not accept a secret in a custom header, the alternative that Postmark offers. The delivery
/// id is `X-PM-Webhook-Trace-Id`, because the events of one message share its `MessageID`.
pub const POSTMARK: Provider = Provider {
    name: "postmark",
    title: "Postmark",
    documentation: "https://postmarkapp.com/developer/webhooks/webhooks-overview",
    secret_hint: "The user and the password of the Postmark webhook, joined by a colon, which you choose under Basic auth or in the URL.",
    source: "postmarkapp.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Basic]),
    weakness: Some("Postmark signs nothing: an attacker who reads one request can forge others."),
    event_type: Some(FieldLocation::Body("/RecordType")),
    delivery_id: Some(FieldLocation::Header("x-pm-webhook-trace-id")),
    event_time: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/DeliveredAt"),
        FieldLocation::Body("/BouncedAt"),
        FieldLocation::Body("/ReceivedAt"),
        FieldLocation::Body("/ChangedAt"),
    ])),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "Delivery",
            body: r#"{"RecordType":"Delivery","ServerID":23,"MessageStream":"outbound","MessageID":"00000000-1111-4222-8333-444444444444","Recipient":"alice@example.com","Tag":"receipt","DeliveredAt":"2026-10-26T06:13:20Z","Details":"250 2.0.0 OK","Metadata":{"order":"1001"}}"#,
            time_placeholder: "2026-10-26T06:13:20Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Bounce",
            body: r#"{"RecordType":"Bounce","ID":4323372036854775000,"Type":"HardBounce","TypeCode":1,"Name":"Hard bounce","MessageID":"00000000-1111-4222-8333-555555555555","ServerID":23,"MessageStream":"outbound","Email":"bob@example.com","From":"shop@example.com","BouncedAt":"2026-10-26T06:14:20Z","Details":"550 no such user","Inactive":true,"CanActivate":true,"Subject":"Your receipt","Metadata":{}}"#,
            time_placeholder: "2026-10-26T06:14:20Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Open",
            body: r#"{"RecordType":"Open","MessageStream":"outbound","MessageID":"00000000-1111-4222-8333-444444444444","Recipient":"alice@example.com","FirstOpen":true,"ReceivedAt":"2026-10-26T06:20:00Z","Tag":"receipt","UserAgent":"Mozilla/5.0","Platform":"Desktop","Metadata":{"order":"1001"}}"#,
            time_placeholder: "2026-10-26T06:20:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
