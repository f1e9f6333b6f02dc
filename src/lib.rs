//! hookbridge: webhooks into AWS, and events out of it.
//!
//! [`bridge`] receives a webhook, verifies it with a signature scheme of [`providers`] and a secret of [`secrets`], and
//! publishes an [`event`] on a [`bus`]. [`recorder`] and [`poller`] fill the [`log`], [`api`] serves the log over HTTP, and
//! [`delivery`] sends events to subscribers. [`serve`] runs all these modules in one process. The programs in `src/bin`
//! run these modules as functions on AWS Lambda, through [`lambda`].
//!
//! `ARCHITECTURE.md` shows the layers: a module imports only modules below it.

pub mod api;
pub mod archive;
pub mod aws;
pub mod bridge;
pub mod bus;
#[cfg(feature = "command")]
pub mod cli;
pub mod console;
pub mod db;
pub mod delivery;
pub mod event;
pub mod lambda;
pub mod log;
pub mod poller;
pub mod providers;
pub mod recorder;
#[cfg(feature = "command")]
pub mod replay;
pub mod secrets;
#[cfg(feature = "command")]
pub mod serve;
pub mod template;
pub mod util;
