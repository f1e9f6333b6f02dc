//! Small helpers without knowledge of webhooks: files, HTTP clients, names, times, error texts, terminal output.

pub mod error;
pub mod files;
pub mod http_client;
pub mod names;
pub mod output;
#[cfg(feature = "command")]
pub mod style;
pub mod time;
