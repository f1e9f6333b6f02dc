//! Typeform: responses to forms.
//!
//! Typeform waits 30 s for a response and retries for hours. It disables the webhook after 404 or 410.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Typeform signs the raw body with HMAC-SHA256 and sends the signature in base64 after `sha256=` in
/// `Typeform-Signature`. A webhook without a secret is not signed.
pub const TYPEFORM: Provider = Provider {
    name: "typeform",
    title: "Typeform",
    documentation: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
    secret_hint: "The secret of the webhook, as you set it under Connect > Webhooks > Edit in Typeform or with Typeform's Webhooks API.",
    source: "typeform.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["typeform-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The replay has the same event id.",
    ),
    event_type: Some(FieldLocation::Body("/event_type")),
    delivery_id: Some(FieldLocation::Body("/event_id")),
    event_time: Some(FieldLocation::Body("/form_response/submitted_at")),
    samples: &[
        SampleWebhook {
            event_type: "form_response",
            body: r#"{"event_id":"01JB0A1B2C3D4E5F6G7H8J9KMN","event_type":"form_response","form_response":{"form_id":"lT4Z3j","token":"a3a12ec67a1365927098a606107fac15","landed_at":"2026-10-26T06:10:02Z","submitted_at":"2026-10-26T06:13:20Z","definition":{"id":"lT4Z3j","title":"Feedback","fields":[{"id":"DlXFaesGBpoF","ref":"email","title":"Your e-mail","type":"email","properties":{}}]},"answers":[{"type":"email","email":"alice@example.com","field":{"id":"DlXFaesGBpoF","type":"email","ref":"email"}}]}}"#,
            id_placeholder: "01JB0A1B2C3D4E5F6G7H8J9KMN",
            time_placeholder: "2026-10-26T06:13:20Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "form_response_partial",
            body: r#"{"event_id":"01JB1B2C3D4E5F6G7H8J9KMNPQ","event_type":"form_response_partial","form_response":{"form_id":"lT4Z3j","token":"b4b23fd78b2476038109b717218abd26","landed_at":"2026-10-26T06:18:00Z","submitted_at":"2026-10-26T06:20:00Z","definition":{"id":"lT4Z3j","title":"Feedback","fields":[]},"answers":[]}}"#,
            id_placeholder: "01JB1B2C3D4E5F6G7H8J9KMNPQ",
            time_placeholder: "2026-10-26T06:20:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
