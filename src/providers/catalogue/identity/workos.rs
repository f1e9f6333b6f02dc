//! WorkOS: events of directories, connections and users.
//!
//! WorkOS retries up to 12 times over 3 days, with exponential backoff; outside production, it retries for
//! some minutes. The `id` of an event is the same in each retry. The timeout is not confirmed.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedContent, SignedTimestamp, SigningPart, TimestampFormat, TimestampTolerance,
};

/// WorkOS signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `t=TIMESTAMP, v1=SIGNATURE` in
/// `WorkOS-Signature`, with the timestamp in milliseconds and a hex signature. WorkOS's SDKs reject a
/// timestamp that is more than 180 s old; hookbridge also rejects one that is more than 180 s in the future.
pub const WORKOS: Provider = Provider {
    name: "workos",
    title: "WorkOS",
    documentation: "https://workos.com/docs/events/data-syncing/webhooks",
    secret_hint: "The signing secret of the webhook endpoint, from the WorkOS Dashboard.",
    source: "workos.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["workos-signature"],
        header_format: HeaderFormat::List(", "),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Milliseconds,
            tolerance: TimestampTolerance::seconds(180),
            ..SignedTimestamp::in_signature_header("t=")
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/event")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "dsync.user.created",
            body: r#"{"id":"event_01KAGM3V5Z8Q","event":"dsync.user.created","created_at":"2026-11-20T09:30:11.093Z","data":{"object":"directory_user","id":"directory_user_01KAGM3V60","directory_id":"directory_01KAGM3A11","organization_id":"org_01KAGM2Z99","idp_id":"8931","first_name":"Ada","last_name":"Example","email":"ada@example.com","state":"active","custom_attributes":{},"created_at":"2026-11-20T09:30:10.155Z","updated_at":"2026-11-20T09:30:10.155Z"}}"#,
            id_placeholder: "01KAGM3V5Z8Q",
            time_placeholder: "2026-11-20T09:30:11.093Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "connection.activated",
            body: r#"{"id":"event_01KAGM4W6A9R","event":"connection.activated","created_at":"2026-11-20T09:31:11.093Z","data":{"object":"connection","id":"conn_01KAGM4W70","organization_id":"org_01KAGM2Z99","connection_type":"OktaSAML","name":"Example Okta","state":"active","domains":[],"created_at":"2026-11-20T09:00:00.000Z","updated_at":"2026-11-20T09:31:11.000Z"}}"#,
            id_placeholder: "01KAGM4W6A9R",
            time_placeholder: "2026-11-20T09:31:11.093Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
