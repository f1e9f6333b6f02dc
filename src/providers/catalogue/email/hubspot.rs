//! HubSpot: changes of contacts, deals and other CRM objects.
//!
//! HubSpot retries up to 10 times after 429, 5xx, a timeout or a failed connection. It does not retry after
//! 400, 401, 403, 404 or 405, so a wrong secret loses events.

use bytes::Bytes;

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, RawWebhook, SampleWebhook, SignatureScheme,
    SignedContent, SignedTimestamp, SigningInput, TimestampFormat, VerificationError,
};

/// HubSpot signs the method, the URL, the raw body and the timestamp, without separators, with HMAC-SHA256.
/// It sends the signature in base64 in `X-HubSpot-Signature-v3`, and the timestamp, in milliseconds, in
/// `X-HubSpot-Request-Timestamp`. Its SDKs reject a timestamp that is more than 300 s old; hookbridge also
/// rejects one that is more than 300 s in the future. The body is an array of events.
pub const HUBSPOT: Provider = Provider {
    name: "hubspot",
    title: "HubSpot",
    documentation: "https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation",
    secret_hint: "The client secret (a UUID) of the HubSpot app, from the app's Auth tab, not the access token of a private app.",
    source: "hubspot.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hubspot-signature-v3"],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Custom(signing_input),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Milliseconds,
            ..SignedTimestamp::in_header(&["x-hubspot-request-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    split: Some(""),
    event_type: Some(FieldLocation::Body("/subscriptionType")),
    delivery_id: Some(FieldLocation::Body("/eventId")),
    event_time: Some(FieldLocation::Body("/occurredAt")),
    samples: &[
        SampleWebhook {
            event_type: "contact.creation",
            body: r#"[{"eventId":3816279340,"subscriptionId":25,"portalId":33000001,"appId":1160452,"occurredAt":1793000000123,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeFlag":"CREATED","changeSource":"CRM_UI","sourceId":"userId:1000001"}]"#,
            id_placeholder: "3816279340",
            time_placeholder: "1793000000123",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "contact.propertyChange",
            body: r#"[{"eventId":3816279480,"subscriptionId":22,"portalId":33000001,"appId":1160452,"occurredAt":1793000060456,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":123,"propertyName":"lifecyclestage","propertyValue":"customer","changeSource":"CRM_UI","sourceId":"userId:1000001"}]"#,
            id_placeholder: "3816279480",
            time_placeholder: "1793000060456",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "deal.propertyChange",
            body: r#"[{"eventId":3816279512,"subscriptionId":31,"portalId":33000001,"appId":1160452,"occurredAt":1793000120789,"subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":456,"propertyName":"dealstage","propertyValue":"closedwon","changeSource":"INTEGRATION"}]"#,
            id_placeholder: "3816279512",
            time_placeholder: "1793000120789",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// The escapes that HubSpot decodes in the URL before it signs it.
const DECODED_ESCAPES: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// The method, the URL, the body and the timestamp. HubSpot's documentation decodes some escapes of the URL,
/// and its SDKs do not, so hookbridge accepts both.
fn signing_input(webhook: &RawWebhook, timestamp: &str) -> Result<SigningInput, VerificationError> {
    let mut alternatives = Vec::new();
    for url in webhook.urls().map(ToString::to_string) {
        let decoded = DECODED_ESCAPES.iter().fold(url.clone(), |url, (escape, character)| {
            url.replace(escape, character).replace(&escape.to_ascii_lowercase(), character)
        });
        for url in if decoded == url { vec![url] } else { vec![url, decoded] } {
            let head = format!("{}{url}", webhook.method());
            let timestamp = Bytes::copy_from_slice(timestamp.as_bytes());
            alternatives.push(vec![Bytes::from(head), webhook.body().clone(), timestamp]);
        }
    }
    Ok(SigningInput(alternatives))
}
