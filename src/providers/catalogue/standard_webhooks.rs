//! Standard Webhooks, and services that sign as it specifies.
//!
//! hookbridge accepts the headers of Standard Webhooks and those of Svix from each of these providers.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use crate::providers::{
    Algorithm, Encoding, FieldLocation, HeaderFormat, HeaderSignature, KeyFormat, Provider, SampleWebhook,
    SignatureFormat, SignatureScheme, SignedContent, SignedTimestamp, SigningPart, SuccessResponse,
};

/// The signature of Standard Webhooks, with its headers or with those of Svix, which begin with `svix-`.
pub const SIGNATURE: HeaderSignature = HeaderSignature {
    headers: &["webhook-signature", "svix-signature"],
    header_format: HeaderFormat::List(" "),
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

/// The signature of Svix, which prefers headers with its own name.
const SVIX_SIGNATURE: HeaderSignature = HeaderSignature {
    headers: &["svix-signature", "webhook-signature"],
    timestamp: Some(SignedTimestamp::in_header(&["svix-timestamp", "webhook-timestamp"])),
    id_headers: &["svix-id", "webhook-id"],
    ..SIGNATURE
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

const SVIX_DELIVERY_ID: FieldLocation =
    FieldLocation::FirstOf(&[FieldLocation::Header("svix-id"), FieldLocation::Header("webhook-id")]);

const DELIVERY_ID: FieldLocation =
    FieldLocation::FirstOf(&[FieldLocation::Header("webhook-id"), FieldLocation::Header("svix-id")]);

/// Senders sign `ID.TIMESTAMP.BODY` and send one or more signatures, separated by spaces, in
/// `webhook-signature`: HMAC-SHA256 in base64 after `v1,` or Ed25519 after `v1a,`. One valid signature is
/// enough. In a retry, the id is the same and the timestamp is new. The specification names no maximum age;
/// hookbridge accepts 300 s, as the reference libraries do.
pub const STANDARD_WEBHOOKS: Provider = Provider {
    name: "standard-webhooks",
    title: "Standard Webhooks",
    documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
    secret_hint: "The signing secret (whsec_...) of the endpoint, or the sender's public key (whpk_...) if it signs with Ed25519.",
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

/// Svix sends webhooks for other services. It signs as Standard Webhooks specifies, with the headers
/// `svix-id`, `svix-timestamp` and `svix-signature`, or with `webhook-` instead of `svix-` for some senders.
/// Svix waits 15 s for a response, retries for about 28 hours, and disables an endpoint that fails for
/// 5 days.
pub const SVIX: Provider = Provider {
    name: "svix",
    title: "Svix",
    documentation: "https://docs.svix.com/receiving/verifying-payloads/how-manual",
    secret_hint: "The signing secret (whsec_...) of the endpoint, from the sender's webhook portal.",
    source: "svix.com",
    signature_scheme: SignatureScheme::Header(SVIX_SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    delivery_id: Some(SVIX_DELIVERY_ID),
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

/// OpenAI signs as Standard Webhooks specifies. An event names an object, which the subscriber fetches with
/// OpenAI's API. The delivery id is `webhook-id`, which differs from the `id` in the body. OpenAI retries for
/// up to 72 hours with exponential backoff.
pub const OPENAI: Provider = Provider {
    name: "openai",
    title: "OpenAI",
    documentation: "https://developers.openai.com/api/docs/guides/webhooks",
    secret_hint: "The signing secret (whsec_...), which OpenAI's dashboard shows once when you create the webhook endpoint of the project.",
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

/// Clerk sends its webhooks with Svix and signs as Standard Webhooks specifies, with the headers of Svix.
/// Clerk documents the `timestamp` in the body both in milliseconds and in seconds; hookbridge accepts both.
pub const CLERK: Provider = Provider {
    name: "clerk",
    title: "Clerk",
    documentation: "https://clerk.com/docs/guides/development/webhooks/overview",
    secret_hint: "The signing secret (whsec_...), from the page of the endpoint under Webhooks in the Clerk Dashboard.",
    source: "clerk.com",
    signature_scheme: SignatureScheme::Header(SVIX_SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    delivery_id: Some(SVIX_DELIVERY_ID),
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

/// Resend sends its webhooks with Svix and signs as Standard Webhooks specifies, with the headers of Svix. An
/// email causes several events, so `data.email_id` does not identify an event; `svix-id` does. Resend retries
/// for about 28 hours and then disables an endpoint that keeps failing.
pub const RESEND: Provider = Provider {
    name: "resend",
    title: "Resend",
    documentation: "https://resend.com/docs/webhooks/verify-webhooks-requests",
    secret_hint: "The signing secret (whsec_...), from the page of the webhook in the Resend dashboard.",
    source: "resend.com",
    signature_scheme: SignatureScheme::Header(SVIX_SIGNATURE),
    event_type: Some(FieldLocation::Body("/type")),
    event_time: Some(FieldLocation::Body("/created_at")),
    delivery_id: Some(SVIX_DELIVERY_ID),
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

/// Replicate signs as Standard Webhooks specifies, with one key for each user or organisation. The body is
/// the prediction or training itself, whose `status` is the event type. Replicate expects a response within a
/// few seconds. It retries only webhooks with a final status, for about one minute.
pub const REPLICATE: Provider = Provider {
    name: "replicate",
    title: "Replicate",
    documentation: "https://replicate.com/docs/topics/webhooks/verify-webhook",
    secret_hint: "The signing secret (whsec_...) of the account, from the account's webhooks page at Replicate.",
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

/// Supabase's Auth Hooks are signed as Standard Webhooks specifies, but several signatures are separated by a
/// comma and a space, and each attempt has a new `webhook-id`. Supabase waits 5 s for a response, and its
/// user waits, too. hookbridge returns 204, so it cannot serve a hook that must return data, such as the
/// custom access token hook.
pub const SUPABASE: Provider = Provider {
    name: "supabase",
    title: "Supabase",
    documentation: "https://supabase.com/docs/guides/auth/auth-hooks",
    secret_hint: "The secret (v1,whsec_...) of the Auth Hook, from Authentication > Hooks in the Supabase Dashboard; write several on separate lines.",
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

/// Polar signs as Standard Webhooks specifies. If the secret was generated before 8 September 2026 or chosen
/// by the customer, however, the HMAC key is the whole secret as text, including its prefix. A webhook does
/// not state which key Polar used, so hookbridge tries both.
pub const POLAR: Provider = Provider {
    name: "polar",
    title: "Polar",
    documentation: "https://polar.sh/docs/integrate/webhooks/delivery",
    secret_hint: "The secret (whsec_... or polar_whs_...) of the webhook endpoint, from the settings of the organisation at Polar.",
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
