//! SendGrid: deliveries, bounces and other events of the Event Webhook.
//!
//! SendGrid retries after a response other than 2xx, at increasing intervals, for up to 24 hours after the
//! event. An event can arrive more than once, with the same `sg_event_id`.

use crate::providers::{
    Algorithm, Encoding, FieldLocation, HeaderSignature, KeyFormat, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SignedContent, SignedTimestamp, SigningPart, TimestampTolerance,
};

/// SendGrid signs the timestamp followed by the raw body, with its final `\r\n`, with ECDSA (P-256, SHA-256).
/// It sends the DER signature in base64 in `X-Twilio-Email-Event-Webhook-Signature`, and the timestamp in
/// `X-Twilio-Email-Event-Webhook-Timestamp`. hookbridge does not limit its age, because SendGrid documents no
/// limit and a retry may repeat the timestamp of the first attempt.
pub const SENDGRID: Provider = Provider {
    name: "sendgrid",
    title: "SendGrid",
    documentation: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features",
    secret_hint: "The verification key (a public key, MFkw...) of the Event Webhook, from Settings > Mail Settings > Event Webhooks in SendGrid.",
    source: "sendgrid.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-twilio-email-event-webhook-signature"],
        signatures: &[SignatureFormat {
            prefix: "",
            algorithm: Algorithm::EcdsaP256,
            key_format: KeyFormat::P256PublicKey,
        }],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Parts(&[SigningPart::Timestamp, SigningPart::Body]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance::UNLIMITED,
            ..SignedTimestamp::in_header(&["x-twilio-email-event-webhook-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    split: Some(""),
    event_type: Some(FieldLocation::Body("/event")),
    delivery_id: Some(FieldLocation::Body("/sg_event_id")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "delivered",
            body: r#"[{"email":"alice@example.com","timestamp":1793000000,"smtp-id":"<a1b2c3@geopod-ismtpd-1>","event":"delivered","category":["receipts"],"sg_event_id":"ZGVsaXZlcmVkLTAtMTIzNDU2Ny1hMWIyYzMtMA","sg_message_id":"a1b2c3d4e5.recvd-6f7d-abcde-1-65000000-1.0","response":"250 2.0.0 OK"}]"#,
            id_placeholder: "ZGVsaXZlcmVkLTAtMTIzNDU2Ny1hMWIyYzMtMA",
            time_placeholder: "1793000000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "bounce",
            body: r#"[{"email":"bob@example.com","timestamp":1793000060,"smtp-id":"<d4e5f6@geopod-ismtpd-1>","event":"bounce","type":"bounce","bounce_classification":"Invalid Address","reason":"550 5.1.1 The email account does not exist","status":"5.1.1","sg_event_id":"Ym91bmNlLTAtMTIzNDU2Ny1kNGU1ZjYtMA","sg_message_id":"d4e5f6a7b8.recvd-6f7d-abcde-1-65000000-2.0"}]"#,
            id_placeholder: "Ym91bmNlLTAtMTIzNDU2Ny1kNGU1ZjYtMA",
            time_placeholder: "1793000060",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "click",
            body: r#"[{"email":"alice@example.com","timestamp":1793000120,"ip":"203.0.113.7","event":"click","url":"https://example.com/offer","useragent":"Mozilla/5.0","url_offset":{"index":0,"type":"html"},"sg_event_id":"Y2xpY2stMC0xMjM0NTY3LWExYjJjMy0w","sg_message_id":"a1b2c3d4e5.recvd-6f7d-abcde-1-65000000-1.0"}]"#,
            id_placeholder: "Y2xpY2stMC0xMjM0NTY3LWExYjJjMy0w",
            time_placeholder: "1793000120",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
