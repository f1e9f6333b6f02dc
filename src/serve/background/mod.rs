//! Background tasks of `hookbridge serve`: `tail` (bus file to log), `record` (archive to log), `poll` (providers to archive),
//! `deliver` (log to subscribers), `lag` (of the consumers), `demo` (test webhooks to the server itself).

pub(super) mod deliver;
pub(super) mod demo;
pub(super) mod lag;
pub(super) mod poll;
pub(super) mod record;
pub(super) mod tail;
