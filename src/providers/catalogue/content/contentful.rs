//! Contentful: changes to entries, assets and content types.
//!
//! Contentful waits 30 s for a response. It retries twice, at intervals of 30 s, after 429 or 5xx but not
//! after a timeout. The endpoint's URL should have no query, because Contentful may escape a query before it
//! signs it.

use bytes::Bytes;

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, RawWebhook, SampleWebhook, SignatureScheme, SignedContent,
    SignedTimestamp, SigningInput, TimestampFormat, VerificationError,
};

/// Contentful signs the method, the path, the headers named in `X-Contentful-Signed-Headers` and the body
/// with HMAC-SHA256 and sends the signature in hex in `X-Contentful-Signature`. Contentful's SDK rejects an
/// `X-Contentful-Timestamp` that is more than 30 s old; hookbridge accepts 300 s, because a retry may have
/// the timestamp of the first attempt.
pub const CONTENTFUL: Provider = Provider {
    name: "contentful",
    title: "Contentful",
    documentation: "https://www.contentful.com/developers/docs/extensibility/webhooks/request-verification/",
    secret_hint: "The signing secret of the space, which Contentful shows once under Settings > Webhooks > Settings when you enable request verification.",
    source: "contentful.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-contentful-signature"],
        signed_content: SignedContent::Custom(signing_input),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Milliseconds,
            ..SignedTimestamp::in_header(&["x-contentful-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "The signature does not cover the host. It covers the topic, the idempotency key and the time of the event only if `X-Contentful-Signed-Headers` names their headers.",
    ),
    event_type: Some(FieldLocation::Header("x-contentful-topic")),
    delivery_id: Some(FieldLocation::Header("x-contentful-idempotency-key")),
    event_time: Some(FieldLocation::Header("x-contentful-event-datetime")),
    samples: &[
        SampleWebhook {
            event_type: "ContentManagement.Entry.publish",
            body: r#"{"metadata":{"tags":[]},"sys":{"type":"Entry","id":"4o19ghFQzz0a1b2c3d4e5f","space":{"sys":{"type":"Link","linkType":"Space","id":"abc123def456"}},"environment":{"sys":{"type":"Link","linkType":"Environment","id":"master"}},"contentType":{"sys":{"type":"Link","linkType":"ContentType","id":"post"}},"revision":2,"createdAt":"2026-10-25T10:00:00.000Z","updatedAt":"2026-10-26T06:13:20.000Z"},"fields":{"title":{"en-US":"Hello"}}}"#,
            headers: &[
                (
                    "x-contentful-signed-headers",
                    "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic",
                ),
                ("x-contentful-event-datetime", "2026-10-26T06:13:20.123Z"),
                ("content-type", "application/vnd.contentful.management.v1+json"),
            ],
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "ContentManagement.Entry.unpublish",
            body: r#"{"sys":{"type":"DeletedEntry","id":"4o19ghFQzz0a1b2c3d4e5f","space":{"sys":{"type":"Link","linkType":"Space","id":"abc123def456"}},"environment":{"sys":{"type":"Link","linkType":"Environment","id":"master"}},"contentType":{"sys":{"type":"Link","linkType":"ContentType","id":"post"}},"revision":2,"createdAt":"2026-10-26T06:20:00.000Z","updatedAt":"2026-10-26T06:20:00.000Z","deletedAt":"2026-10-26T06:20:00.000Z"}}"#,
            headers: &[
                (
                    "x-contentful-signed-headers",
                    "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic",
                ),
                ("content-type", "application/vnd.contentful.management.v1+json"),
            ],
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// The header that names the signed headers, separated by commas.
const SIGNED_HEADERS: &str = "x-contentful-signed-headers";
/// Maximum number of signed headers.
const MAX_SIGNED_HEADERS: usize = 50;

/// The method, the path, the signed headers and the body, separated by line feeds.
fn signing_input(webhook: &RawWebhook, _timestamp: &str) -> Result<SigningInput, VerificationError> {
    let malformed = VerificationError::MalformedSignature;
    let list = webhook.header(SIGNED_HEADERS).ok_or(malformed)?;
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    // Without these two, the list and the timestamp could be replaced.
    let is_protected = [SIGNED_HEADERS, "x-contentful-timestamp"].iter().all(|name| names.contains(name));
    if !is_protected || names.len() > MAX_SIGNED_HEADERS {
        return Err(malformed);
    }
    let headers = names.iter().map(|name| Some(format!("{name}:{}", webhook.header(name)?.trim())));
    let headers = headers.collect::<Option<Vec<_>>>().ok_or(malformed)?.join(";");
    let alternatives = webhook.urls().map(|url| {
        let path = url.path_and_query();
        let head = format!("{}\n{path}\n{headers}\n", webhook.method());
        vec![Bytes::from(head), webhook.body().clone()]
    });
    Ok(SigningInput(alternatives.collect()))
}
