//! FusionAuth: events of users and tenants.
//!
//! Enable Sign events in the webhook's settings. A transactional event, for example `user.create`, can fail
//! the user's operation unless the response is 2xx in time; the timeout is one of the webhook's settings.
//! Retries are not confirmed.

use crate::providers::{Encoding, FieldLocation, JwsSignature, Provider, SampleWebhook, SignatureScheme};

/// FusionAuth sends a JSON Web Signature in `X-FusionAuth-Signature-JWT`, whose claim `request_body_sha256`
/// is the base64 SHA-256 of the raw body. The webhook must use an HMAC key with HS256: hookbridge does not
/// accept the other algorithms, HS384, HS512 and those with public keys.
pub const FUSIONAUTH: Provider = Provider {
    name: "fusionauth",
    title: "FusionAuth",
    documentation: "https://fusionauth.io/docs/extend/events-and-webhooks/signing",
    secret_hint: "The secret of the HMAC key (HS256) that the webhook signs with, from Settings > Key Master in FusionAuth.",
    source: "fusionauth.io",
    signature_scheme: SignatureScheme::Jws(JwsSignature {
        header: "x-fusionauth-signature-jwt",
        issuer: None,
        body_hash_claim: "request_body_sha256",
        body_hash_encoding: Encoding::Base64,
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature does not expire.",
    ),
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
