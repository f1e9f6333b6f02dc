//! Telegram: updates of a bot.
//!
//! Telegram retries an undocumented number of times until it gets a 2xx status, and keeps an update for at
//! most 24 hours. Its timeout and its schedule are not documented either.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Telegram signs nothing. It sends the secret token of the webhook in `X-Telegram-Bot-Api-Secret-Token`. The
/// type of an update is the name of its only field besides `update_id`. `update_id` is unique for one bot
/// only.
pub const TELEGRAM: Provider = Provider {
    name: "telegram",
    title: "Telegram",
    documentation: "https://core.telegram.org/bots/api#setwebhook",
    secret_hint: "The secret_token that you choose and pass to setWebhook (1 to 256 letters, digits, underscores and hyphens), not the bot token.",
    source: "telegram.org",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Header(
        "x-telegram-bot-api-secret-token",
    )]),
    weakness: Some("Telegram signs nothing: an attacker who reads one request can forge others."),
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
