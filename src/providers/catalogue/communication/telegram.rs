//! Telegram webhooks.
//!
//! Retries: repeated until a 2xx comes or a reasonable number of attempts is used up; updates are kept for at most 24
//! hours.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Telegram does not sign. When the webhook is set with a secret_token, every request carries that text in
/// X-Telegram-Bot-Api-Secret-Token; without a secret_token the header is absent. An update has update_id and one more
/// key that names its type. Any 2xx accepts it; an answer in JSON with a key method is carried out as a call of the
/// Bot API, so the answer must stay empty.
pub const TELEGRAM: Provider = Provider {
    name: "telegram",
    title: "Telegram",
    documentation: "https://core.telegram.org/bots/api#setwebhook",
    secret_hint: "The secret_token that you choose yourself and pass to setWebhook: 1 to 256 characters of A-Z, a-z, 0-9, _ and -; not the bot token.",
    source: "telegram.org",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Header(
        "x-telegram-bot-api-secret-token",
    )]),
    weakness: Some(
        "A static token: neither the body nor the time is covered, and whoever reads one request can forge others.",
    ),
    event_type: Some(FieldLocation::FirstFieldExcept(&["update_id"])),
    delivery_id: Some(FieldLocation::Body("/update_id")),
    samples: &[
        SampleWebhook {
            event_type: "message",
            body: r#"{"update_id":100000001,"message":{"message_id":365,"from":{"id":1111111,"is_bot":false,"first_name":"Ada","username":"ada_example","language_code":"en"},"chat":{"id":1111111,"first_name":"Ada","username":"ada_example","type":"private"},"date":1796029200,"text":"/start","entities":[{"offset":0,"length":6,"type":"bot_command"}]}}"#,
            id_placeholder: "100000001",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "callback_query",
            body: r#"{"update_id":100000002,"callback_query":{"id":"4382000000000000001","from":{"id":1111111,"is_bot":false,"first_name":"Ada"},"message":{"message_id":366,"from":{"id":2222222,"is_bot":true,"first_name":"Example Bot","username":"example_bot"},"chat":{"id":1111111,"first_name":"Ada","type":"private"},"date":1796029210,"text":"Go on?"},"chat_instance":"-3000000000000000001","data":"yes"}}"#,
            id_placeholder: "100000002",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "my_chat_member",
            body: r#"{"update_id":100000003,"my_chat_member":{"chat":{"id":1111111,"first_name":"Ada","type":"private"},"from":{"id":1111111,"is_bot":false,"first_name":"Ada"},"date":1796029220,"old_chat_member":{"user":{"id":2222222,"is_bot":true,"first_name":"Example Bot","username":"example_bot"},"status":"member"},"new_chat_member":{"user":{"id":2222222,"is_bot":true,"first_name":"Example Bot","username":"example_bot"},"status":"kicked","until_date":0}}}"#,
            id_placeholder: "100000003",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
