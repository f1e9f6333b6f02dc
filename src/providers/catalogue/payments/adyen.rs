//! Adyen webhooks.
//!
//! Adyen waits 10 s for a response. Retries: three attempts at once, then a queue per endpoint with 2, 5, 10, 15, 30
//! minutes, 1, 2, 4, 8 hours and on, for up to 30 days.

use crate::providers::{
    Algorithm, BodySignature, Encoding, FieldLocation, KeyFormat, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SuccessResponse,
};

/// Adyen's standard webhooks carry the signature inside each item, in `additionalData.hmacSignature`. It is
/// HMAC-SHA256, base64, over eight fields of the item joined by colons: pspReference, originalReference,
/// merchantAccountCode, merchantReference, amount.value, amount.currency, eventCode, success. The key is the
/// hex-decoded HMAC key. Missing fields are empty strings; values are not escaped. Every item of `notificationItems`
/// must be checked. Balance Platform and other newer webhooks sign the whole body in the header `HmacSignature`
/// instead.
pub const ADYEN: Provider = Provider {
    name: "adyen",
    title: "Adyen",
    documentation: "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
    secret_hint: "The HMAC key of the webhook, 64 hex characters, decoded to 32 bytes: Customer Area, Developers, Webhooks, the webhook, Edit, Security, Generate new HMAC key (test and live have different keys).",
    source: "adyen.com",
    signature_scheme: SignatureScheme::Body(BodySignature {
        elements: Some("/notificationItems"),
        signatures: &["/NotificationRequestItem/additionalData/hmacSignature"],
        format: &SignatureFormat { prefix: "", algorithm: Algorithm::HmacSha256, key_format: KeyFormat::Hex },
        encoding: Encoding::Base64,
        signed_fields: &[
            "/NotificationRequestItem/pspReference",
            "/NotificationRequestItem/originalReference",
            "/NotificationRequestItem/merchantAccountCode",
            "/NotificationRequestItem/merchantReference",
            "/NotificationRequestItem/amount/value",
            "/NotificationRequestItem/amount/currency",
            "/NotificationRequestItem/eventCode",
            "/NotificationRequestItem/success",
        ],
        separator: ":",
    }),
    weakness: Some(
        "The signature covers eight fields only: eventDate, reason, paymentMethod, operations, every other additionalData field and the number of items are not covered; no timestamp, so replay is possible.",
    ),
    split: Some("/notificationItems"),
    event_type: Some(FieldLocation::Body("/NotificationRequestItem/eventCode")),
    delivery_id: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/NotificationRequestItem/pspReference"),
        FieldLocation::Body("/NotificationRequestItem/eventCode"),
    ])),
    event_time: Some(FieldLocation::Body("/NotificationRequestItem/eventDate")),
    success: SuccessResponse { status: 200, body: "[accepted]" },
    samples: &[
        SampleWebhook {
            event_type: "AUTHORISATION",
            body: r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"QFQTPCQ8HXSKGK82","eventCode":"AUTHORISATION","eventDate":"2026-11-20T17:15:34+01:00","merchantAccountCode":"ExampleMerchant","merchantReference":"order-1001","amount":{"value":1130,"currency":"EUR"},"operations":["CANCEL","CAPTURE","REFUND"],"paymentMethod":"visa","reason":"033899:1111:03/2030","success":"true","additionalData":{"hmacSignature":"5xDtKxlXl7Wq8nPc6rGAW0iUUfxb0lxoCFOSViy/SK0="}}}]}"#,
            id_placeholder: "QFQTPCQ8HXSKGK82",
            time_placeholder: "2026-11-20T17:15:34+01:00",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "REFUND",
            body: r#"{"live":"false","notificationItems":[{"NotificationRequestItem":{"pspReference":"XB7XNCQ8HXSKGK82","originalReference":"QFQTPCQ8HXSKGK82","eventCode":"REFUND","eventDate":"2026-11-21T09:00:02+01:00","merchantAccountCode":"ExampleMerchant","merchantReference":"order-1001","amount":{"value":500,"currency":"EUR"},"paymentMethod":"visa","reason":"","success":"true","additionalData":{"hmacSignature":"VWVJU6p4vu/x7VDASuwLsnWUTB4miEG88h9trErUuX8="}}}]}"#,
            id_placeholder: "XB7XNCQ8HXSKGK82",
            time_placeholder: "2026-11-21T09:00:02+01:00",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
