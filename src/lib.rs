//! hookbridge: webhooks into AWS, and events out of it.
//!
//! [`bridge`] receives a webhook, verifies it with a signature scheme of [`providers`] and a secret of [`secrets`], and
//! publishes an [`event`] on a [`bus`]. [`recorder`] and [`poller`] fill the [`log`], [`api`] serves it over HTTP,
//! [`delivery`] sends its events to subscribers. [`serve`] runs all of these in one process; the programs in `src/bin`
//! run them on AWS Lambda, through [`lambda`].
//!
//! `ARCHITECTURE.md` shows the layers: a module imports only modules below it.

pub mod api;
pub mod archive;
pub mod aws;
pub mod bridge;
pub mod bus;
#[cfg(feature = "command")]
pub mod cli;
pub mod db;
pub mod delivery;
pub mod event;
pub mod lambda;
pub mod log;
pub mod poller;
pub mod providers;
pub mod recorder;
pub mod secrets;
#[cfg(feature = "command")]
pub mod serve;
pub mod template;
pub mod util;
