//! FusionAuth webhooks.
//!
//! FusionAuth waits 2 s for a response. Retries: not confirmed. The read timeout of the webhook is a setting, 2,000
//! ms in its examples.

use crate::providers::{Encoding, FieldLocation, JwsSignature, Provider, SampleWebhook, SignatureScheme};

/// The header holds a JWT whose claim `request_body_sha256` is the base64 SHA-256 of the raw body. It is signed with
/// the key chosen for the webhook; only HMAC keys (HS256, HS384 or HS512) can be verified with a secret, the other
/// kinds need the tenant's JWKS. Events that are transactional, such as `user.create`, wait for the answer: a status
/// other than 2xx can undo the user's operation. The JWT has no time claims.
pub const FUSIONAUTH: Provider = Provider {
    name: "fusionauth",
    title: "FusionAuth",
    documentation: "https://fusionauth.io/docs/extend/events-and-webhooks/signing",
    secret_hint: "The secret of the HMAC key that the webhook signs with, under Settings, Key Master in the FusionAuth admin, as text.",
    source: "fusionauth.io",
    signature_scheme: SignatureScheme::Jws(JwsSignature {
        header: "x-fusionauth-signature-jwt",
        body_hash_claim: "request_body_sha256",
        body_hash_encoding: Encoding::Base64,
    }),
    weakness: Some("No expiry and no id in the JWT: a recorded request can be replayed."),
    event_type: Some(FieldLocation::Body("/event/type")),
    delivery_id: Some(FieldLocation::Body("/event/id")),
    event_time: Some(FieldLocation::Body("/event/createInstant")),
    samples: &[
        SampleWebhook {
            event_type: "user.create",
            body: r#"{"event":{"createInstant":1763631011056,"id":"e502168a-0000-45d9-a079-fd45f83e0406","info":{"ipAddress":"192.0.2.10","userAgent":"Example/1.0"},"tenantId":"e872a880-0000-4d62-9312-cb40f22af465","type":"user.create","user":{"active":true,"email":"ada@example.com","id":"00000000-0000-0001-0000-000000000001","tenantId":"e872a880-0000-4d62-9312-cb40f22af465","twoFactorEnabled":false,"usernameStatus":"ACTIVE","verified":true}}}"#,
            id_placeholder: "e502168a-0000-45d9-a079-fd45f83e0406",
            time_placeholder: "1763631011056",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "user.login.success",
            body: r#"{"event":{"applicationId":"10000000-0000-0002-0000-000000000001","authenticationType":"PASSWORD","createInstant":1763631111056,"id":"f613279b-0000-46ea-8180-0e56094f1517","info":{"ipAddress":"192.0.2.10"},"ipAddress":"192.0.2.10","tenantId":"e872a880-0000-4d62-9312-cb40f22af465","type":"user.login.success","user":{"active":true,"email":"ada@example.com","id":"00000000-0000-0001-0000-000000000001"}}}"#,
            id_placeholder: "f613279b-0000-46ea-8180-0e56094f1517",
            time_placeholder: "1763631111056",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
