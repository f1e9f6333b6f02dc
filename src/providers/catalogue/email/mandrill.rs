//! Mandrill (Mailchimp Transactional): events of sent email.
//!
//! Mandrill retries a failed batch until it succeeds or you stop it; its schedule is not confirmed. It tests
//! a new webhook with a HEAD request, or, if this fails, with a POST request that is signed with the public
//! key `test-webhook`, which hookbridge rejects.

use bytes::Bytes;

use crate::providers::{
    BodyFormat, Encoding, FieldLocation, Form, Handshake, HeaderSignature, Provider, RawWebhook,
    SampleWebhook, SignatureFormat, SignatureScheme, SignedContent, SigningInput, SuccessResponse,
    VerificationError,
};

/// Maximum number of fields of an unverified form. Mandrill sends one field.
const MAX_FIELDS: usize = 100;

/// Mandrill signs the URL as configured, followed by the name and the value of each form field in
/// alphabetical order, with HMAC-SHA1, and sends the signature in base64 in `X-Mandrill-Signature`. The
/// form's only field, `mandrill_events`, is a JSON array of up to 1,000 events. Events have no id: `_id` is
/// the id of the message.
pub const MANDRILL: Provider = Provider {
    name: "mandrill",
    title: "Mandrill",
    documentation: "https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests",
    secret_hint: "The authentication key of the webhook (each webhook has its own), from the column Key on Mandrill's Webhooks page.",
    source: "mandrillapp.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-mandrill-signature"],
        signatures: &[SignatureFormat::hmac_sha1("")],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Custom(form_signing_input),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. HMAC-SHA1 is below current practice, although no practical attack on it is known.",
    ),
    handshakes: &[Handshake::Head],
    body_format: BodyFormat::FormField("mandrill_events"),
    split: Some(""),
    event_type: Some(FieldLocation::Body("/event")),
    event_time: Some(FieldLocation::Body("/ts")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "send",
            body: r#"mandrill_events=%5B%7B%22event%22%3A%22send%22%2C%22_id%22%3A%227761629d0a1b4c5e8f60718293a4b5c6%22%2C%22ts%22%3A1793000000%2C%22msg%22%3A%7B%22ts%22%3A1793000000%2C%22_id%22%3A%227761629d0a1b4c5e8f60718293a4b5c6%22%2C%22state%22%3A%22sent%22%2C%22subject%22%3A%22Your+receipt%22%2C%22email%22%3A%22alice%40example.com%22%2C%22sender%22%3A%22shop%40example.com%22%2C%22tags%22%3A%5B%22receipt%22%5D%2C%22metadata%22%3A%7B%22order%22%3A%221001%22%7D%7D%7D%5D"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "hard_bounce",
            body: r#"mandrill_events=%5B%7B%22event%22%3A%22hard_bounce%22%2C%22_id%22%3A%228872730e1b2c5d6f9071829304b5c6d7%22%2C%22ts%22%3A1793000060%2C%22msg%22%3A%7B%22ts%22%3A1793000050%2C%22_id%22%3A%228872730e1b2c5d6f9071829304b5c6d7%22%2C%22state%22%3A%22bounced%22%2C%22email%22%3A%22bob%40example.com%22%2C%22bounce_description%22%3A%22bad_mailbox%22%2C%22diag%22%3A%22smtp%3B550+5.1.1+no+such+user%22%7D%7D%5D"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "click",
            body: r#"mandrill_events=%5B%7B%22event%22%3A%22click%22%2C%22_id%22%3A%227761629d0a1b4c5e8f60718293a4b5c6%22%2C%22ts%22%3A1793000120%2C%22url%22%3A%22https%3A%2F%2Fexample.com%2Foffer%22%2C%22ip%22%3A%22203.0.113.7%22%2C%22msg%22%3A%7B%22_id%22%3A%227761629d0a1b4c5e8f60718293a4b5c6%22%2C%22state%22%3A%22sent%22%2C%22email%22%3A%22alice%40example.com%22%7D%7D%5D"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// The URL of the webhook and the decoded fields of its form.
fn form_signing_input(webhook: &RawWebhook, _timestamp: &str) -> Result<SigningInput, VerificationError> {
    if !webhook.is_form() {
        return Err(VerificationError::BodyNotSigned);
    }
    let form = Form::parse_bounded(webhook.body(), MAX_FIELDS).ok_or(VerificationError::BodyNotSigned)?;
    let form = Bytes::from(form.sorted_text());
    let urls = webhook.urls().map(|url| vec![Bytes::from(url.to_string()), form.clone()]);
    Ok(SigningInput(urls.collect()))
}
