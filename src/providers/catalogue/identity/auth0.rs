//! Auth0: tenant logs, from a custom log stream.
//!
//! Auth0 makes three attempts, then reports the error on the Health tab and starts again. It pauses a stream
//! after 7 days without success. Set the content format to JSON Array or JSON Object: hookbridge rejects JSON
//! Lines with several events.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Auth0 signs nothing. The header `Authorization` is the Authorization Token of the log stream, exactly as
/// the operator entered it. An event has the fields `log_id` and `data`, whose field `type` is a short code,
/// for example `fp`.
pub const AUTH0: Provider = Provider {
    name: "auth0",
    title: "Auth0",
    documentation: "https://auth0.com/docs/customize/log-streams/custom-log-streams",
    secret_hint: "The Authorization Token of the log stream, from Monitoring > Streams in Auth0, exactly as you entered it, with Bearer if you entered that.",
    source: "auth0.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Header("authorization")]),
    weakness: Some("Auth0 signs nothing: an attacker who reads one request can forge others."),
    split: Some(""),
    event_type: Some(FieldLocation::Body("/data/type")),
    delivery_id: Some(FieldLocation::Body("/log_id")),
    event_time: Some(FieldLocation::Body("/data/date")),
    samples: &[
        SampleWebhook {
            event_type: "s",
            body: r#"[{"log_id":"90020261120093011193000000000001223372000000001","data":{"date":"2026-11-20T09:30:11.193Z","type":"s","connection":"Username-Password-Authentication","client_id":"AaiyAPdpYdesoKnqjj8HJqRn4T5titww","client_name":"Example App","ip":"192.0.2.10","user_agent":"Example/1.0","hostname":"example.auth0.com","user_id":"auth0|56c75c4e42b6359e98374bc2","user_name":"ada@example.com","tenant_name":"example","log_id":"90020261120093011193000000000001223372000000001"}}]"#,
            id_placeholder: "90020261120093011193000000000001223372000000001",
            time_placeholder: "2026-11-20T09:30:11.193Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "fp",
            body: r#"[{"log_id":"9002026112009311","data":{"date":"2026-11-20T09:31:11.000Z","type":"fp","description":"Wrong email or password.","client_id":"AaiyAPdp","ip":"192.0.2.11","user_name":"ada@example.com","log_id":"9002026112009311"}},{"log_id":"9002026112009312","data":{"date":"2026-11-20T09:31:12.000Z","type":"sapi","description":"Update a user","client_id":"AaiyAPdp","ip":"192.0.2.12","log_id":"9002026112009312"}}]"#,
            id_placeholder: "9002026112009311",
            time_placeholder: "2026-11-20T09:31:11.000Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
