//! Adyen: standard webhooks about payments.
//!
//! Adyen waits 10 s for a response. After three failed attempts it queues the webhooks of the endpoint and
//! retries for up to 30 days. hookbridge does not support the webhooks of newer products, which have a
//! signature in a header.

use crate::providers::{
    Algorithm, BodySignature, Encoding, FieldLocation, KeyFormat, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SuccessResponse,
};

/// Each element of `notificationItems` has a signature in `additionalData.hmacSignature`: HMAC-SHA256 of
/// eight of its fields, joined by colons, in base64. A missing field counts as empty, and values are not
/// escaped. The HMAC key is the secret, decoded from hex. Every element must have a valid signature.
pub const ADYEN: Provider = Provider {
    name: "adyen",
    title: "Adyen",
    documentation: "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
    secret_hint: "The HMAC key (64 hex digits) of the webhook, from Developers > Webhooks > Security in Adyen's Customer Area; test and live keys differ.",
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
        "The signature covers eight fields of each item and has no timestamp. An attacker who recorded a webhook can replay it, change every other field (for example `reason`, `paymentMethod` and `eventDate`), and remove or repeat items.",
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
