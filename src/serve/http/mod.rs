//! The HTTP server of `hookbridge serve`: webhooks (`webhooks`, [`admission`]), the API (`api`, `access`), connections
//! ([`listener`]).

mod access;
pub mod admission;
pub(super) mod api;
pub mod listener;
pub(super) mod webhooks;
