//! Typeform webhooks.
//!
//! Typeform waits 30 s for a response. Retries: after 408, 423, 429 and 503 every 2 to 3 minutes for 10 hours; after
//! other failures several retries between 5 minutes and 4 hours; 404 and 410 disable the webhook (third-party
//! quotes).

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Typeform signs the raw body with HMAC-SHA256 and sends sha256= and the signature in base64 in Typeform-Signature.
/// Typeform signs only if the webhook has a secret. Typeform expects a 2xx status within 30 s, repeats the webhook
/// for hours after other statuses, and disables it at once after 404 or 410.
pub const TYPEFORM: Provider = Provider {
    name: "typeform",
    title: "Typeform",
    documentation: "https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
    secret_hint: "The secret that you set in the webhook's settings (Connect > Webhooks > Edit) or with Typeform's Webhooks API.",
    source: "typeform.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["typeform-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some("No timestamp is signed: a captured request can be sent again at any time."),
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
