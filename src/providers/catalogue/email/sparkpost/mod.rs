//! SparkPost and Bird: batches of email events.
//!
//! `batch` parses batches and polled events, `search_result` writes an event as SparkPost's Events API does. SparkPost
//! tests an endpoint with a batch without events.

mod batch;
mod search_result;

pub use search_result::{message_event_json, summary_json};

use crate::providers::{
    BodyFormat, FieldLocation, Pagination, PollingApi, Provider, SampleWebhook, SecretLocation,
    SignatureScheme, TimeFormat, TypeFilter,
};

/// SparkPost signs nothing. It sends configured credentials: `Basic` with a user and a password, or `Bearer` with a
/// token. A batch is a JSON array of up to a few hundred events. SparkPost retries a batch up to 12 times in 8 hours,
/// with the same id, after a response other than 200 or without a response within 10 s.
pub const SPARKPOST: Provider = Provider {
    name: "sparkpost",
    title: "SparkPost",
    documentation: "https://developers.sparkpost.com/api/webhooks/",
    secret_hint: "The credentials that SparkPost or Bird sends: user:password for basic authentication, or a fixed bearer token.",
    source: "sparkpost.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Bearer, SecretLocation::Basic]),
    body_format: BodyFormat::Batch(&batch::BATCH_FORMAT),
    delivery_id: Some(FieldLocation::Header("x-messagesystems-batch-id")),
    polling: Some(PollingApi {
        documentation: "https://developers.sparkpost.com/api/events/",
        base_url: "https://api.sparkpost.com",
        path: "/api/v1/events/message",
        api_key_parameter: "SparkPostApiKey",
        api_key_hint: "An API key with only the permission 'Events Search: Read-only', from SparkPost's Configuration.",
        authorization_prefix: "",
        from_parameter: "from",
        until_parameter: "to",
        time_format: TimeFormat::Rfc3339,
        fixed_query: "cursor=initial&per_page=1000",
        type_filter: TypeFilter::CommaSeparated("events"),
        type_filter_hint: "",
        events_field: "results",
        pagination: Pagination::NextLink,
        retention_days: 10,
    }),
    samples: &[SampleWebhook {
        event_type: "delivery",
        body: r#"[{"msys":{"message_event":{"type":"delivery","event_id":"92356927693813856","timestamp":"1454442600","message_id":"000443ee14578172be22","rcpt_to":"recipient@example.com","friendly_from":"sender@example.com","subject":"Summer deals are here!","campaign_id":"Example Campaign Name","subaccount_id":"101"}}}]"#,
        id_placeholder: "92356927693813856",
        ..SampleWebhook::EMPTY
    }],
    ..Provider::JSON
};
