//! Chargebee: events of subscriptions, invoices and payments.
//!
//! Chargebee retries up to 7 times: after 2, 6 and 30 minutes, 1 and 5 hours, and 1 and 2 days. Events may
//! arrive more than once and out of order; `id` identifies an event.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Chargebee does not sign. It authenticates with the user name and password (HTTP Basic) that you set for
/// the webhook.
pub const CHARGEBEE: Provider = Provider {
    name: "chargebee",
    title: "Chargebee",
    documentation: "https://www.chargebee.com/docs/webhook_settings.html",
    secret_hint: "The user name and password, as user:password, of the webhook under Settings > Configure Chargebee > API Keys and Webhooks > Webhooks.",
    source: "chargebee.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Basic]),
    weakness: Some(
        "Webhooks are not signed. An attacker who obtains the password, which every request contains, can send any event. Subscribers should fetch important data with Chargebee's API.",
    ),
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
