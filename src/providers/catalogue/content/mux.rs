//! Mux: events of video assets and live streams.
//!
//! Mux retries for 24 hours, at growing intervals, until it receives a 2xx response. It may deliver an event
//! more than once.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedContent, SignedTimestamp, SigningPart,
};

/// Mux signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `t=TIMESTAMP,v1=SIGNATURE` with a hex signature in
/// `Mux-Signature`. The header may have several signatures `v1`; one valid signature is enough. Mux's SDK
/// rejects timestamps that are more than 300 s old; hookbridge also rejects timestamps that are more than
/// 300 s in the future.
pub const MUX: Provider = Provider {
    name: "mux",
    title: "Mux",
    documentation: "https://www.mux.com/docs/core/verify-webhook-signatures",
    secret_hint: "The signing secret of the webhook endpoint, from Settings > Webhooks in the Mux dashboard.",
    source: "mux.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["mux-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp::in_signature_header("t=")),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "video.asset.ready",
            body: r#"{"type":"video.asset.ready","id":"3a56ac3d-33da-4366-855b-f592d898409d","created_at":"2026-11-20T15:15:03.000000Z","object":{"type":"asset","id":"0201p02fGKPE7MrbC269XRD7LpcHhrmbu"},"environment":{"name":"Production","id":"j0863n"},"request_id":null,"data":{"id":"0201p02fGKPE7MrbC269XRD7LpcHhrmbu","status":"ready","duration":49.6,"aspect_ratio":"16:9","playback_ids":[{"policy":"public","id":"yRk5Dfhsv7jrnAWT5kKm"}],"created_at":1795187700},"accessor_source":null,"accessor":null,"attempts":[]}"#,
            id_placeholder: "3a56ac3d-33da-4366-855b-f592d898409d",
            time_placeholder: "2026-11-20T15:15:03.000000Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "video.live_stream.active",
            body: r#"{"type":"video.live_stream.active","id":"8f2d3c1a-0b4e-4a7f-9c6d-5e4f3a2b1c0d","created_at":"2026-11-20T15:15:03.000000Z","object":{"type":"live","id":"nZR5YLpA00x6bD9vN1qk"},"environment":{"name":"Production","id":"j0863n"},"request_id":null,"data":{"id":"nZR5YLpA00x6bD9vN1qk","status":"active","active_asset_id":"x1y2z3","created_at":1795187000},"accessor_source":null,"accessor":null,"attempts":[]}"#,
            id_placeholder: "8f2d3c1a-0b4e-4a7f-9c6d-5e4f3a2b1c0d",
            time_placeholder: "2026-11-20T15:15:03.000000Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
