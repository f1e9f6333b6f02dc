//! Postmark webhooks.
//!
//! Retries: outbound: after 5xx, 408, 429 or a timeout up to 6 retries after 1, 5, 10, 10, 10, 15 minutes
//! (X-PM-Retries-Remaining); an event type that fails for long is paused. Inbound: 10 retries in about 10.5 hours
//! after anything but 200, none after 403.

use crate::providers::{
    FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme, SuccessResponse,
};

/// Postmark does not sign webhooks. A request contains the user name and the password of the webhook's URL (or of
/// HttpAuth) as HTTP Basic authentication, or a custom header with a shared secret. When a webhook is created or
/// edited, Postmark tests the URL for every enabled event type and accepts only the status 200. Outbound webhooks are
/// repeated after 5xx, 408, 429 and timeouts; after any other 4xx, also 401 and 403, Postmark drops the event.
pub const POSTMARK: Provider = Provider {
    name: "postmark",
    title: "Postmark",
    documentation: "https://postmarkapp.com/developer/webhooks/webhooks-overview",
    secret_hint: "The user name and the password, joined by a colon, that you choose in the Basic auth fields (or in the URL) of the Postmark webhook.",
    source: "postmarkapp.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Basic]),
    weakness: Some(
        "No signature: nothing protects the body, and a leaked password allows any event. A wrong password loses events, because Postmark does not repeat a request that got 401 or 403.",
    ),
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
