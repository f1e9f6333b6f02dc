//! The HTTP server of `hookbridge serve`: webhooks (`webhooks`, [`admission`]), the API (`api`, `server_api`, `access`), the console
//! (`console`), health and metrics (`operations`), connections ([`listener`]).

mod access;
pub mod admission;
pub(super) mod api;
mod console;
pub mod listener;
pub(super) mod operations;
pub(super) mod server_api;
pub(super) mod webhooks;
