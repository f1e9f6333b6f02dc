//! DocuSign webhooks.
//!
//! DocuSign waits 5 s for a response. Retries: failed messages are retried with growing intervals for days (schedule
//! not confirmed); retryCount in the body counts.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// HMAC-SHA256 over the raw body in base64, line endings included. Each active Connect key makes a header of its own,
/// `X-DocuSign-Signature-1`, `-2` and so on, and one match is enough; that is how keys are rotated. The header is
/// only sent when Include HMAC Signature is on. Old configurations send XML. There is no delivery id and no timestamp
/// in the signature.
pub const DOCUSIGN: Provider = Provider {
    name: "docusign",
    title: "DocuSign",
    documentation: "https://developers.docusign.com/platform/webhooks/connect/validate",
    secret_hint: "A Connect key from Settings, Connect, Connect Keys (Add Secret Key) in the eSignature administration, shown once; a text that looks like base64 and is used as text.",
    source: "docusign.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-docusign-signature-*"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp and no id: a recorded request can be replayed; event, data.envelopeId and generatedDateTime together identify a message.",
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
