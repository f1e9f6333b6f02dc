//! Messages, calls and social networks.

pub mod discord;
pub mod intercom;
pub mod line;
pub mod meta;
pub mod slack;
pub mod telegram;
pub mod twilio;
pub mod twitch;
pub mod x;
pub mod zendesk;
pub mod zoom;
