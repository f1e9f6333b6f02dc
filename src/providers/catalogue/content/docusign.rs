//! DocuSign: events of envelopes and recipients (Connect).
//!
//! DocuSign expects a response within 5 s and retries at growing intervals; `retryCount` in the body counts
//! the retries. The Connect configuration must send JSON, because hookbridge rejects the XML of older
//! configurations.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// DocuSign signs the raw body with HMAC-SHA256, once with each Connect key of the account, and sends the
/// base64 signatures in `X-DocuSign-Signature-1`, `X-DocuSign-Signature-2` and so on. One valid signature is
/// enough. A key looks like base64 but is used as text.
pub const DOCUSIGN: Provider = Provider {
    name: "docusign",
    title: "DocuSign",
    documentation: "https://developers.docusign.com/platform/webhooks/connect/validate",
    secret_hint: "A Connect key, which DocuSign shows once under Settings > Connect > Connect Keys; the configuration must include the HMAC signature.",
    source: "docusign.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-docusign-signature-*"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp and webhooks have no id.",
    ),
    event_type: Some(FieldLocation::Body("/event")),
    event_time: Some(FieldLocation::Body("/generatedDateTime")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "envelope-completed",
            body: r#"{"event":"envelope-completed","apiVersion":"v2.1","uri":"/restapi/v2.1/accounts/5b1e1f2a-0000-4d3c-9b8a-7c6d5e4f3a2b/envelopes/9c8b7a69-0000-4e5d-8c4b-3a2918070605","retryCount":0,"configurationId":10448817,"generatedDateTime":"2026-11-20T09:30:11.0130000Z","data":{"accountId":"5b1e1f2a-0000-4d3c-9b8a-7c6d5e4f3a2b","userId":"1a2b3c4d-0000-4f60-8172-839405162738","envelopeId":"9c8b7a69-0000-4e5d-8c4b-3a2918070605"}}"#,
            time_placeholder: "2026-11-20T09:30:11.0130000Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "recipient-completed",
            body: r#"{"event":"recipient-completed","apiVersion":"v2.1","uri":"/restapi/v2.1/accounts/5b1e1f2a-0000-4d3c-9b8a-7c6d5e4f3a2b/envelopes/9c8b7a69-0000-4e5d-8c4b-3a2918070605","retryCount":0,"configurationId":10448817,"generatedDateTime":"2026-11-20T09:29:58.4470000Z","data":{"accountId":"5b1e1f2a-0000-4d3c-9b8a-7c6d5e4f3a2b","userId":"1a2b3c4d-0000-4f60-8172-839405162738","envelopeId":"9c8b7a69-0000-4e5d-8c4b-3a2918070605","recipientId":"1"}}"#,
            time_placeholder: "2026-11-20T09:29:58.4470000Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
