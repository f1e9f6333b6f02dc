//! End-to-end tests. `cargo test` runs those that need only Rust: a running `hookbridge serve`, SQLite, local files. The others are
//! ignored with what they need: PostgreSQL, LocalStack, the providers' SDKs. `scripts/test` starts these and runs every test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "a test's name says what it promises")]
#![allow(unreachable_pub, reason = "nothing is reached from outside a test")]

mod actors;

mod archive;
mod bad_input;
mod catalogue;
mod claim_check;
mod claimed_pages;
mod console;
mod consumers;
mod created_database;
mod database_outage;
mod deliveries;
mod dispatch_stack;
mod dispatcher;
mod event_buses_v2;
mod event_log;
mod events_command;
mod events_feed;
mod examples;
mod front_doors;
mod function;
mod generic_provider;
mod handshakes;
mod health_events;
mod in_flight;
mod listen;
mod load_and_export;
mod log;
mod openapi;
mod order;
mod poller;
mod postgres;
mod properties;
mod provider_sdks;
mod provider_stacks;
mod published_vectors;
mod redelivery;
mod redrive_command;
mod repeats;
mod replay;
mod replay_to_subscriber;
mod rotation;
mod scripts;
mod search;
mod send;
mod serve;
mod server_api;
mod several_events;
mod several_providers;
mod soak;
mod spans;
mod spill_queue;
mod status_table;
mod streaming_function;
mod subscribers_api;
mod templates;
mod upgrade;
mod verify;
