//! What hookbridge promises, told against real parts: a running `hookbridge serve`, LocalStack, the providers' own
//! SDKs. `scripts/test` starts what they need.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test's name says what it promises")]
#![allow(unreachable_pub, reason = "nothing is reached from outside a test")]

// Who takes part.
mod actors;

// The stories.
mod archiving;
mod bad_input;
mod consuming;
mod delivering;
mod dispatch_stack;
mod dispatching;
mod event_log;
mod examples;
mod following;
mod function;
mod in_hand;
mod loading;
mod log;
mod made_database;
mod managing;
mod openapi;
mod order;
mod overflowing;
mod polling;
mod postgres;
mod properties;
mod provider_sdks;
mod published_vectors;
mod replaying;
mod scripts;
mod searching;
mod sending;
mod serving;
mod spilling;
mod stacks;
mod status_table;
mod streaming_function;
mod telling;
mod templates;
mod upgrading;
