//! Chargebee webhooks.
//!
//! Chargebee waits 20 s for a response. Retries: up to 7 retries: after 2, 6 and 30 minutes, 1 and 5 hours, 1 and 2
//! days.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Chargebee does not sign webhooks; it authenticates with HTTP Basic credentials that the operator sets in the
/// webhook. The body is not covered by anything, so a leaked password allows forged events; fetch the resource from
/// the API when it matters. Deliveries can be repeated and arrive out of order; `id` identifies the event.
pub const CHARGEBEE: Provider = Provider {
    name: "chargebee",
    title: "Chargebee",
    documentation: "https://www.chargebee.com/docs/webhook_settings.html",
    secret_hint: "The user name and password, written user:password, of Settings, Configure Chargebee, API Keys and Webhooks, Webhooks, the webhook, Protect webhook URL with basic authentication.",
    source: "chargebee.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Basic]),
    weakness: Some("No signature: neither body nor time is covered; the secret travels in every request."),
    event_type: Some(FieldLocation::Body("/event_type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/occurred_at")),
    samples: &[
        SampleWebhook {
            event_type: "subscription_created",
            body: r#"{"id":"ev_AzExampleSub01","occurred_at":1795170000,"source":"admin_console","object":"event","api_version":"v2","event_type":"subscription_created","webhook_status":"not_configured","content":{"subscription":{"id":"AzExampleSub01","customer_id":"AzExampleCust1","status":"active","currency_code":"USD","current_term_end":1797762000},"customer":{"id":"AzExampleCust1","first_name":"Ada","email":"ada@example.com"}}}"#,
            id_placeholder: "AzExampleSub01",
            time_placeholder: "1795170000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "payment_succeeded",
            body: r#"{"id":"ev_AzExamplePay01","occurred_at":1795170060,"source":"scheduled_job","object":"event","api_version":"v2","event_type":"payment_succeeded","content":{"transaction":{"id":"txn_AzExample01","customer_id":"AzExampleCust1","type":"payment","amount":1200,"currency_code":"USD","status":"success"},"invoice":{"id":"DEMO-1042","status":"paid","total":1200}}}"#,
            id_placeholder: "AzExamplePay01",
            time_placeholder: "1795170060",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
