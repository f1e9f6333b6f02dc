//! QuickBooks: changes to the entities of QuickBooks Online companies.
//!
//! Intuit expects status 200 within 3 s. It retries at growing intervals, at last every 6 hours, and holds
//! back later events meanwhile. An event names the changed entity; the subscriber fetches its data with
//! Intuit's API.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Intuit signs the raw body with HMAC-SHA256 and sends the signature in base64 in `intuit-signature`. The
/// HMAC key is the verifier token. The body is an array of CloudEvents, which may belong to several
/// companies. hookbridge publishes a body in the format before 2026, an object with `eventNotifications`, as
/// one event.
pub const QUICKBOOKS: Provider = Provider {
    name: "quickbooks",
    title: "QuickBooks",
    documentation: "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks/managing-webhooks-notifications",
    secret_hint: "The verifier token of the app (not the client secret), from its Webhooks page at developer.intuit.com; development and production differ.",
    source: "intuit.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["intuit-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The replay has the same event ids.",
    ),
    split: Some(""),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/time")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "qbo.invoice.created.v1",
            body: r#"[{"specversion":"1.0","id":"88cd52aa-33b6-4351-9aa4-000000000001","source":"intuit.exampleSource0000000000000000000000000000=","type":"qbo.invoice.created.v1","datacontenttype":"application/json","time":"2026-11-20T21:31:25.179851517Z","intuitentityid":"1234","intuitaccountid":"310687","data":{}}]"#,
            id_placeholder: "88cd52aa-33b6-4351-9aa4-000000000001",
            time_placeholder: "2026-11-20T21:31:25.179851517Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "qbo.customer.updated.v1",
            body: r#"[{"specversion":"1.0","id":"88cd52aa-33b6-4351-9aa4-000000000002","source":"intuit.exampleSource=","type":"qbo.customer.updated.v1","datacontenttype":"application/json","time":"2026-11-20T21:32:00Z","intuitentityid":"58","intuitaccountid":"310687","data":{}},{"specversion":"1.0","id":"88cd52aa-33b6-4351-9aa4-000000000003","source":"intuit.exampleSource=","type":"qbo.payment.created.v1","datacontenttype":"application/json","time":"2026-11-20T21:33:00Z","intuitentityid":"77","intuitaccountid":"310688","data":{}}]"#,
            id_placeholder: "88cd52aa-33b6-4351-9aa4-000000000002",
            time_placeholder: "2026-11-20T21:32:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
