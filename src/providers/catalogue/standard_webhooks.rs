//! Standard Webhooks, and services that sign as it specifies.
//!
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use crate::providers::{
    Algorithm, Encoding, FieldLocation, HeaderFormat, HeaderSignature, KeyFormat, Provider, SampleWebhook,
    SignatureFormat, SignatureScheme, SignedContent, SignedTimestamp, SigningPart, SuccessResponse,
};

/// The signature of Standard Webhooks. Svix, which the specification comes from, uses the prefix `svix-` for its headers.
pub const SIGNATURE: HeaderSignature = HeaderSignature {
    headers: &["webhook-signature", "svix-signature"],
    header_format: HeaderFormat::List(' '),
    signatures: &[HMAC, ED25519],
    encoding: Encoding::Base64,
    signed_content: SignedContent::Parts(&[
        SigningPart::Id,
        SigningPart::Literal("."),
        SigningPart::Timestamp,
        SigningPart::Literal("."),
        SigningPart::Body,
    ]),
    timestamp: Some(SignedTimestamp::in_header(&["webhook-timestamp", "svix-timestamp"])),
    id_headers: &["webhook-id", "svix-id"],
    body_hash_parameter: None,
};

const HMAC: SignatureFormat = SignatureFormat {
    prefix: "v1,",
    algorithm: Algorithm::HmacSha256,
    key_format: KeyFormat::Base64("whsec_"),
};

const ED25519: SignatureFormat =
    SignatureFormat { prefix: "v1a,", algorithm: Algorithm::Ed25519, key_format: KeyFormat::Base64("whpk_") };

/// The signature of Polar, whose older secrets are used as text.
const POLAR_SIGNATURE: HeaderSignature =
    HeaderSignature { signatures: &[HMAC, SignatureFormat::hmac_sha256("v1,")], ..SIGNATURE };

/// The signature of Supabase, whose secrets begin with the version of the signature.
const SUPABASE_SIGNATURE: HeaderSignature = HeaderSignature {
    signatures: &[SignatureFormat { key_format: KeyFormat::Base64("v1,whsec_"), ..HMAC }],
    ..SIGNATURE
};

const DELIVERY_ID: FieldLocation =
    FieldLocation::FirstOf(&[FieldLocation::Header("webhook-id"), FieldLocation::Header("svix-id")]);

