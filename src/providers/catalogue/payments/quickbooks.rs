//! QuickBooks webhooks.
//!
//! QuickBooks waits 3 s for a response. Retries: after 10, 20, 30 seconds, 5 and 20 minutes, 2, 4 and 6 hours, then
//! every 6 hours; later events wait.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Intuit signs the raw body with HMAC-SHA256, keyed with the verifier token, and sends it base64-encoded in
/// `intuit-signature`. Since 2026 the body is an array of CloudEvents (specversion 1.0), possibly of several
/// companies; before, it was an object with `eventNotifications`. Intuit wants status 200 within 3 seconds and holds
/// back later events until the first one is accepted. The events name the entity only; the data is fetched from the
/// API.
pub const QUICKBOOKS: Provider = Provider {
    name: "quickbooks",
    title: "QuickBooks",
    documentation: "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks/managing-webhooks-notifications",
    secret_hint: "The verifier token of the app, used as text; development and production have different ones: developer.intuit.com, the app, Webhooks, Show verifier token.",
    source: "intuit.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["intuit-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp in the signature: a captured request can be replayed; the event id detects it.",
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
