//! Terminal output and logging setup.
//!
//! The log contains only messages of this crate, whatever `RUST_LOG` says, because the SDK's debug messages can contain
//! requests and responses, and so secrets.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn log_targets() -> Targets {
    Targets::new().with_target("hookbridge", LevelFilter::INFO)
}

/// Sets up logging in JSON lines to standard output, which Lambda sends to CloudWatch Logs.
pub fn init_function_logging() {
    let json_layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    tracing_subscriber::registry().with(log_targets()).with(json_layer).init();
}

/// Sets up logging in readable lines to standard error.
#[cfg(feature = "command")]
pub fn init_terminal_logging() {
    let text_layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).without_time();
    tracing_subscriber::registry().with(log_targets()).with(text_layer).init();
}

/// Whether a write to standard output has failed for another reason than a closed pipe.
static OUTPUT_FAILED: AtomicBool = AtomicBool::new(false);

/// Writes one line to standard output. A closed pipe is ignored; other failures set [`output_failed`].
pub fn print_line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let result = stdout.write_all(format!("{text}\n").as_bytes()).and_then(|()| stdout.flush());
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
        && !OUTPUT_FAILED.swap(true, Ordering::Relaxed)
    {
        let _ = writeln!(std::io::stderr(), "cannot write to standard output: {error}");
    }
}

/// Whether a write to standard output failed; a closed pipe does not count.
pub fn output_failed() -> bool {
    OUTPUT_FAILED.load(Ordering::Relaxed)
}

/// Writes one line to standard error.
#[cfg(feature = "command")]
pub fn print_error(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}