/// The signed content is the message id, the timestamp and the raw body, joined by full stops. The signature header
/// is a list separated by spaces; `v1,` marks HMAC-SHA256 in base64 and `v1a,` marks Ed25519. A sender that rotates
/// its secret sends one signature for the old and one for the new, so any match counts. The timestamp is that of the
/// attempt and changes at each retry, the id stays the same.
pub const STANDARD_WEBHOOKS: Provider = Provider {
    name: "standard-webhooks",
    title: "Standard Webhooks",
    documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
    secret_hint: "The signing secret of the endpoint, `whsec_` followed by base64 of 24 to 64 bytes, or a public key `whpk_` followed by base64.",
    source: "standardwebhooks.com",
    signature_scheme: SignatureScheme::Header(SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "contact.created",
            body: r#"{"type":"contact.created","timestamp":"2026-11-20T09:30:11.344522Z","data":{"id":"con_7Yk2","fullName":"Ada Example","email":"ada@example.com"}}"#,
            time_placeholder: "2026-11-20T09:30:11.344522Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "invoice.paid",
            body: r#"{"type":"invoice.paid","timestamp":"2026-11-20T09:31:00Z","data":{"id":"inv_01931","amount":1250,"currency":"EUR"}}"#,
            time_placeholder: "2026-11-20T09:31:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// Svix sends webhooks for other services and signs as Standard Webhooks does, with the header names `svix-id`,
/// `svix-timestamp` and `svix-signature`. Customers on higher plans may use the names with `webhook-` instead, and
/// its libraries accept both. `svix-id` is the same at each retry.
pub const SVIX: Provider = Provider {
    name: "svix",
    title: "Svix",
    documentation: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
    secret_hint: "The signing secret of the endpoint in the sender's webhook portal, `whsec_` followed by base64.",
    source: "svix.com",
    signature_scheme: SignatureScheme::Header(SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "invoice.paid",
            body: r#"{"type":"invoice.paid","timestamp":"2026-11-20T09:31:00Z","data":{"id":"inv_01931","status":"paid","amount":4200}}"#,
            time_placeholder: "2026-11-20T09:31:00Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "user.signup",
            body: r#"{"type":"user.signup","data":{"email":"ada@example.com","username":"ada"}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// OpenAI follows Standard Webhooks: HMAC-SHA256 over id, timestamp and raw body. The body is thin and carries the id
/// of the object, which is then fetched through the API. The header `webhook-id` (`wh_...`) is the idempotency key
/// and differs from the event's own `id` (`evt_...`).
pub const OPENAI: Provider = Provider {
    name: "openai",
    title: "OpenAI",
    documentation: "https://developers.openai.com/api/docs/guides/webhooks",
    secret_hint: "The signing secret that the OpenAI dashboard shows once, when the webhook endpoint of the project is created, `whsec_` followed by base64.",
    source: "openai.com",
    signature_scheme: SignatureScheme::Header(SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/created_at")),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "response.completed",
            body: r#"{"id":"evt_6911f0c2a7d481909b1c","object":"event","created_at":1763631000,"type":"response.completed","data":{"id":"resp_6911f0b8e0"}}"#,
            time_placeholder: "1763631000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "batch.completed",
            body: r#"{"id":"evt_6911f1d3b8e591a1ac2d","object":"event","created_at":1763631300,"type":"batch.completed","data":{"id":"batch_6911e9aa21"}}"#,
            time_placeholder: "1763631300",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "realtime.call.incoming",
            body: r#"{"id":"evt_6911f2e4c9f6a2b2bd3e","object":"event","created_at":1763631600,"type":"realtime.call.incoming","data":{"call_id":"rtc_01HZX3","sip_headers":[{"name":"From","value":"sip:+15550100@sip.example.com"},{"name":"Call-ID","value":"03782086-4ce9"}]}}"#,
            time_placeholder: "1763631600",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// Clerk delivers through Svix and signs with the `svix-id`, `svix-timestamp` and `svix-signature` headers:
/// HMAC-SHA256 over id, timestamp and raw body. The body is an envelope with `type`, `object` (always `event`),
/// `data` and `timestamp`. `svix-id` stays the same at each retry.
pub const CLERK: Provider = Provider {
    name: "clerk",
    title: "Clerk",
    documentation: "https://clerk.com/docs/guides/development/webhooks/overview",
    secret_hint: "The signing secret on the endpoint's page under Webhooks in the Clerk Dashboard, `whsec_` followed by base64.",
    source: "clerk.com",
    signature_scheme: SignatureScheme::Header(SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "user.created",
            body: r#"{"data":{"id":"user_35aBcD","object":"user","first_name":"Ada","last_name":"Example","email_addresses":[{"id":"idn_35aBcE","object":"email_address","email_address":"ada@example.com"}],"primary_email_address_id":"idn_35aBcE","created_at":1763631000123},"event_attributes":{"http_request":{"client_ip":"192.0.2.10","user_agent":"Example/1.0"}},"instance_id":"ins_35aA","object":"event","timestamp":1763631000456,"type":"user.created"}"#,
            time_placeholder: "1763631000456",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "session.created",
            body: r#"{"data":{"id":"sess_35aBcF","object":"session","client_id":"client_35aBcG","user_id":"user_35aBcD","status":"active","created_at":1763631100123,"expire_at":1764235900123},"instance_id":"ins_35aA","object":"event","timestamp":1763631100456,"type":"session.created"}"#,
            time_placeholder: "1763631100456",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "user.deleted",
            body: r#"{"data":{"deleted":true,"id":"user_35aBcD","object":"user"},"instance_id":"ins_35aA","object":"event","timestamp":1763631200456,"type":"user.deleted"}"#,
            time_placeholder: "1763631200456",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// Resend delivers through Svix and signs with the `svix-id`, `svix-timestamp` and `svix-signature` headers:
/// HMAC-SHA256 over id, timestamp and raw body. The body has `type`, `created_at` and `data`. One email produces
/// several events, so `data.email_id` does not identify an event; `svix-id` does.
pub const RESEND: Provider = Provider {
    name: "resend",
    title: "Resend",
    documentation: "https://resend.com/docs/webhooks/verify-webhooks-requests",
    secret_hint: "The signing secret on the webhook's page in the Resend dashboard (also returned by the API as `signing_secret`), `whsec_` followed by base64.",
    source: "resend.com",
    signature_scheme: SignatureScheme::Header(SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/created_at")),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "email.delivered",
            body: r#"{"type":"email.delivered","created_at":"2026-11-20T09:30:12.126Z","data":{"created_at":"2026-11-20T09:30:11.894719+00:00","email_id":"5c1d3b7a-0d5e-4c3e-9b2f-1f2e3d4c5b6a","from":"Shop <shop@example.com>","to":["ada@example.com"],"subject":"Your order","tags":{"category":"order"}}}"#,
            time_placeholder: "2026-11-20T09:30:12.126Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "email.bounced",
            body: r#"{"type":"email.bounced","created_at":"2026-11-20T09:31:12.126Z","data":{"created_at":"2026-11-20T09:31:11.894719+00:00","email_id":"6d2e4c8b-1e6f-4d4f-8c3a-2a3f4e5d6c7b","from":"Shop <shop@example.com>","to":["nobody@example.com"],"subject":"Your order","bounce":{"message":"The recipient's mail server rejected the message.","type":"Permanent","subType":"General"}}}"#,
            time_placeholder: "2026-11-20T09:31:12.126Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// Replicate follows Standard Webhooks with one key for each user or organization. The body is the prediction (or
/// training) object itself, without an envelope and without an event type; `status` says how far it is. Only webhooks
/// of a final state are retried, for about one minute.
pub const REPLICATE: Provider = Provider {
    name: "replicate",
    title: "Replicate",
    documentation: "https://replicate.com/docs/topics/webhooks/verify-webhook",
    secret_hint: "The signing secret of the account, `whsec_` followed by base64, read with `GET https://api.replicate.com/v1/webhooks/default/secret` (field `key`) or on the account's webhooks page.",
    source: "replicate.com",
    signature_scheme: SignatureScheme::Header(SIGNATURE),
    event_type: Some(FieldLocation::Body("/status")),
    event_time: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/completed_at"),
        FieldLocation::Body("/created_at"),
    ])),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "succeeded",
            body: r#"{"id":"ufawq7kfynnd3ngldk","model":"example/hello","version":"5c7d5dc6dd8b","input":{"text":"Alice"},"logs":"","output":"hello Alice","error":null,"status":"succeeded","created_at":"2026-11-20T09:30:06.224088Z","started_at":"2026-11-20T09:30:07.301Z","completed_at":"2026-11-20T09:30:09.512Z","metrics":{"predict_time":2.21}}"#,
            time_placeholder: "2026-11-20T09:30:09.512Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "starting",
            body: r#"{"id":"ufawq7kfynnd3ngldk","version":"5c7d5dc6dd8b","input":{"text":"Alice"},"logs":null,"output":null,"error":null,"status":"starting","created_at":"2026-11-20T09:30:06.224088Z","started_at":null,"completed_at":null,"metrics":{}}"#,
            time_placeholder: "2026-11-20T09:30:06.224088Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// Supabase Auth Hooks follow Standard Webhooks, but the secret carries a `v1,` before `whsec_` and several
/// signatures are joined by a comma and a space. Each attempt has a new `webhook-id`, so it does not identify an
/// event. The hook is synchronous: the user waits for at most 5 seconds, and the answer must be 204 without a content
/// type or JSON. Database Webhooks are another product and are not signed.
pub const SUPABASE: Provider = Provider {
    name: "supabase",
    title: "Supabase",
    documentation: "https://supabase.com/docs/guides/auth/auth-hooks",
    secret_hint: "The secret of the hook under Authentication, Hooks in the Supabase Dashboard, `v1,whsec_` followed by base64; self-hosted installations list several separated by `|`.",
    source: "supabase.com",
    signature_scheme: SignatureScheme::Header(SUPABASE_SIGNATURE),
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/metadata/name"),
        FieldLocation::Body("/email_data/email_action_type"),
    ])),
    success: SuccessResponse::NO_CONTENT,
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "signup",
            body: r#"{"user":{"id":"8484b834-0000-4af2-9f42-80644d154f76","aud":"authenticated","role":"authenticated","email":"ada@example.com","created_at":"2026-11-20T09:30:11.821567Z"},"email_data":{"token":"305805","token_hash":"7d5b7b1964cf5d388340","redirect_to":"https://app.example.com/","email_action_type":"signup","site_url":"https://auth.example.com","token_new":"","token_hash_new":""}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "before-user-created",
            body: r#"{"metadata":{"uuid":"8b34dcdd-1111-4a16-bd6b-6b8c0f8d4f70","time":"2026-11-20T09:30:11Z","name":"before-user-created","ip_address":"192.0.2.10"},"user":{"id":"ff7fc9ae-2222-4a0b-9a5d-2f0b1a6c7d11","email":"ada@example.com","app_metadata":{"provider":"email","providers":["email"]},"user_metadata":{},"is_anonymous":false}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};

/// Polar sends the Standard Webhooks headers. A secret generated on or after 2026-09-08 (UTC) is used as the
/// specification says, base64 after `whsec_`. An older secret, or one chosen by the customer, is used as text: the
/// key is the UTF-8 bytes of the whole string with its `whsec_` or `polar_whs_` prefix. Polar does not say in the
/// request which one it used, so both are tried.
pub const POLAR: Provider = Provider {
    name: "polar",
    title: "Polar",
    documentation: "https://polar.sh/docs/integrate/webhooks/delivery",
    secret_hint: "The secret of the webhook endpoint in the organization's settings, `whsec_` followed by base64 (older ones: `polar_whs_...`, `whsec_` with 43 characters, or a text of your own).",
    source: "polar.sh",
    signature_scheme: SignatureScheme::Header(POLAR_SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    delivery_id: Some(DELIVERY_ID),
    samples: &[
        SampleWebhook {
            event_type: "order.paid",
            body: r#"{"type":"order.paid","timestamp":"2026-11-20T09:30:11.344522Z","data":{"id":"0f3c1f5e-7a51-4d7a-9a64-2f0c1b7f4e01","status":"paid","paid":true,"total_amount":1900,"currency":"usd","customer_id":"7d2b3c4a-1111-4222-8333-944445555666","customer":{"email":"ada@example.com"}}}"#,
            time_placeholder: "2026-11-20T09:30:11.344522Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "subscription.created",
            body: r#"{"type":"subscription.created","timestamp":"2026-11-20T09:31:00Z","data":{"id":"b2a7d1c0-2222-4333-8444-a55556666777","status":"active","amount":900,"currency":"eur","recurring_interval":"month","customer_id":"7d2b3c4a-1111-4222-8333-944445555666"}}"#,
            time_placeholder: "2026-11-20T09:31:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
