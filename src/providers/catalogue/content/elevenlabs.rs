//! ElevenLabs: transcripts and recordings of agents' calls.
//!
//! Retries are off by default and exist only for `post_call_transcription`. ElevenLabs disables a webhook
//! after 10 failures in a row without a success within 7 days. `post_call_audio` contains the whole call in
//! base64, which may exceed the 6 MB that a Lambda function accepts.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedContent, SignedTimestamp, SigningPart, SuccessResponse, TimestampTolerance,
};

/// ElevenLabs signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `t=TIMESTAMP,v0=SIGNATURE` with a hex
/// signature in `ElevenLabs-Signature`. ElevenLabs' libraries reject timestamps that are more than 30 minutes
/// old; hookbridge also rejects timestamps that are more than 30 minutes in the future. The HMAC key is the
/// whole secret, including its prefix.
pub const ELEVENLABS: Provider = Provider {
    name: "elevenlabs",
    title: "ElevenLabs",
    documentation: "https://elevenlabs.io/docs/eleven-api/resources/webhooks",
    secret_hint: "The shared secret, which ElevenLabs shows once when you create a webhook with HMAC authentication under Settings > Webhooks.",
    source: "elevenlabs.io",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["elevenlabs-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v0=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance::seconds(1800),
            ..SignedTimestamp::in_signature_header("t=")
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/event_timestamp")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "post_call_transcription",
            body: r#"{"type":"post_call_transcription","event_timestamp":1793000000,"data":{"agent_id":"agent_0a1b2c3d","conversation_id":"conv_1b2c3d4e","status":"done","user_id":"user_1001","transcript":[{"role":"agent","message":"Hello, how can I help?","time_in_call_secs":0},{"role":"user","message":"I have a question.","time_in_call_secs":2}],"metadata":{"start_time_unix_secs":1792999900,"call_duration_secs":22,"cost":296},"analysis":{"call_successful":"success","transcript_summary":"A short call."},"has_audio":true}}"#,
            time_placeholder: "1793000000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "post_call_audio",
            body: r#"{"type":"post_call_audio","event_timestamp":1793000005,"data":{"agent_id":"agent_0a1b2c3d","conversation_id":"conv_1b2c3d4e","full_audio":"SUQzBAAAAAAA"}}"#,
            time_placeholder: "1793000005",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "call_initiation_failure",
            body: r#"{"type":"call_initiation_failure","event_timestamp":1793000060,"data":{"agent_id":"agent_0a1b2c3d","conversation_id":"conv_2c3d4e5f","failure_reason":"busy","metadata":{"type":"twilio","body":{"CallStatus":"busy","To":"+15550100"}}}}"#,
            time_placeholder: "1793000060",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
