//! Xero: changes to contacts and invoices.
//!
//! Xero expects status 200 without a body within 5 s. It retries for up to 24 hours and then disables the
//! webhook. When you save a webhook, Xero sends requests without events ("intent to receive"), some of them
//! with an invalid signature, for which it expects status 401.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Xero signs the raw body with HMAC-SHA256 and sends the signature in base64 in `x-xero-signature`. The key
/// looks like base64 but is used as text. A webhook may contain several events, which have no ids.
pub const XERO: Provider = Provider {
    name: "xero",
    title: "Xero",
    documentation: "https://developer.xero.com/documentation/webhooks/configuring-your-server",
    secret_hint: "The webhooks key of the app, from My Apps > Webhooks at developer.xero.com.",
    source: "xero.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-xero-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp and events have no id.",
    ),
    split: Some("/events"),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/eventCategory"),
        FieldLocation::Body("/eventType"),
    ])),
    event_time: Some(FieldLocation::Body("/eventDateUtc")),
    success: SuccessResponse { status: 200, body: "" },
    samples: &[
        SampleWebhook {
            event_type: "INVOICE.UPDATE",
            body: r#"{"events":[{"resourceUrl":"https://api.xero.com/api.xro/2.0/Invoices/717f2bfc-c6d4-41fd-b238-3f2f0c0cf777","resourceId":"717f2bfc-c6d4-41fd-b238-3f2f0c0cf777","eventDateUtc":"2026-11-20T01:15:39.902","eventType":"UPDATE","eventCategory":"INVOICE","tenantId":"c2cc9b6e-9458-4c7d-93cc-f02b81b0594f","tenantType":"ORGANISATION"}],"firstEventSequence":1,"lastEventSequence":1,"entropy":"S0EXAMPLEENTROPY0001"}"#,
            time_placeholder: "2026-11-20T01:15:39.902",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "CONTACT.CREATE",
            body: r#"{"events":[{"resourceUrl":"https://api.xero.com/api.xro/2.0/Contacts/9b3f5d7e-1a2b-4c3d-8e4f-000000000001","resourceId":"9b3f5d7e-1a2b-4c3d-8e4f-000000000001","eventDateUtc":"2026-11-20T02:03:04.5","eventType":"CREATE","eventCategory":"CONTACT","tenantId":"c2cc9b6e-9458-4c7d-93cc-f02b81b0594f","tenantType":"ORGANISATION"}],"firstEventSequence":2,"lastEventSequence":2,"entropy":"S0EXAMPLEENTROPY0002"}"#,
            time_placeholder: "2026-11-20T02:03:04.5",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
