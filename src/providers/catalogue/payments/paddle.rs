//! Paddle: events of Paddle Billing.
//!
//! Paddle expects status 200 within 5 s and retries with exponential backoff, for live accounts up to
//! 60 times within 3 days. Each retry has a new timestamp. hookbridge does not support Paddle Classic, which
//! signs differently.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedContent, SignedTimestamp, SigningPart, SuccessResponse, TimestampTolerance,
};

/// Paddle signs `TIMESTAMP:BODY` with HMAC-SHA256 and sends `ts=TIMESTAMP;h1=SIGNATURE` with a hex signature
/// in `Paddle-Signature`. While a secret rotates, the header has several signatures `h1`. Paddle's SDKs
/// reject timestamps that are more than 5 s old; hookbridge accepts 60 s in the past and in the future,
/// because clocks differ and a function may start slowly.
pub const PADDLE: Provider = Provider {
    name: "paddle",
    title: "Paddle",
    documentation: "https://developer.paddle.com/webhooks/about/signature-verification",
    secret_hint: "The endpoint secret key (pdl_ntfset_...) of the notification destination, from Developer tools > Notifications in Paddle.",
    source: "paddle.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["paddle-signature"],
        header_format: HeaderFormat::List(";"),
        signatures: &[SignatureFormat::hmac_sha256("h1=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal(":"),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance::seconds(60),
            ..SignedTimestamp::in_signature_header("ts=")
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/event_type")),
    delivery_id: Some(FieldLocation::Body("/event_id")),
    event_time: Some(FieldLocation::Body("/occurred_at")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "subscription.created",
            body: r#"{"event_id":"evt_01kf0000000000000000000001","event_type":"subscription.created","occurred_at":"2026-11-20T10:18:49.621022Z","notification_id":"ntf_01kf0000000000000000000001","data":{"id":"sub_01kf0000000000000000000001","status":"active","customer_id":"ctm_01kf0000000000000000000001","currency_code":"USD","collection_mode":"automatic","billing_cycle":{"interval":"month","frequency":1},"next_billed_at":"2026-12-20T10:18:47.635Z","custom_data":null}}"#,
            id_placeholder: "01kf0000000000000000000001",
            time_placeholder: "2026-11-20T10:18:49.621022Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "transaction.completed",
            body: r#"{"event_id":"evt_01kf0000000000000000000002","event_type":"transaction.completed","occurred_at":"2026-11-20T10:19:02.117382Z","notification_id":"ntf_01kf0000000000000000000002","data":{"id":"txn_01kf0000000000000000000001","status":"completed","customer_id":"ctm_01kf0000000000000000000001","subscription_id":"sub_01kf0000000000000000000001","origin":"web","currency_code":"USD","details":{"totals":{"total":"1200","tax":"200"}}}}"#,
            id_placeholder: "01kf0000000000000000000002",
            time_placeholder: "2026-11-20T10:19:02.117382Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "customer.updated",
            body: r#"{"event_id":"evt_01kf0000000000000000000003","event_type":"customer.updated","occurred_at":"2026-11-21T07:02:41.004122Z","notification_id":"ntf_01kf0000000000000000000003","data":{"id":"ctm_01kf0000000000000000000001","name":"Ada Example","email":"ada@example.com","locale":"en","status":"active","marketing_consent":false}}"#,
            id_placeholder: "01kf0000000000000000000003",
            time_placeholder: "2026-11-21T07:02:41.004122Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
