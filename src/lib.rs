//! hookbridge: webhooks into AWS, and events out of it.
//!
//! The way of a webhook: [`bridge`] takes a request, checks it against a [`providers`] constant and a secret
//! from [`secrets`], makes an [`event`] of it, and puts that on a [`bus`]. A module imports only what stands
//! below it; `ARCHITECTURE.md` draws the house.

pub mod access;
pub mod archive;
pub mod aws;
pub mod bridge;
pub mod bus;
pub mod call;
pub mod database;
#[cfg(feature = "command")]
pub mod delivery;
pub mod dispatch;
pub mod event;
#[cfg(feature = "command")]
pub mod export;
pub mod feed;
#[cfg(feature = "command")]
pub mod files;
pub mod http_client;
pub mod input;
pub mod invocation;
#[cfg(feature = "command")]
pub mod load;
pub mod log;
#[cfg(feature = "command")]
pub mod maintain;
pub mod output;
pub mod poller;
pub mod providers;
pub mod recorder;
#[cfg(feature = "command")]
pub mod replay;
pub mod secrets;
#[cfg(feature = "command")]
pub mod send;
#[cfg(feature = "command")]
pub mod serve;
#[cfg(feature = "command")]
pub mod subscriber;
pub mod template;
#[cfg(feature = "command")]
pub mod token;
