//! SparkPost, and Bird, which is the same: batches of email events.

use super::{
    Algorithm, Body, Encoding, Field, Next, Over, Polling, Provider, Sample, Signature, Times, Types, Written,
};

/// SparkPost signs nothing. It sends the credentials that it was given: `Basic` with a user and a password, or `Bearer`
/// with a token. What it sends is a JSON array of up to some hundred events, with an id that stays when it sends the
/// batch again: 12 times in 8 hours, when the answer is not 200 or takes longer than 10 s.
///
/// To see whether an endpoint works it sends a batch without events.
pub const SPARKPOST: Provider = Provider {
    name: "sparkpost",
    title: "SparkPost",
    documentation: "https://developers.sparkpost.com/api/webhooks/",
    secret_parameter: "SparkPostWebhookSecret",
    secret_hint: "What SparkPost or Bird shall send: user:password for basic authentication, or a bearer token that does not change.",
    source: "sparkpost.com",
    signature: Signature {
        header: "authorization",
        written: Written::Credentials,
        algorithms: &[Algorithm::SecretItself],
        encoding: Encoding::Base64,
        over: Over::Parts(&[]),
        window: None,
        body_hash: None,
    },
    body: Body::Batch,
    event_type: None,
    default_type: "sparkpost-webhook",
    delivery_id: Some(Field::Header("x-messagesystems-batch-id")),
    event_time: None,
    polling: Some(Polling {
        documentation: "https://developers.sparkpost.com/api/events/",
        base: "https://api.sparkpost.com",
        path: "/api/v1/events/message",
        key_parameter: "SparkPostApiKey",
        key_hint: "An API key with the permission to read events ('Events Search: Read-only') and nothing else, from SparkPost's Configuration.",
        authorization_prefix: "",
        from: "from",
        until: "to",
        times: Times::Rfc3339,
        constant: "cursor=initial&per_page=1000",
        types: Types::Joined("events"),
        types_hint: "",
        events: "results",
        next: Next::Link,
        kept_days: 10,
    }),
    sample: Sample {
        event_type: "delivery",
        body: r#"[{"msys":{"message_event":{"type":"delivery","event_id":"92356927693813856","timestamp":"1454442600","message_id":"000443ee14578172be22","rcpt_to":"recipient@example.com","friendly_from":"sender@example.com","subject":"Summer deals are here!","campaign_id":"Example Campaign Name","subaccount_id":"101"}}}]"#,
        id: "92356927693813856",
        time: "",
    },
};
